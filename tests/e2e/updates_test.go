package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	aggregation "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
)

// wrongFlag is a flag that vLLM refuses.
const wrongFlag = "--no-such-flag"

// twoReplicas serve all the time; an update ends soon when its replica cannot start.
var twoReplicas = merged(gpuStack, map[string]any{
	"autoscaling": map[string]any{"minReplicas": 2, "maxReplicas": 2},
	"vllm":        map[string]any{"preStop": "3s", "shutdownTimeout": "10s", "readyTimeout": "2m"},
})

// updateWith returns the configuration of an update.
func updateWith(strategy string, flags ...string) map[string]any {
	return map[string]any{"vllm": map[string]any{"updateStrategy": strategy}, "model": map[string]any{"extraArgs": flags}}
}

// TestUpdateThatCannotStart updates two serving replicas under load to a version that vLLM refuses, with a third GPU.
func TestUpdateThatCannotStart(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	stack := newStack(t, l, "local", merged(twoReplicas, updateWith("surge")), token)
	require.NoError(t, stack.Up(testContext(t)))
	w := newWatch(t, l)
	w.step(4)
	w.until(t, decision, "two ready replicas under load", func(s report.Sample) bool { return s.Ready == 2 && s.Desired == 2 && w.load.Stats().OK > 10 })

	t.Run("surge: it costs no replica, and up ends with the reason", func(t *testing.T) {
		surged := w.recorder.Mark("surge")
		stack.refused(t, l, "surge", "(2 ready replicas serve on, 2 of an earlier version left)")
		serveOn(t, w, surged, 2)
		assert.Zero(t, w.load.Stats().Errors, w.load.Stats().LastError)
	})
	t.Run("the corrected update completes, and costs none", func(t *testing.T) {
		corrected := w.recorder.Mark("corrected")
		stack.reconfigure(t, l, twoReplicas, updateWith("surge", "--enable-prefix-caching"))
		require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
		serveOn(t, w, corrected, 2)
	})
	t.Run("in place: it costs one, and the other serves on", func(t *testing.T) {
		refused := w.recorder.Mark("in place")
		stack.refused(t, l, "inPlace", "(1 ready replica serves on, 1 of an earlier version left)")
		serveOn(t, w, refused, 1)
	})
	t.Run("going back completes", func(t *testing.T) {
		back := w.recorder.Mark("back")
		stack.reconfigure(t, l, twoReplicas, updateWith("surge", "--enable-prefix-caching"))
		require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
		serveOn(t, w, back, 1)
		w.until(t, time.Minute, "both replicas again", func(s report.Sample) bool { return s.Ready == 2 && s.Pods == 2 })
	})
	w.step(0)
	t.Run("a dead API of somebody else", func(t *testing.T) { deadAPI(t, l, stack) })
}

// refused checks that an up with a wrong flag fails with vLLM's message.
func (d *deployment) refused(t *testing.T, l *lab.Lab, strategy, serving string) {
	t.Helper()
	d.reconfigure(t, l, twoReplicas, updateWith(strategy, wrongFlag))
	d.printed.take()
	began := time.Now()
	require.Error(t, d.Up(testContext(t), "--skip-preview"))
	t.Logf("up failed after %.1f s", time.Since(began).Seconds())
	printed := d.printed.take()
	for _, part := range []string{serving, "exit code 2", "The last lines of the server:", "error: unrecognized arguments: " + wrongFlag, "go back to the last one that worked"} {
		assert.Contains(t, printed, part)
	}
}

// serveOn checks that at no time since a moment fewer replicas were ready.
func serveOn(t *testing.T, w *watch, since float64, least int) {
	t.Helper()
	samples := w.since(since)
	require.NotEmpty(t, samples)
	for _, s := range samples {
		require.GreaterOrEqual(t, s.Ready, least, "%s", s)
	}
}

// deadName is an API that nothing serves any more, as KEDA leaves it when only its pods are removed.
const deadName = "v1beta1.external.metrics.k8s.io"

// deadAPI checks that preview and destroy name a dead API of somebody else, and that destroy removes everything all the same.
func deadAPI(t *testing.T, l *lab.Lab, stack *deployment) {
	ctx := testContext(t)
	aggregator, err := clientset.NewForConfig(l.Config())
	require.NoError(t, err)
	services := aggregator.ApiregistrationV1().APIServices()
	_, err = services.Create(ctx, &aggregation.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: deadName, Annotations: map[string]string{
			"meta.helm.sh/release-name": "keda", "meta.helm.sh/release-namespace": "keda"}},
		Spec: aggregation.APIServiceSpec{
			Group: "external.metrics.k8s.io", Version: "v1beta1", GroupPriorityMinimum: 100, VersionPriority: 100, InsecureSkipTLSVerify: true,
			Service: &aggregation.ServiceReference{Namespace: "keda", Name: "keda-metrics"},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	names := []string{
		"APIService " + deadName + " is not available (ServiceNotFound", "it belongs to Helm release keda/keda", "delete apiservice " + deadName,
	}
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		service, err := services.Get(ctx, deadName, metav1.GetOptions{})
		if err == nil && len(service.Status.Conditions) == 0 {
			err = errors.New("the aggregator has not looked at it yet")
		}
		return err
	})
	stack.printed.take()
	require.NoError(t, stack.Preview(ctx, true))
	printed := stack.printed.take()
	for _, part := range names {
		assert.Contains(t, printed, part, "the warning of the preview")
	}

	program := filepath.Join(t.TempDir(), "destroy")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/destroy")
	build.Dir = filepath.Join(environment.root, "ops")
	text, err := build.CombinedOutput()
	require.NoError(t, err, string(text))
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	destroy := exec.CommandContext(ctx, program, "--yes", "--stack", stack.Name(), "--project", filepath.Dir(stack.ConfigFile()))
	destroy.WaitDelay, destroy.Env = killedDelay, stack.Environment()
	var stderr bytes.Buffer
	destroy.Stdout, destroy.Stderr = stack.printed, &stderr
	began := time.Now()
	err = destroy.Run()
	t.Logf("destroy took %.1f s:\n%s", time.Since(began).Seconds(), stderr.String())
	require.NoError(t, err)
	assert.Empty(t, stack.resources(t), "the state is empty")
	for _, part := range append(names, "namespace "+serving+" is empty, and Kubernetes cannot complete its deletion: ", "external.metrics.k8s.io/v1beta1",
		"leaving "+serving+", "+monitoring+" to Kubernetes") {
		assert.Contains(t, stderr.String(), part)
	}

	require.NoError(t, services.Delete(ctx, deadName, metav1.DeleteOptions{}))
	eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error { return namespacesGone(ctx, l) })
	onlyCRDsLeft(ctx, t, l)
}

// namespacesGone returns an error while a namespace of the stack is there.
func namespacesGone(ctx context.Context, l *lab.Lab) error {
	for _, name := range []string{serving, monitoring} {
		namespace, err := l.Client().CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			return fmt.Errorf("namespace %s is there: %+v", name, namespace.Status)
		case !apierrors.IsNotFound(err):
			return err
		}
	}
	return nil
}
