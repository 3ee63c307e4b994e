package components

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func runServingCertificate(t *testing.T) registration {
	t.Helper()
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		_, err := newServingCertificate(ctx, "monitoring", "adapter", []pulumi.ResourceOption{provider})
		return err
	}).get(t, secretType, "adapter-certificate")
}

func TestServingCertificate(t *testing.T) {
	secret := runServingCertificate(t)
	assert.Equal(t, []string{"data"}, secret.IgnoreChanges, "a new certificate at each update would stop the scaling for a minute")
	certificate := secretEntry(t, secret, certificateKey)
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(secretEntry(t, secret, privateKeyKey)))
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(certificate)))
	verify := func(host string, at time.Time) error {
		_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		return err
	}
	now := time.Now()
	assert.NoError(t, verify("adapter.monitoring.svc", now), "the name that the API server asks for")
	assert.NoError(t, verify("adapter.monitoring.svc", now.Add(-30*time.Minute)), "a clock that is behind")
	assert.NoError(t, verify("adapter.monitoring.svc", now.AddDate(9, 11, 0)))
	assert.Error(t, verify("adapter.monitoring.svc", now.AddDate(10, 1, 0)))
	assert.Error(t, verify("other.monitoring.svc", now))
	assert.False(t, leaf.IsCA, "its key signs nothing else")

	other := runServingCertificate(t)
	assert.NotEqual(t, certificate, secretEntry(t, other, certificateKey))
}
