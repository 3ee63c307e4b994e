package cloud

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/kubernetes/fake"

	"vllm-autoscaling/tests/lab/controlplane"
)

func TestFilterBecomesPromQL(t *testing.T) {
	const whole = `metric.labels.pod = one_of("a","b.c") AND metric.type = "prometheus.googleapis.com/vllm:num_requests_running/gauge" AND ` +
		`resource.labels.cluster = "c" AND resource.labels.namespace = "vllm" AND resource.type = "prometheus_target"`
	conditions, err := parseFilter(whole)
	require.NoError(t, err)
	series, promql, err := selector(conditions)
	require.NoError(t, err)
	assert.Equal(t, "vllm:num_requests_running", series)
	assert.Equal(t, `vllm:num_requests_running{pod=~"a|b\\.c",cluster=~"c",namespace=~"vllm"}`, promql)

	for filter, message := range map[string]string{
		`metric.type : "x"`:         "cannot read",
		`resource.type = "k8s_pod"`: "not simulated",
		`metric.type = "prometheus.googleapis.com/x/counter" AND resource.type = "prometheus_target"`:                                     "NAME/gauge",
		`resource.labels.pod_name = "a" AND metric.type = "prometheus.googleapis.com/x/gauge" AND resource.type = "prometheus_target"`:    "not \"resource.labels.pod_name\"",
		`metric.labels.namespace = "vllm" AND metric.type = "prometheus.googleapis.com/x/gauge" AND resource.type = "prometheus_target"`:  "not \"metric.labels.namespace\"",
		`metadata.user_labels.app = "vllm" AND metric.type = "prometheus.googleapis.com/x/gauge" AND resource.type = "prometheus_target"`: "unknown label",
		`resource.type = "prometheus_target"`: "one metric type",
	} {
		conditions, err := parseFilter(filter)
		if err == nil {
			_, _, err = selector(conditions)
		}
		assert.ErrorContains(t, err, message, filter)
	}
}

// get requests a path with one header, none when it is not given, and returns the status and the body.
func get(t *testing.T, address, path string, header ...string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, nil)
	require.NoError(t, err)
	if len(header) == 2 {
		request.Header.Set(header[0], header[1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

var metadataHeader = []string{"Metadata-Flavor", "Google"}

// bearerOf returns the header with the token that a metadata server issues.
func bearerOf(t *testing.T, host string) []string {
	t.Helper()
	_, text := get(t, "http://"+host, "/computeMetadata/v1/instance/service-accounts/default/token", metadataHeader...)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &token))
	return []string{"Authorization", "Bearer " + token.AccessToken}
}

// TestMonitoringTakesTheGrant checks that only the ServiceAccount in the project's grant can read, and the shape of the answer.
func TestMonitoringTakesTheGrant(t *testing.T) {
	var asked []string
	c, err := Start(Options{ControlPlane: &fakeControlPlane{client: fake.NewClientset(), nodes: map[string]controlplane.Node{}},
		Collected: func(_ context.Context, promql string, _ time.Time) (model.Vector, error) {
			asked = append(asked, promql)
			return model.Vector{&model.Sample{Value: 3, Metric: model.Metric{
				"__name__": "vllm:num_requests_running", "namespace": "vllm", "project_id": "p", "pod": "a", "engine": "0",
			}}}, nil
		}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	c.mu.Lock()
	c.resources = append(c.resources, &Resource{Token: GKECluster, Outputs: map[string]any{
		"project": "p", "name": "c", "location": "l", "workloadIdentityConfig": map[string]any{"workloadPool": "p.svc.id.goog"},
	}})
	c.mu.Unlock()

	host, err := c.MetadataServer("monitoring", "adapter")
	require.NoError(t, err)
	again, err := c.MetadataServer("monitoring", "adapter")
	require.NoError(t, err)
	assert.Equal(t, host, again)
	status, _ := get(t, "http://"+host, "/computeMetadata/v1/project/project-id")
	assert.Equal(t, http.StatusForbidden, status, "Google's header is missing")
	_, name := get(t, "http://"+host, "/computeMetadata/v1/instance/attributes/cluster-name", metadataHeader...)
	assert.Equal(t, "c", name)

	now := time.Now().UTC()
	query := "/v3/projects/p/timeSeries?" + url.Values{
		"filter":                       {`metric.type = "prometheus.googleapis.com/vllm:num_requests_running/gauge" AND metric.labels.pod = "a" AND resource.type = "prometheus_target"`},
		"interval.startTime":           {now.Add(-5 * time.Minute).Format(time.RFC3339)},
		"interval.endTime":             {now.Format(time.RFC3339)},
		"aggregation.perSeriesAligner": {"ALIGN_NEXT_OLDER"},
	}.Encode()
	bearer := bearerOf(t, host)
	status, body := get(t, c.MonitoringURL(), query, bearer...)
	assert.Equal(t, http.StatusForbidden, status)
	assert.Contains(t, body, "subject/ns/monitoring/sa/adapter")
	assert.Empty(t, asked)

	c.mu.Lock()
	c.resources = append(c.resources, &Resource{Token: gcpIAMMember, Inputs: map[string]any{
		"project": "p", "role": viewerRole,
		"member": "principal://iam.googleapis.com/projects/" + projectNumber +
			"/locations/global/workloadIdentityPools/p.svc.id.goog/subject/ns/monitoring/sa/adapter",
	}})
	c.mu.Unlock()
	status, body = get(t, c.MonitoringURL(), query, bearer...)
	require.Equal(t, http.StatusOK, status, body)
	assert.Equal(t, []string{`last_over_time(vllm:num_requests_running{pod=~"a"}[300s])`}, asked)
	var list struct {
		TimeSeries []struct {
			Metric, Resource struct {
				Type   string
				Labels map[string]string
			}
			Points []struct{ Value struct{ DoubleValue float64 } }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Len(t, list.TimeSeries, 1)
	series := list.TimeSeries[0]
	assert.Equal(t, map[string]string{"pod": "a", "engine": "0"}, series.Metric.Labels)
	assert.Equal(t, map[string]string{"namespace": "vllm", "project_id": "p"}, series.Resource.Labels)
	assert.InDelta(t, 3, series.Points[0].Value.DoubleValue, 0)
	assert.Equal(t, 1, c.MonitoringReads())

	other, err := c.MetadataServer("vllm", "default")
	require.NoError(t, err)
	status, _ = get(t, c.MonitoringURL(), query, bearerOf(t, other)...)
	assert.Equal(t, http.StatusForbidden, status, "another pod's ServiceAccount")
}
