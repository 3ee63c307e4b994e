package aks

import "vllm-autoscaling/providers"

// gateways are those of application routing's Gateway API implementation, whose proxies run in the cluster
// (https://learn.microsoft.com/azure/aks/app-routing-gateway-api).
var gateways = providers.Gateways{
	Class:               "approuting-istio",
	InternalClass:       "approuting-istio",
	InternalAnnotations: map[string]string{"service.beta.kubernetes.io/azure-load-balancer-internal": "true"},
}
