package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	gatewayaccess "vllm-autoscaling/ops/gateway"
	"vllm-autoscaling/ops/verify"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/gateway"
)

// gateways are those of the Gateway API.
var gateways = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}

const (
	exposedHost = "llm.example.com"
	// exposedKey is the API key of the stack; the simulator does not check it.
	exposedKey = "a-key-of-the-lab"
	// gatewayOwner is the namespace of a Gateway that is not the stack's.
	gatewayOwner = "platform"
)

// TestExpose exposes the server through a Gateway of the Gateway API, which Traefik serves: first one of the stack's own, then one of
// the platform.
func TestExpose(t *testing.T) {
	t.Parallel()
	l := startLab(t, 0)
	ctx := testContext(t)
	served, err := l.StartGateway(ctx)
	require.NoError(t, err)

	expose := map[string]any{"hostname": exposedHost, "gatewayClass": gateway.Class, "protocol": "HTTP", "port": served.Port}
	config := func(expose map[string]any) map[string]any {
		return map[string]any{"expose": expose, "vllm": map[string]any{"clientNamespaces": []any{gatewayOwner}}}
	}
	stack := newStack(t, l, "local", config(expose), map[string]string{"apiKey": exposedKey})
	require.NoError(t, stack.Up(ctx))
	require.NoError(t, stack.Preview(ctx, true), "nothing is left to do")

	t.Run("the outputs name the address", func(t *testing.T) {
		outputs, err := stack.Outputs(ctx, false)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("http://%s:%d", exposedHost, served.Port), outputs["gatewayUrl"])
	})
	t.Run("verify requests an answer through the gateway", func(t *testing.T) {
		report := newVerifier(t, l, stack).until(t, 2*time.Minute, "", "")
		last := report.Stages[len(report.Stages)-1]
		assert.Equal(t, "gateway", last.Stage)
		assert.Contains(t, last.Measured, "route accepted")
		assert.Regexp(t, `streamed \d+ events over \d{3,} ms`, last.Measured)
		assert.Empty(t, last.Warnings, "the gateway does not buffer")
	})
	t.Run("an answer arrives token by token", func(t *testing.T) { streamsThrough(t, served) })
	t.Run("only the API of that host is routed", func(t *testing.T) {
		assert.Equal(t, http.StatusOK, statusThrough(t, served, exposedHost, "/v1/models"))
		assert.Equal(t, http.StatusNotFound, statusThrough(t, served, exposedHost, "/metrics"))
		assert.Equal(t, http.StatusNotFound, statusThrough(t, served, exposedHost, "/health"))
		assert.Equal(t, http.StatusNotFound, statusThrough(t, served, "other.example.com", "/v1/models"))
	})
	t.Run("make load goes through the gateway", func(t *testing.T) {
		running := startLoad(t, stack, "-via", "gateway", "-rate", "4", "-for", "10s", "-output-tokens", "20")
		code, last, r := running.wait(t, time.Minute)
		assert.Zero(t, code, last)
		assert.Regexp(t, `^load: ok: 40 of 40 requests answered`, last)
		assert.Contains(t, running.printed.text(), "through Gateway vllm/vllm, http://"+exposedHost)
		require.NotNil(t, r.Requests)
		assert.Equal(t, "by the gateway", r.Requests.Routing)
		assert.NotContains(t, running.printed.text(), exposedKey)
	})
	t.Run("a Gateway of the platform has to allow the route", func(t *testing.T) {
		platformGateway(t, l, stack, config(map[string]any{
			"hostname": exposedHost, "protocol": "HTTP", "port": served.Port, "gateway": map[string]any{"namespace": gatewayOwner, "name": "shared"},
		}), served)
	})
	t.Run("destroy leaves nothing", func(t *testing.T) {
		require.NoError(t, stack.Destroy(ctx))
		client, err := dynamic.NewForConfig(l.Config())
		require.NoError(t, err)
		require.NoError(t, client.Resource(gateways).Namespace(gatewayOwner).Delete(ctx, "shared", metav1.DeleteOptions{}), "the platform's own stays")
		require.NoError(t, l.Client().CoreV1().Namespaces().Delete(ctx, gatewayOwner, metav1.DeleteOptions{}))
		left, err := l.Leftovers(ctx)
		require.NoError(t, err)
		assert.Empty(t, left.Objects)
	})
}

// through returns a client whose connections end at the gateway.
func through(served *gateway.Gateway) *http.Client {
	return &http.Client{Transport: gatewayaccess.Transport(served.Address(), 1), Timeout: time.Minute}
}

// streamsThrough checks that the tokens of an answer arrive while it is decoded.
func streamsThrough(t *testing.T, served *gateway.Gateway) {
	const tokens = 50
	client := through(served)
	defer client.CloseIdleConnections()
	events, err := gatewayaccess.Stream(testContext(t), client, fmt.Sprintf("http://%s:%d", exposedHost, served.Port), exposedKey, modelID, tokens)
	require.NoError(t, err)
	require.Greater(t, len(events), tokens/2)
	t.Logf("%d events, the first after %s, the last after %s", len(events), events[0], events[len(events)-1])
	// 15 ms a token, by components.DefaultSimulation; what is buffered would arrive at once.
	assert.Greater(t, events.Spread(), tokens*10*time.Millisecond)
	// A proxy that flushes every 100 ms would pass on six tokens at a time.
	moments := 1
	for i := 1; i < len(events); i++ {
		if events[i]-events[i-1] > 5*time.Millisecond {
			moments++
		}
	}
	assert.Greater(t, moments, tokens/3, "tokens arrive one by one, not in batches")
}

// statusThrough returns the status of a request through the gateway.
func statusThrough(t *testing.T, served *gateway.Gateway, host, path string) int {
	t.Helper()
	client := through(served)
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(testContext(t), http.MethodGet, fmt.Sprintf("http://%s:%d%s", host, served.Port, path), nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// platformGateway moves the route to a Gateway of another namespace, whose listener does not allow it at first.
func platformGateway(t *testing.T, l *lab.Lab, stack *deployment, config map[string]any, served *gateway.Gateway) {
	ctx := testContext(t)
	_, err := l.Client().CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: gatewayOwner}}, metav1.CreateOptions{})
	require.NoError(t, err)
	client, err := dynamic.NewForConfig(l.Config())
	require.NoError(t, err)
	apply := func(from string) {
		shared := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": map[string]any{"name": "shared", "namespace": gatewayOwner},
			"spec": map[string]any{"gatewayClassName": gateway.Class, "listeners": []any{map[string]any{
				"name": "http", "protocol": "HTTP", "port": int64(served.Port),
				"allowedRoutes": map[string]any{"namespaces": map[string]any{"from": from}},
			}}},
		}}
		_, err := client.Resource(gateways).Namespace(gatewayOwner).Apply(ctx, "shared", shared, metav1.ApplyOptions{FieldManager: "platform"})
		require.NoError(t, err)
	}
	apply("Same")
	require.NoError(t, stack.SetConfig(merged(labConfig(l), config)))
	require.NoError(t, stack.Up(ctx))
	_, err = client.Resource(gateways).Namespace(serving).Get(ctx, serving, metav1.GetOptions{})
	require.Error(t, err, "the stack's own Gateway is gone")

	v := newVerifier(t, l, stack)
	report := v.until(t, 2*time.Minute, "gateway", "NotAllowedByListeners")
	assert.Contains(t, failedStage(report).Look[0], "allow routes from namespace vllm")
	apply("All")
	v.until(t, 2*time.Minute, "", "")
	eventuallyNoError(t, time.Minute, func(context.Context) error {
		if status := statusThrough(t, served, exposedHost, "/v1/models"); status != http.StatusOK {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
	assert.Equal(t, verify.Passed, v.until(t, time.Minute, "", "").Stages[len(verify.Stages())].Status)
}
