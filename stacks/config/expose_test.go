package config

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exposeKeys are the keys of a server that is exposed on a cloud, with changes; a nil value removes a key.
func exposeKeys(cloud string, changes map[string]any) map[string]any {
	keys := map[string]any{"expose.hostname": "llm.example.com", "apiKey": hidden("k")}
	switch cloud {
	case CloudLocal:
		keys["expose.gatewayClass"], keys["expose.tls.secret"] = "eg", "llm-tls"
		keys["vllm.clientNamespaces"] = []any{"envoy-gateway-system"}
	case CloudGKE:
		keys["expose.tls.certificate"] = "llm-cert"
	case CloudEKS:
		keys["expose.tls.certificate"] = "arn:aws:acm:us-east-1:111122223333:certificate/x"
	case CloudAKS:
		keys["expose.tls.secret"] = "llm-tls"
	}
	for key, value := range changes {
		if value == nil {
			delete(keys, key)
		} else {
			keys[key] = value
		}
	}
	return keys
}

func readExposed(t *testing.T, cloud string, changes map[string]any) (*Config, error) {
	t.Helper()
	keys := exposeKeys(cloud, changes)
	if cloud == CloudLocal {
		return Read(source(t, cloud, keys))
	}
	all := onCloud(cloud, keys)
	if _, ok := keys["vllm.clientNamespaces"]; !ok {
		delete(all, "vllm.clientNamespaces")
	}
	return Read(source(t, cloud, all))
}

func TestExposeDefaults(t *testing.T) {
	for name, test := range map[string]struct {
		cloud            string
		changes          map[string]any
		class, dataPlane string
		url              string
		namespaces       []string
		cidrs            []string
	}{
		"local": {CloudLocal, nil, "eg", "pods", "https://llm.example.com", []string{"envoy-gateway-system"}, nil},
		"gke": {CloudGKE, nil, "gke-l7-global-external-managed", "google-load-balancer", "https://llm.example.com", nil,
			[]string{"130.211.0.0/22", "35.191.0.0/16"}},
		"gke, internal": {CloudGKE, map[string]any{"expose.internal": true, "vllm.clientCidrs": []any{"10.9.0.0/24"}}, "gke-l7-rilb",
			"google-load-balancer", "https://llm.example.com", nil, []string{"10.9.0.0/24", "130.211.0.0/22", "35.191.0.0/16"}},
		"gke, proxies in the cluster": {CloudGKE, map[string]any{"expose.dataPlane": "pods", "expose.gatewayClass": "istio", "expose.tls.certificate": nil,
			"expose.tls.secret": "llm-tls"}, "istio", "pods", "https://llm.example.com", []string{"vllm"}, nil},
		"eks": {CloudEKS, nil, "aws-alb", "aws-load-balancer", "https://llm.example.com", nil, []string{"10.0.0.0/16"}},
		"aks": {CloudAKS, nil, "approuting-istio", "pods", "https://llm.example.com", []string{"vllm"}, nil},
		"aks, an existing Gateway": {CloudAKS, map[string]any{"expose.tls.secret": nil, "expose.gateway.name": "shared", "expose.gateway.namespace": "infra"},
			"approuting-istio", "pods", "https://llm.example.com", []string{"infra"}, nil},
		"plain HTTP": {CloudAKS, map[string]any{"expose.tls.secret": nil, "expose.protocol": "HTTP"}, "approuting-istio", "pods",
			"http://llm.example.com", []string{"vllm"}, nil},
		"another port": {CloudAKS, map[string]any{"expose.port": 8443}, "approuting-istio", "pods", "https://llm.example.com:8443", []string{"vllm"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := readExposed(t, test.cloud, test.changes)
			require.NoError(t, err)
			assert.Equal(t, test.class, c.Expose.GatewayClass)
			assert.Equal(t, test.dataPlane, c.Expose.DataPlane)
			assert.Equal(t, test.url, c.GatewayURL())
			namespaces, cidrs := c.ServerClients()
			assert.Equal(t, test.namespaces, namespaces)
			assert.ElementsMatch(t, test.cidrs, cidrs)
		})
	}
}

// Each rule is broken once; the configuration of exposeKeys keeps all of them.
func TestExposeRules(t *testing.T) {
	for name, test := range map[string]struct {
		cloud   string
		changes map[string]any
		key     string
		says    string
	}{
		"no hostname":               {CloudLocal, map[string]any{"expose.hostname": nil}, "expose.hostname", "without it no other key"},
		"nobody authenticates":      {CloudLocal, map[string]any{"apiKey": nil}, "expose.auth", "pulumi config set --secret vllm-autoscaling:apiKey"},
		"no class":                  {CloudLocal, map[string]any{"expose.gatewayClass": nil}, "expose.gatewayClass", "kubectl get gatewayclasses"},
		"no certificate":            {CloudLocal, map[string]any{"expose.tls.secret": nil}, "expose.tls.secret", "serves HTTPS"},
		"a certificate without TLS": {CloudLocal, map[string]any{"expose.protocol": "HTTP"}, "expose.tls.secret", "no certificate with"},
		"a Gateway without namespace": {CloudLocal, map[string]any{"expose.tls.secret": nil, "expose.gateway.name": "shared"},
			"expose.gateway.namespace", "namespace of Gateway shared"},
		"a section of no Gateway": {CloudLocal, map[string]any{"expose.gateway.sectionName": "https"}, "expose.gateway.name", "the name of the existing Gateway"},
		"a certificate of another's Gateway": {CloudLocal, map[string]any{"expose.gateway.name": "shared", "expose.gateway.namespace": "infra"},
			"expose.tls.secret", "its owner's"},
		"annotations of another's Gateway": {CloudLocal, map[string]any{"expose.tls.secret": nil, "expose.gateway.name": "shared",
			"expose.gateway.namespace": "infra", "expose.annotations": map[string]any{"a": "b"}}, "expose.annotations", "its owner's"},
		"unknown proxies": {CloudLocal, map[string]any{"vllm.clientNamespaces": nil}, "vllm.clientNamespaces", "the namespace of the pods of the gateway"},
		"a load balancer that the cloud does not have": {CloudAKS, map[string]any{"expose.dataPlane": "google-load-balancer"}, "expose.dataPlane", "one of: pods"},
		"a regional load balancer": {CloudGKE, map[string]any{"expose.gatewayClass": "gke-l7-regional-external-managed"}, "vllm.clientCidrs",
			"the proxy-only subnet of the region"},
		"two certificates": {CloudGKE, map[string]any{"expose.tls.certificateMap": "llm-map"}, "expose.tls.certificateMap", "one certificate"},
		"an ARN on gke":    {CloudGKE, map[string]any{"expose.tls.certificate": "arn:aws:acm:x"}, "expose.tls.certificate", "gcloud compute ssl-certificates"},
		"a name on eks":    {CloudEKS, map[string]any{"expose.tls.certificate": "llm-cert"}, "expose.tls.certificate", "arn:aws:acm"},
		"a Secret on eks":  {CloudEKS, map[string]any{"expose.tls.certificate": nil, "expose.tls.secret": "llm-tls"}, "expose.tls.secret", "read no Secret"},
		"a certificate of the cloud for proxies": {CloudGKE, map[string]any{"expose.dataPlane": "pods", "expose.gatewayClass": "istio"},
			"expose.tls.certificate", "use expose.tls.secret"},
		"a cloud's certificate on local": {CloudLocal, map[string]any{"expose.tls.certificate": "x"}, "expose.tls.certificate", "only with cloud gke, eks"},
		"too short a timeout":            {CloudLocal, map[string]any{"expose.timeout": "30s"}, "expose.timeout", "1m to 1h"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readExposed(t, test.cloud, nil)
			require.NoError(t, err, "without the change")
			_, err = readExposed(t, test.cloud, test.changes)
			var refused *Error
			require.True(t, errors.As(err, &refused), "%v", err)
			require.Len(t, refused.Problems, 1, "%v", err)
			assert.Equal(t, project+":"+test.key, refused.Problems[0].Key)
			assert.Contains(t, refused.Problems[0].Allowed+refused.Problems[0].Fix, test.says)
		})
	}
	t.Run("the gateway authenticates", func(t *testing.T) {
		_, err := readExposed(t, CloudLocal, map[string]any{"apiKey": nil, "expose.auth": "gateway"})
		require.NoError(t, err)
	})
}

func TestExposeIsShownAndWarned(t *testing.T) {
	c, err := readExposed(t, CloudGKE, map[string]any{"expose.tls.certificate": nil, "expose.protocol": "HTTP"})
	require.NoError(t, err)
	assert.Contains(t, c.Opened(), "expose.hostname [llm.example.com]")
	assert.Contains(t, c.Opened(), "expose, to the gateway's data plane [130.211.0.0/22 35.191.0.0/16]")
	var warned []string
	for _, warning := range c.Warnings() {
		warned = append(warned, warning.Key)
	}
	assert.Contains(t, warned, project+":expose.protocol")
	assert.NotContains(t, warned, project+":vllm.clientNamespaces", "the gateway is a client")
}
