package components

import (
	"maps"
	"slices"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ownedVariables are the environment variables that the program sets.
var ownedVariables = []string{
	"HOME", "USER", "HF_HUB_CACHE", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR", "VLLM_NO_USAGE_STATS", "HF_TOKEN", "VLLM_API_KEY",
	"VLLM_MEDIA_URL_ALLOW_REDIRECTS", "PYTHONPATH",
}

// environment returns the environment. Everything that vLLM, its compilers and the hub's client write
// is directed to volumes, because the image's file system is read-only.
func (a *VLLMArgs) environment() corev1.EnvVarArray {
	env := corev1.EnvVarArray{}
	add := func(name, value string) {
		env = append(env, corev1.EnvVarArgs{Name: pulumi.String(name), Value: pulumi.String(value)})
	}
	if a.Engine == EngineVLLM {
		add("HOME", homeDir)
		// The user id has no entry in the image's passwd; PyTorch looks its name up.
		add("USER", VLLMName)
		add("HF_HUB_CACHE", modelCacheDir)
		add("TORCHINDUCTOR_CACHE_DIR", homeDir+"/.cache/torchinductor")
		add("NUMBA_CACHE_DIR", homeDir+"/.cache/numba")
		// No usage report leaves the cluster.
		add("VLLM_NO_USAGE_STATS", "1")
		// vLLM checks the host of a medium's URL, but not where the host redirects to.
		add("VLLM_MEDIA_URL_ALLOW_REDIRECTS", "0")
	}
	if a.offline() {
		add("HF_HUB_OFFLINE", "1")
	}
	if a.guardsRequests() {
		add("PYTHONPATH", requestGuardDir)
	}
	addSecret := func(name, secret, key string) {
		env = append(env, corev1.EnvVarArgs{Name: pulumi.String(name), ValueFrom: corev1.EnvVarSourceArgs{
			SecretKeyRef: corev1.SecretKeySelectorArgs{Name: pulumi.String(secret), Key: pulumi.String(key)},
		}})
	}
	if a.HuggingFaceToken != nil {
		addSecret("HF_TOKEN", HuggingFaceSecret(a.Name), huggingFaceKey)
	}
	if a.APIKey != nil {
		addSecret("VLLM_API_KEY", APIKeySecret(a.Name), apiKeyKey)
	}
	// Sorted, because another order would roll all replicas.
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		add(name, a.Env[name])
	}
	variables := a.weights().Variables()
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		add(name, variables[name])
	}
	return env
}

// scratchVolume is an empty volume of the pod.
type scratchVolume struct {
	name, path, sizeLimit string
	inMemory              bool
}

// scratchVolumes returns the volumes that the server writes to. The simulator loads no model and shares no memory.
func (a *VLLMArgs) scratchVolumes() []scratchVolume {
	tmp := scratchVolume{name: "tmp", path: "/tmp"}
	if a.Engine == EngineSimulator {
		return []scratchVolume{tmp}
	}
	return []scratchVolume{
		tmp,
		{name: "home", path: homeDir},
		{name: "model-cache", path: modelCacheDir, sizeLimit: a.ModelCache},
		// The container runtime's default of 64 MiB is too little for the workers of several GPUs.
		{name: "shm", path: "/dev/shm", sizeLimit: a.SharedMemory, inMemory: true},
	}
}

func (a *VLLMArgs) volumes() corev1.VolumeArray {
	volumes := corev1.VolumeArray{}
	for _, scratch := range a.scratchVolumes() {
		source := corev1.EmptyDirVolumeSourceArgs{SizeLimit: optionalString(scratch.sizeLimit)}
		if scratch.inMemory {
			source.Medium = pulumi.String("Memory")
		}
		volumes = append(volumes, corev1.VolumeArgs{Name: pulumi.String(scratch.name), EmptyDir: source})
	}
	if a.weights().Mounted() {
		volumes = append(volumes, a.weights().volume())
	}
	if a.guardsRequests() {
		volumes = append(volumes, corev1.VolumeArgs{
			Name:      pulumi.String(requestGuardVolume),
			ConfigMap: corev1.ConfigMapVolumeSourceArgs{Name: pulumi.String(requestGuardConfigMap(a.Name))},
		})
	}
	if a.keepsCompiled() {
		volumes = append(volumes, a.compileCacheVolumes()...)
	}
	return volumes
}

func (a *VLLMArgs) volumeMounts() corev1.VolumeMountArray {
	mounts := corev1.VolumeMountArray{}
	for _, scratch := range a.scratchVolumes() {
		mounts = append(mounts, corev1.VolumeMountArgs{Name: pulumi.String(scratch.name), MountPath: pulumi.String(scratch.path)})
	}
	if a.weights().Mounted() {
		mounts = append(mounts, corev1.VolumeMountArgs{
			Name: pulumi.String(weightsVolume), MountPath: pulumi.String(weightsDir), ReadOnly: pulumi.Bool(true),
		})
	}
	if a.guardsRequests() {
		mounts = append(mounts, corev1.VolumeMountArgs{
			Name: pulumi.String(requestGuardVolume), MountPath: pulumi.String(requestGuardDir), ReadOnly: pulumi.Bool(true),
		})
	}
	return mounts
}
