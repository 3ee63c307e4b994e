package helm

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/utilities"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// releaseToken is the provider's type of a release.
const releaseToken = "kubernetes:helm.sh/v3:Release"

// maxHistory is the number of revisions that Helm keeps of a release, each as a Secret: Helm's own default, which the
// provider does not have. Without a limit every change of kube-prometheus-stack would leave 400 KB in etcd for good.
const maxHistory = 10

// Chart is a chart to install and where it comes from.
type Chart struct {
	// Name is the chart's name in its repository.
	Name string
	// Version is the exact version. Required: an open version would change a release without a
	// change in the program.
	Version string
	// Repository is the URL of a Helm repository (http:// or https://), an OCI registry path
	// (oci://) or a local directory with the unpacked chart under its name.
	Repository string
	// SecretRepository keeps Repository out of the state and of previews, for an address with credentials in it.
	SecretRepository bool
}

// ReleaseArgs are the inputs of a Release.
type ReleaseArgs struct {
	// Name of the release in Kubernetes. Required, because other objects refer to what the chart
	// names after it.
	Name string
	// Namespace to install into. Required; it must exist, the release never creates it.
	Namespace string
	// Chart to install. Required.
	Chart Chart
	// Values over the chart's own. An Output inside them that is secret stays secret.
	Values map[string]any
	// Timeout bounds each Kubernetes operation of the release, in whole seconds; at least 1 s.
	Timeout time.Duration
}

// Release is an installed chart.
type Release struct {
	pulumi.CustomResourceState

	// Name of the release.
	Name pulumi.StringPtrOutput `pulumi:"name"`
	// Namespace that the release is installed in.
	Namespace pulumi.StringPtrOutput `pulumi:"namespace"`
	// Version of the chart.
	Version pulumi.StringPtrOutput `pulumi:"version"`
	// ResourceNames are the names of the release's objects, by "kind/version".
	ResourceNames pulumi.StringArrayMapOutput `pulumi:"resourceNames"`
	// Status is what Helm reports about the release.
	Status pulumi.MapOutput `pulumi:"status"`
}

// NewRelease registers a release. It reports every missing or impossible argument before it
// registers anything.
func NewRelease(ctx *pulumi.Context, name string, args *ReleaseArgs, opts ...pulumi.ResourceOption) (*Release, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("release %q: %w", name, err)
	}
	release := &Release{}
	if err := ctx.RegisterResource(releaseToken, name, args.inputs(), release, utilities.PkgResourceDefaultOpts(opts)...); err != nil {
		return nil, fmt.Errorf("registering release %q: %w", name, err)
	}
	return release, nil
}

func (a *ReleaseArgs) validate() error {
	if a == nil {
		return fmt.Errorf("arguments are missing")
	}
	var missing []string
	for _, field := range []struct{ name, value string }{
		{"Name", a.Name},
		{"Namespace", a.Namespace},
		{"Chart.Name", a.Chart.Name},
		{"Chart.Version", a.Chart.Version},
		{"Chart.Repository", a.Chart.Repository},
	} {
		if field.value == "" {
			missing = append(missing, field.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s must be set", strings.Join(missing, ", "))
	}
	if a.Timeout < time.Second {
		return fmt.Errorf("timeout %s is too short (at least 1s)", a.Timeout)
	}
	return nil
}

// inputs returns the properties by the names of the provider's schema.
func (a *ReleaseArgs) inputs() pulumi.Map {
	inputs := pulumi.Map{
		// The provider only accepts releases of the current form of this resource with it.
		"compat":          pulumi.String("true"),
		"name":            pulumi.String(a.Name),
		"namespace":       pulumi.String(a.Namespace),
		"createNamespace": pulumi.Bool(false),
		"version":         pulumi.String(a.Chart.Version),
		"timeout":         pulumi.Int(int(a.Timeout / time.Second)),
		"maxHistory":      pulumi.Int(maxHistory),
		"values":          pulumi.ToMap(a.Values),
	}
	address := func(text string) pulumi.StringInput {
		if a.Chart.SecretRepository {
			return pulumi.ToSecret(pulumi.String(text)).(pulumi.StringOutput)
		}
		return pulumi.String(text)
	}
	switch {
	case a.Chart.isRepositoryURL():
		inputs["chart"] = pulumi.String(a.Chart.Name)
		inputs["repositoryOpts"] = pulumi.Map{"repo": address(a.Chart.Repository)}
	default:
		// Helm finds a chart in a registry or a directory by its full path, without a repository.
		inputs["chart"] = address(a.Chart.path())
	}
	return inputs
}

func (c Chart) isRepositoryURL() bool {
	return strings.HasPrefix(c.Repository, "http://") || strings.HasPrefix(c.Repository, "https://")
}

func (c Chart) path() string {
	if registry, isOCI := strings.CutPrefix(c.Repository, "oci://"); isOCI {
		return "oci://" + path.Join(registry, c.Name)
	}
	return path.Join(c.Repository, c.Name)
}
