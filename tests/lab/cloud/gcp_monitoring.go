package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
)

const (
	// prometheusTypes is the prefix of the metric types of the managed collection.
	prometheusTypes = "prometheus.googleapis.com/"
	// viewerRole is the role that reading from Cloud Monitoring requires.
	viewerRole = "roles/monitoring.viewer"
	// projectNumber is the number of every project.
	projectNumber = "123456789012"
)

// Monitoring simulates Cloud Monitoring's time-series API and the metadata server of GKE's nodes, as far as the Custom
// Metrics Stackdriver Adapter uses them. Series of the collector have the names that the managed collection gives them in
// Cloud Monitoring: the metric type prometheus.googleapis.com/NAME/gauge, the resource prometheus_target, and every other
// label as a label of the metric. Only gauges are simulated.
type Monitoring struct {
	cloud *Cloud
	// query evaluates an expression on the collector.
	query  func(ctx context.Context, promql string, at time.Time) (model.Vector, error)
	server *http.Server
	url    string

	mu sync.Mutex
	// metadata are the addresses of the metadata server by the ServiceAccount that it serves.
	metadata map[string]string
	// metadataServers are the servers at these addresses.
	metadataServers []*http.Server
	reads           int
}

// IngestDelay is the age at which Cloud Monitoring shows a point. Google publishes no number.
const IngestDelay = 3 * time.Second

// startMonitoring starts Cloud Monitoring's API. The query is Options.Collected.
func (c *Cloud) startMonitoring(query func(context.Context, string, time.Time) (model.Vector, error)) (*Monitoring, error) {
	m := &Monitoring{cloud: c, query: query, metadata: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v3/projects/{project}/timeSeries", m.allowed(m.listTimeSeries))
	mux.HandleFunc("GET /v3/projects/{project}/metricDescriptors", m.allowed(m.listDescriptors))
	mux.HandleFunc("GET /v3/projects/{project}/metricDescriptors/{type...}", m.allowed(m.getDescriptor))
	listener, err := (&net.ListenConfig{}).Listen(c.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m.url = "http://" + listener.Addr().String()
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = m.server.Serve(listener) }()
	return m, nil
}

func (m *Monitoring) stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, server := range append(m.metadataServers, m.server) {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// MonitoringURL returns Cloud Monitoring's address, without a slash at the end; "" without Options.Collected.
func (c *Cloud) MonitoringURL() string {
	if c.monitoring == nil {
		return ""
	}
	return c.monitoring.url
}

// MonitoringReads returns the number of time series that Cloud Monitoring has returned, which is what Google charges for.
func (c *Cloud) MonitoringReads() int {
	if c.monitoring == nil {
		return 0
	}
	c.monitoring.mu.Lock()
	defer c.monitoring.mu.Unlock()
	return c.monitoring.reads
}

// MetadataServer returns the host:port of the metadata server for the pods of a ServiceAccount of the cluster.
func (c *Cloud) MetadataServer(namespace, serviceAccount string) (string, error) {
	m := c.monitoring
	if m == nil {
		return "", fmt.Errorf("the lab collects no metrics for Google Cloud")
	}
	account := namespace + "/" + serviceAccount
	m.mu.Lock()
	defer m.mu.Unlock()
	if address, ok := m.metadata[account]; ok {
		return address, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(c.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: m.metadataOf(account), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	m.metadataServers = append(m.metadataServers, server)
	m.metadata[account] = listener.Addr().String()
	return m.metadata[account], nil
}

// gkeCluster returns the cluster that pods run in, nil for none.
func (c *Cloud) gkeCluster() *Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.resources {
		if r.Token == GKECluster {
			found := *r
			return &found
		}
	}
	return nil
}

// metadataOf serves GKE's metadata server for the pods of one ServiceAccount.
func (m *Monitoring) metadataOf(account string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "Missing Metadata-Flavor:Google header.", http.StatusForbidden)
			return
		}
		cluster := m.cloud.gkeCluster()
		if cluster == nil {
			http.Error(w, "no cluster", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Metadata-Flavor", "Google")
		out := object(cluster.Outputs)
		switch strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/") {
		case "project/project-id":
			fmt.Fprint(w, out.text("project"))
		case "instance/attributes/cluster-name":
			fmt.Fprint(w, out.text("name"))
		case "instance/attributes/cluster-location":
			fmt.Fprint(w, out.text("location"))
		case "instance/service-accounts/default/token":
			if out.text("workloadIdentityConfig.workloadPool") == "" {
				http.Error(w, "the cluster has no workload identity", http.StatusNotFound)
				return
			}
			// The token names its account, whose roles are looked up when it is used.
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "lab:" + account, "expires_in": 3600, "token_type": "Bearer"})
		default:
			http.NotFound(w, r)
		}
	})
}

// allowed serves requests whose ServiceAccount has viewerRole in the project, by its workload identity.
func (m *Monitoring) allowed(next func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		project := r.PathValue("project")
		account, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer lab:")
		namespace, name, _ := strings.Cut(account, "/")
		principal := fmt.Sprintf("principal://iam.googleapis.com/projects/%s/locations/global/workloadIdentityPools/%s.svc.id.goog/subject/ns/%s/sa/%s",
			projectNumber, project, namespace, name)
		if !ok || !m.cloud.granted(project, viewerRole, principal) {
			http.Error(w, fmt.Sprintf("Permission monitoring.timeSeries.list denied on %s for %s", project, principal), http.StatusForbidden)
			return
		}
		if err := next(w, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

// condition is one part of a filter: a label and its allowed values.
var condition = regexp.MustCompile(`^([a-z_.]+) = (?:"([^"]*)"|one_of\(((?:"[^"]*",?)+)\))$`)

// parseFilter parses a filter of conditions joined by AND.
func parseFilter(filter string) (map[string][]string, error) {
	conditions := map[string][]string{}
	for part := range strings.SplitSeq(filter, " AND ") {
		match := condition.FindStringSubmatch(part)
		if match == nil {
			return nil, fmt.Errorf("filter %q: cannot read %q", filter, part)
		}
		values := []string{match[2]}
		if match[3] != "" {
			values = nil
			for value := range strings.SplitSeq(match[3], ",") {
				values = append(values, strings.Trim(value, `"`))
			}
		}
		conditions[match[1]] = values
	}
	return conditions, nil
}

// resourceLabels are the labels of prometheus_target; every other label belongs to the metric.
var resourceLabels = []string{"project_id", "location", "cluster", "namespace", "job", "instance"}

// selector translates a filter's conditions to PromQL; series is the metric's name in Prometheus.
func selector(conditions map[string][]string) (series, promql string, err error) {
	if got := conditions["resource.type"]; !slices.Equal(got, []string{"prometheus_target"}) {
		return "", "", fmt.Errorf("resource type %v is not simulated", got)
	}
	types := conditions["metric.type"]
	if len(types) != 1 {
		return "", "", fmt.Errorf("one metric type is needed, not %v", types)
	}
	if series, err = seriesOf(types[0]); err != nil {
		return "", "", err
	}
	var matchers []string
	for _, key := range slices.Sorted(maps.Keys(conditions)) {
		if key == "resource.type" || key == "metric.type" {
			continue
		}
		label, isResource := strings.CutPrefix(key, "resource.labels.")
		if !isResource {
			var isMetric bool
			if label, isMetric = strings.CutPrefix(key, "metric.labels."); !isMetric {
				return "", "", fmt.Errorf("unknown label %q", key)
			}
		}
		if isResource != slices.Contains(resourceLabels, label) {
			return "", "", fmt.Errorf("the resource prometheus_target has the labels %v, not %q", resourceLabels, key)
		}
		quoted := make([]string, len(conditions[key]))
		for i, value := range conditions[key] {
			quoted[i] = regexp.QuoteMeta(value)
		}
		matchers = append(matchers, fmt.Sprintf("%s=~%q", label, strings.Join(quoted, "|")))
	}
	return series, fmt.Sprintf("%s{%s}", series, strings.Join(matchers, ",")), nil
}

// seriesOf returns the name of a metric type in Prometheus.
func seriesOf(metricType string) (string, error) {
	name, ok := strings.CutPrefix(metricType, prometheusTypes)
	name, gauge := strings.CutSuffix(name, "/gauge")
	if !ok || !gauge || !model.LegacyValidation.IsValidMetricName(name) {
		return "", fmt.Errorf("metric type %q is not %sNAME/gauge", metricType, prometheusTypes)
	}
	return name, nil
}

func (m *Monitoring) listTimeSeries(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	conditions, err := parseFilter(query.Get("filter"))
	if err != nil {
		return err
	}
	if got := conditions["resource.labels.project_id"]; len(got) > 0 && !slices.Equal(got, []string{r.PathValue("project")}) {
		return fmt.Errorf("project %s holds no metrics of %v", r.PathValue("project"), got)
	}
	start, errStart := time.Parse(time.RFC3339, query.Get("interval.startTime"))
	end, errEnd := time.Parse(time.RFC3339, query.Get("interval.endTime"))
	if errStart != nil || errEnd != nil || !start.Before(end) {
		return fmt.Errorf("the interval %q to %q is none", query.Get("interval.startTime"), query.Get("interval.endTime"))
	}
	if aligner := query.Get("aggregation.perSeriesAligner"); aligner != "ALIGN_NEXT_OLDER" {
		return fmt.Errorf("aligner %q is not simulated", aligner)
	}
	_, selected, err := selector(conditions)
	if err != nil {
		return err
	}
	// ALIGN_NEXT_OLDER is the newest point of the period, however long ago the series ended.
	window := strconv.Itoa(int(end.Sub(start).Seconds())) + "s"
	vector, err := m.query(r.Context(), fmt.Sprintf("last_over_time(%s[%s])", selected, window), end.Add(-IngestDelay))
	if err != nil {
		return err
	}
	list := []map[string]any{}
	for _, sample := range vector {
		metric, resource := map[string]string{}, map[string]string{}
		for label, value := range sample.Metric {
			switch {
			case label == model.MetricNameLabel:
			case slices.Contains(resourceLabels, string(label)):
				resource[string(label)] = string(value)
			default:
				metric[string(label)] = string(value)
			}
		}
		list = append(list, map[string]any{
			"metric":     map[string]any{"type": conditions["metric.type"][0], "labels": metric},
			"resource":   map[string]any{"type": "prometheus_target", "labels": resource},
			"metricKind": "GAUGE", "valueType": "DOUBLE",
			"points": []any{map[string]any{
				"interval": map[string]any{"endTime": end.Format(time.RFC3339)}, "value": map[string]any{"doubleValue": float64(sample.Value)},
			}},
		})
	}
	m.mu.Lock()
	m.reads += len(list)
	m.mu.Unlock()
	return json.NewEncoder(w).Encode(map[string]any{"timeSeries": list})
}

func (m *Monitoring) getDescriptor(w http.ResponseWriter, r *http.Request) error {
	series, err := seriesOf(r.PathValue("type"))
	if err != nil {
		return err
	}
	// A descriptor exists from the first point of its type.
	vector, err := m.query(r.Context(), fmt.Sprintf("count(last_over_time(%s[1h]))", series), time.Now().Add(-IngestDelay))
	if err != nil {
		return err
	}
	if len(vector) == 0 {
		http.Error(w, "Could not find descriptor for metric "+r.PathValue("type"), http.StatusNotFound)
		return nil
	}
	return json.NewEncoder(w).Encode(descriptor(series))
}

func descriptor(series string) map[string]any {
	return map[string]any{"type": prometheusTypes + series + "/gauge", "metricKind": "GAUGE", "valueType": "DOUBLE"}
}

// listDescriptors lists none: the adapter requests those of pods and nodes when it starts, whose metrics are GKE's own
// and not simulated.
func (m *Monitoring) listDescriptors(w http.ResponseWriter, _ *http.Request) error {
	return json.NewEncoder(w).Encode(map[string]any{"metricDescriptors": []any{}})
}
