package components

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kappsv1 "k8s.io/api/apps/v1"
	kcorev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
)

const (
	claimType     = "kubernetes:core/v1:PersistentVolumeClaim"
	volumeType    = "kubernetes:core/v1:PersistentVolume"
	daemonSetType = "kubernetes:apps/v1:DaemonSet"
)

func TestCompileCacheInPython(t *testing.T) { testPython(t, "compile_cache_test.py") }

// cachingArgs returns the arguments of a server with a cache.
func cachingArgs(cache CompileCache) *VLLMArgs {
	args := vllmArgs()
	cache.Size = "5Gi"
	args.CompileCache = cache
	return args
}

// violations returns what the restricted level forbids in a pod.
func violations(t *testing.T, template kcorev1.PodTemplateSpec) []string {
	t.Helper()
	evaluator, err := podSecurityChecks()
	require.NoError(t, err)
	var found []string
	for _, result := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &template.ObjectMeta, &template.Spec) {
		if !result.Allowed {
			found = append(found, result.ForbiddenReason+": "+result.ForbiddenDetail)
		}
	}
	return found
}

func TestCompileCachePod(t *testing.T) {
	for name, test := range map[string]struct {
		cache CompileCache
		claim string
	}{
		"a claim":          {CompileCache{Claim: "shared"}, "shared"},
		"a class":          {CompileCache{StorageClass: "files"}, "vllm-compile-cache-files"},
		"a folder of each": {CompileCache{OnNodes: true}, "vllm-compile-cache"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runVLLM(t, cachingArgs(test.cache))
			deployment := r.get(t, deploymentType, VLLMName)
			assert.True(t, deployment.dependsOn(configMapType, "vllm-compile-cache"), "no pod starts without the program")
			assert.Equal(t, test.cache.Claim == "", deployment.dependsOn(claimType, test.claim))
			template := decode[kappsv1.Deployment](t, deployment).Spec.Template
			assert.Empty(t, violations(t, template))
			assert.Equal(t, kcorev1.FSGroupChangeOnRootMismatch, *template.Spec.SecurityContext.FSGroupChangePolicy)

			require.Len(t, template.Spec.InitContainers, 2)
			restore, save := template.Spec.InitContainers[0], template.Spec.InitContainers[1]
			assert.Nil(t, restore.RestartPolicy, "the server waits for it")
			require.NotNil(t, save.RestartPolicy)
			assert.Equal(t, kcorev1.ContainerRestartPolicyAlways, *save.RestartPolicy, "it runs beside the server")
			for _, container := range template.Spec.InitContainers {
				assert.Equal(t, template.Spec.Containers[0].Image, container.Image)
				assert.Equal(t, []string{"python3"}, container.Command)
				assert.NotContains(t, container.Resources.Limits, kcorev1.ResourceName("nvidia.com/gpu"))
				assert.Contains(t, container.Env, kcorev1.EnvVar{Name: "NVIDIA_VISIBLE_DEVICES", Value: "void"})
				assert.Contains(t, container.Args, "--home="+homeDir)
			}
			assert.Contains(t, save.Args, "--size=5368709120")
			assert.Contains(t, save.Args, "--health=http://127.0.0.1:8000/health")

			volumes := map[string]kcorev1.Volume{}
			for _, volume := range template.Spec.Volumes {
				volumes[volume.Name] = volume
			}
			require.NotNil(t, volumes[compileCacheVolume].PersistentVolumeClaim)
			assert.Equal(t, test.claim, volumes[compileCacheVolume].PersistentVolumeClaim.ClaimName)
			for _, mount := range template.Spec.Containers[0].VolumeMounts {
				assert.NotContains(t, mount.Name, "compile-cache", "the server uses volumes of its own only")
			}
			// The script is where the command looks for it, and home is that of the server.
			program := decode[kcorev1.ConfigMap](t, r.get(t, configMapType, "vllm-compile-cache"))
			assert.Contains(t, program.Data, strings.TrimPrefix(restore.Args[0], compileCacheScriptDir+"/"))
			assert.Contains(t, restore.VolumeMounts, kcorev1.VolumeMount{Name: "home", MountPath: homeDir})
		})
	}
}

func TestCompileCacheClaims(t *testing.T) {
	t.Run("an existing one is left alone", func(t *testing.T) {
		r := runVLLM(t, cachingArgs(CompileCache{Claim: "shared"}))
		assert.Empty(t, slices.DeleteFunc(r.names(), func(name string) bool {
			return !strings.HasPrefix(name, claimType) && !strings.HasPrefix(name, volumeType)
		}))
	})
	t.Run("of a class", func(t *testing.T) {
		r := runVLLM(t, cachingArgs(CompileCache{StorageClass: "files"}))
		claim := decode[kcorev1.PersistentVolumeClaim](t, r.get(t, claimType, "vllm-compile-cache-files"))
		assert.Equal(t, "files", *claim.Spec.StorageClassName)
		assert.Equal(t, []kcorev1.PersistentVolumeAccessMode{kcorev1.ReadWriteMany}, claim.Spec.AccessModes)
		assert.Equal(t, "5Gi", claim.Spec.Resources.Requests.Storage().String())
		assert.Empty(t, claim.Spec.VolumeName)
		assert.Equal(t, []string{"spec.resources.requests.storage"}, r.get(t, claimType, "vllm-compile-cache-files").IgnoreChanges, "it cannot shrink")
	})
	t.Run("on each node", func(t *testing.T) {
		r := runVLLM(t, cachingArgs(CompileCache{OnNodes: true}))
		claim := decode[kcorev1.PersistentVolumeClaim](t, r.get(t, claimType, "vllm-compile-cache"))
		volume := decode[kcorev1.PersistentVolume](t, r.get(t, volumeType, "vllm-vllm-compile-cache"))
		require.NotNil(t, claim.Spec.StorageClassName)
		assert.Empty(t, *claim.Spec.StorageClassName, "no class makes a volume for it")
		assert.Equal(t, volume.Name, claim.Spec.VolumeName)
		assert.Equal(t, claim.Name, volume.Spec.ClaimRef.Name)
		assert.Equal(t, claim.Namespace, volume.Spec.ClaimRef.Namespace)
		assert.Equal(t, NodeCacheDir+"/vllm", volume.Spec.HostPath.Path)

		agent := decode[kappsv1.DaemonSet](t, r.get(t, daemonSetType, "vllm-autoscaling-cache-vllm-vllm"))
		assert.Equal(t, "kube-system", agent.Namespace)
		pod := agent.Spec.Template.Spec
		require.Len(t, pod.InitContainers, 1)
		own := pod.InitContainers[0]
		assert.Equal(t, nodeCacheMount+"/vllm", own.Command[len(own.Command)-1])
		assert.Equal(t, NodeCacheDir, pod.Volumes[0].HostPath.Path)
		assert.Equal(t, nodeCacheMount, own.VolumeMounts[0].MountPath)
		assert.EqualValues(t, 0, *own.SecurityContext.RunAsUser)
		assert.Nil(t, own.SecurityContext.Privileged)
		assert.Nil(t, pod.Containers[0].SecurityContext.RunAsUser, "only the init container is root")
	})
}

// TestCompileCacheKey checks that each thing that changes what is compiled changes the key.
func TestCompileCacheKey(t *testing.T) {
	keyOf := func(change func(*VLLMArgs)) string {
		args := cachingArgs(CompileCache{Claim: "shared", Hardware: "nvidia-l4"})
		change(args)
		return args.compileCacheKey()
	}
	base := keyOf(func(*VLLMArgs) {})
	assert.Len(t, base, 64)
	seen := map[string]string{base: "base"}
	for name, change := range map[string]func(*VLLMArgs){
		"image":        func(a *VLLMArgs) { a.Image += "x" },
		"model":        func(a *VLLMArgs) { a.Model.ID += "x" },
		"revision":     func(a *VLLMArgs) { a.Model.Revision = "x" },
		"type":         func(a *VLLMArgs) { a.Model.DType = "float32" },
		"quantisation": func(a *VLLMArgs) { a.Model.Quantization = "fp8" },
		"flag":         func(a *VLLMArgs) { a.Model.ExtraArgs = []string{"--enforce-eager"} },
		"GPU":          func(a *VLLMArgs) { a.CompileCache.Hardware = "nvidia-h100-80gb" },
		"GPUs":         func(a *VLLMArgs) { a.GPU.PerReplica = 2 },
		"environment":  func(a *VLLMArgs) { a.Env = map[string]string{"A": "b"} },
	} {
		key := keyOf(change)
		assert.Empty(t, seen[key], name)
		seen[key] = name
	}
	same := keyOf(func(a *VLLMArgs) {
		a.Name, a.Namespace, a.GPU.NodeSelector = "another", "another", map[string]string{"pool": "another"}
	})
	assert.Equal(t, base, same, "servers share what they compile for the same GPU")
	unknown := func(pool string) string {
		return keyOf(func(a *VLLMArgs) {
			a.CompileCache.Hardware, a.GPU.NodeSelector = "", map[string]string{"pool": pool}
		})
	}
	assert.NotEqual(t, unknown("a"), unknown("b"), "the nodes tell the GPU")
}

func TestNoCompileCache(t *testing.T) {
	simulated := simulatorArgs()
	simulated.CompileCache = CompileCache{Claim: "shared", Size: "1Gi"}
	for name, args := range map[string]*VLLMArgs{"none": vllmArgs(), "the simulator compiles nothing": simulated} {
		r := runVLLM(t, args)
		assert.False(t, r.has(configMapType, "vllm-compile-cache"), name)
		template := decode[kappsv1.Deployment](t, r.get(t, deploymentType, VLLMName)).Spec.Template
		assert.Empty(t, template.Spec.InitContainers, name)
		assert.Nil(t, template.Spec.SecurityContext.FSGroupChangePolicy, name)
	}
}

func TestCompileCacheIsChecked(t *testing.T) {
	for name, cache := range map[string]CompileCache{
		"more than one":                           {Claim: "a", OnNodes: true, Size: "1Gi"},
		"CompileCache.Size":                       {OnNodes: true},
		"not the name of a PersistentVolumeClaim": {Claim: "A_b", Size: "1Gi"},
	} {
		args := vllmArgs()
		args.CompileCache = cache
		assert.ErrorContains(t, args.validate(), name)
	}
}

func TestPrePull(t *testing.T) {
	args := vllmArgs()
	args.PrePull = true
	args.GPU.Tolerations = []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists"}}
	args.PodTemplate = PodTemplate{Fields: map[string]any{"spec": map[string]any{"imagePullSecrets": []any{map[string]any{"name": "registry"}}}}}
	r := runVLLM(t, args)
	set := decode[kappsv1.DaemonSet](t, r.get(t, daemonSetType, prePullName(VLLMName)))
	assert.Equal(t, "vllm", set.Namespace)
	assert.Equal(t, "100%", set.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.String())
	template := set.Spec.Template
	assert.Empty(t, violations(t, template))
	assert.Equal(t, args.Image, template.Spec.Containers[0].Image)
	assert.Equal(t, args.GPU.NodeSelector, template.Spec.NodeSelector)
	assert.Len(t, template.Spec.Tolerations, 1)
	assert.Equal(t, []kcorev1.LocalObjectReference{{Name: "registry"}}, template.Spec.ImagePullSecrets)
	assert.NotContains(t, template.Spec.Containers[0].Resources.Limits, kcorev1.ResourceName("nvidia.com/gpu"), "it keeps no GPU from a replica")
	assert.Greater(t, len(nodePodPrefix+"prepull"), 20, "longer than the name of any server, which ends before the last two parts of a pod's name")
	assert.NotRegexp(t, "^"+signals.PodsOf(VLLMName)+"$", set.Name+"-x7k2p", "its metrics are not those of a replica")
	assert.False(t, labels.SelectorFromSet(vllmSelector(VLLMName)).Matches(labels.Set(template.Labels)), "it is no replica")
	assert.True(t, labels.SelectorFromSet(set.Spec.Selector.MatchLabels).Matches(labels.Set(template.Labels)))
	assert.False(t, runVLLM(t, vllmArgs()).has(daemonSetType, prePullName(VLLMName)))
}

func TestNodePodsHaveTheOwnersLabels(t *testing.T) {
	r := run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		if err := AddMetadata(ctx, Metadata{Labels: map[string]string{"team": "ml"}}); err != nil {
			return err
		}
		args := vllmArgs()
		args.PrePull = true
		_, err := NewVLLM(ctx, VLLMName, args, provider)
		return err
	})
	set := decode[kappsv1.DaemonSet](t, r.get(t, daemonSetType, prePullName(VLLMName)))
	assert.Equal(t, "ml", set.Spec.Template.Labels["team"], "admission policies ask for it")
	assert.NotContains(t, set.Spec.Selector.MatchLabels, "team", "a selector cannot change")
	assert.Equal(t, "ml", decode[kappsv1.Deployment](t, r.get(t, deploymentType, VLLMName)).Spec.Template.Labels["team"])
}
