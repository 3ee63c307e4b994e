package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
)

// killPoints is the number of points at which `up` is killed, spread over the resources that it creates.
const killPoints = 10

// small leaves out what makes no difference to a destroy.
var small = map[string]any{"monitoring": map[string]any{"grafana": false}, "autoscaling": map[string]any{"adapterReplicas": 1}}

// TestCloudBreaks destroys stacks after a failure.
func TestCloudBreaks(t *testing.T) {
	for _, c := range onClouds {
		t.Run(c.stack, func(t *testing.T) {
			t.Parallel()
			l := startCloudLab(t)
			stack := newCloudStack(t, l, c.stack, quickDown, gpuNodes, small, c.config)
			var resources int
			t.Run("destroy without the API server", func(t *testing.T) { resources = destroyWithoutAPIServer(t, l, c, stack) })
			require.NotZero(t, resources)
			for point := range killPoints {
				// From the first resource in the cloud to the last object.
				after := 1 + point*(resources-1)/killPoints
				t.Run(fmt.Sprintf("destroy after up was killed at %d of %d", after, resources), func(t *testing.T) {
					killUpAfter(t, stack, after)
					adoptPending(t, l, stack)
					if point == killPoints/2 {
						// The alternative.
						require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
						require.NoError(t, stack.Preview(testContext(t), true))
					}
					cloudDestroyCleans(t, l, stack)
				})
			}
			t.Run("destroy after up was killed while it claimed the custom metrics API", func(t *testing.T) {
				// A claim that is not in the state would block the deletion of every namespace.
				const claim = "kubernetes:apiregistration.k8s.io/v1:APIService"
				killUpWhileCreating(t, stack, claim)
				completePending(t, l, stack, claim)
				objects, mapping := objectsOf(t, l, claim)
				_, err := objects.Resource(mapping.Resource).Get(testContext(t), metricsAPI, metav1.GetOptions{})
				require.NoError(t, err, "it is claimed")
				adoptPending(t, l, stack)
				cloudDestroyCleans(t, l, stack)
			})
			assert.Empty(t, l.Clouds().Incidents())
		})
	}
}

// destroyWithoutAPIServer deploys, makes the API server unreachable and destroys. It returns the number of created
// resources.
func destroyWithoutAPIServer(t *testing.T, l *lab.Lab, c onCloud, stack *deployment) int {
	t.Helper()
	ctx := testContext(t)
	stack.printed.take()
	require.NoError(t, stack.Up(ctx, "--skip-preview"))
	created := strings.Count(stack.printed.take(), createdMark)
	require.NoError(t, l.Clouds().CutOff(c.clusterName))
	err := stack.Destroy(ctx, "--skip-preview")
	require.ErrorContains(t, err, "configured Kubernetes cluster is unreachable")
	require.ErrorContains(t, err, "PULUMI_K8S_DELETE_UNREACHABLE")
	assert.NotNil(t, l.Clouds().Find(c.cluster, "name", c.clusterName), "nothing is deleted below a cluster that may come back")

	t.Run("with the setting of the Kubernetes provider", func(t *testing.T) {
		gone, err := l.Stack(ctx, lab.StackOptions{
			Name: c.stack, ProjectDir: environment.root, Output: lines(t, "pulumi"), Env: []string{"PULUMI_K8S_DELETE_UNREACHABLE=true"},
			Config: merged(cloudLabConfig(l), quickDown, gpuNodes, small, c.config), Secrets: token,
		})
		require.NoError(t, err)
		require.NoError(t, gone.Destroy(ctx, "--refresh", "--skip-preview"))
		assert.Empty(t, stack.resources(t), "the state is empty")
		deleteLateLogs(t, l)
		var left []string
		for _, r := range l.Clouds().Resources() {
			left = append(left, r.Token)
			// The driver has ended before: disks have to be deleted by hand.
			require.NoError(t, l.Clouds().Remove(r.Token, r.ID))
		}
		if c.keepsDisks {
			assert.Equal(t, []string{cloud.Disk}, left)
		} else {
			assert.Empty(t, left, "volumes lie in the group of the nodes")
		}
		nothingInTheCloud(ctx, t, l)
	})
	return created
}

// createdMark is part of the line that the CLI prints when a resource is created.
const createdMark = " created ("

// killUpAfter kills `pulumi up` with its plugins after it has created that many resources.
func killUpAfter(t *testing.T, stack *deployment, resources int) {
	t.Helper()
	killUpWhen(t, stack, fmt.Sprintf("it had created %d resources", resources), func() bool {
		return strings.Count(stack.printed.text(), createdMark) >= resources
	}, "--skip-preview")
}

// killUpWhileCreating kills `pulumi up` when the creation of a type is pending in its state. Then the request may have been
// sent.
func killUpWhileCreating(t *testing.T, stack *deployment, typ string) {
	t.Helper()
	killUpWhen(t, stack, "its state said that "+typ+" was being created", func() bool {
		state, err := os.ReadFile(stack.StateFile())
		if err != nil {
			return false // being replaced
		}
		_, begun, _ := strings.Cut(string(state), `"pending_operations"`)
		return strings.Contains(begun, strconv.Quote(typ))
	}, "--skip-preview")
}

// exported is the output of `pulumi stack export`.
type exported struct {
	Deployment map[string]any `json:"deployment"`
	Version    int            `json:"version"`
}

func exportedState(t *testing.T, stack *deployment) (state exported) {
	t.Helper()
	text, err := stack.Export(testContext(t))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(text), &state))
	return state
}

// completePending creates the object whose creation was pending when `up` was killed, because it depends on chance whether
// the request was sent before.
func completePending(t *testing.T, l *lab.Lab, stack *deployment, typ string) {
	t.Helper()
	operations, _ := exportedState(t, stack).Deployment["pending_operations"].([]any)
	for _, o := range operations {
		resource := o.(map[string]any)["resource"].(map[string]any)
		if resource["type"] != typ || idInCluster(t, l, resource) != "" {
			continue
		}
		objects, mapping := objectsOf(t, l, typ)
		_, err := objects.Resource(mapping.Resource).Create(testContext(t), &unstructured.Unstructured{Object: resource["inputs"].(map[string]any)},
			metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

// adoptPending imports the resources that were being created when `up` was killed, as docs/recovery.md describes: the state
// contains the pending operations, and only the cloud contains their results and ids.
func adoptPending(t *testing.T, l *lab.Lab, stack *deployment) {
	t.Helper()
	ctx := testContext(t)
	state := exportedState(t, stack)
	resources, _ := state.Deployment["resources"].([]any)
	operations, _ := state.Deployment["pending_operations"].([]any)
	known := map[string]bool{}
	for _, r := range resources {
		resource := r.(map[string]any)
		known[fmt.Sprint(resource["type"], " ", resource["id"])] = true
	}
	orphans := slices.DeleteFunc(l.Clouds().Settled(ctx), func(r cloud.Resource) bool {
		return known[r.Token+" "+r.ID] || r.Token == cloud.Disk
	})
	var begun, adopted []string
	for _, o := range operations {
		operation := o.(map[string]any)
		if operation["type"] != "creating" {
			continue
		}
		resource := operation["resource"].(map[string]any)
		urn, typ := resource["urn"].(string), resource["type"].(string)
		begun = append(begun, typ)
		id := idInCluster(t, l, resource)
		if i := slices.IndexFunc(orphans, func(r cloud.Resource) bool { return r.URN == urn }); i >= 0 {
			id = orphans[i].ID
			orphans = slices.Delete(orphans, i, i+1)
		}
		if id != "" {
			resource["id"] = id
			resources = append(resources, resource)
			adopted = append(adopted, typ)
		}
	}
	assert.Empty(t, orphans, "every resource of the cloud is in the state, or in what the state says was begun")
	t.Logf("killed while creating %v, of which there are %v", begun, adopted)
	if len(operations) == 0 {
		return
	}
	state.Deployment["resources"] = resources
	delete(state.Deployment, "pending_operations")
	text, err := json.Marshal(state)
	require.NoError(t, err)
	require.NoError(t, stack.Import(ctx, string(text)))
	if len(adopted) > 0 {
		require.NoError(t, stack.Refresh(ctx, "--skip-preview"))
	}
}

// idInCluster returns the id of an existing object whose creation was pending, if nothing else deletes it: a Helm release
// that was partly installed, or a cluster-scoped object such as the APIService that every namespace waits for. It returns
// "" for all others, which are deleted with their namespace.
func idInCluster(t *testing.T, l *lab.Lab, resource map[string]any) string {
	t.Helper()
	ctx := testContext(t)
	inputs, _ := resource["inputs"].(map[string]any)
	typ := resource["type"].(string)
	switch {
	case !strings.HasPrefix(typ, "kubernetes:"):
		return ""
	case typ == "kubernetes:helm.sh/v3:Release":
		secrets, err := l.Client().CoreV1().Secrets("").List(ctx, metav1.ListOptions{LabelSelector: fmt.Sprintf("owner=helm,name=%s", inputs["name"])})
		require.NoError(t, err)
		if len(secrets.Items) == 0 {
			return ""
		}
		return fmt.Sprintf("%s/%s", secrets.Items[0].Namespace, inputs["name"])
	}
	objects, mapping := objectsOf(t, l, typ)
	if mapping == nil || mapping.Scope.Name() != meta.RESTScopeNameRoot {
		return ""
	}
	metadata, _ := inputs["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	require.NotEmpty(t, name, "a name that the state knows: %v", resource)
	_, err := objects.Resource(mapping.Resource).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return ""
	}
	require.NoError(t, err)
	return name
}

// objectsOf returns the API server's mapping for a type of the Kubernetes provider, none for a type that is not served, such
// as a custom resource before its definition.
func objectsOf(t *testing.T, l *lab.Lab, typ string) (dynamic.Interface, *meta.RESTMapping) {
	t.Helper()
	kind := strings.Split(typ, ":")
	require.Len(t, kind, 3, typ)
	version, err := schema.ParseGroupVersion(kind[1])
	require.NoError(t, err)
	groups, err := restmapper.GetAPIGroupResources(l.Client().Discovery())
	require.NoError(t, err)
	mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(version.WithKind(kind[2]).GroupKind(), version.Version)
	if !meta.IsNoMatchError(err) {
		require.NoError(t, err)
	}
	objects, err := dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	return objects, mapping
}

// cloudDestroyCleans checks that a destroy leaves nothing in the cloud or in the cluster. What a killed creation of an object
// left may be deleted with the cluster.
func cloudDestroyCleans(t *testing.T, l *lab.Lab, stack *deployment) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(testContext(t), 3*time.Minute, fmt.Errorf("destroy took 3 minutes"))
	defer cancel()
	require.NoError(t, stack.Destroy(ctx, "--skip-preview"))
	assert.Empty(t, stack.resources(t), "the state is empty")
	nothingInTheCloud(ctx, t, l)
}
