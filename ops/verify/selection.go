package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const operatorAPI = "/apis/monitoring.coreos.com/v1"

// operatedPrometheus is a Prometheus of the operator, as far as it chooses objects.
type operatedPrometheus struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		ServiceMonitorSelector          *metav1.LabelSelector `json:"serviceMonitorSelector"`
		ServiceMonitorNamespaceSelector *metav1.LabelSelector `json:"serviceMonitorNamespaceSelector"`
		RuleSelector                    *metav1.LabelSelector `json:"ruleSelector"`
		RuleNamespaceSelector           *metav1.LabelSelector `json:"ruleNamespaceSelector"`
		EnforcedNamespaceLabel          string                `json:"enforcedNamespaceLabel"`
		ExcludedFromEnforcement         []struct {
			Group     string `json:"group"`
			Resource  string `json:"resource"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"excludedFromEnforcement"`
	} `json:"spec"`
}

func (p *operatedPrometheus) String() string {
	return fmt.Sprintf("Prometheus %s/%s", p.Metadata.Namespace, p.Metadata.Name)
}

// selected is a kind of objects that a Prometheus selects.
type selected struct {
	kind, resource string
	// field is the name of the selector in the spec, and of that of namespaces.
	field, namespaceField string
	selectors             func(*operatedPrometheus) (objects, namespaces *metav1.LabelSelector)
}

var (
	serviceMonitors = selected{
		"ServiceMonitor", "servicemonitors", "serviceMonitorSelector", "serviceMonitorNamespaceSelector",
		func(p *operatedPrometheus) (objects, namespaces *metav1.LabelSelector) {
			return p.Spec.ServiceMonitorSelector, p.Spec.ServiceMonitorNamespaceSelector
		},
	}
	prometheusRules = selected{
		"PrometheusRule", "prometheusrules", "ruleSelector", "ruleNamespaceSelector",
		func(p *operatedPrometheus) (objects, namespaces *metav1.LabelSelector) {
			return p.Spec.RuleSelector, p.Spec.RuleNamespaceSelector
		},
	}
)

// unselected returns why no Prometheus in the platform's namespace reads an object of the stack, object by object; nothing where one
// does, or where that cannot be seen.
func (w *walk) unselected(ctx context.Context, of selected, namespace, name string) []string {
	var object struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	switch err := w.object(ctx, &object, operatorAPI+"/namespaces/"+namespace+"/"+of.resource+"/"+name); {
	case apierrors.IsNotFound(err):
		return []string{fmt.Sprintf("there is no %s %s/%s", of.kind, namespace, name)}
	case err != nil:
		return nil
	}
	all, err := w.prometheuses(ctx)
	if err != nil {
		return nil
	}
	if len(all) == 0 {
		return []string{fmt.Sprintf("namespace %s has no Prometheus of the operator, whose selectors could be checked", w.Pipeline.Existing.Namespace)}
	}
	within, err := w.labelsOf(ctx, namespace)
	if err != nil {
		return nil
	}
	var reasons []string
	for i := range all {
		reason := of.mismatch(&all[i], namespace, name, object.Metadata.Labels, within)
		if reason == "" {
			return nil
		}
		reasons = append(reasons, reason)
	}
	return reasons
}

// mismatch returns why a Prometheus does not select an object, or "".
func (of selected) mismatch(p *operatedPrometheus, namespace, name string, own, within map[string]string) string {
	objects, namespaces := of.selectors(p)
	object := fmt.Sprintf("%s %s/%s", of.kind, namespace, name)
	switch {
	case objects == nil:
		return fmt.Sprintf("%s selects no %s (its %s is not set)", p, of.kind, of.field)
	case !matches(objects, own):
		return fmt.Sprintf("%s does not select %s: its %s is %s (monitoring.monitorLabels adds labels)", p, object, of.field, metav1.FormatLabelSelector(objects))
	case namespaces == nil && p.Metadata.Namespace != namespace:
		return fmt.Sprintf("%s selects a %s of its own namespace only (its %s is not set)", p, of.kind, of.namespaceField)
	case namespaces != nil && !matches(namespaces, within):
		return fmt.Sprintf("%s does not select %s: its %s is %s, which namespace %s does not match", p, object, of.namespaceField,
			metav1.FormatLabelSelector(namespaces), namespace)
	}
	return ""
}

func matches(selector *metav1.LabelSelector, set map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(set))
}

// enforced returns which Prometheus makes the stack's rules read the series of their own namespace only, so that they see no series
// of an exporter in another one.
func (w *walk) enforced(ctx context.Context, namespace string) []string {
	all, err := w.prometheuses(ctx)
	if err != nil || len(w.Pipeline.GPUSeries) == 0 || w.Pipeline.GPUMetrics == "simulated" {
		return nil
	}
	var found []string
	for i := range all {
		if p := &all[i]; p.enforces(namespace) {
			found = append(found, fmt.Sprintf("%s enforces label %s on the rules of namespace %s, which then read no series of the GPU exporter: "+
				"exempt them (excludedFromEnforcement), or switch autoscaling.signals.gpuUtilization off", p, p.Spec.EnforcedNamespaceLabel, namespace))
		}
	}
	return found
}

// enforces reports whether the rules of a namespace are limited to it.
func (p *operatedPrometheus) enforces(namespace string) bool {
	if p.Spec.EnforcedNamespaceLabel == "" {
		return false
	}
	for _, e := range p.Spec.ExcludedFromEnforcement {
		if e.Resource == prometheusRules.resource && e.Namespace == namespace {
			return false
		}
	}
	return true
}

// prometheuses lists the operator's objects in the namespace of the platform's Prometheus.
func (w *walk) prometheuses(ctx context.Context) ([]operatedPrometheus, error) {
	var list struct {
		Items []operatedPrometheus `json:"items"`
	}
	err := w.object(ctx, &list, operatorAPI+"/namespaces/"+w.Pipeline.Existing.Namespace+"/prometheuses")
	slices.SortFunc(list.Items, func(a, b operatedPrometheus) int { return strings.Compare(a.Metadata.Name, b.Metadata.Name) })
	return list.Items, err
}

// labelsOf returns the labels of a namespace.
func (w *walk) labelsOf(ctx context.Context, namespace string) (map[string]string, error) {
	found, err := w.client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return found.Labels, nil
}

// object reads an object of the API server.
func (w *walk) object(ctx context.Context, into any, path string) error {
	raw, err := w.raw(ctx, path)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}
