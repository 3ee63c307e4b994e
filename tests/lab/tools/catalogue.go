// Package tools builds the upstream programs that the lab runs, each from a module of its own that
// pins it and everything it imports by checksum, and keeps them in the user's cache folder.
package tools

import "fmt"

// Names of the lab's programs, for Tools.Path.
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
	// StackdriverAdapter stands for Google's Custom Metrics Stackdriver Adapter; its source is in its folder.
	StackdriverAdapter = "stackdriver-adapter"
	InferenceSim       = "llm-d-inference-sim"
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

// Tool is a program that is built from a module under this folder.
type Tool struct {
	Name string
	// Module whose version in the folder's go.mod is the program's version.
	Module string
	// Folder is the module's folder, relative to this one.
	Folder string
	// Package is what is built; "." is a program of the lab's own whose source is in Folder.
	Package string
	// Tags are Go build tags.
	Tags string
	// Set are variables that the linker sets, as package.name=value.
	Set []string
}

// Catalogue lists the programs in the order in which they are built: those that every lab needs first.
func Catalogue() []Tool {
	return []Tool{
		{Name: Etcd, Module: "go.etcd.io/etcd/server/v3", Folder: "etcd", Package: "go.etcd.io/etcd/server/v3"},
		kubernetes(KubeAPIServer),
		kubernetes(KubeControllerManager),
		kubernetes(KubeScheduler),
		{Name: Kwok, Module: "sigs.k8s.io/kwok", Folder: "kwok", Package: "sigs.k8s.io/kwok/cmd/kwok"},
		{Name: KubeStateMetrics, Module: "k8s.io/kube-state-metrics/v2", Folder: "kube-state-metrics", Package: "k8s.io/kube-state-metrics/v2"},
		// Without the other service discoveries Prometheus builds in a quarter of the time.
		{Name: Prometheus, Module: "github.com/prometheus/prometheus", Folder: "prometheus", Package: "github.com/prometheus/prometheus/cmd/prometheus",
			Tags: "remove_all_sd,enable_kubernetes_sd"},
		{Name: PrometheusOperator, Module: "github.com/prometheus-operator/prometheus-operator", Folder: "prometheus-operator",
			Package: "github.com/prometheus-operator/prometheus-operator/cmd/operator"},
		{Name: PrometheusAdapter, Module: "sigs.k8s.io/prometheus-adapter", Folder: "prometheus-adapter", Package: "sigs.k8s.io/prometheus-adapter/cmd/adapter"},
		{Name: ManagedOperator, Module: "github.com/GoogleCloudPlatform/prometheus-engine", Folder: "managed-prometheus-operator",
			Package: "github.com/GoogleCloudPlatform/prometheus-engine/cmd/operator"},
		{Name: StackdriverAdapter, Module: "sigs.k8s.io/custom-metrics-apiserver", Folder: "stackdriver-adapter", Package: "."},
		{Name: InferenceSim, Module: "github.com/llm-d/llm-d-inference-sim", Folder: "inference-sim",
			Package: "github.com/llm-d/llm-d-inference-sim/cmd/llm-d-inference-sim"},
		{Name: Pulumi, Module: "github.com/pulumi/pulumi/pkg/v3", Folder: "pulumi", Package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
			// A CLI without a version refuses to work with programs that ask for one.
			Set: []string{"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=" + PulumiVersion}},
		// sdk v3.66.0 is the last version that holds the Go language host in its own module.
		{Name: PulumiLanguageGo, Module: "github.com/pulumi/pulumi/sdk/v3", Folder: "pulumi-language-go",
			Package: "github.com/pulumi/pulumi/sdk/v3/go/pulumi-language-go"},
	}
}

// kubernetes gives the program the version that a release build has: clients would see v0.0.0.
func kubernetes(name string) Tool {
	t := Tool{Name: name, Module: "k8s.io/kubernetes", Folder: "kubernetes", Package: "k8s.io/kubernetes/cmd/" + name}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		t.Set = append(t.Set, pkg+".gitVersion="+kubernetesVersion, pkg+".gitMajor=1", pkg+".gitMinor=34")
	}
	return t
}

// Tools says where the programs are.
type Tools struct {
	paths map[string]string
	// RealKubernetesProvider says that the Kubernetes provider is the published plugin or one that
	// LAB_KUBERNETES_PROVIDER names, not the lab's double.
	RealKubernetesProvider bool
}

// Path returns the program's file. It panics on a name that is not one of the constants of this
// package: that is a mistake in the caller.
func (t Tools) Path(name string) string {
	path, ok := t.paths[name]
	if !ok {
		panic(fmt.Sprintf("tools: no program %q was built", name))
	}
	return path
}

// Empty says that nothing was built yet.
func (t Tools) Empty() bool { return len(t.paths) == 0 }
