package podruntime

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// certificateValidity is longer than any lab runs.
const certificateValidity = 24 * time.Hour

// webhookCertificate replaces a chart's hook Job that creates the certificate of an admission webhook. Without its Secret,
// the webhook's server would wait for its volume forever. The second Job, which writes the certificate's authority into
// the webhooks, does nothing: no webhook is served here, and the chart's webhooks are configured to be ignored then.
func (l *launcher) webhookCertificate() (*launch, error) {
	args, err := l.arguments()
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	return &launch{
		program: WebhookCertificate,
		ready: func(context.Context) error {
			select {
			case <-done:
				return nil
			default:
				return errors.New("the certificate is not made yet")
			}
		},
		inProcess: func(ctx context.Context) error {
			if slices.Contains(args, "create") {
				if err := l.createCertificate(ctx, args); err != nil {
					return err
				}
			}
			close(done)
			<-ctx.Done()
			return nil
		},
	}, nil
}

// createCertificate stores a certificate for the hosts in the Job's Secret, with the permissions of the Job's
// ServiceAccount. An existing Secret is kept.
func (l *launcher) createCertificate(ctx context.Context, args []string) error {
	namespace, name := flagValue(args, "namespace", l.pod.Namespace), flagValue(args, "secret-name", "")
	if name == "" {
		return fmt.Errorf("container %q: --secret-name is missing", l.container.Name)
	}
	file, err := l.kubeconfig()
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return fmt.Errorf("kubeconfig of %s: %w", l.user(), err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client of %s: %w", l.user(), err)
	}
	certificate, key, err := selfSigned(strings.Split(flagValue(args, "host", ""), ","))
	if err != nil {
		return fmt.Errorf("certificate for Secret %s/%s: %w", namespace, name, err)
	}
	_, err = client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Data: map[string][]byte{
			flagValue(args, "ca-name", "ca"):     certificate,
			flagValue(args, "cert-name", "cert"): certificate,
			flagValue(args, "key-name", "key"):   key,
		},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating Secret %s/%s: %w", namespace, name, err)
	}
	return nil
}

// selfSigned creates a self-signed certificate for hosts and its key, both in PEM.
func selfSigned(hosts []string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: hosts[0]},
		DNSNames:              hosts,
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(certificateValidity),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return nil, nil, err
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}), nil
}
