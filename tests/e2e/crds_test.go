package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/tests/lab/chartrepository"
)

// oldCRD is a CRD of the operator that the stack has no objects of, operatorVersion the annotation with its version.
const (
	oldCRD          = "thanosrulers.monitoring.coreos.com"
	operatorVersion = "operator.prometheus.io/version"
)

// TestCRDsFollowTheChart deploys to a cluster with a CRD of an older version, as an earlier chart or somebody else leaves it.
// Helm does not touch it; an upgrade with monitoring.upgradeCRDs brings it up to date.
func TestCRDsFollowTheChart(t *testing.T) {
	t.Parallel()
	l := startLab(t, 0)
	ctx := testContext(t)
	client, err := dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})

	folder, err := chartrepository.OperatorCRDs(ctx)
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(folder, "monitoring.coreos.com_thanosrulers.yaml"))
	require.NoError(t, err)
	old := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal(content, &old.Object))
	newest := old.GetAnnotations()[operatorVersion]
	require.NotEmpty(t, newest)
	annotations := old.GetAnnotations()
	annotations[operatorVersion] = "0.50.0"
	old.SetAnnotations(annotations)
	spec := map[string]any{"type": "object", "properties": map[string]any{"spec": map[string]any{"type": "object"}}}
	versions, _, err := unstructured.NestedSlice(old.Object, "spec", "versions")
	require.NoError(t, err)
	versions[0].(map[string]any)["schema"] = map[string]any{"openAPIV3Schema": spec}
	require.NoError(t, unstructured.SetNestedSlice(old.Object, versions, "spec", "versions"))
	// Another program owns it, as far as server-side apply is concerned.
	_, err = definitions.Apply(ctx, oldCRD, old, metav1.ApplyOptions{FieldManager: "helm"})
	require.NoError(t, err)

	stack := newStack(t, l, "local", nil, nil)
	up := func(t *testing.T) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		defer cancel()
		require.NoError(t, stack.Up(ctx))
	}
	t.Run("the first up leaves a CRD that is there", func(t *testing.T) {
		up(t)
		version, properties := installed(ctx, t, definitions)
		assert.Equal(t, "0.50.0", version, "in a cluster that was there before, it may be another operator's")
		assert.Zero(t, properties)
	})
	t.Run("an upgrade of the CRDs", func(t *testing.T) {
		require.NoError(t, stack.SetConfig(merged(labConfig(l), map[string]any{"monitoring": map[string]any{"upgradeCRDs": true}})))
		up(t)
		version, properties := installed(ctx, t, definitions)
		assert.Equal(t, newest, version)
		assert.NotZero(t, properties, "with the new fields")
		require.NoError(t, stack.Preview(ctx, true), "nothing is left to do")
		jobs, err := l.Client().BatchV1().Jobs(monitoring).List(ctx, metav1.ListOptions{})
		require.NoError(t, err)
		assert.Empty(t, jobs.Items, "Helm removes the Job")
	})
	t.Run("destroy leaves nothing", func(t *testing.T) { destroyLeavesNothing(t, l, stack) })
}

// installed returns the version of the CRD in the cluster and the number of fields of its spec.
func installed(ctx context.Context, t *testing.T, definitions dynamic.ResourceInterface) (version string, properties int) {
	t.Helper()
	object, err := definitions.Get(ctx, oldCRD, metav1.GetOptions{})
	require.NoError(t, err)
	versions, _, err := unstructured.NestedSlice(object.Object, "spec", "versions")
	require.NoError(t, err)
	fields, _, err := unstructured.NestedMap(versions[0].(map[string]any), "schema", "openAPIV3Schema", "properties", "spec", "properties")
	require.NoError(t, err)
	return object.GetAnnotations()[operatorVersion], len(fields)
}
