package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// pki holds the files of the cluster's certificates and keys.
type pki struct {
	dir string
	// ca is the CA certificate with which clients verify the API server, in PEM.
	ca []byte
}

func (p pki) file(name string) string { return filepath.Join(p.dir, name) }

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// validity is longer than any run of a lab and tolerates a clock that is set back.
const validity = 30 * 24 * time.Hour

// newPKI writes the files of a control plane: a CA with the API server's certificate, another CA with the client certificate
// by which aggregated APIs recognize the API server, and the key of service account tokens.
func newPKI(dir string, clusterIP net.IP) (pki, error) {
	p := pki{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return pki{}, err
	}
	ca, err := p.newAuthority("ca", "lab")
	if err != nil {
		return pki{}, err
	}
	p.ca = pemOf("CERTIFICATE", ca.cert.Raw)
	err = p.issue(ca, "apiserver", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), clusterIP},
	})
	if err != nil {
		return pki{}, err
	}
	proxy, err := p.newAuthority("front-proxy-ca", "lab-front-proxy")
	if err != nil {
		return pki{}, err
	}
	err = p.issue(proxy, "front-proxy-client", &x509.Certificate{
		Subject:     pkix.Name{CommonName: frontProxyClient},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return pki{}, err
	}
	_, err = p.newKey("service-account")
	return p, err
}

const frontProxyClient = "front-proxy-client"

func (p pki) newAuthority(name, commonName string) (authority, error) {
	key, err := p.newKey(name)
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, err := p.sign(name, template, template, key, key)
	return authority{cert: cert, key: key}, err
}

func (p pki) issue(by authority, name string, template *x509.Certificate) error {
	key, err := p.newKey(name)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	_, err = p.sign(name, template, by.cert, key, by.key)
	return err
}

// sign writes name.crt.
func (p pki) sign(name string, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(validity)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", name, err)
	}
	if err := os.WriteFile(p.file(name+".crt"), pemOf("CERTIFICATE", der), 0o600); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newKey writes name.key.
func (p pki) newKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(p.file(name+".key"), pemOf("EC PRIVATE KEY", der), 0o600)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// newToken returns a random bearer token.
func newToken() (string, error) {
	b := make([]byte, 24)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}
