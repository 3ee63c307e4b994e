package podruntime

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEnvironment(t *testing.T) {
	yes := true
	pod := serverPod("a")
	pod.Spec.NodeName = ""
	pod.Labels = map[string]string{"app": "x"}
	key := func(secret, name string, optional *bool) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: name,
			Optional: optional}}
	}
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	c := &pod.Spec.Containers[0]
	c.EnvFrom = []corev1.EnvFromSource{{Prefix: "P_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}}
	c.Env = []corev1.EnvVar{
		{Name: "PLAIN", Value: "1"},
		{Name: "BOTH", Value: "$(PLAIN)-$(P_a)"},
		{Name: "TOKEN", ValueFrom: key("s", "k", nil)},
		{Name: "ABSENT", ValueFrom: key("s", "none", &yes)},
		{Name: "NAME", ValueFrom: field("metadata.name")},
		{Name: "IP", ValueFrom: field("status.podIP")},
		{Name: "LABEL", ValueFrom: field("metadata.labels['app']")},
	}
	r, _, _ := startRuntime(t, nil, pod,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "c"}, Data: map[string]string{"a": "2"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "s"}, Data: map[string][]byte{"k": []byte("v")}})
	l := &launcher{runtime: r, pod: pod, container: c, dir: t.TempDir()}
	env, err := l.environment()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"P_a": "2", "PLAIN": "1", "BOTH": "1-2", "TOKEN": "v", "NAME": "a", "IP": "10.244.0.7", "LABEL": "x",
	}, env)

	c.Env = []corev1.EnvVar{{Name: "TOKEN", ValueFrom: key("nowhere", "k", nil)}}
	_, err = l.environment()
	require.ErrorIs(t, err, errWaiting)
	assert.ErrorContains(t, err, `variable TOKEN of container "server"`)
}
