package tools

import (
	"fmt"
	"slices"
	"strings"
)

// Names of the lab's programs, for Build and Tools.Path.
const (
	Etcd                  = "etcd"
	KubeAPIServer         = "kube-apiserver"
	KubeControllerManager = "kube-controller-manager"
	KubeScheduler         = "kube-scheduler"
	Kwok                  = "kwok"
	KubeStateMetrics      = "kube-state-metrics"
	Prometheus            = "prometheus"
	PrometheusOperator    = "prometheus-operator"
	PrometheusAdapter     = "prometheus-adapter"
	// ManagedOperator is the operator of Google's managed collection for Prometheus.
	ManagedOperator = "managed-prometheus-operator"
	// StackdriverAdapter stands for Google's Custom Metrics Stackdriver Adapter; its source is in module upstream.
	StackdriverAdapter = "stackdriver-adapter"
	InferenceSim       = "llm-d-inference-sim"
	// Traefik serves the Gateway API. Only tests run it.
	Traefik            = "traefik"
	Pulumi             = "pulumi"
	PulumiLanguageGo   = "pulumi-language-go"
	KubernetesProvider = "pulumi-resource-kubernetes"
	// CloudDoubles stands for the cloud providers' plugins and the authentication programs of their clusters.
	CloudDoubles = "lab-cloud"
)

// Versions that the programs report or that clients compare; the modules pin the same ones.
const (
	kubernetesVersion = "v1.34.1"
	// PulumiVersion is that of the Pulumi CLI; another one on PATH is not used.
	PulumiVersion = "v3.250.0"
	// KubernetesProviderVersion is that of the SDK which the program imports.
	KubernetesProviderVersion = "v4.30.0"
)

// upstream is the folder of the module that pins every program which builds with one list of versions.
const upstream = "upstream"

// Tool is a program that is built from a module under this folder.
type Tool struct {
	Name string
	// Module is the module whose version in the folder's go.mod is the program's version.
	Module string
	// Folder is the module's folder, relative to this one.
	Folder string
	// Package is what is built; one that begins with "./" is a program of the lab's own, relative to Folder.
	Package string
	// Tags are Go build tags, separated by commas.
	Tags string
	// Set are variables that the linker sets, as package.name=value.
	Set []string
	// Edits are changes to Module's source.
	Edits []Edit
	// Installed describes a program that is used instead of building this one.
	Installed Installed
	// Seconds is the CPU time of a first build in the catalogue's order on a current x86 server, for the estimate.
	Seconds int
}

// Catalogue lists the programs in the order in which they are built: those that every lab needs first.
func Catalogue() []Tool {
	return []Tool{
		{Name: Etcd, Module: "go.etcd.io/etcd/server/v3", Folder: upstream, Package: "go.etcd.io/etcd/server/v3",
			Installed: Installed{Args: []string{"--version"}, AnyPatch: true}, Seconds: 130},
		kubernetes(KubeAPIServer, 320),
		kubernetes(KubeControllerManager, 75),
		kubernetes(KubeScheduler, 10),
		{Name: Kwok, Module: "sigs.k8s.io/kwok", Folder: upstream, Package: "sigs.k8s.io/kwok/cmd/kwok", Edits: kwokEdits,
			Installed: Installed{Args: []string{"--version"}}, Seconds: 40},
		{Name: KubeStateMetrics, Module: "k8s.io/kube-state-metrics/v2", Folder: upstream, Package: "k8s.io/kube-state-metrics/v2",
			Installed: Installed{Args: []string{"version"}}, Seconds: 15},
		// Without the other service discoveries Prometheus builds in a quarter of the time.
		{Name: Prometheus, Module: "github.com/prometheus/prometheus", Folder: upstream, Package: "github.com/prometheus/prometheus/cmd/prometheus",
			Tags: "remove_all_sd,enable_kubernetes_sd", Installed: Installed{Args: []string{"--version"}, Release: prometheusRelease}, Seconds: 110},
		// Its module does not build with the Prometheus and Alertmanager of module upstream.
		{Name: PrometheusOperator, Module: "github.com/prometheus-operator/prometheus-operator", Folder: "prometheus-operator",
			Package:   "github.com/prometheus-operator/prometheus-operator/cmd/operator",
			Installed: Installed{Args: []string{"--version"}}, Seconds: 45},
		{Name: PrometheusAdapter, Module: "sigs.k8s.io/prometheus-adapter", Folder: upstream, Package: "sigs.k8s.io/prometheus-adapter/cmd/adapter",
			Edits: adapterEdits, Seconds: 12},
		{Name: InferenceSim, Module: "github.com/llm-d/llm-d-inference-sim", Folder: upstream,
			Package: "github.com/llm-d/llm-d-inference-sim/cmd/llm-d-inference-sim", Edits: simulatorEdits, Seconds: 55},
		{Name: Pulumi, Module: "github.com/pulumi/pulumi/pkg/v3", Folder: upstream, Package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
			// A CLI without a version refuses programs that require one.
			Set: []string{"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=" + PulumiVersion}, Edits: pulumiEdits, Seconds: 165},
		// sdk v3.66.0 is the last version that has the Go language host in its own module.
		{Name: PulumiLanguageGo, Module: "github.com/pulumi/pulumi/sdk/v3", Folder: "pulumi-language-go",
			Package: "github.com/pulumi/pulumi/sdk/v3/go/pulumi-language-go", Seconds: 13},
		// Its module needs Google's fork of Prometheus.
		{Name: ManagedOperator, Module: "github.com/GoogleCloudPlatform/prometheus-engine", Folder: "managed-prometheus-operator",
			Package: "github.com/GoogleCloudPlatform/prometheus-engine/cmd/operator", Seconds: 240},
		// Its module needs forks of two others, and other versions than upstream's of some.
		{Name: Traefik, Module: "github.com/traefik/traefik/v3", Folder: "traefik", Package: "github.com/traefik/traefik/v3/cmd/traefik",
			Edits: traefikEdits, Seconds: 120},
		{Name: StackdriverAdapter, Module: "sigs.k8s.io/custom-metrics-apiserver", Folder: upstream, Package: "./stackdriver-adapter", Seconds: 8},
	}
}

// kubernetes returns a Kubernetes component with the version of a release build; otherwise clients would see v0.0.0.
func kubernetes(name string, seconds int) Tool {
	t := Tool{Name: name, Module: "k8s.io/kubernetes", Folder: upstream, Package: "k8s.io/kubernetes/cmd/" + name,
		Installed: Installed{Args: []string{"--version"}, AnyPatch: true}, Seconds: seconds}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		t.Set = append(t.Set, pkg+".gitVersion="+kubernetesVersion, pkg+".gitMajor=1", pkg+".gitMinor=34")
	}
	return t
}

// prometheusRelease returns the release of a version of Prometheus' module: v3.5.1 is v0.305.1 there.
func prometheusRelease(module string) string {
	var minor, patch int
	if _, err := fmt.Sscanf(module, "v0.3%02d.%d", &minor, &patch); err != nil {
		return module
	}
	return fmt.Sprintf("v3.%d.%d", minor, patch)
}

// googlePrograms run only where Google collects the metrics.
var googlePrograms = []string{ManagedOperator, StackdriverAdapter}

// All lists every program: those of Names, and those that only tests run.
func All() []string { return append(Names(true), Traefik) }

// Names lists the programs that the lab runs for a stack; googleManaged reports whether its metrics are collected by Google.
func Names(googleManaged bool) []string {
	var names []string
	for _, tool := range Catalogue() {
		if tool.Name != Traefik && (googleManaged || !slices.Contains(googlePrograms, tool.Name)) {
			names = append(names, tool.Name)
		}
	}
	return append(names, KubernetesProvider, CloudDoubles)
}

// local reports whether the program's source is in this tree.
func (t Tool) local() bool { return strings.HasPrefix(t.Package, "./") }

// Tools lists where the programs are.
type Tools struct {
	paths map[string]string
	// RealKubernetesProvider reports whether the Kubernetes provider is the published plugin or the one that
	// LAB_KUBERNETES_PROVIDER names, not the lab's double.
	RealKubernetesProvider bool
}

// Path returns the program's file. It panics for a program that was not built: that is a mistake in the caller.
func (t Tools) Path(name string) string {
	path, ok := t.paths[name]
	if !ok {
		panic(fmt.Sprintf("tools: no program %q was built", name))
	}
	return path
}

// Lookup returns the program's file, and whether the program was built.
func (t Tools) Lookup(name string) (path string, ok bool) {
	path, ok = t.paths[name]
	return path, ok
}

// Empty reports whether no program was built yet.
func (t Tools) Empty() bool { return len(t.paths) == 0 }
