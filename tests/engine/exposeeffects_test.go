package engine

import (
	"maps"

	"vllm-autoscaling/stacks/config"
)

const acmCertificate = "arn:aws:acm:us-east-1:111122223333:certificate/x"

// exposedOn returns the keys of a server that is exposed on a cloud, besides expose.hostname.
func exposedOn(cloud string) map[string]any {
	keys := map[string]any{"apiKey": token, "vllm.clientNamespaces": []any{"gateways"}, "vllm.clientCidrs": []any{"10.9.0.0/24"}}
	switch cloud {
	case config.CloudGKE:
		keys["expose.tls.certificate"] = "first"
	case config.CloudEKS:
		keys["expose.tls.certificate"] = acmCertificate
	case config.CloudAKS:
		keys["expose.tls.secret"] = "first"
	default:
		keys["expose.tls.secret"], keys["expose.gatewayClass"] = "first", "first"
	}
	return keys
}

// withKeys returns keys with others, of which a nil removes one.
func withKeys(keys, more map[string]any) map[string]any {
	all := maps.Clone(keys)
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}

// exposeSituations returns the situations of the keys of expose, which require each other.
func exposeSituations() map[string]situation {
	all := map[string]situation{}
	noTLS := map[string]any{"expose.tls.secret": nil, "expose.tls.certificate": nil}
	proxies := map[string]any{"expose.gatewayClass": "istio", "expose.tls.secret": "first", "expose.tls.certificate": nil}
	for _, cloud := range config.Clouds {
		unexposed := exposedOn(cloud)
		exposed := withKeys(unexposed, map[string]any{"expose.hostname": "first.example.com"})
		existing := withKeys(withKeys(exposed, noTLS), map[string]any{"expose.gateway.name": "first", "expose.gateway.namespace": "first"})
		for key, with := range map[string]map[string]any{
			"gatewayClass": nil, "internal": nil, "port": nil, "timeout": nil, "auth": nil, "annotations": nil, "tls.certificate": nil,
			"gateway.name": withKeys(map[string]any{"expose.gateway.namespace": "first"}, nil), "protocol": noTLS,
			"dataPlane": proxies, "tls.secret": {"expose.tls.certificate": nil}, "tls.certificateMap": {"expose.tls.certificate": nil},
		} {
			all[cloud+" expose."+key] = situation{before: exposed, with: with}
		}
		maps.Copy(all[cloud+" expose.gateway.name"].with, noTLS)
		all[cloud+" expose.hostname"] = situation{with: unexposed}
		for _, key := range []string{"gateway.namespace", "gateway.sectionName"} {
			all[cloud+" expose."+key] = situation{before: existing}
		}
	}
	return all
}

func init() {
	maps.Copy(situations, exposeSituations())
	maps.Copy(unmeasured, map[string]string{
		"local expose.dataPlane": "refused", "aks expose.dataPlane": "refused", "eks expose.tls.secret": "refused",
	})
}
