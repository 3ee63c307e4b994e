package gateway

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/tests/lab/tools"
)

// The Gateway API's module, and the folder of the CRDs of the standard channel in it.
const (
	module    = "sigs.k8s.io/gateway-api"
	crdFolder = "config/crd/standard"
)

// CRDs returns the files of the CRDs of the standard channel, in the version that the program is built with.
func CRDs(ctx context.Context) ([]string, error) {
	root, err := tools.ModuleRoot()
	if err != nil {
		return nil, err
	}
	folder, err := tools.DownloadedModule(ctx, root, module)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(folder, filepath.FromSlash(crdFolder), "*.yaml"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no CRD in %s of %s", crdFolder, folder)
	}
	return files, err
}

// install installs the CRDs and the GatewayClass.
func install(ctx context.Context, client dynamic.Interface) error {
	files, err := CRDs(ctx)
	if err != nil {
		return err
	}
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, &object.Object); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if _, err := definitions.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "lab"}); err != nil {
			return fmt.Errorf("apply %s: %w", object.GetName(), err)
		}
	}
	class := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": map[string]any{"name": Class},
		"spec": map[string]any{"controllerName": "traefik.io/gateway-controller"},
	}}
	classes := schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"}
	// The API server serves a new kind a moment after its CRD was created.
	return poll(ctx, "the Gateway API to be served", func() error {
		for _, resource := range []string{"gateways", "httproutes", "grpcroutes", "backendtlspolicies"} {
			if _, err := client.Resource(classes.GroupVersion().WithResource(resource)).List(ctx, metav1.ListOptions{}); err != nil {
				return err
			}
		}
		_, err := client.Resource(classes).Apply(ctx, Class, class, metav1.ApplyOptions{FieldManager: "lab"})
		return err
	})
}
