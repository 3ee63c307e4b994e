package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"vllm-autoscaling/ops/recover"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
)

// killed is how often each cloud's stack is destroyed after `up` was killed, each time twice. What is in the cluster is the same on all
// clouds: the clouds divide the points among them, spread over the resources that `up` creates.
const killed = 3

// small leaves out what makes no difference to a destroy.
var small = map[string]any{"monitoring": map[string]any{"grafana": false}, "autoscaling": map[string]any{"adapterReplicas": 1}}

// TestCloudBreaks destroys stacks after a failure.
func TestCloudBreaks(t *testing.T) {
	for number, c := range onClouds {
		t.Run(c.stack, func(t *testing.T) {
			t.Parallel()
			l := startCloudLab(t)
			stack := newCloudStack(t, l, c.stack, quick, gpuNodes, small, c.config)
			var resources, complete int
			t.Run("destroy without the API server", func(t *testing.T) { resources, complete = destroyWithoutAPIServer(t, l, c, stack) })
			require.NotZero(t, resources)
			for round := range killed {
				// From the first resource in the cloud to the last object. What is adopted counts neither time.
				point := round*len(onClouds) + number
				first, more := 1+point*(resources-1)/(killed*len(onClouds)), 1+(resources-1)/20
				t.Run(fmt.Sprintf("destroy after up was killed at %d of %d, and %d later", first, resources, more), func(t *testing.T) {
					killUpAfter(t, stack, first)
					recoverStack(t, l, stack)
					// What was begun when `up` was killed is adopted, and may be all that was left.
					if left := complete - len(stack.resources(t)); left > more {
						killUpAfter(t, stack, more)
						recoverStack(t, l, stack)
					} else {
						t.Logf("%d resources are left to create: up is not killed a second time", left)
					}
					if round == killed/2 {
						// The alternative.
						require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
						require.NoError(t, stack.Preview(testContext(t), true))
						killedUpgrade(t, l, stack, merged(cloudLabConfig(l), quick, gpuNodes, small, c.config))
						require.NoError(t, stack.SetConfig(merged(cloudLabConfig(l), quick, gpuNodes, small, c.config)))
					}
					cloudDestroyCleans(t, l, stack)
				})
			}
			t.Run("destroy after up was killed while it claimed the custom metrics API", func(t *testing.T) {
				// A claim that is not in the state would block the deletion of every namespace.
				const claim = "kubernetes:apiregistration.k8s.io/v1:APIService"
				killUpWhileCreating(t, stack, claim)
				completePending(t, l, stack, claim)
				recoverStack(t, l, stack)
				cloudDestroyCleans(t, l, stack)
			})
			assert.Empty(t, l.Clouds().Incidents())
		})
	}
}

// destroyWithoutAPIServer deploys, makes the API server unreachable and destroys. It returns the number of resources
// that `up` created, and of those in its state, which also has what the program only read.
func destroyWithoutAPIServer(t *testing.T, l *lab.Lab, c onCloud, stack *deployment) (created, complete int) {
	t.Helper()
	ctx := testContext(t)
	stack.printed.take()
	require.NoError(t, stack.Up(ctx, "--skip-preview"))
	created, complete = strings.Count(stack.printed.take(), createdMark), len(stack.resources(t))
	require.NoError(t, l.Clouds().CutOff(c.clusterName))
	err := stack.Destroy(ctx, "--skip-preview")
	require.ErrorContains(t, err, "configured Kubernetes cluster is unreachable")
	require.ErrorContains(t, err, "PULUMI_K8S_DELETE_UNREACHABLE")
	assert.NotNil(t, l.Clouds().Find(c.cluster, "name", c.clusterName), "nothing is deleted below a cluster that may come back")

	t.Run("with the setting of the Kubernetes provider", func(t *testing.T) {
		gone, err := l.Stack(ctx, lab.StackOptions{
			Name: c.stack, ProjectDir: environment.root, Output: lines(t, "pulumi"), Env: []string{"PULUMI_K8S_DELETE_UNREACHABLE=true"},
			Config: merged(cloudLabConfig(l), quick, gpuNodes, small, c.config), Secrets: token,
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
	return created, complete
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

// completePending creates the API service whose creation was pending when `up` was killed, because it depends on chance whether
// the request was sent before.
func completePending(t *testing.T, l *lab.Lab, stack *deployment, typ string) {
	t.Helper()
	ctx := testContext(t)
	text, err := stack.Export(ctx)
	require.NoError(t, err)
	state, err := recover.ParseState([]byte(text))
	require.NoError(t, err)
	client, err := dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	services := client.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	for _, operation := range state.Pending() {
		if operation.Resource.Type() != typ {
			continue
		}
		_, err := services.Create(ctx, &unstructured.Unstructured{Object: operation.Resource.Inputs()}, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			require.NoError(t, err)
		}
	}
	_, err = services.Get(ctx, metricsAPI, metav1.GetOptions{})
	require.NoError(t, err, "it is claimed")
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
