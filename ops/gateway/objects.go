package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/client-go/kubernetes"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"vllm-autoscaling/stacks/outputs"
)

// apiPath is the path of the Gateway API in an API server.
const apiPath = "/apis/gateway.networking.k8s.io/v1/"

// Get reads the Gateway of a stack. Its error is that of the API server.
func Get(ctx context.Context, client kubernetes.Interface, g outputs.Gateway) (*gatewayv1.Gateway, error) {
	return read[gatewayv1.Gateway](ctx, client, fmt.Sprintf("namespaces/%s/gateways/%s", g.Namespace, g.Name))
}

// GetRoute reads the HTTPRoute of a server. Its error is that of the API server.
func GetRoute(ctx context.Context, client kubernetes.Interface, serving outputs.Serving, g outputs.Gateway) (*gatewayv1.HTTPRoute, error) {
	return read[gatewayv1.HTTPRoute](ctx, client, fmt.Sprintf("namespaces/%s/httproutes/%s", serving.Namespace, g.Route))
}

// GetClass reads a GatewayClass. Its error is that of the API server.
func GetClass(ctx context.Context, client kubernetes.Interface, name string) (*gatewayv1.GatewayClass, error) {
	return read[gatewayv1.GatewayClass](ctx, client, "gatewayclasses/"+name)
}

// Served reports whether the API server has the Gateway API.
func Served(ctx context.Context, client kubernetes.Interface) bool {
	return client.Discovery().RESTClient().Get().AbsPath(strings.TrimSuffix(apiPath, "/")).Do(ctx).Error() == nil
}

func read[T any](ctx context.Context, client kubernetes.Interface, path string) (*T, error) {
	result := client.Discovery().RESTClient().Get().AbsPath(apiPath + path).Do(ctx)
	// Only Error reads the Status in the answer.
	if err := result.Error(); err != nil {
		return nil, err
	}
	raw, err := result.Raw()
	if err != nil {
		return nil, err
	}
	object := new(T)
	if err := json.Unmarshal(raw, object); err != nil {
		return nil, fmt.Errorf("%s%s: %w", apiPath, path, err)
	}
	return object, nil
}
