package components

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"

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
	return a.newScript(ctx, c, requestGuardConfigMap(a.Name), requestGuardFile, requestGuard)
}

// requestGuardChecksum returns a checksum of the middleware, so that a new one rolls the pods, which import it only at startup.
func requestGuardChecksum() string {
	sum := sha256.Sum256([]byte(requestGuard))
	return hex.EncodeToString(sum[:])
}
