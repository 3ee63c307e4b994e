package stagemodel

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"k8s.io/utils/ptr"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

// cluster is the cluster of a deployed stack. Tests change it before they run the command.
type cluster struct {
	deployment *appsv1.Deployment
	claim      *corev1.PersistentVolumeClaim
	account    *corev1.ServiceAccount
	nodes      []corev1.Node
	others     []runtime.Object
	hub        http.HandlerFunc
	target     Target
	printed    []string
}

func newCluster() *cluster {
	token := corev1.EnvVar{Name: "HF_TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "chat-hf-token"}, Key: "token",
	}}}
	c := &cluster{
		deployment: &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "chat"},
			Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				ServiceAccountName: "chat",
				ImagePullSecrets:   []corev1.LocalObjectReference{{Name: "registry"}},
				Tolerations:        []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
				SecurityContext: &corev1.PodSecurityContext{
					RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(int64(1000)), FSGroup: ptr.To(int64(1000)),
					SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
				},
				Containers: []corev1.Container{
					{Name: "sidecar", Image: "other:v1"},
					{Name: components.VLLMName, Image: "vllm/vllm-openai:v0.20.0", Env: []corev1.EnvVar{
						{Name: "HOME", Value: "/home/vllm"}, {Name: "HF_HUB_CACHE", Value: "/models"}, {Name: "https_proxy", Value: "http://proxy:3128"},
						{Name: "VLLM_API_KEY", Value: "never"}, token, {Name: "AWS_REGION", Value: "eu-central-1"},
					}},
				},
			}}},
		},
		account: &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "chat-stager"}},
		claim: &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "models"},
			Spec:       corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}},
			Status: corev1.PersistentVolumeClaimStatus{
				Phase: corev1.ClaimBound, Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("50Gi")},
			},
		},
		nodes: []corev1.Node{node("gpu", "nvidia.com/gpu"), node("cpu", "")},
		hub:   listed(`false`),
	}
	c.target = Target{Server: "chat", Namespace: "vllm", Model: "example/model", Labels: map[string]string{"team": "ml"}}
	return c
}

func node(name, taint string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if taint != "" {
		n.Spec.Taints = []corev1.Taint{{Key: taint, Value: "present", Effect: corev1.TaintEffectNoSchedule}}
	}
	return n
}

// listed is a hub that has the model, with weights of 5 GiB.
func listed(gated string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"sha": "abc", "gated": %s, "siblings": [
			{"rfilename": "config.json", "size": 100}, {"rfilename": "model.safetensors", "size": 5368709120},
			{"rfilename": "consolidated.safetensors", "size": 5368709120}]}`, gated)
	}
}

func refusing(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Error-Code", code)
		w.WriteHeader(status)
	}
}

func (c *cluster) inClaim() *cluster {
	c.target.Weights = components.Weights{Source: components.WeightsClaim, Claim: "models", Path: "example/model"}
	return c
}

func (c *cluster) inBucket(t *testing.T, uri string) *cluster {
	t.Helper()
	bucket, err := providers.ParseBucket(uri)
	if err != nil {
		t.Fatal(err)
	}
	c.target.Weights = components.Weights{Source: components.WeightsBucket, Bucket: bucket}
	return c
}

// start returns the command on the cluster, whose hub is a server of the test.
func (c *cluster) start(t *testing.T) (Options, *fake.Clientset) {
	t.Helper()
	hub := httptest.NewServer(c.hub)
	t.Cleanup(hub.Close)
	objects := append([]runtime.Object{}, c.others...)
	if c.deployment != nil {
		server := &c.deployment.Spec.Template.Spec.Containers[1]
		server.Env = append(server.Env, corev1.EnvVar{Name: "HF_ENDPOINT", Value: hub.URL + "/"})
		objects = append(objects, c.deployment)
	}
	if c.claim != nil {
		objects = append(objects, c.claim)
	}
	if c.account != nil {
		objects = append(objects, c.account)
	}
	for i := range c.nodes {
		objects = append(objects, &c.nodes[i])
	}
	client := fake.NewClientset(objects...)
	return Options{
		Client: client, Target: c.target, Timeout: time.Hour, HTTP: hub.Client(), poll: time.Millisecond, start: time.Hour,
		Kubectl: "kubectl --context c", Command: "make stage-model STACK=gke",
		Print: func(format string, args ...any) { c.printed = append(c.printed, fmt.Sprintf(format, args...)) },
	}, client
}

func (c *cluster) text() string { return strings.Join(c.printed, "\n") }

// withoutToken removes the Hugging Face token.
func (c *cluster) withoutToken() *cluster {
	server := &c.deployment.Spec.Template.Spec.Containers[1]
	var kept []corev1.EnvVar
	for _, v := range server.Env {
		if v.Name != "HF_TOKEN" {
			kept = append(kept, v)
		}
	}
	server.Env = kept
	return c
}
