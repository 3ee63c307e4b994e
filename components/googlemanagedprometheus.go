package components

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/googlemanaged"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

// ManagedMinInterval is the shortest interval of a scrape or rule: Cloud Monitoring accepts a point of a series at
// most every 5 s.
const ManagedMinInterval = 5 * time.Second

// The kinds of the managed collection, monitoring.googleapis.com/v1, as far as they are used here. Their Go package
// would add all of Prometheus and Cloud Monitoring's client to the program; the tests decode what is registered
// with that package, strictly, and validate it against the schemas that it ships.
type (
	managedMonitoringSpec struct {
		Selector     kmetav1.LabelSelector `json:"selector"`
		Endpoints    []managedEndpoint     `json:"endpoints"`
		TargetLabels managedTargetLabels   `json:"targetLabels"`
	}
	managedEndpoint struct {
		Port             string               `json:"port"`
		Path             string               `json:"path,omitempty"`
		Interval         string               `json:"interval"`
		Timeout          string               `json:"timeout,omitempty"`
		MetricRelabeling []managedRelabelRule `json:"metricRelabeling,omitempty"`
	}
	managedRelabelRule struct {
		Action       string   `json:"action"`
		SourceLabels []string `json:"sourceLabels"`
		Regex        string   `json:"regex"`
	}
	managedTargetLabels struct {
		Metadata []string `json:"metadata"`
	}
	managedRulesSpec struct {
		Groups []managedRuleGroup `json:"groups"`
	}
	managedRuleGroup struct {
		Name     string        `json:"name"`
		Interval string        `json:"interval"`
		Rules    []managedRule `json:"rules"`
	}
	managedRule struct {
		Record string            `json:"record"`
		Expr   string            `json:"expr"`
		Labels map[string]string `json:"labels,omitempty"`
	}
)

// GoogleManagedPrometheusArgs are the inputs of GoogleManagedPrometheus.
type GoogleManagedPrometheusArgs struct {
	// GPUMetrics is the exporter that the cloud runs; its Source must be providers.Managed.
	GPUMetrics providers.GPUMetrics
	// Settings of the signals, from which the rules follow. Their Interval is at least ManagedMinInterval.
	Settings signals.Settings
	// Signals that are on; their rules are added to those that are always there.
	Signals []signals.Signal
	// DependsOn lists what must exist first.
	DependsOn []pulumi.Resource
}

// GoogleManagedPrometheus is what the signals need of Google's managed collection beside the server's scrape: the
// GPUs' utilisation, more often than GKE's own ClusterPodMonitoring collects it (30 s), and the recording
// rules. Both are objects of the cluster: the GPU exporter is in another namespace than the server, and a rule of
// one namespace sees the series of no other.
type GoogleManagedPrometheus struct {
	pulumi.ResourceState

	// Rules is the name of the ClusterRules.
	Rules pulumi.StringOutput `pulumi:"rules"`

	// Objects are for others to depend on.
	Objects []pulumi.Resource
}

// NewGoogleManagedPrometheus registers the objects.
func NewGoogleManagedPrometheus(ctx *pulumi.Context, name string, args *GoogleManagedPrometheusArgs,
	opts ...pulumi.ResourceOption,
) (*GoogleManagedPrometheus, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("managed collection: %w", err)
	}
	c := &GoogleManagedPrometheus{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:GoogleManagedPrometheus", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering the managed collection: %w", err)
	}
	// Set after the registration, which clears the output fields.
	c.Rules = pulumi.String(googlemanaged.Rules).ToStringOutput()

	children := childOptions(c, args.DependsOn)
	gpus, err := newManagedObject(ctx, "ClusterPodMonitoring", "", googlemanaged.GPUMonitoring, managedGPUMonitoring(args), children)
	if err != nil {
		return nil, err
	}
	rules, err := newManagedObject(ctx, "ClusterRules", "", googlemanaged.Rules, managedRules(args.Settings, args.Signals), children)
	if err != nil {
		return nil, err
	}
	c.Objects = []pulumi.Resource{gpus, rules}
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"rules": c.Rules}); err != nil {
		return nil, fmt.Errorf("registering the outputs of the managed collection: %w", err)
	}
	return c, nil
}

// managedGPUMonitoring scrapes nothing but the utilisation, under either of its names.
func managedGPUMonitoring(a *GoogleManagedPrometheusArgs) managedMonitoringSpec {
	interval := prometheusDuration(a.Settings.Interval)
	return managedMonitoringSpec{
		Selector: kmetav1.LabelSelector{MatchLabels: a.GPUMetrics.Managed.PodLabels},
		Endpoints: []managedEndpoint{{
			Port:     a.GPUMetrics.Managed.Port,
			Path:     signals.MetricsPath,
			Interval: interval,
			Timeout:  interval,
			MetricRelabeling: []managedRelabelRule{{
				Action: "keep", SourceLabels: []string{"__name__"}, Regex: signals.OneOf(signals.GPUSeries()),
			}},
		}},
		// With these on the target, the pod that holds the GPU is in exported_pod and exported_namespace.
		TargetLabels: managedTargetLabels{Metadata: []string{"namespace", "pod"}},
	}
}

// managedRules returns the recording rules of the signals. No rule reads the results of another, which are visible
// only after they were written to Cloud Monitoring and read from it.
func managedRules(s signals.Settings, enabled []signals.Signal) managedRulesSpec {
	s.StandaloneRules = true
	var groups []managedRuleGroup
	for _, group := range signals.Rules(s, enabled).Groups {
		managed := managedRuleGroup{Name: group.Name, Interval: string(*group.Interval)}
		for _, rule := range group.Rules {
			managed.Rules = append(managed.Rules, managedRule{Record: rule.Record, Expr: rule.Expr.String(), Labels: rule.Labels})
		}
		groups = append(groups, managed)
	}
	return managedRulesSpec{Groups: groups}
}

func newManagedObject(ctx *pulumi.Context, kind, namespace, name string, spec any,
	opts []pulumi.ResourceOption,
) (*apiextensions.CustomResource, error) {
	return newCustomObject(ctx, googlemanaged.APIVersion, kind, namespace, name, spec, slices.Clone(opts))
}

func (a *GoogleManagedPrometheusArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	problems := []error{a.GPUMetrics.Validate(), a.Settings.Validate()}
	add := func(format string, values ...any) { problems = append(problems, fmt.Errorf(format, values...)) }
	if a.GPUMetrics.Source != providers.Managed {
		add("GPU metrics from %q cannot be collected (only from an exporter that the cloud runs)", a.GPUMetrics.Source)
	}
	if a.Settings.SimulateGPU {
		add("GPU series cannot be simulated here: a rule's results are seen by the next only minutes later")
	}
	if a.Settings.Interval < ManagedMinInterval {
		add("interval %s not possible (at least %s, which is how often Cloud Monitoring takes a point of a series)",
			a.Settings.Interval, ManagedMinInterval)
	}
	return errors.Join(problems...)
}
