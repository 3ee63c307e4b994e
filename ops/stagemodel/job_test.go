package stagemodel

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"vllm-autoscaling/components/signals"
)

// created returns the Job that the command creates.
func created(t *testing.T, c *cluster, change func(*Options)) (*batchv1.Job, *fake.Clientset) {
	t.Helper()
	o, client := c.start(t)
	if change != nil {
		change(&o)
	}
	job, err := o.create(t.Context())
	require.NoError(t, err)
	return job, client
}

func TestJobsAreRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	require.NoError(t, err)
	for name, c := range map[string]*cluster{
		"claim": newCluster().inClaim(), "gs": newCluster().inBucket(t, "gs://models/one"), "az": newCluster().inBucket(t, "az://account/models/one"),
	} {
		job, _ := created(t, c, nil)
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		for _, result := range evaluator.EvaluatePod(level, &job.Spec.Template.ObjectMeta, &job.Spec.Template.Spec) {
			assert.True(t, result.Allowed, "%s: %s %s", name, result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}

func TestJobForABucket(t *testing.T) {
	c := newCluster().inBucket(t, "az://account/models/gemma")
	c.target.Revision = "v1"
	job, client := created(t, c, func(o *Options) { o.Again = true })
	spec := job.Spec.Template.Spec
	assert.Equal(t, "chat-stager", spec.ServiceAccountName, "the identity that may write")
	assert.False(t, *spec.AutomountServiceAccountToken)
	assert.Equal(t, "true", job.Spec.Template.Labels["azure.workload.identity/use"])
	assert.Equal(t, "ml", job.Spec.Template.Labels["team"])
	assert.Equal(t, []corev1.LocalObjectReference{{Name: "registry"}}, spec.ImagePullSecrets)
	assert.Equal(t, int64(1000), *spec.SecurityContext.FSGroup)

	container := spec.Containers[0]
	assert.Equal(t, "vllm/vllm-openai:v0.20.0", container.Image)
	assert.Equal(t, []string{"python3", "/etc/stage-model/stage_model.py"}, container.Command)
	assert.Equal(t, []string{"--model", "example/model", "--target", "az://account/models/gemma", "--revision", "v1", "--again"}, container.Args)
	var names []string
	for _, variable := range container.Env {
		names = append(names, variable.Name)
	}
	assert.Equal(t, []string{"HOME", "PYTHONDONTWRITEBYTECODE", "https_proxy", "HF_TOKEN", "AWS_REGION", "HF_ENDPOINT"}, names)
	for _, resources := range []corev1.ResourceList{container.Resources.Requests, container.Resources.Limits} {
		assert.NotContains(t, resources, corev1.ResourceName("nvidia.com/gpu"))
	}

	assert.Equal(t, int64(3600), *job.Spec.ActiveDeadlineSeconds)
	assert.Equal(t, int32(retries), *job.Spec.BackoffLimit)
	assert.Equal(t, []int32{exitRefused}, job.Spec.PodFailurePolicy.Rules[0].OnExitCodes.Values, "a refusal is not tried again")
	assert.Equal(t, corev1.RestartPolicyNever, spec.RestartPolicy, "a pod failure policy requires it")

	scripts, err := client.CoreV1().ConfigMaps("vllm").Get(t.Context(), JobName("chat"), metav1.GetOptions{})
	require.NoError(t, err)
	assert.Contains(t, scripts.Data[mainFile], "import stage_folders")
	assert.Contains(t, scripts.Data, foldersFile)
	assert.Equal(t, job.Name, scripts.OwnerReferences[0].Name, "it is removed with its Job")
}

func TestJobForAClaim(t *testing.T) {
	job, _ := created(t, newCluster().inClaim(), nil)
	spec := job.Spec.Template.Spec
	assert.Equal(t, "chat", spec.ServiceAccountName)
	assert.Equal(t, []string{"--model", "example/model", "--target", "/weights/example/model"}, spec.Containers[0].Args)
	at := spec.Volumes[len(spec.Volumes)-1]
	assert.Equal(t, "models", at.PersistentVolumeClaim.ClaimName)
	mount := spec.Containers[0].VolumeMounts[len(spec.Containers[0].VolumeMounts)-1]
	assert.Equal(t, corev1.VolumeMount{Name: at.Name, MountPath: claimDir}, mount, "writable")
}

// A server that reads its weights from the bucket may have no token of its own.
func TestTokenOfTheStack(t *testing.T) {
	c := newCluster().inClaim().withoutToken()
	c.target.HasToken, c.hub = true, listed(`"auto"`)
	job, _ := created(t, c, nil)
	env := job.Spec.Template.Spec.Containers[0].Env
	token := env[len(env)-1]
	assert.Equal(t, "HF_TOKEN", token.Name)
	assert.Equal(t, "chat-hf-token", token.ValueFrom.SecretKeyRef.Name)
	assert.Equal(t, "token", token.ValueFrom.SecretKeyRef.Key)
}

// What selects the pods of a server selects none of the Job's.
func TestJobsAreNoReplicas(t *testing.T) {
	job, _ := created(t, newCluster().inClaim(), nil)
	assert.NotRegexp(t, "^"+signals.PodsOf("chat")+"$", job.Name+"-x7k2p")
	assert.NotEqual(t, "chat", job.Spec.Template.Labels[nameLabel])
	assert.Greater(t, len(jobPrefix)-1, 20, "the longest name of a server")
}

func TestTolerations(t *testing.T) {
	for name, test := range map[string]struct {
		nodes     []corev1.Node
		tolerates bool
	}{
		"a CPU node":         {[]corev1.Node{node("gpu", "nvidia.com/gpu"), node("cpu", "")}, false},
		"GPU nodes only":     {[]corev1.Node{node("gpu", "nvidia.com/gpu")}, true},
		"taints of others":   {[]corev1.Node{node("other", "example.com/other")}, false},
		"both":               {[]corev1.Node{node("other", "example.com/other"), node("gpu", "nvidia.com/gpu")}, true},
		"no node at present": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster().inClaim()
			c.nodes = test.nodes
			job, _ := created(t, c, nil)
			if test.tolerates {
				assert.Equal(t, c.deployment.Spec.Template.Spec.Tolerations, job.Spec.Template.Spec.Tolerations)
			} else {
				assert.Empty(t, job.Spec.Template.Spec.Tolerations)
			}
		})
	}
}

func TestNothingIsCreatedWhere(t *testing.T) {
	modes := func(modes ...corev1.PersistentVolumeAccessMode) func(*cluster) {
		return func(c *cluster) { c.claim.Spec.AccessModes = modes }
	}
	for name, test := range map[string]struct {
		bucket bool
		change func(*cluster)
		want   string
	}{
		"the stack is not deployed": {change: func(c *cluster) { c.deployment = nil }, want: "there is no Deployment vllm/chat: run `pulumi up` first"},
		"the account is missing": {
			bucket: true, change: func(c *cluster) { c.account = nil },
			want: "there is no ServiceAccount vllm/chat-stager, with which the Job writes to gs://models/one",
		},
		"the claim is missing":   {change: func(c *cluster) { c.claim = nil }, want: "there is no PersistentVolumeClaim vllm/models"},
		"the claim is read-only": {change: modes(corev1.ReadOnlyMany), want: "vllm/models is ReadOnlyMany: nothing can write to it"},
		"the claim is lost":      {change: func(c *cluster) { c.claim.Status.Phase = corev1.ClaimLost }, want: "is gone (phase Lost)"},
		"the claim is too small": {
			change: func(c *cluster) { c.claim.Status.Capacity[corev1.ResourceStorage] = *ptrTo("4Gi") },
			want:   "vllm/models has 4Gi, and the weights of example/model are 5.0 GiB",
		},
		"the model is gated": {
			change: func(c *cluster) { c.withoutToken().hub = listed(`"manual"`) },
			want:   "example/model is gated and the server has no Hugging Face token: accept the licence",
		},
		"the catalogue has it as gated": {
			change: func(c *cluster) { c.withoutToken().hub = refusing(503, ""); c.target.Gated = true },
			want:   "is gated and the server has no Hugging Face token",
		},
		"the model is unknown":    {change: func(c *cluster) { c.withoutToken().hub = refusing(401, "RepoNotFound") }, want: "there is no model example/model at"},
		"the revision is unknown": {change: func(c *cluster) { c.hub = refusing(404, "RevisionNotFound"); c.target.Revision = "v9" }, want: "has no revision v9"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster().inClaim()
			if test.bucket {
				c.inBucket(t, "gs://models/one")
			}
			test.change(c)
			o, client := c.start(t)
			require.ErrorContains(t, o.Run(t.Context()), test.want)
			for _, action := range client.Actions() {
				assert.Contains(t, []string{"get", "list"}, action.GetVerb(), "%v", action)
			}
		})
	}
}

// A hub that does not answer the command may answer the Job, and a private model answers its token only.
func TestTheJobFindsOutWhatTheCommandCannot(t *testing.T) {
	for name, hub := range map[string]func(c *cluster){
		"no answer":       func(c *cluster) { c.hub = refusing(503, "") },
		"private":         func(c *cluster) { c.hub = refusing(401, "RepoNotFound") },
		"gated and token": func(c *cluster) { c.hub = listed(`"auto"`) },
	} {
		c := newCluster().inClaim()
		hub(c)
		job, _ := created(t, c, nil)
		assert.NotEmpty(t, job.Name, name)
	}
}

// Without its script the Job would wait forever.
func TestNeitherJobNorScript(t *testing.T) {
	o, client := newCluster().inClaim().start(t)
	client.PrependReactor("create", "configmaps", refuse("configmaps"))
	require.ErrorContains(t, o.Run(t.Context()), "config map vllm/vllm-autoscaling-stage-chat")
	_, err := client.BatchV1().Jobs("vllm").Get(t.Context(), JobName("chat"), metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err))
}

func TestLimit(t *testing.T) {
	job, _ := created(t, newCluster().inClaim(), func(o *Options) { o.Timeout = 90 * time.Minute })
	assert.Equal(t, int64(5400), *job.Spec.ActiveDeadlineSeconds)
}
