package components

import (
	"maps"
	"reflect"
	"strings"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Metadata is what the owner of a stack adds to the metadata of its objects.
type Metadata struct {
	// Labels and Annotations of every object and of every pod.
	Labels, Annotations map[string]string
	// MonitorLabels are further labels of the monitors and rules, by which a Prometheus selects them. They replace Labels of the
	// same keys.
	MonitorLabels map[string]string
}

// monitorKinds are the types of the objects that get MonitorLabels, without the version.
var monitorKinds = map[string]bool{
	"kubernetes:monitoring.coreos.com:ServiceMonitor":           true,
	"kubernetes:monitoring.coreos.com:PodMonitor":               true,
	"kubernetes:monitoring.coreos.com:PrometheusRule":           true,
	"kubernetes:monitoring.googleapis.com:PodMonitoring":        true,
	"kubernetes:monitoring.googleapis.com:ClusterPodMonitoring": true,
	"kubernetes:monitoring.googleapis.com:ClusterRules":         true,
}

// AddMetadata adds the metadata to every object that the program registers after the call. It does not reach the objects of
// charts, which are not registered: KubePrometheusStackArgs and those of the other charts have the metadata for them.
func AddMetadata(ctx *pulumi.Context, m Metadata) error {
	if len(m.Labels)+len(m.Annotations)+len(m.MonitorLabels) == 0 {
		return nil
	}
	return ctx.RegisterStackTransformation(m.transform)
}

// transform adds the metadata to one resource. Selectors stay: they are not part of an object's metadata.
func (m Metadata) transform(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
	if !strings.HasPrefix(args.Type, "kubernetes:") {
		return nil
	}
	labels := m.labelsOf(args.Type)
	if args.Name == SharedStateMetricsMonitor {
		// It scrapes what the platform's Prometheus scrapes already, as those of kube-prometheus-stack.
		labels = m.Labels
	}
	switch props := args.Props.(type) {
	case kubernetes.UntypedArgs: // A custom resource.
		if metadata, ok := props["metadata"].(metav1.ObjectMetaArgs); ok {
			props["metadata"] = m.addTo(metadata, labels)
		}
	case pulumi.Map: // A Deployment with a merged pod template; or a Helm release, which has no metadata.
		m.addToMap(props, labels)
	default:
		m.addToTyped(props, labels)
	}
	return &pulumi.ResourceTransformationResult{Props: args.Props, Opts: args.Opts}
}

// addToTyped adds the metadata to the arguments of a typed object: of all kinds, by the name of the field.
func (m Metadata) addToTyped(props pulumi.Input, labels map[string]string) {
	pointer := reflect.ValueOf(props)
	if pointer.Kind() != reflect.Pointer || pointer.Elem().Kind() != reflect.Struct {
		return
	}
	field := pointer.Elem().FieldByName("Metadata")
	if !field.IsValid() {
		return
	}
	if metadata, ok := field.Interface().(metav1.ObjectMetaArgs); ok {
		field.Set(reflect.ValueOf(m.addTo(metadata, labels)))
	}
	m.addToPods(props)
}

// addToPods adds the metadata to the template of the pods of a Deployment or a DaemonSet.
func (m Metadata) addToPods(workload pulumi.Input) {
	switch workload := workload.(type) {
	case *appsv1.DeploymentArgs:
		if spec, ok := workload.Spec.(appsv1.DeploymentSpecArgs); ok {
			spec.Template = m.withMetadata(spec.Template)
			workload.Spec = spec
		}
	case *appsv1.DaemonSetArgs:
		if spec, ok := workload.Spec.(appsv1.DaemonSetSpecArgs); ok {
			spec.Template = m.withMetadata(spec.Template)
			workload.Spec = spec
		}
	}
}

// withMetadata returns a template of pods with the metadata.
func (m Metadata) withMetadata(of corev1.PodTemplateSpecInput) corev1.PodTemplateSpecInput {
	template, ok := of.(corev1.PodTemplateSpecArgs)
	if !ok {
		return of
	}
	metadata, _ := template.Metadata.(metav1.ObjectMetaArgs)
	template.Metadata = m.addTo(metadata, m.Labels)
	return template
}

// addToMap adds the metadata to the inputs of an object, and to the template of its pods if it has one.
func (m Metadata) addToMap(object pulumi.Map, labels map[string]string) {
	if metadata, ok := object["metadata"].(pulumi.Map); ok {
		addEntries(metadata, "labels", labels)
		addEntries(metadata, "annotations", m.Annotations)
	}
	spec, _ := object["spec"].(pulumi.Map)
	if template, ok := spec["template"].(pulumi.Map); ok {
		m.addToMap(template, m.Labels)
	}
}

// addEntries adds entries to a field of an object's metadata, which keeps its own values.
func addEntries(metadata pulumi.Map, field string, more map[string]string) {
	if len(more) == 0 {
		return
	}
	all := pulumi.Map{}
	for key, value := range more {
		all[key] = pulumi.String(value)
	}
	own, _ := metadata[field].(pulumi.Map)
	maps.Copy(all, own)
	metadata[field] = all
}

// addTo returns an object's metadata with the labels and the annotations.
func (m Metadata) addTo(metadata metav1.ObjectMetaArgs, labels map[string]string) metav1.ObjectMetaArgs {
	metadata.Labels = withEntries(metadata.Labels, labels)
	metadata.Annotations = withEntries(metadata.Annotations, m.Annotations)
	return metadata
}

// labelsOf returns the labels of an object of a type such as kubernetes:apps/v1:Deployment.
func (m Metadata) labelsOf(typ string) map[string]string {
	group, version := typ, ""
	if slash := strings.IndexByte(typ, '/'); slash >= 0 {
		group, version = typ[:slash], typ[slash:]
	}
	if _, kind, ok := strings.Cut(version, ":"); ok && monitorKinds[group+":"+kind] {
		return m.ofMonitors()
	}
	return m.Labels
}

// ofMonitors returns the labels of monitors and rules.
func (m Metadata) ofMonitors() map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, m.Labels)
	maps.Copy(labels, m.MonitorLabels)
	return labels
}

// withEntries adds entries to a map of an object's metadata, which keeps its own values.
func withEntries(own pulumi.StringMapInput, more map[string]string) pulumi.StringMapInput {
	if len(more) == 0 {
		return own
	}
	all := pulumi.ToStringMap(more)
	switch own := own.(type) {
	case nil:
		return all
	case pulumi.StringMap:
		maps.Copy(all, own)
		return all
	}
	return own.ToStringMapOutput().ApplyT(func(own map[string]string) map[string]string {
		merged := maps.Clone(more)
		maps.Copy(merged, own)
		return merged
	}).(pulumi.StringMapOutput)
}
