package verify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/outputs"
)

// Paths of the objects of the Gateway API.
const (
	gatewayAPI  = "/apis/gateway.networking.k8s.io/v1"
	gatewayPath = gatewayAPI + "/namespaces/infra/gateways/shared"
	routePath   = gatewayAPI + "/namespaces/vllm/httproutes/vllm"
	classPath   = gatewayAPI + "/gatewayclasses/eg"
)

// conditions returns the conditions of a status, all with that status and reason.
func conditions(status, reason string, types ...string) []any {
	var all []any
	for _, kind := range types {
		all = append(all, map[string]any{"type": kind, "status": status, "reason": reason, "message": "said the controller"})
	}
	return all
}

// routeStatus returns the status of a route with that acceptance at the Gateway.
func routeStatus(status, reason string) map[string]any {
	return map[string]any{"parents": []any{map[string]any{
		"parentRef":  map[string]any{"name": "shared", "namespace": "infra"},
		"conditions": append(conditions(status, reason, "Accepted"), conditions("True", "ResolvedRefs", "ResolvedRefs")...),
	}}}
}

// dataPlane answers as a server behind a gateway does, with a pause between two events.
func dataPlane(t *testing.T, status int, pause time.Duration) (port string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case status != http.StatusOK:
			w.WriteHeader(status)
		case strings.HasPrefix(r.Host, "llm.example.com:"):
			if r.URL.Path == "/v1/models" {
				_, _ = fmt.Fprint(w, `{"data":[{"id":"m"}]}`)
				return
			}
			for range 3 {
				_, _ = fmt.Fprint(w, "data: {}\n\n")
				w.(http.Flusher).Flush()
				time.Sleep(pause)
			}
			_, _ = fmt.Fprint(w, "data: [DONE]\n\n")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL[strings.LastIndex(s.URL, ":")+1:]
}

// exposed returns a working stack whose server is exposed through a Gateway of another namespace.
func exposed(t *testing.T, status int, pause time.Duration) *fake {
	t.Helper()
	f := newFake()
	f.pipeline.Gateway = &outputs.Gateway{
		URL: "http://llm.example.com:" + dataPlane(t, status, pause), Namespace: "infra", Name: "shared", Class: "eg", Route: "vllm",
		DataPlane: "pods", Auth: "apiKey",
	}
	f.collection = map[string]map[string]any{
		gatewayAPI: {"kind": "APIResourceList"},
		classPath:  {"metadata": map[string]any{"name": "eg"}},
		gatewayPath: {"metadata": map[string]any{"name": "shared", "namespace": "infra"}, "spec": map[string]any{"gatewayClassName": "eg"},
			"status": map[string]any{"addresses": []any{map[string]any{"value": "127.0.0.1"}}, "conditions": conditions("True", "Ready", "Accepted", "Programmed")}},
		routePath: {"status": routeStatus("True", "Accepted")},
	}
	return f
}

// last returns the result of the stage gateway, which is the last one.
func last(t *testing.T, report *Report) Result {
	t.Helper()
	result := report.Stages[len(report.Stages)-1]
	require.Equal(t, "gateway", result.Stage)
	return result
}

func TestGatewayPasses(t *testing.T) {
	report := exposed(t, http.StatusOK, 10*time.Millisecond).run(t)
	require.True(t, report.Passed, "%+v", last(t, report))
	require.Len(t, report.Stages, len(Stages())+1)
	assert.Regexp(t, `^Gateway infra/shared at 127\.0\.0\.1:\d+, route accepted, http://llm\.example\.com:\d+ streamed 3 events over \d+ ms$`,
		last(t, report).Measured)
	assert.Empty(t, last(t, report).Warnings)

	t.Run("without a gateway there is no stage", func(t *testing.T) {
		assert.Len(t, newFake().run(t).Stages, len(Stages()))
	})
	t.Run("a gateway that buffers", func(t *testing.T) {
		report := exposed(t, http.StatusOK, 0).run(t)
		require.True(t, report.Passed)
		require.Len(t, last(t, report).Warnings, 1)
		assert.Contains(t, last(t, report).Warnings[0], "does the gateway buffer answers?")
	})
	t.Run("a gateway that authenticates", func(t *testing.T) {
		f := exposed(t, http.StatusUnauthorized, 0)
		f.pipeline.Gateway.Auth = "gateway"
		report := f.run(t)
		require.True(t, report.Passed)
		assert.Contains(t, last(t, report).Measured, "the gateway's own credentials (401)")
	})
	t.Run("an internal gateway that this machine does not reach", func(t *testing.T) {
		f := exposed(t, http.StatusOK, 0)
		closed := httptest.NewServer(http.NotFoundHandler())
		f.pipeline.Gateway.URL, f.pipeline.Gateway.Internal = "http://llm.example.com"+closed.URL[strings.LastIndex(closed.URL, ":"):], true
		closed.Close()
		report := f.run(t)
		require.True(t, report.Passed)
		assert.Equal(t, NotVisible, last(t, report).Status)
	})
}

func TestGatewayFails(t *testing.T) {
	status := func(path string, value map[string]any) func(*fake) {
		return func(f *fake) { f.collection[path]["status"] = value }
	}
	for name, test := range map[string]struct {
		code   int
		change func(*fake)
		says   string
		look   string
	}{
		"the cluster has no Gateway API": {http.StatusOK, func(f *fake) { delete(f.collection, gatewayAPI); delete(f.collection, gatewayPath) },
			"does not serve the Gateway API", "docs/expose.md"},
		"no Gateway": {http.StatusOK, func(f *fake) { delete(f.collection, gatewayPath) }, "there is no Gateway infra/shared", "get gateways -A"},
		"no class": {http.StatusOK, func(f *fake) { delete(f.collection, classPath); status(gatewayPath, nil)(f) },
			"there is no GatewayClass eg", "enable the add-on"},
		"no controller": {http.StatusOK, status(gatewayPath, nil), "is not Accepted: no controller has set the condition", "describe gateway shared"},
		"not programmed": {http.StatusOK, status(gatewayPath, map[string]any{"conditions": append(conditions("True", "Accepted", "Accepted"),
			conditions("False", "AddressNotAssigned", "Programmed")...)}), "is not Programmed: AddressNotAssigned: said the controller", "--wait 15m"},
		"no address": {http.StatusOK, status(gatewayPath, map[string]any{"conditions": conditions("True", "Ready", "Accepted", "Programmed")}),
			"infra/shared has no address", "describe gateway shared"},
		"no route": {http.StatusOK, func(f *fake) { delete(f.collection, routePath) }, "there is no HTTPRoute vllm/vllm", "pulumi up --refresh"},
		"a route that nobody has seen": {http.StatusOK, status(routePath, nil), "no controller has looked at HTTPRoute vllm/vllm",
			"describe httproute vllm"},
		"a listener that does not allow the namespace": {http.StatusOK, status(routePath, routeStatus("False", "NotAllowedByListeners")),
			"is not Accepted: NotAllowedByListeners", "allow routes from namespace vllm in the listener of Gateway infra/shared"},
		"a route of another Gateway only": {http.StatusOK, func(f *fake) {
			f.pipeline.Gateway.Namespace = "other"
			f.collection[strings.Replace(gatewayPath, "infra", "other", 1)] = f.collection[gatewayPath]
		},
			"no controller has looked at", "describe gateway shared"},
		"a NetworkPolicy in the way": {http.StatusGatewayTimeout, func(*fake) {}, "504 Gateway Timeout", "vllm.clientNamespaces"},
		"a key that is refused":      {http.StatusUnauthorized, func(*fake) {}, "401 Unauthorized", "curl -N --connect-to"},
	} {
		t.Run(name, func(t *testing.T) {
			f := exposed(t, test.code, 10*time.Millisecond)
			test.change(f)
			report := f.run(t)
			assert.Equal(t, "gateway", report.Failed)
			result := last(t, report)
			assert.Contains(t, result.Measured, test.says)
			assert.NotEmpty(t, result.Expected)
			assert.Contains(t, strings.Join(result.Look, "\n"), test.look)
		})
	}
}
