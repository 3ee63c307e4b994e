package components

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/helm"
)

// The fixed names of what the chart creates. They follow from the release's fullnameOverride.
const (
	// KubePrometheusStackRelease is the name of the release and the prefix of all its objects.
	KubePrometheusStackRelease = "kps"
	// PrometheusService is the Service of Prometheus.
	PrometheusService = "kps-prometheus"
	// PrometheusPort is its port.
	PrometheusPort = 9090
	// AlertmanagerService is the Service of Alertmanager.
	AlertmanagerService = "kps-alertmanager"
	// GrafanaService is the Service of Grafana.
	GrafanaService = "kps-grafana"
	// GrafanaPort is its port.
	GrafanaPort = 80
	// GrafanaAdminSecret is the Secret with Grafana's administrator, keys admin-user and
	// admin-password.
	GrafanaAdminSecret = "kps-grafana-admin"
	// KubeletService is the Service in kube-system that the operator fills with the kubelets to scrape.
	KubeletService = "kps-kubelet"
	// GrafanaAdminUser is the administrator's name.
	GrafanaAdminUser = "admin"
)

const (
	kubeletNamespace = "kube-system"

	// busyboxTag is the version of the image that unpacks the CRDs.
	busyboxTag = "1.37.0"

	// kubePrometheusStackTimeout leaves time for the chart's hook Jobs and a dozen images.
	kubePrometheusStackTimeout = 10 * time.Minute
)

// prometheusRetention is a duration in Prometheus' form, days included, whose parts go from large to small.
var prometheusRetention = regexp.MustCompile(`^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$`)

// ValidRetention reports whether a text is a retention of Prometheus: a duration in its own form, above 0.
func ValidRetention(retention string) bool {
	return prometheusRetention.MatchString(retention) && strings.ContainsAny(retention, "123456789")
}

// KubePrometheusStackArgs are the inputs of KubePrometheusStack.
type KubePrometheusStackArgs struct {
	// Namespace to install into. Required.
	Namespace string
	// ServingNamespace is the namespace of the server, whose ServiceMonitor Prometheus reads. Required.
	ServingNamespace string
	// SpareNodes are the Deployments in ServingNamespace that keep spare nodes, for which no alert of the chart is due.
	SpareNodes []string
	// WatchNamespaces are further namespaces whose rules, monitors, probes, scrape and Alertmanager configurations are
	// read. What they record and scrape gets their own name as the label namespace.
	WatchNamespaces []string
	// Chart is kube-prometheus-stack's version and repository. Required.
	Chart helm.Chart
	// ScrapeInterval is the interval of scrapes without an interval of their own; at least 1 s.
	ScrapeInterval time.Duration
	// EvaluationInterval is how often rules without an interval of their own run; at least 1 s.
	EvaluationInterval time.Duration
	// Retention is how long Prometheus keeps samples, in its own form, such as "7d".
	Retention string
	// Storage is the size of Prometheus' volume, such as "20Gi"; "" keeps the data in an emptyDir,
	// which is lost with the pod.
	Storage string
	// StorageClass of the volume; "" is the cluster's default. Ignored without Storage.
	StorageClass string
	// ControlPlaneScrapes enables the scrapes and rules of etcd, scheduler, controller manager and
	// kube-proxy. Where the cloud hides these, they would only raise false alarms.
	ControlPlaneScrapes bool
	// CoreDNSScrapes enables the scrape of CoreDNS, the DNS server of most clusters.
	CoreDNSScrapes bool
	// UpgradeCRDs brings the operator's CRDs to the chart's version before each install and upgrade, whoever installed
	// them. Without it, Helm installs the missing ones only.
	UpgradeCRDs bool
	// NoNodeExporter leaves the node exporter out, where the nodes have one: two need the same port of a node.
	NoNodeExporter bool
	// NoStateMetrics leaves kube-state-metrics out.
	NoStateMetrics bool
	// SharedStateMetrics is a kube-state-metrics of the cluster that Prometheus scrapes in place of the chart's; nil for none.
	SharedStateMetrics *StateMetricsTarget
	// SharedOperator leaves Prometheus and Alertmanager to an operator of the cluster, whose owner installs the CRDs. It has to
	// watch Namespace and ServingNamespace.
	SharedOperator bool
	// Grafana installs Grafana with the chart's dashboards.
	Grafana bool
	// GrafanaPassword of the user admin; nil generates one, which is kept from then on. A running
	// Grafana uses a changed password after its pod has restarted.
	GrafanaPassword pulumi.StringPtrInput
	// Metadata of the chart's objects and pods.
	Metadata Metadata
	// Values are merged over everything above, last.
	Values map[string]any
	// DependsOn lists what must exist first: the namespace.
	DependsOn []pulumi.Resource
}

// KubePrometheusStack is the Prometheus Operator with Prometheus, Alertmanager, Grafana,
// kube-state-metrics and the node exporter.
type KubePrometheusStack struct {
	pulumi.ResourceState

	// PrometheusURL is Prometheus' address inside the cluster.
	PrometheusURL pulumi.StringOutput `pulumi:"prometheusURL"`
	// GrafanaPassword is the administrator's password, a secret; empty without Grafana.
	GrafanaPassword pulumi.StringOutput `pulumi:"grafanaPassword"`

	// Release installs the operator's CRDs: every ServiceMonitor, PodMonitor and PrometheusRule must
	// depend on it.
	Release *helm.Release
}

// PrometheusURL returns the address of Prometheus inside the cluster, without a port.
func PrometheusURL(namespace string) string {
	return fmt.Sprintf("http://%s.%s.svc", PrometheusService, namespace)
}

// Job returns the label job of Prometheus' own series: the name of its Service.
func (*KubePrometheusStack) Job() string { return PrometheusService }

// Volumes returns a regular expression of the names of the claims of Prometheus' volumes, as the operator makes them.
func (*KubePrometheusStack) Volumes() string { return "prometheus-" + PrometheusService + "-db-.*" }

// NewKubePrometheusStack registers the release and Grafana's administrator.
func NewKubePrometheusStack(ctx *pulumi.Context, name string, args *KubePrometheusStackArgs,
	opts ...pulumi.ResourceOption,
) (*KubePrometheusStack, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("kube-prometheus-stack: %w", err)
	}
	c := &KubePrometheusStack{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:KubePrometheusStack", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering kube-prometheus-stack: %w", err)
	}

	c.PrometheusURL = pulumi.String(fmt.Sprintf("%s:%d", PrometheusURL(args.Namespace), PrometheusPort)).ToStringOutput()
	c.GrafanaPassword = pulumi.String("").ToStringOutput()
	var releaseNeeds []pulumi.Resource
	if !args.SharedOperator {
		kubelets, err := newKubeletService(ctx, c, args)
		if err != nil {
			return nil, err
		}
		releaseNeeds = append(releaseNeeds, kubelets)
	}
	releaseNeeds = append(releaseNeeds, args.DependsOn...)
	if args.Grafana {
		admin, err := newGrafanaAdmin(ctx, c, args)
		if err != nil {
			return nil, err
		}
		// Read back from the resource: every run of the program generates a password, and only the one
		// in the state is in use.
		c.GrafanaPassword = pulumi.ToSecret(admin.Data.MapIndex(pulumi.String(grafanaPasswordKey)).ApplyT(decodeBase64)).(pulumi.StringOutput)
		rights, err := newGrafanaRights(ctx, c, args)
		if err != nil {
			return nil, err
		}
		releaseNeeds = append(releaseNeeds, admin, rights)
	}

	release, err := helm.NewRelease(ctx, KubePrometheusStackRelease, &helm.ReleaseArgs{
		Name:      KubePrometheusStackRelease,
		Namespace: args.Namespace,
		Chart:     args.Chart,
		Values:    kubePrometheusStackValues(args),
		Timeout:   kubePrometheusStackTimeout,
	}, childOptions(c, releaseNeeds)...)
	if err != nil {
		return nil, err
	}
	c.Release = release
	if args.SharedStateMetrics != nil {
		if err := newStateMetricsMonitor(ctx, c, args); err != nil {
			return nil, err
		}
	}

	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{
		"prometheusURL":   c.PrometheusURL,
		"grafanaPassword": c.GrafanaPassword,
	}); err != nil {
		return nil, fmt.Errorf("registering the outputs of kube-prometheus-stack: %w", err)
	}
	return c, nil
}

// newKubeletService registers the Service that the operator would otherwise create itself and that
// would be left over on destroy: it is not part of the Helm release, and the operator is deleted by then. The
// operator adds the ports and the addresses.
func newKubeletService(ctx *pulumi.Context, parent pulumi.Resource, args *KubePrometheusStackArgs) (*corev1.Service, error) {
	service, err := corev1.NewService(ctx, KubeletService, &corev1.ServiceArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(KubeletService),
			Namespace: pulumi.String(kubeletNamespace),
			// Without app.kubernetes.io/managed-by, which the operator sets to its own name: set here too, it
			// would be a conflict from the first refresh on.
			Labels: pulumi.StringMap{partOfLabel: pulumi.String(Project)},
			// skipAwait: it has no endpoints before the operator runs, which waits for it.
			Annotations: skipAwait(),
		},
		Spec: corev1.ServiceSpecArgs{ClusterIP: pulumi.String("None")},
	}, childOptions(parent, args.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering Service %s/%s: %w", kubeletNamespace, KubeletService, err)
	}
	return service, nil
}

func (a *KubePrometheusStackArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{
		validateNamespace("Namespace", a.Namespace),
		validateNamespace("ServingNamespace", a.ServingNamespace),
		validateInterval("ScrapeInterval", a.ScrapeInterval),
		validateInterval("EvaluationInterval", a.EvaluationInterval),
	}
	if !ValidRetention(a.Retention) {
		problems = append(problems, fmt.Errorf("retention %q is not a duration of Prometheus above 0 (such as 7d or 12h)", a.Retention))
	}
	if a.Storage != "" {
		problems = append(problems, validateQuantity("Storage", a.Storage))
	}
	if a.SharedStateMetrics != nil {
		problems = append(problems, a.SharedStateMetrics.validate())
	}
	for _, namespace := range a.WatchNamespaces {
		problems = append(problems, validateNamespace("WatchNamespaces", namespace))
	}
	return errors.Join(problems...)
}
