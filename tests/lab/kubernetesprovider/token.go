package kubernetesprovider

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/urn"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// token is the type of a resource: kubernetes:<group>/<version>:<Kind>.
type token struct {
	gvk schema.GroupVersionKind
}

// tokenOf reads the type from a URN.
func tokenOf(u string) (token, error) {
	parsed, err := urn.Parse(u)
	if err != nil {
		return token{}, fmt.Errorf("reading the resource's URN: %w", err)
	}
	return parseToken(string(parsed.Type()))
}

// parseToken reads a type token. The core group is written "core" there and "" in Kubernetes.
func parseToken(t string) (token, error) {
	parts := strings.Split(t, ":")
	if len(parts) != 3 || parts[0] != "kubernetes" {
		return token{}, fmt.Errorf("type %q is not kubernetes:<group>/<version>:<Kind>", t)
	}
	group, version, found := strings.Cut(parts[1], "/")
	if !found {
		// A custom resource of the core API: apiVersion "v1".
		group, version = "", parts[1]
	}
	if version == "" || parts[2] == "" || strings.Contains(version, "/") {
		return token{}, fmt.Errorf("type %q is not kubernetes:<group>/<version>:<Kind>", t)
	}
	if group == "core" {
		group = ""
	}
	kind := parts[2]
	release := group == "helm.sh"
	switch {
	case release && (version != "v3" || kind != "Release"),
		group == "yaml", group == "kustomize",
		strings.HasSuffix(kind, "Patch") && !strings.Contains(group, "."),
		strings.HasSuffix(kind, "List"):
		return token{}, fmt.Errorf("type %q is not supported by the lab's Kubernetes provider", t)
	}
	return token{gvk: schema.GroupVersionKind{Group: group, Version: version, Kind: kind}}, nil
}

func (t token) isRelease() bool { return t.gvk.Group == "helm.sh" }

// apiVersion returns the apiVersion of an object, such as apps/v1 or v1.
func (t token) apiVersion() string { return t.gvk.GroupVersion().String() }
