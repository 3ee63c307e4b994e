package components

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/signals"
)

const (
	// PrometheusAdapterRelease is the name of the release and of its Deployment.
	PrometheusAdapterRelease = "prometheus-adapter"
	// PrometheusAdapterRules is the ConfigMap with its rules, key config.yaml.
	PrometheusAdapterRules = PrometheusAdapterRelease + "-rules"

	// prometheusAdapterTimeout bounds the wait for the adapter's pods.
	prometheusAdapterTimeout = 10 * time.Minute
)

// PrometheusAdapterArgs are the inputs of PrometheusAdapter.
type PrometheusAdapterArgs struct {
	// Namespace to install into. Required.
	Namespace string
	// Chart is prometheus-adapter's version and repository. Required.
	Chart helm.Chart
	// Prometheus is where the series are queried. Required.
	Prometheus PrometheusEndpoint
	// ListenPort is the port of the API in the pod, which the control plane must be able to reach;
	// 1024 to 65535.
	ListenPort int
	// RelistInterval is how often the adapter lists the names of the metrics; at least 1 s. It must be
	// well above the scrape interval, or metrics disappear between two lists.
	RelistInterval time.Duration
	// Replicas of the adapter; at least 1.
	Replicas int
	// Signals to serve, and nothing else. At least one.
	Signals []signals.Signal
	// Metadata of the chart's objects and pods.
	Metadata Metadata
	// Values of the chart, merged last over the program's own.
	Values map[string]any
	// DependsOn lists what must exist first: the namespace and Prometheus.
	DependsOn []pulumi.Resource
}

// PrometheusAdapter serves the signals in the custom metrics API. A cluster has one such API, which
// MetricsAPI registers.
type PrometheusAdapter struct {
	pulumi.ResourceState

	// Metrics are the names that the custom metrics API serves.
	Metrics pulumi.StringArrayOutput `pulumi:"metrics"`

	// CABundle is the authority of the certificate of the adapter's Service, PEM in base64.
	CABundle pulumi.StringOutput

	// Release is for others to depend on. The API is registered by MetricsAPI.
	Release *helm.Release
}

// NewPrometheusAdapter registers the release.
func NewPrometheusAdapter(ctx *pulumi.Context, name string, args *PrometheusAdapterArgs,
	opts ...pulumi.ResourceOption,
) (*PrometheusAdapter, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("prometheus-adapter: %w", err)
	}
	config, err := signals.AdapterConfigYAML(args.Signals)
	if err != nil {
		return nil, fmt.Errorf("prometheus-adapter: %w", err)
	}
	c := &PrometheusAdapter{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:PrometheusAdapter", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering prometheus-adapter: %w", err)
	}
	rules, err := corev1.NewConfigMap(ctx, PrometheusAdapterRules, &corev1.ConfigMapArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:      pulumi.String(PrometheusAdapterRules),
			Namespace: pulumi.String(args.Namespace),
			Labels:    pulumi.ToStringMap(commonLabels()),
		},
		Data: pulumi.StringMap{"config.yaml": pulumi.String(string(config))},
	}, childOptions(c, args.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering ConfigMap %s/%s: %w", args.Namespace, PrometheusAdapterRules, err)
	}
	certificate, err := newServingCertificate(ctx, args.Namespace, PrometheusAdapterRelease, childOptions(c, args.DependsOn))
	if err != nil {
		return nil, err
	}
	c.CABundle = authority(certificate)
	if c.Release, err = helm.NewRelease(ctx, PrometheusAdapterRelease, &helm.ReleaseArgs{
		Name:      PrometheusAdapterRelease,
		Namespace: args.Namespace,
		Chart:     args.Chart,
		Values:    prometheusAdapterValues(args, config),
		Timeout:   prometheusAdapterTimeout,
	}, childOptions(c, append(slices.Clone(args.DependsOn), rules, certificate))...); err != nil {
		return nil, err
	}
	c.Metrics = pulumi.ToStringArray(signals.Names(args.Signals)).ToStringArrayOutput()
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"metrics": c.Metrics}); err != nil {
		return nil, fmt.Errorf("registering the outputs of prometheus-adapter: %w", err)
	}
	return c, nil
}

// prometheusAdapterValues returns the chart's values, with the user's merged last.
func prometheusAdapterValues(a *PrometheusAdapterArgs, config []byte) map[string]any {
	prometheus := map[string]any{"url": a.Prometheus.URL, "port": a.Prometheus.Port}
	if a.Prometheus.Path != "" {
		prometheus["path"] = a.Prometheus.Path
	}
	values := mergeValues(mergeValues(map[string]any{
		"replicas":              a.Replicas,
		"listenPort":            a.ListenPort,
		"metricsRelistInterval": prometheusDuration(a.RelistInterval),
		"prometheus":            prometheus,
		"rules": map[string]any{
			// The default rules serve every series of the cluster and query all of them at each relist.
			"default": false,
			// With rules in its values, the chart would register the custom metrics API with the release and delete it
			// with the release; with rules in another ConfigMap it leaves that to MetricsAPI.
			"existing": PrometheusAdapterRules,
		},
		// The adapter reads its rules at startup only.
		"podAnnotations":      map[string]any{"vllm-autoscaling/rules-checksum": checksum(string(config))},
		"podDisruptionBudget": map[string]any{"enabled": true, "maxUnavailable": 1},
		"resources":           resourceValues("50m", "96Mi", "256Mi"),
		"hostNetwork":         map[string]any{"enabled": false},
		"podSecurityContext":  podSecurityValues(10001, 10001),
		"securityContext": map[string]any{
			"allowPrivilegeEscalation": false,
			"readOnlyRootFilesystem":   true,
			"runAsNonRoot":             true,
			"runAsUser":                10001,
			"capabilities":             map[string]any{"drop": []any{"ALL"}},
			"seccompProfile":           map[string]any{"type": "RuntimeDefault"},
		},
		// Two replicas on one node would be lost with it. A preference, for clusters of one node.
		"topologySpreadConstraints": []any{map[string]any{
			"maxSkew":           1,
			"topologyKey":       "kubernetes.io/hostname",
			"whenUnsatisfiable": "ScheduleAnyway",
			"labelSelector": map[string]any{"matchLabels": map[string]any{
				nameLabel:     PrometheusAdapterRelease,
				instanceLabel: PrometheusAdapterRelease,
			}},
		}},
	}, a.Metadata.values(prometheusAdapterMetadata)), a.Values)
	// Not the chart's own values for a certificate, which would put the key into the release.
	return mergeValues(values, map[string]any{
		"extraArguments": withValues(values["extraArguments"], append(anyValues(certificateArguments()), a.Prometheus.arguments()...)...),
		"extraVolumes": withValues(values["extraVolumes"], append([]any{map[string]any{
			"name": certificateVolume, "secret": map[string]any{"secretName": certificateSecret(PrometheusAdapterRelease)},
		}}, a.Prometheus.volumes()...)...),
		"extraVolumeMounts": withValues(values["extraVolumeMounts"], append([]any{map[string]any{
			"name": certificateVolume, "mountPath": certificatePath, "readOnly": true,
		}}, a.Prometheus.mounts()...)...),
	})
}

func (a *PrometheusAdapterArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{
		validateNamespace("Namespace", a.Namespace),
		validateInterval("RelistInterval", a.RelistInterval),
		validateAdapter(a.ListenPort, a.Replicas, a.Signals),
		a.Prometheus.validate(),
	}
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if address, err := url.Parse(a.Prometheus.URL); err != nil || address.Host == "" || address.Port() != "" {
		add("prometheus URL %q is not an address without a port (such as http://kps-prometheus.monitoring.svc)", a.Prometheus.URL)
	}
	if a.Prometheus.Port < 1 || a.Prometheus.Port > 65535 {
		add("prometheus port %d is not a port (1 to 65535)", a.Prometheus.Port)
	}
	return errors.Join(problems...)
}
