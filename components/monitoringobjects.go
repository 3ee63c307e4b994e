package components

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// The API group and version of the Prometheus Operator's objects.
const monitoringAPIVersion = "monitoring.coreos.com/v1"

// newServiceMonitor registers a ServiceMonitor from the operator's own type.
func newServiceMonitor(ctx *pulumi.Context, namespace, name string, spec monitoringv1.ServiceMonitorSpec,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	return newMonitoringObject(ctx, monitoringv1.ServiceMonitorsKind, namespace, name, spec, opts)
}

// newPodMonitor registers a PodMonitor from the operator's own type.
func newPodMonitor(ctx *pulumi.Context, namespace, name string, spec monitoringv1.PodMonitorSpec,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	return newMonitoringObject(ctx, monitoringv1.PodMonitorsKind, namespace, name, spec, opts)
}

// newPrometheusRule registers a PrometheusRule from the operator's own type.
func newPrometheusRule(ctx *pulumi.Context, namespace, name string, spec monitoringv1.PrometheusRuleSpec,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	return newMonitoringObject(ctx, monitoringv1.PrometheusRuleKind, namespace, name, spec, opts)
}

func newMonitoringObject(ctx *pulumi.Context, kind, namespace, name string, spec any,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	return newCustomObject(ctx, monitoringAPIVersion, kind, namespace, name, spec, opts)
}

// newCustomObject registers an object of a kind that is built without the SDK's type for it; without a namespace,
// one of the whole cluster.
func newCustomObject(ctx *pulumi.Context, apiVersion, kind, namespace, name string, spec any,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	return newAnnotatedObject(ctx, apiVersion, kind, namespace, name, nil, spec, opts)
}

// newAnnotatedObject is newCustomObject with annotations.
func newAnnotatedObject(ctx *pulumi.Context, apiVersion, kind, namespace, name string, annotations map[string]string, spec any,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	fields, err := untyped(spec)
	if err != nil {
		return nil, fmt.Errorf("converting the spec of %s %s: %w", kind, strings.TrimPrefix(namespace+"/"+name, "/"), err)
	}
	return newAnnotatedUntyped(ctx, apiVersion, kind, namespace, name, annotations, fields, opts)
}

// newUntypedObject registers an object whose spec is fields, which may contain Outputs.
func newUntypedObject(ctx *pulumi.Context, apiVersion, kind, namespace, name string, fields map[string]any,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	return newAnnotatedUntyped(ctx, apiVersion, kind, namespace, name, nil, fields, opts)
}

// newAnnotatedUntyped is newUntypedObject with annotations.
func newAnnotatedUntyped(ctx *pulumi.Context, apiVersion, kind, namespace, name string, annotations map[string]string, fields map[string]any,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	metadata := metav1.ObjectMetaArgs{
		Name:   pulumi.String(name),
		Labels: pulumi.ToStringMap(commonLabels()),
	}
	if namespace != "" {
		metadata.Namespace = pulumi.String(namespace)
	}
	if len(annotations) > 0 {
		metadata.Annotations = pulumi.ToStringMap(annotations)
	}
	object, err := apiextensions.NewCustomResource(ctx, name, &apiextensions.CustomResourceArgs{
		ApiVersion:  pulumi.String(apiVersion),
		Kind:        pulumi.String(kind),
		Metadata:    metadata,
		OtherFields: kubernetes.UntypedArgs{"spec": fields},
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("registering %s %s: %w", kind, strings.TrimPrefix(namespace+"/"+name, "/"), err)
	}
	return object, nil
}

// untyped converts a typed spec to the maps of an untyped resource. Only the spec is converted: a
// whole object would add an empty status and creationTimestamp, which the API server would report
// as differences.
func untyped(spec any) (map[string]any, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	return fields, nil
}
