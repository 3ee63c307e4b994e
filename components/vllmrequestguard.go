package components

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// requestGuardConfigMap returns the name of the ConfigMap with the middleware that limits what clients reach of a server with an API
// key.
func requestGuardConfigMap(server string) string { return server + "-request-guard" }

const (
	requestGuardFile   = "request_guard.py"
	requestGuardClass  = "request_guard.RequestGuard"
	requestGuardVolume = "request-guard"
	requestGuardDir    = "/etc/request-guard"
)

// requestGuard is the source of the middleware.
//
//go:embed request_guard.py
var requestGuard string

// guardsRequests reports whether the server runs with the middleware: the simulator has no flag for one.
func (a *VLLMArgs) guardsRequests() bool { return a.Engine == EngineVLLM && a.APIKey != nil }

// newRequestGuard registers the ConfigMap of the middleware; it returns nil where there is none.
func (a *VLLMArgs) newRequestGuard(ctx *pulumi.Context, c *VLLM) (pulumi.Resource, error) {
	if !a.guardsRequests() {
		return nil, nil
	}
	name := requestGuardConfigMap(a.Name)
	object, err := corev1.NewConfigMap(ctx, name, &corev1.ConfigMapArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(name),
			Namespace: pulumi.String(a.Namespace),
			Labels:    pulumi.ToStringMap(withLabels(vllmSelector(a.Name))),
		},
		Data: pulumi.StringMap{requestGuardFile: pulumi.String(requestGuard)},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering ConfigMap %s/%s: %w", a.Namespace, name, err)
	}
	return object, nil
}

// requestGuardChecksum returns a checksum of the middleware, so that a new one rolls the pods, which import it only at startup.
func requestGuardChecksum() string {
	sum := sha256.Sum256([]byte(requestGuard))
	return hex.EncodeToString(sum[:])
}
