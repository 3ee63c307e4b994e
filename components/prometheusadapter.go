package components

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components/helm"
	"vllm-autoscaling/components/signals"
)

const (
	// PrometheusAdapterRelease is the name of the release and of its Deployment.
	PrometheusAdapterRelease = "prometheus-adapter"

	// prometheusAdapterTimeout bounds the wait for the adapter's pods.
	prometheusAdapterTimeout = 10 * time.Minute
)

// PrometheusAdapterArgs are the inputs of PrometheusAdapter.
type PrometheusAdapterArgs struct {
	// Namespace to install into. Required.
	Namespace string
	// Chart is prometheus-adapter's version and repository. Required.
	Chart helm.Chart
	// PrometheusURL is Prometheus' address without a port, such as "http://kps-prometheus.monitoring.svc".
	PrometheusURL string
	// PrometheusPort is its port.
	PrometheusPort int
	// ListenPort is the port of the API in the pod, which the control plane must be able to reach;
	// 1024 to 65535.
	ListenPort int
	// RelistInterval is how often the names of the metrics are listed anew; at least 1 s. It must be
	// well above the scrape interval, or metrics vanish between two lists.
	RelistInterval time.Duration
	// Replicas of the adapter; at least 1.
	Replicas int
	// Signals to serve, and nothing else. At least one.
	Signals []signals.Signal
	// Values of the chart, laid over ours last.
	Values map[string]any
	// DependsOn lists what must exist first: the namespace and Prometheus.
	DependsOn []pulumi.Resource
}

// PrometheusAdapter serves the signals in the custom metrics API. There is one such API in a
// cluster.
type PrometheusAdapter struct {
	pulumi.ResourceState

	// Metrics are the names that the custom metrics API serves.
	Metrics pulumi.StringArrayOutput `pulumi:"metrics"`

	// Release is for others to depend on. On destroy, Helm deletes its APIService before its pods; an
	// APIService without pods would block the deletion of every namespace in the cluster.
	Release *helm.Release
}

// NewPrometheusAdapter registers the release.
func NewPrometheusAdapter(ctx *pulumi.Context, name string, args *PrometheusAdapterArgs,
	opts ...pulumi.ResourceOption,
) (*PrometheusAdapter, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("prometheus-adapter: %w", err)
	}
	values, err := prometheusAdapterValues(args)
	if err != nil {
		return nil, fmt.Errorf("prometheus-adapter: %w", err)
	}
	c := &PrometheusAdapter{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:PrometheusAdapter", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering prometheus-adapter: %w", err)
	}
	if c.Release, err = helm.NewRelease(ctx, PrometheusAdapterRelease, &helm.ReleaseArgs{
		Name:      PrometheusAdapterRelease,
		Namespace: args.Namespace,
		Chart:     args.Chart,
		Values:    values,
		Timeout:   prometheusAdapterTimeout,
	}, childOptions(c, args.DependsOn)...); err != nil {
		return nil, err
	}
	c.Metrics = pulumi.ToStringArray(signals.Names(args.Signals)).ToStringArrayOutput()
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"metrics": c.Metrics}); err != nil {
		return nil, fmt.Errorf("registering the outputs of prometheus-adapter: %w", err)
	}
	return c, nil
}

// prometheusAdapterValues are the chart's values, the user's laid over ours.
func prometheusAdapterValues(a *PrometheusAdapterArgs) (map[string]any, error) {
	rules, err := signals.AdapterHelmRules(a.Signals)
	if err != nil {
		return nil, err
	}
	checksum, err := rulesChecksum(rules)
	if err != nil {
		return nil, err
	}
	return mergeValues(map[string]any{
		"replicas":              a.Replicas,
		"listenPort":            a.ListenPort,
		"metricsRelistInterval": prometheusDuration(a.RelistInterval),
		"prometheus": map[string]any{
			"url":  a.PrometheusURL,
			"port": a.PrometheusPort,
		},
		"rules": map[string]any{
			// The default rules serve every series of the cluster and query all of them at each relist.
			"default": false,
			"custom":  rules,
		},
		// The adapter reads its rules when it starts and never again.
		"podAnnotations":      map[string]any{"vllm-autoscaling/rules-checksum": checksum},
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
		// Two replicas on one node would leave with it. A preference, for clusters of one node.
		"topologySpreadConstraints": []any{map[string]any{
			"maxSkew":           1,
			"topologyKey":       "kubernetes.io/hostname",
			"whenUnsatisfiable": "ScheduleAnyway",
			"labelSelector": map[string]any{"matchLabels": map[string]any{
				"app.kubernetes.io/name":     PrometheusAdapterRelease,
				"app.kubernetes.io/instance": PrometheusAdapterRelease,
			}},
		}},
	}, a.Values), nil
}

// rulesChecksum changes with the rules and with nothing else.
func rulesChecksum(rules []any) (string, error) {
	text, err := json.Marshal(rules)
	if err != nil {
		return "", fmt.Errorf("checksum of the adapter's rules: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

func (a *PrometheusAdapterArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{
		validateNamespace("Namespace", a.Namespace),
		validateInterval("RelistInterval", a.RelistInterval),
	}
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if address, err := url.Parse(a.PrometheusURL); err != nil || address.Host == "" || address.Port() != "" {
		add("prometheus URL %q is not an address without a port (such as http://kps-prometheus.monitoring.svc)", a.PrometheusURL)
	}
	if a.PrometheusPort < 1 || a.PrometheusPort > 65535 {
		add("prometheus port %d is not a port (1 to 65535)", a.PrometheusPort)
	}
	if a.ListenPort < 1024 || a.ListenPort > 65535 {
		add("listen port %d not possible (1024 to 65535, the adapter does not run as root)", a.ListenPort)
	}
	if a.Replicas < 1 {
		add("replicas %d not possible (at least 1)", a.Replicas)
	}
	if len(a.Signals) == 0 {
		add("no signal to serve: switch at least one on")
	}
	return errors.Join(problems...)
}
