// Command stackdriver-adapter replaces in the lab Google's Custom Metrics Stackdriver Adapter, whose module no proxy
// serves. It accepts the flags that the stack sets for the real adapter, refuses those that the real one does not have, and
// serves pods' metrics as the real one does: it reads its project, cluster and token from Google's metadata server, lists
// the pods of the request's selector, queries Cloud Monitoring's time-series API for the metric type and those pods, and
// adds up the values of each pod.
//
// The API server around it is the real one's: sigs.k8s.io/custom-metrics-apiserver.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	basecmd "sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider/helpers"
)

const (
	// requestWindow is how far back the real adapter looks for the newest point of a series.
	requestWindow = 5 * time.Minute
	// maxPods is the number of values that Cloud Monitoring's one_of() accepts.
	maxPods = 100
	// prometheusPrefix begins the types of the managed collection's metrics; others are not simulated.
	prometheusPrefix = "prometheus.googleapis.com/"
)

func main() {
	adapter := &basecmd.AdapterBase{Name: "custom-metrics-stackdriver-adapter"}
	flags := adapter.Flags()
	newModel := flags.Bool("use-new-resource-model", false, "use the resource model that has prometheus_target")
	custom := flags.Bool("enable-custom-metrics-api", true, "serve custom.metrics.k8s.io")
	external := flags.Bool("enable-external-metrics-api", true, "serve external.metrics.k8s.io")
	flags.Bool("fallback-for-container-metrics", false, "look for a container's metric where the pod has none; without effect here")
	endpoint := flags.String("stackdriver-endpoint", "https://monitoring.googleapis.com/", "where Cloud Monitoring is")
	if err := flags.Parse(os.Args[1:]); err != nil {
		klog.Fatalf("flags: %v", err)
	}
	if err := run(adapter, *endpoint, *newModel, *custom, *external); err != nil {
		klog.Fatalf("%v", err)
	}
}

func run(adapter *basecmd.AdapterBase, endpoint string, newModel, custom, external bool) error {
	if !newModel || !custom || external {
		return fmt.Errorf("only --use-new-resource-model=true with custom metrics and without external ones is simulated")
	}
	config, err := adapter.ClientConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	mapper, err := adapter.RESTMapper()
	if err != nil {
		return err
	}
	monitoring := &cloudMonitoring{endpoint: strings.TrimSuffix(endpoint, "/")}
	ctx := context.Background()
	for path, value := range map[string]*string{
		"project/project-id": &monitoring.project, "instance/attributes/cluster-name": &monitoring.cluster,
		"instance/attributes/cluster-location": &monitoring.location,
	} {
		if *value, err = metadata(ctx, path); err != nil {
			return fmt.Errorf("Google's metadata server: %w", err)
		}
	}
	// The real adapter ends at its start, too, when it has no permission to read.
	known, err := monitoring.descriptors(ctx)
	if err != nil {
		return fmt.Errorf("list of metric descriptors: %w", err)
	}
	adapter.WithCustomMetrics(&podMetrics{client: client, mapper: mapper, monitoring: monitoring, listed: known[:min(1, len(known))]})
	return adapter.Run(ctx)
}

// metadata reads a value of the metadata server of the pod's node.
func metadata(ctx context.Context, path string) (string, error) {
	host := os.Getenv("GCE_METADATA_HOST")
	if host == "" {
		host = "169.254.169.254"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/computeMetadata/v1/"+path, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Metadata-Flavor", "Google")
	body, err := do(request)
	return strings.TrimSpace(string(body)), err
}

func do(request *http.Request) ([]byte, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &apiError{status: response.StatusCode, body: strings.TrimSpace(string(body))}
	}
	return body, nil
}

type apiError struct {
	status int
	body   string
}

func (e *apiError) Error() string { return fmt.Sprintf("googleapi: Error %d: %s", e.status, e.body) }

// cloudMonitoring is the client of the time-series API, as far as pods need it.
type cloudMonitoring struct {
	endpoint                   string
	project, cluster, location string
}

type timeSeries struct {
	Metric   struct{ Labels map[string]string }
	Resource struct {
		Type   string
		Labels map[string]string
	}
	Points []struct {
		Value struct{ DoubleValue *float64 }
	}
}

func (m *cloudMonitoring) get(ctx context.Context, path string, query url.Values, into any) error {
	var token struct {
		AccessToken string `json:"access_token"`
	}
	text, err := metadata(ctx, "instance/service-accounts/default/token")
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &token); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.endpoint+"/v3/projects/"+m.project+"/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token.AccessToken)
	body, err := do(request)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// descriptors lists the metric types of this cluster.
func (m *cloudMonitoring) descriptors(ctx context.Context) ([]string, error) {
	var list struct {
		MetricDescriptors []struct{ Type string }
	}
	filter := fmt.Sprintf("resource.labels.project_id = %q AND resource.labels.cluster_name = %q AND resource.labels.location = %q AND "+
		`resource.type = one_of("k8s_pod","k8s_node")`, m.project, m.cluster, m.location)
	err := m.get(ctx, "metricDescriptors", url.Values{"filter": {filter}}, &list)
	var found []string
	for _, d := range list.MetricDescriptors {
		found = append(found, d.Type)
	}
	return found, err
}

// kind returns a metric's kind; an error for a type that was never written.
func (m *cloudMonitoring) kind(ctx context.Context, metric string) (string, error) {
	var descriptor struct{ MetricKind string }
	err := m.get(ctx, "metricDescriptors/"+metric, nil, &descriptor)
	return descriptor.MetricKind, err
}

// newest returns the newest points of a metric of pods, no older than requestWindow.
func (m *cloudMonitoring) newest(ctx context.Context, metric, namespace string, pods []string) ([]timeSeries, error) {
	quoted := make([]string, len(pods))
	for i, pod := range pods {
		quoted[i] = fmt.Sprintf("%q", pod)
	}
	named := "metric.labels.pod = " + quoted[0]
	if len(quoted) > 1 {
		named = "metric.labels.pod = one_of(" + strings.Join(quoted, ",") + ")"
	}
	now := time.Now()
	var list struct{ TimeSeries []timeSeries }
	err := m.get(ctx, "timeSeries", url.Values{
		"filter": {strings.Join([]string{
			named,
			fmt.Sprintf("metric.type = %q", metric),
			fmt.Sprintf("resource.labels.cluster = %q", m.cluster),
			fmt.Sprintf("resource.labels.location = %q", m.location),
			fmt.Sprintf("resource.labels.namespace = %q", namespace),
			fmt.Sprintf("resource.labels.project_id = %q", m.project),
			`resource.type = "prometheus_target"`,
		}, " AND ")},
		"interval.startTime":           {now.Add(-requestWindow).UTC().Format(time.RFC3339)},
		"interval.endTime":             {now.UTC().Format(time.RFC3339)},
		"aggregation.perSeriesAligner": {"ALIGN_NEXT_OLDER"},
		"aggregation.alignmentPeriod":  {fmt.Sprintf("%ds", int(requestWindow.Seconds()))},
	}, &list)
	return list.TimeSeries, err
}

// podMetrics serves the custom metrics API.
type podMetrics struct {
	client     kubernetes.Interface
	mapper     apimeta.RESTMapper
	monitoring *cloudMonitoring
	listed     []string
}

var podResource = schema.GroupResource{Resource: "pods"}

// ListAllMetrics lists one metric only, as the real adapter does to save memory.
func (p *podMetrics) ListAllMetrics() []provider.CustomMetricInfo {
	var all []provider.CustomMetricInfo
	for _, metric := range p.listed {
		all = append(all, provider.CustomMetricInfo{
			GroupResource: schema.GroupResource{Resource: "*"}, Metric: strings.ReplaceAll(metric, "/", "|"), Namespaced: true,
		})
	}
	return all
}

func (p *podMetrics) GetMetricByName(ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo, _ labels.Selector,
) (*custom_metrics.MetricValue, error) {
	pod, err := p.client.CoreV1().Pods(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	values, err := p.values(ctx, name.Namespace, []corev1.Pod{*pod}, info)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, provider.NewMetricNotFoundForError(info.GroupResource, info.Metric, name.Name)
	}
	return &values[0], nil
}

func (p *podMetrics) GetMetricBySelector(ctx context.Context, namespace string, selector labels.Selector, info provider.CustomMetricInfo,
	_ labels.Selector,
) (*custom_metrics.MetricValueList, error) {
	pods, err := p.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, err
	}
	values, err := p.values(ctx, namespace, pods.Items, info)
	return &custom_metrics.MetricValueList{Items: values}, err
}

// values returns one value for each pod that has the metric.
func (p *podMetrics) values(ctx context.Context, namespace string, pods []corev1.Pod, info provider.CustomMetricInfo) ([]custom_metrics.MetricValue, error) {
	if info.GroupResource != podResource || namespace == "" {
		return nil, apierrors.NewBadRequest("only metrics of pods are simulated")
	}
	metric := strings.ReplaceAll(info.Metric, "|", "/")
	if !strings.HasPrefix(metric, prometheusPrefix) {
		return nil, provider.NewMetricNotFoundError(info.GroupResource, info.Metric)
	}
	kind, err := p.monitoring.kind(ctx, metric)
	if err != nil {
		return nil, provider.NewMetricNotFoundError(info.GroupResource, fmt.Sprintf("%s: %v", info.Metric, err))
	}
	if kind != "GAUGE" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("%s is a %s; only gauges are simulated", metric, kind))
	}
	var names []string
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	sums := map[string]float64{}
	for chunk := range slices.Chunk(names, maxPods) {
		series, err := p.monitoring.newest(ctx, metric, namespace, chunk)
		if err != nil {
			return nil, err
		}
		for _, s := range series {
			if s.Resource.Labels["namespace"] == namespace && len(s.Points) > 0 && s.Points[0].Value.DoubleValue != nil {
				sums[s.Metric.Labels["pod"]] += *s.Points[0].Value.DoubleValue
			}
		}
	}
	var values []custom_metrics.MetricValue
	for _, name := range names {
		sum, ok := sums[name]
		if !ok {
			continue
		}
		object, err := helpers.ReferenceFor(p.mapper, types.NamespacedName{Namespace: namespace, Name: name}, info)
		if err != nil {
			return nil, err
		}
		values = append(values, custom_metrics.MetricValue{
			DescribedObject: object,
			Metric:          custom_metrics.MetricIdentifier{Name: info.Metric},
			Timestamp:       metav1.Now(),
			Value:           *resource.NewMilliQuantity(int64(sum*1000), resource.DecimalSI),
		})
	}
	return values, nil
}
