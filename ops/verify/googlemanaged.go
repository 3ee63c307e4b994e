package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"vllm-autoscaling/components/googlemanaged"
)

const (
	collectionNamespace = googlemanaged.Namespace
	collectionAPI       = "/apis/" + googlemanaged.APIVersion

	// storedByGoogle is why a stage that queries Prometheus is not possible with that pipeline.
	storedByGoogle = "not visible: Google stores the samples"
)

const (
	// managedIngestion is the assumed time for writing to or reading from Cloud Monitoring. Google publishes no
	// figure; with more than a minute the HPA's decisions would be too late to be useful.
	managedIngestion = time.Minute
	// adapterWindow is how far back Google's adapter queries Cloud Monitoring, according to its public source; it does
	// not serve older samples.
	adapterWindow = 5 * time.Minute
	// stampTolerance is the most by which an answer's timestamp can precede its sending: both are in whole seconds,
	// and the adapter may be busy.
	stampTolerance = 2 * time.Second
)

// managedFreshnessBound is the maximum age of a sample: freshnessBound plus twice the time through Cloud Monitoring,
// because a rule reads from it and writes to it. It is below adapterWindow at every interval up to 50 s.
func managedFreshnessBound(interval time.Duration) time.Duration {
	return freshnessBound(interval) + 2*managedIngestion
}

// notVisible is the error of a stage that neither passes nor fails because nothing can be measured.
type notVisible struct{ measured string }

func (n *notVisible) Error() string { return n.measured }

// managedObject is an object that the operator of the managed collection reads.
type managedObject struct{ kind, resource, namespace, name string }

// managedScrapes returns the PodMonitorings of the server.
func (w *walk) managedScrapes() []managedObject {
	s := w.Pipeline.Serving
	signals, rest := googlemanaged.ServerMonitorings(s.Deployment)
	return []managedObject{
		{"PodMonitoring", "podmonitorings", s.Namespace, signals},
		{"PodMonitoring", "podmonitorings", s.Namespace, rest},
	}
}

func (o managedObject) String() string {
	if o.namespace == "" {
		return o.kind + " " + o.name
	}
	return o.kind + " " + o.namespace + "/" + o.name
}

func (o managedObject) path() string {
	if o.namespace == "" {
		return collectionAPI + "/" + o.resource + "/" + o.name
	}
	return collectionAPI + "/namespaces/" + o.namespace + "/" + o.resource + "/" + o.name
}

// managedStatus is the part of the operator's status that is read here.
type managedStatus struct {
	ObservedGeneration int64 `json:"observedGeneration"`
	Conditions         []struct {
		Type    string                 `json:"type"`
		Status  corev1.ConditionStatus `json:"status"`
		Reason  string                 `json:"reason"`
		Message string                 `json:"message"`
	} `json:"conditions"`
	// EndpointStatuses are present only if the operator's target status is enabled.
	EndpointStatuses []managedEndpoint `json:"endpointStatuses"`
}

// managedEndpoint is the status of an endpoint's scrapes.
type managedEndpoint struct {
	ActiveTargets    int `json:"activeTargets"`
	UnhealthyTargets int `json:"unhealthyTargets"`
	SampleGroups     []struct {
		SampleTargets []struct {
			LastError string `json:"lastError"`
		} `json:"sampleTargets"`
	} `json:"sampleGroups"`
}

// firstError returns the collector's error of a target that is down.
func (e managedEndpoint) firstError() string {
	for _, group := range e.SampleGroups {
		for _, target := range group.SampleTargets {
			if target.LastError != "" {
				return target.LastError
			}
		}
	}
	return "the operator reports no error"
}

// accepted reads the status of an object and checks that the operator has made configuration of it.
func (w *walk) accepted(ctx context.Context, o managedObject) (*managedStatus, error) {
	expected := "ConfigurationCreateSuccess true: the operator of the managed collection has accepted it"
	raw, err := w.raw(ctx, o.path())
	if apierrors.IsNotFound(err) {
		return nil, &failure{
			measured: fmt.Sprintf("there is no %s: %v", o, err), expected: "the object that the stack created",
			look: append([]string{"$ pulumi up --refresh --stack " + w.Stack,
				"is managed collection on in the cluster? Without it the kind does not exist: " +
					"gcloud container clusters describe CLUSTER --format='value(monitoringConfig.managedPrometheusConfig.enabled)'"},
				w.managedHints(o)...),
		}
	}
	if err != nil {
		return nil, w.allowed(err)
	}
	var object struct {
		Metadata struct {
			Generation int64 `json:"generation"`
		} `json:"metadata"`
		Status managedStatus `json:"status"`
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, fmt.Errorf("%s: %w", o, err)
	}
	for _, c := range object.Status.Conditions {
		if c.Type != "ConfigurationCreateSuccess" {
			continue
		}
		if c.Status != corev1.ConditionTrue {
			return nil, &failure{
				measured: strings.TrimRight(fmt.Sprintf("%s: %s is %s: %s: %s", o, c.Type, c.Status, c.Reason, c.Message), ": "),
				expected: expected, look: w.managedHints(o),
			}
		}
		if object.Status.ObservedGeneration != object.Metadata.Generation {
			return nil, &failure{
				measured: fmt.Sprintf("%s: the operator has not processed its last change (generation %d, seen %d)",
					o, object.Metadata.Generation, object.Status.ObservedGeneration),
				expected: expected, look: w.managedHints(o),
			}
		}
		return &object.Status, nil
	}
	return nil, &failure{
		measured: fmt.Sprintf("%s has no condition ConfigurationCreateSuccess: the operator has not processed it", o),
		expected: expected, look: w.managedHints(o),
	}
}

// managedHints returns where to look for the operator's handling of an object.
func (w *walk) managedHints(o managedObject) []string {
	describe := "$ " + w.Kubectl + " describe " + o.resource + " " + o.name
	if o.namespace != "" {
		describe = w.kubectl(o.namespace, "describe %s %s", o.resource, o.name)
	}
	return []string{
		describe,
		w.kubectl(collectionNamespace, "get pods"),
		w.kubectl(collectionNamespace, "logs deployment/gmp-operator --tail=50"),
	}
}

// managedPrometheus is not visible: the cluster has no Prometheus.
func (w *walk) managedPrometheus(context.Context) (string, error) {
	return "", &notVisible{storedByGoogle}
}

// managedGPUs checks that the GPUs' utilisation is collected.
func (w *walk) managedGPUs(ctx context.Context) (string, error) {
	return w.managedAccepted(ctx, managedObject{"ClusterPodMonitoring", "clusterpodmonitorings", "", googlemanaged.GPUMonitoring})
}

// managedRules checks that the recording rules are evaluated.
func (w *walk) managedRules(ctx context.Context) (string, error) {
	return w.managedAccepted(ctx, managedObject{"ClusterRules", "clusterrules", "", googlemanaged.Rules})
}

// managedTargets checks the server's PodMonitorings, and their targets if the operator reports on them.
func (w *walk) managedTargets(ctx context.Context) (string, error) {
	scrapes := w.managedScrapes()
	reported := 0
	var taken []string
	for _, o := range scrapes {
		status, err := w.accepted(ctx, o)
		if err != nil {
			return "", err
		}
		taken = append(taken, o.String())
		look := append(w.managedHints(o),
			w.kubectl(w.Pipeline.Serving.Namespace, "describe networkpolicies"),
			w.kubectl(collectionNamespace, "get pods -l app.kubernetes.io/name=collector -o wide"))
		for _, e := range status.EndpointStatuses {
			if e.UnhealthyTargets > 0 {
				return "", &failure{
					measured: fmt.Sprintf("%s: %d of %s down: %s", o, e.UnhealthyTargets, plural(e.ActiveTargets, "target"), e.firstError()),
					expected: "every target up, without an error of its last scrape", look: look,
				}
			}
			if e.ActiveTargets < len(w.pods) {
				return "", &failure{
					measured: fmt.Sprintf("%s has %s for %s", o, plural(e.ActiveTargets, "target"), plural(len(w.pods), "pod")),
					expected: "one target up for each pod: a PodMonitoring that selects the pods, and a collector on each node", look: look,
				}
			}
		}
		if len(status.EndpointStatuses) > 0 {
			reported++
		}
	}
	if reported == len(scrapes) {
		return fmt.Sprintf("all up by the operator's report: %s", strings.Join(taken, ", ")), nil
	}
	return "", seenOnly(taken...)
}

// managedAccepted checks an object for which only the operator's acceptance is visible.
func (w *walk) managedAccepted(ctx context.Context, o managedObject) (string, error) {
	if _, err := w.accepted(ctx, o); err != nil {
		return "", err
	}
	return "", seenOnly(o.String())
}

func seenOnly(taken ...string) error {
	return &notVisible{storedByGoogle + "; its operator has accepted " + strings.Join(taken, ", ")}
}

// readMetrics reads each signal as the HPA does, where there is nothing to compare the values with.
func (w *walk) readMetrics(ctx context.Context) (string, error) {
	var shown []string
	for _, signal := range w.Pipeline.Signals {
		values, err := w.served(ctx, signal.Name)
		if err != nil {
			return "", err
		}
		shown = append(shown, w.keep(signal, values))
	}
	return strings.Join(shown, "; "), nil
}

// managedFreshness checks the timestamps of the adapter. According to its public source, Google's adapter returns the
// time of its answer, which is not the age of the sample: then only the adapter's own window is known.
func (w *walk) managedFreshness(_ context.Context, interval time.Duration) (string, error) {
	bound := managedFreshnessBound(interval)
	var oldest time.Duration
	var old []string
	for i, value := range w.values {
		age, ok := w.ages[value.Signal][value.Pod]
		if !ok {
			continue
		}
		oldest = max(oldest, age)
		if age > bound {
			old = append(old, fmt.Sprintf("%s of %s is %.0f s old", value.Signal, value.Pod, age.Seconds()))
		}
		seconds := age.Seconds()
		w.values[i].AgeSeconds = &seconds
	}
	if oldest <= stampTolerance {
		for i := range w.values {
			w.values[i].AgeSeconds = nil
		}
		return "", &notVisible{fmt.Sprintf(
			"not visible: the adapter returns the time of its answer, not of the sample; it serves none older than %s", adapterWindow)}
	}
	if len(old) > 0 {
		return "", &failure{
			measured: shortened(old),
			expected: fmt.Sprintf("at most %s: scraped and recorded every %s, and up to %s each way through Cloud Monitoring", bound, interval, managedIngestion),
			look: append([]string{
				"is Cloud Monitoring slow (Google Cloud's status page), or the project's quota of samples used up?",
				w.kubectl(w.Pipeline.Serving.Namespace, "get podmonitorings -o jsonpath='{.items[*].spec.endpoints[*].interval}'"),
				w.kubectl(collectionNamespace, "logs deployment/rule-evaluator --all-containers --tail=50"),
			}, w.managedAdapterHints()...),
		}
	}
	return fmt.Sprintf("oldest sample %.0f s, allowed %s", oldest.Seconds(), bound), nil
}

// managedAdapterHints returns where to look if Google's adapter does not answer, or answers without a value.
func (w *walk) managedAdapterHints() []string {
	a := w.Pipeline.Adapter
	return []string{
		w.kubectl(a.Namespace, "logs deployment/%s --tail=50", a.Name),
		fmt.Sprintf("does principal://iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/PROJECT.svc.id.goog/subject/ns/%s/sa/%s "+
			"have roles/monitoring.viewer? Without it the adapter exits at startup: gcloud projects get-iam-policy PROJECT", a.Namespace, a.Name),
	}
}

// managedMetricHints returns where to look if a signal has no value.
func (w *walk) managedMetricHints() []string {
	return append([]string{
		"do the operator, the rule evaluator and a collector on each node run?",
		"a new pod's first value needs a scrape and Cloud Monitoring's ingestion, a rule's result twice that: --wait 5m",
		w.kubectl(collectionNamespace, "get pods -o wide"),
		w.kubectl(collectionNamespace, "logs deployment/rule-evaluator --all-containers --tail=50"),
	}, w.managedAdapterHints()...)
}

// dated stores when the last answer was sent, by the clock of its sender: for an aggregated API, that of its own
// server.
type dated struct {
	next http.RoundTripper
	walk *walk
}

// RoundTrip implements http.RoundTripper.
func (d dated) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := d.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	d.walk.answered = time.Now()
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		d.walk.answered = date
	}
	return response, nil
}
