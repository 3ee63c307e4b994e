package helm

import (
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type registered struct {
	mu     sync.Mutex
	all    []pulumi.MockResourceArgs
	answer resource.PropertyMap
}

func (r *registered) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, args)
	state := args.Inputs.Copy()
	for key, value := range r.answer {
		state[key] = value
	}
	return args.Name, state, nil
}

func (*registered) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return resource.PropertyMap{}, nil
}

func releaseArgs() *ReleaseArgs {
	return &ReleaseArgs{
		Name: "kps", Namespace: "monitoring", Timeout: 10 * time.Minute,
		Chart:  Chart{Name: "kube-prometheus-stack", Version: "88.5.3", Repository: "https://charts.example.com"},
		Values: map[string]any{"replicas": 2, "nested": map[string]any{"list": []any{"a", map[string]any{"b": true}}}},
	}
}

func register(t *testing.T, args *ReleaseArgs, r *registered) pulumi.MockResourceArgs {
	t.Helper()
	require.NoError(t, pulumi.RunErr(func(ctx *pulumi.Context) error {
		_, err := NewRelease(ctx, "release", args)
		return err
	}, pulumi.WithMocks("project", "stack", r)))
	require.Len(t, r.all, 1)
	return r.all[0]
}

func TestReleaseInputs(t *testing.T) {
	args := register(t, releaseArgs(), &registered{})
	assert.Equal(t, "kubernetes:helm.sh/v3:Release", args.TypeToken)
	assert.Equal(t, map[string]any{
		"compat":          "true",
		"name":            "kps",
		"namespace":       "monitoring",
		"createNamespace": false,
		"chart":           "kube-prometheus-stack",
		"version":         "88.5.3",
		"repositoryOpts":  map[string]any{"repo": "https://charts.example.com"},
		"timeout":         600.0,
		"maxHistory":      10.0,
		"values":          map[string]any{"replicas": 2.0, "nested": map[string]any{"list": []any{"a", map[string]any{"b": true}}}},
	}, args.Inputs.Mappable())
	// The default version is the one of the SDK, so that the engine loads its plugin.
	assert.NotEmpty(t, args.RegisterRPC.GetVersion())
}

func TestReleaseChartSources(t *testing.T) {
	for repository, want := range map[string]struct {
		chart string
		repo  any
	}{
		"https://charts.example.com":        {"kube-prometheus-stack", "https://charts.example.com"},
		"http://127.0.0.1:8080":             {"kube-prometheus-stack", "http://127.0.0.1:8080"},
		"oci://registry.example.com/charts": {"oci://registry.example.com/charts/kube-prometheus-stack", nil},
		"oci://registry.example.com/a/":     {"oci://registry.example.com/a/kube-prometheus-stack", nil},
		"/srv/charts":                       {"/srv/charts/kube-prometheus-stack", nil},
	} {
		t.Run(repository, func(t *testing.T) {
			args := releaseArgs()
			args.Chart.Repository = repository
			inputs := register(t, args, &registered{}).Inputs.Mappable()
			assert.Equal(t, want.chart, inputs["chart"])
			if want.repo == nil {
				assert.NotContains(t, inputs, "repositoryOpts")
			} else {
				assert.Equal(t, map[string]any{"repo": want.repo}, inputs["repositoryOpts"])
			}
		})
	}
}

// An address may carry a password.
func TestReleaseKeepsASecretRepository(t *testing.T) {
	for _, repository := range []string{"https://user:hidden@charts.example.com", "oci://user:hidden@registry.example.com/charts"} {
		args := releaseArgs()
		args.Values = nil
		args.Chart.Repository, args.Chart.SecretRepository = repository, true
		inputs := register(t, args, &registered{}).Inputs
		address := inputs["chart"]
		if options := inputs["repositoryOpts"]; options.HasValue() {
			address = options
		}
		require.True(t, address.ContainsSecrets(), "%v", address)
		args.Chart.SecretRepository = false
		assert.False(t, register(t, args, &registered{}).Inputs.ContainsSecrets())
	}
}

func TestReleaseKeepsSecretsInValues(t *testing.T) {
	args := releaseArgs()
	args.Values = map[string]any{"auth": map[string]any{"password": pulumi.ToSecret(pulumi.String("hidden"))}, "plain": "seen"}
	inputs := register(t, args, &registered{}).Inputs
	require.True(t, inputs.ContainsSecrets())
	values := inputs["values"]
	for values.IsSecret() {
		values = values.SecretValue().Element
	}
	auth := values.ObjectValue()["auth"]
	assert.True(t, auth.IsSecret() || auth.ContainsSecrets())
}

func TestReleaseOutputs(t *testing.T) {
	mocks := &registered{answer: resource.PropertyMap{
		"resourceNames": resource.NewProperty(resource.PropertyMap{
			"Service/v1": resource.NewProperty([]resource.PropertyValue{resource.NewProperty("monitoring/kps-prometheus")}),
		}),
		"status": resource.NewProperty(resource.PropertyMap{"status": resource.NewProperty("deployed")}),
	}}
	var names map[string][]string
	var status map[string]any
	require.NoError(t, pulumi.RunErr(func(ctx *pulumi.Context) error {
		release, err := NewRelease(ctx, "release", releaseArgs())
		if err != nil {
			return err
		}
		ctx.Export("seen", pulumi.All(release.ResourceNames, release.Status).ApplyT(func(all []any) bool {
			names, status = all[0].(map[string][]string), all[1].(map[string]any)
			return true
		}))
		return nil
	}, pulumi.WithMocks("project", "stack", mocks)))
	assert.Equal(t, map[string][]string{"Service/v1": {"monitoring/kps-prometheus"}}, names)
	assert.Equal(t, "deployed", status["status"])
}

func TestReleaseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*ReleaseArgs)
		want   string
	}{
		"no name":       {func(a *ReleaseArgs) { a.Name = "" }, "Name must be set"},
		"no namespace":  {func(a *ReleaseArgs) { a.Namespace = "" }, "Namespace must be set"},
		"no chart":      {func(a *ReleaseArgs) { a.Chart = Chart{} }, "Chart.Name, Chart.Version, Chart.Repository must be set"},
		"an open chart": {func(a *ReleaseArgs) { a.Chart.Version = "" }, "Chart.Version must be set"},
		"no timeout":    {func(a *ReleaseArgs) { a.Timeout = 0 }, "timeout 0s is too short"},
	} {
		t.Run(name, func(t *testing.T) {
			mocks := &registered{}
			err := pulumi.RunErr(func(ctx *pulumi.Context) error {
				args := releaseArgs()
				test.change(args)
				_, err := NewRelease(ctx, "release", args)
				return err
			}, pulumi.WithMocks("project", "stack", mocks))
			require.ErrorContains(t, err, test.want)
			assert.Empty(t, mocks.all)
		})
	}
	t.Run("nothing", func(t *testing.T) {
		err := pulumi.RunErr(func(ctx *pulumi.Context) error {
			_, err := NewRelease(ctx, "release", nil)
			return err
		}, pulumi.WithMocks("project", "stack", &registered{}))
		require.ErrorContains(t, err, "arguments are missing")
	})
}
