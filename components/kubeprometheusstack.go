package components

import (
	"crypto/rand"
	"encoding/base64"
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
	grafanaUserKey     = "admin-user"
	grafanaPasswordKey = "admin-password"

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
	// Grafana installs Grafana with the chart's dashboards.
	Grafana bool
	// GrafanaPassword of the user admin; nil generates one, which is kept from then on. A running
	// Grafana uses a changed password after its pod has restarted.
	GrafanaPassword pulumi.StringPtrInput
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
	kubelets, err := newKubeletService(ctx, c, args)
	if err != nil {
		return nil, err
	}
	releaseNeeds := append([]pulumi.Resource{kubelets}, args.DependsOn...)
	if args.Grafana {
		admin, err := newGrafanaAdmin(ctx, c, args)
		if err != nil {
			return nil, err
		}
		// Read back from the resource: every run of the program generates a password, and only the one
		// in the state is in use.
		c.GrafanaPassword = pulumi.ToSecret(admin.Data.MapIndex(pulumi.String(grafanaPasswordKey)).ApplyT(decodeBase64)).(pulumi.StringOutput)
		releaseNeeds = append(releaseNeeds, admin)
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

func newGrafanaAdmin(ctx *pulumi.Context, parent pulumi.Resource, args *KubePrometheusStackArgs) (*corev1.Secret, error) {
	var password pulumi.StringInput
	var extra []pulumi.ResourceOption
	if args.GrafanaPassword != nil {
		password = args.GrafanaPassword.ToStringPtrOutput().Elem()
	} else {
		password = pulumi.String(rand.Text())
		// The password generated on the first run stays; those of later runs are dropped.
		extra = append(extra, pulumi.IgnoreChanges([]string{"data"}))
	}
	secret, err := newSecret(ctx, args.Namespace, GrafanaAdminSecret, map[string]pulumi.StringInput{
		grafanaUserKey:     pulumi.String(GrafanaAdminUser),
		grafanaPasswordKey: password,
	}, childOptions(parent, args.DependsOn, extra...))
	if err != nil {
		return nil, err
	}
	return secret, nil
}

func decodeBase64(encoded string) (string, error) {
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", fmt.Errorf("decoding key %q of Secret %q: %w", grafanaPasswordKey, GrafanaAdminSecret, err)
	}
	return string(plain), nil
}

// kubePrometheusStackValues returns the chart's values, with the user's merged last.
func kubePrometheusStackValues(a *KubePrometheusStackArgs) map[string]any {
	return mergeValues(map[string]any{
		"fullnameOverride": KubePrometheusStackRelease,
		"prometheus": map[string]any{
			"prometheusSpec": prometheusSpecValues(a),
		},
		"prometheusOperator": map[string]any{
			"kubeletService":           map[string]any{"enabled": true, "namespace": kubeletNamespace, "name": KubeletService},
			"resources":                resourceValues("50m", "128Mi", "512Mi"),
			"securityContext":          podSecurityValues(65534, 65534),
			"containerSecurityContext": containerSecurityValues(),
		},
		"alertmanager": map[string]any{
			"enabled": true,
			"alertmanagerSpec": map[string]any{
				"resources":       resourceValues("20m", "64Mi", "256Mi"),
				"securityContext": podSecurityValues(1000, 2000),
			},
		},
		"grafana": grafanaValues(a),
		"kube-state-metrics": map[string]any{
			"fullnameOverride":         KubePrometheusStackRelease + "-kube-state-metrics",
			"resources":                resourceValues("20m", "64Mi", "256Mi"),
			"securityContext":          podSecurityValues(65534, 65534),
			"containerSecurityContext": containerSecurityValues(),
		},
		"prometheus-node-exporter": map[string]any{
			"fullnameOverride":         KubePrometheusStackRelease + "-prometheus-node-exporter",
			"resources":                resourceValues("20m", "32Mi", "128Mi"),
			"securityContext":          podSecurityValues(65534, 65534),
			"containerSecurityContext": containerSecurityValues(),
		},
		"crds":                  map[string]any{"upgradeJob": crdUpgradeValues(a)},
		"coreDns":               map[string]any{"enabled": a.CoreDNSScrapes},
		"kubeControllerManager": map[string]any{"enabled": a.ControlPlaneScrapes},
		"kubeScheduler":         map[string]any{"enabled": a.ControlPlaneScrapes},
		"kubeEtcd":              map[string]any{"enabled": a.ControlPlaneScrapes},
		"kubeProxy":             map[string]any{"enabled": a.ControlPlaneScrapes},
		"defaultRules": map[string]any{
			"rules": map[string]any{
				"etcd":                   a.ControlPlaneScrapes,
				"kubeControllerManager":  a.ControlPlaneScrapes,
				"kubeSchedulerAlerting":  a.ControlPlaneScrapes,
				"kubeSchedulerRecording": a.ControlPlaneScrapes,
				"kubeProxy":              a.ControlPlaneScrapes,
			},
		},
	}, a.Values)
}

// crdUpgradeValues returns the values of the chart's Job that applies the CRDs.
func crdUpgradeValues(a *KubePrometheusStackArgs) map[string]any {
	if !a.UpgradeCRDs {
		return map[string]any{"enabled": false}
	}
	return map[string]any{
		"enabled": true,
		// The CRDs belong to whoever has installed them, which is Helm or another tool.
		"forceConflicts": true,
		// The chart's latest may change from one run to the next. The image of kubectl follows the cluster's version.
		"image":     map[string]any{"busybox": map[string]any{"tag": busyboxTag}},
		"resources": resourceValues("20m", "64Mi", "512Mi"),
	}
}

func prometheusSpecValues(a *KubePrometheusStackArgs) map[string]any {
	spec := map[string]any{
		"scrapeInterval":     prometheusDuration(a.ScrapeInterval),
		"evaluationInterval": prometheusDuration(a.EvaluationInterval),
		"retention":          a.Retention,
		"resources":          resourceValues("250m", "1Gi", "3Gi"),
		"securityContext":    podSecurityValues(1000, 2000),
		// Left at the chart's default, Prometheus would only see objects labelled with the release.
		"serviceMonitorSelectorNilUsesHelmValues": false,
		"podMonitorSelectorNilUsesHelmValues":     false,
		"ruleSelectorNilUsesHelmValues":           false,
		"probeSelectorNilUsesHelmValues":          false,
		"scrapeConfigSelectorNilUsesHelmValues":   false,
	}
	if a.Storage == "" {
		return spec
	}
	claim := map[string]any{
		"accessModes": []any{"ReadWriteOnce"},
		"resources":   map[string]any{"requests": map[string]any{"storage": a.Storage}},
	}
	if a.StorageClass != "" {
		claim["storageClassName"] = a.StorageClass
	}
	spec["storageSpec"] = map[string]any{"volumeClaimTemplate": map[string]any{"spec": claim}}
	return spec
}

func grafanaValues(a *KubePrometheusStackArgs) map[string]any {
	if !a.Grafana {
		return map[string]any{"enabled": false}
	}
	return map[string]any{
		"enabled":          true,
		"fullnameOverride": GrafanaService,
		"admin": map[string]any{
			"existingSecret": GrafanaAdminSecret,
			"userKey":        grafanaUserKey,
			"passwordKey":    grafanaPasswordKey,
		},
		"resources":       resourceValues("50m", "192Mi", "512Mi"),
		"securityContext": podSecurityValues(472, 472),
		"containerSecurityContext": map[string]any{
			"allowPrivilegeEscalation": false,
			"capabilities":             map[string]any{"drop": []any{"ALL"}},
		},
		"sidecar": map[string]any{
			"resources": resourceValues("10m", "96Mi", "192Mi"),
			"dashboards": map[string]any{
				"enabled":    true,
				"label":      dashboardLabel,
				"labelValue": dashboardLabelValue,
				// Dashboards may be in any namespace.
				"searchNamespace": "ALL",
			},
		},
	}
}

func (a *KubePrometheusStackArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{
		validateNamespace("Namespace", a.Namespace),
		validateInterval("ScrapeInterval", a.ScrapeInterval),
		validateInterval("EvaluationInterval", a.EvaluationInterval),
	}
	if !ValidRetention(a.Retention) {
		problems = append(problems, fmt.Errorf("retention %q is not a duration of Prometheus above 0 (such as 7d or 12h)", a.Retention))
	}
	if a.Storage != "" {
		problems = append(problems, validateQuantity("Storage", a.Storage))
	}
	return errors.Join(problems...)
}
