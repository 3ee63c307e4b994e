package components

import (
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kcorev1 "k8s.io/api/core/v1"
)

const namespacesType = "vllm-autoscaling:components:Namespaces"

func TestNamespaces(t *testing.T) {
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		pool, err := anchor(ctx, "node-pool", provider)
		if err != nil {
			return err
		}
		_, err = NewNamespaces(ctx, "namespaces", &NamespacesArgs{
			Monitoring: "monitoring", Serving: "vllm", Drain: 10 * time.Minute, DependsOn: []pulumi.Resource{pool},
		}, provider)
		return err
	})
	r.assertChildrenOf(t, namespacesType)
	assert.Len(t, r.children(namespacesType), 2, "one resource for each namespace")

	assert.Equal(t, "3m0s", r.get(t, "kubernetes:core/v1:Namespace", "monitoring").DeleteTimeout)
	assert.Equal(t, "13m0s", r.get(t, "kubernetes:core/v1:Namespace", "vllm").DeleteTimeout, "replicas drain for so long")

	for name, level := range map[string]string{"monitoring": "privileged", "vllm": "restricted"} {
		reg := r.get(t, "kubernetes:core/v1:Namespace", name)
		assert.True(t, reg.dependsOn("kubernetes:core/v1:ConfigMap", "node-pool"), "%s waits for the node pool", name)
		namespace := decode[kcorev1.Namespace](t, reg)
		assert.Equal(t, name, namespace.Name)
		assert.Equal(t, level, namespace.Labels["pod-security.kubernetes.io/enforce"])
		assert.Equal(t, Project, namespace.Labels["app.kubernetes.io/part-of"])
	}
}

func TestNamespacesRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		args *NamespacesArgs
		want string
	}{
		"nothing":         {nil, "arguments are missing"},
		"no monitoring":   {&NamespacesArgs{Serving: "vllm"}, `Monitoring "" is not the name of a namespace`},
		"bad name":        {&NamespacesArgs{Monitoring: "monitoring", Serving: "vLLM"}, `Serving "vLLM" is not the name`},
		"the same":        {&NamespacesArgs{Monitoring: "one", Serving: "one"}, `both "one"`},
		"of Kubernetes":   {&NamespacesArgs{Monitoring: "kube-system", Serving: "vllm"}, `"kube-system" belongs to Kubernetes`},
		"the default one": {&NamespacesArgs{Monitoring: "monitoring", Serving: "default"}, `"default" belongs to Kubernetes`},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				_, err := NewNamespaces(ctx, "namespaces", test.args, provider)
				return err
			})
		})
	}
}

// assertRefused checks that a program fails with a message and has registered nothing but the
// provider by then.
func assertRefused(t *testing.T, want string, program func(ctx *pulumi.Context, provider pulumi.ResourceOption) error) {
	t.Helper()
	r, err := tryRun(program)
	require.ErrorContains(t, err, want)
	assert.Equal(t, []string{"pulumi:providers:kubernetes::" + providerName}, r.names(), "registered before the arguments were checked")
}
