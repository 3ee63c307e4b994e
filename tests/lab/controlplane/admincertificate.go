package controlplane

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
)

// AdminCertificate returns a client certificate of an administrator and its key, in PEM, like those that some clouds issue.
// The first call creates it.
func (c *ControlPlane) AdminCertificate() (certificate, key []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := os.Stat(c.pki.file("admin-client.crt")); err != nil {
		ca, err := c.pki.authority("ca")
		if err != nil {
			return nil, nil, fmt.Errorf("administrator's certificate: %w", err)
		}
		err = c.pki.issue(ca, "admin-client", &x509.Certificate{
			Subject:     pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			return nil, nil, fmt.Errorf("administrator's certificate: %w", err)
		}
	}
	if certificate, err = os.ReadFile(c.pki.file("admin-client.crt")); err != nil {
		return nil, nil, err
	}
	key, err = os.ReadFile(c.pki.file("admin-client.key"))
	return certificate, key, err
}

// authority reads a certificate authority that newAuthority has written.
func (p pki) authority(name string) (authority, error) {
	var blocks [2][]byte
	for i, extension := range []string{".crt", ".key"} {
		content, err := os.ReadFile(p.file(name + extension))
		if err != nil {
			return authority{}, err
		}
		block, _ := pem.Decode(content)
		if block == nil {
			return authority{}, fmt.Errorf("%s is not PEM", p.file(name+extension))
		}
		blocks[i] = block.Bytes
	}
	cert, err := x509.ParseCertificate(blocks[0])
	if err != nil {
		return authority{}, err
	}
	key, err := x509.ParseECPrivateKey(blocks[1])
	return authority{cert: cert, key: key}, err
}
