package components

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"vllm-autoscaling/components/signals"
)

const stackdriverAdapterType = "vllm-autoscaling:components:StackdriverAdapter"

func stackdriverArgs(t *testing.T) *StackdriverAdapterArgs {
	return &StackdriverAdapterArgs{
		Namespace: "monitoring", ServingNamespace: "vllm", Image: "example.com/adapter:v1", ListenPort: 10250, Replicas: 2,
		Signals: signals.ForCloudMonitoring(enabled(t, signalSettings())),
	}
}

func runStackdriverAdapter(t *testing.T) *record {
	t.Helper()
	args := stackdriverArgs(t)
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		grant, err := anchor(ctx, "grant", provider)
		if err != nil {
			return err
		}
		args.DependsOn = []pulumi.Resource{grant}
		_, err = NewStackdriverAdapter(ctx, "stackdriver-adapter", args, provider)
		return err
	})
}

func TestStackdriverAdapter(t *testing.T) {
	r := runStackdriverAdapter(t)
	r.assertChildrenOf(t, stackdriverAdapterType)
	for _, reg := range r.registrations {
		if strings.HasPrefix(reg.Type, "kubernetes:") && reg.Type != anchorType {
			assert.True(t, reg.dependsOn(anchorType, "grant"), "%s %s", reg.Type, reg.Name)
		}
	}
	reg := r.get(t, "kubernetes:apps/v1:Deployment", StackdriverAdapterName)
	for _, needed := range []string{"core/v1:ServiceAccount::" + StackdriverAdapterName, "RoleBinding::" + StackdriverAdapterName + "-pod-reader"} {
		assert.True(t, slices.ContainsFunc(reg.Dependencies, func(urn string) bool { return len(urn) > len(needed) && urn[len(urn)-len(needed):] == needed }),
			"it ends at its start without %s", needed)
	}
	deployment := decode[appsv1.Deployment](t, reg)
	assert.EqualValues(t, 2, *deployment.Spec.Replicas)
	pod := deployment.Spec.Template.Spec
	assert.Equal(t, deployment.Spec.Selector.MatchLabels["app.kubernetes.io/name"], deployment.Spec.Template.Labels["app.kubernetes.io/name"])
	assert.Equal(t, StackdriverAdapterName, pod.ServiceAccountName)
	require.Len(t, pod.Containers, 1)
	container := pod.Containers[0]
	assert.Equal(t, "example.com/adapter:v1", container.Image)
	assert.ElementsMatch(t, []string{
		"--use-new-resource-model=true", "--enable-external-metrics-api=false", "--secure-port=10250",
		"--tls-cert-file=/var/run/adapter-certificate/tls.crt", "--tls-private-key-file=/var/run/adapter-certificate/tls.key",
	}, container.Args)
	assert.Equal(t, []string{"/adapter"}, container.Command, "the image has no entrypoint")

	// What the restricted profile of Kubernetes requires, and more.
	security := container.SecurityContext
	assert.False(t, *security.AllowPrivilegeEscalation)
	assert.False(t, *security.Privileged)
	assert.True(t, *security.ReadOnlyRootFilesystem)
	assert.True(t, *security.RunAsNonRoot)
	assert.NotZero(t, *security.RunAsUser)
	assert.Equal(t, []corev1.Capability{"ALL"}, security.Capabilities.Drop)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, security.SeccompProfile.Type)
	assert.False(t, pod.HostNetwork)
	assert.NotZero(t, container.Resources.Limits.Memory().Value())
	assert.NotZero(t, container.Resources.Requests.Cpu().MilliValue())
	// With a certificate it writes nothing.
	require.Len(t, container.VolumeMounts, 1)
	assert.Equal(t, "/var/run/adapter-certificate", container.VolumeMounts[0].MountPath)
	assert.Equal(t, StackdriverAdapterName+"-certificate", pod.Volumes[0].Secret.SecretName)
	assert.True(t, reg.dependsOn(secretType, StackdriverAdapterName+"-certificate"))

	service := decode[corev1.Service](t, r.get(t, "kubernetes:core/v1:Service", StackdriverAdapterName))
	assert.Equal(t, deployment.Spec.Selector.MatchLabels, service.Spec.Selector)
	assert.EqualValues(t, 443, service.Spec.Ports[0].Port, "where MetricsAPI sends requests")
	for _, kind := range []string{"kubernetes:apps/v1:Deployment", "kubernetes:core/v1:Service"} {
		assert.Equal(t, "15m", r.get(t, kind, StackdriverAdapterName).CreateTimeout, "%s: a new grant takes minutes, until which no pod is ready", kind)
	}
	for _, port := range []string{service.Spec.Ports[0].TargetPort.String(), container.ReadinessProbe.HTTPGet.Port.String(),
		container.LivenessProbe.HTTPGet.Port.String(), container.StartupProbe.HTTPGet.Port.String()} {
		assert.Equal(t, container.Ports[0].Name, port)
	}
	assert.EqualValues(t, 10250, container.Ports[0].ContainerPort)
	budget := decode[policyv1.PodDisruptionBudget](t, r.get(t, "kubernetes:policy/v1:PodDisruptionBudget", StackdriverAdapterName))
	assert.Equal(t, "1", budget.Spec.MaxUnavailable.String())
	assert.Equal(t, deployment.Spec.Selector.MatchLabels, budget.Spec.Selector.MatchLabels)
}

// It may list the server's pods, and have callers checked; nothing else.
func TestStackdriverAdapterRights(t *testing.T) {
	r := runStackdriverAdapter(t)
	subject := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "monitoring", Name: StackdriverAdapterName}
	roles := map[string]string{}
	for _, reg := range r.registrations {
		switch reg.Type {
		case "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding":
			binding := decode[rbacv1.RoleBinding](t, reg)
			assert.Equal(t, []rbacv1.Subject{subject}, binding.Subjects)
			roles[binding.Namespace+"/"+binding.Name] = binding.RoleRef.Kind + " " + binding.RoleRef.Name
		case "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding":
			binding := decode[rbacv1.ClusterRoleBinding](t, reg)
			assert.Equal(t, []rbacv1.Subject{subject}, binding.Subjects)
			roles[binding.Name] = binding.RoleRef.Kind + " " + binding.RoleRef.Name
		case "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole":
			t.Errorf("%s: no right of its own holds in the whole cluster", reg.Name)
		}
	}
	assert.Equal(t, map[string]string{
		"monitoring:custom-metrics-stackdriver-adapter-auth-delegator": "ClusterRole system:auth-delegator",
		"kube-system/custom-metrics-stackdriver-adapter-auth-reader":   "Role extension-apiserver-authentication-reader",
		"vllm/custom-metrics-stackdriver-adapter-pod-reader":           "Role custom-metrics-stackdriver-adapter-pod-reader",
	}, roles)
	role := decode[rbacv1.Role](t, r.get(t, "kubernetes:rbac.authorization.k8s.io/v1:Role", StackdriverAdapterName+"-pod-reader"))
	assert.Equal(t, "vllm", role.Namespace)
	assert.Equal(t, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}}}, role.Rules)
}

func TestStackdriverAdapterRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*StackdriverAdapterArgs)
		want   string
	}{
		"no namespace":         {func(a *StackdriverAdapterArgs) { a.Namespace = "" }, `Namespace ""`},
		"no serving namespace": {func(a *StackdriverAdapterArgs) { a.ServingNamespace = "" }, `ServingNamespace ""`},
		"no version":           {func(a *StackdriverAdapterArgs) { a.Image = "adapter" }, "has no version"},
		"a privileged port":    {func(a *StackdriverAdapterArgs) { a.ListenPort = 443 }, "listen port 443"},
		"no replicas":          {func(a *StackdriverAdapterArgs) { a.Replicas = 0 }, "replicas 0"},
		"nothing to serve":     {func(a *StackdriverAdapterArgs) { a.Signals = nil }, "no signal to serve"},
	} {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, test.want, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
				args := stackdriverArgs(t)
				test.change(args)
				_, err := NewStackdriverAdapter(ctx, "stackdriver-adapter", args, provider)
				return err
			})
		})
	}
	assertRefused(t, "arguments are missing", func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		_, err := NewStackdriverAdapter(ctx, "stackdriver-adapter", nil, provider)
		return err
	})
}
