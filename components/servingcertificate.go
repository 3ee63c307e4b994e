package components

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	// certificateKey and privateKeyKey are the keys of the Secret, and the names of the files in the pod.
	certificateKey, privateKeyKey = "tls.crt", "tls.key"

	certificatePath   = "/var/run/adapter-certificate"
	certificateVolume = "adapter-certificate"

	// certificateValidity is longer than a cluster lives: nothing renews the certificate before its end.
	certificateValidity = 10 * 365 * 24 * time.Hour
	// clockSkew is how much the clocks of the control plane may be behind.
	clockSkew = time.Hour
)

// newServingCertificate registers the Secret with the certificate and the key of an adapter's Service. The certificate is
// its own authority, and the first one stays, as in newGrafanaAdmin.
func newServingCertificate(ctx *pulumi.Context, namespace, service string, opts []pulumi.ResourceOption) (*corev1.Secret, error) {
	certificate, key, err := selfSigned(fmt.Sprintf("%s.%s.svc", service, namespace), time.Now())
	if err != nil {
		return nil, fmt.Errorf("making a certificate for Service %s/%s: %w", namespace, service, err)
	}
	return newSecret(ctx, namespace, certificateSecret(service), map[string]pulumi.StringInput{
		certificateKey: pulumi.String(certificate),
		privateKeyKey:  pulumi.String(key),
	}, append(opts, pulumi.IgnoreChanges([]string{"data"})))
}

func certificateSecret(service string) string { return service + "-certificate" }

// authority returns what a client has to trust, in the form of a caBundle. It is read back from the Secret, because every
// run of the program makes a certificate, and only the one in the state is in use.
func authority(certificate *corev1.Secret) pulumi.StringOutput {
	return certificate.Data.MapIndex(pulumi.String(certificateKey))
}

// certificateArguments are the arguments of an adapter that serves with the mounted certificate. It reloads the files when
// they change.
func certificateArguments() []string {
	return []string{"--tls-cert-file=" + certificatePath + "/" + certificateKey, "--tls-private-key-file=" + certificatePath + "/" + privateKeyKey}
}

// selfSigned returns a certificate for a host that is its own authority, and its key, both as PEM.
func selfSigned(host string, now time.Time) (certificate, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: host},
		DNSNames:              []string{host},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(certificateValidity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})), nil
}
