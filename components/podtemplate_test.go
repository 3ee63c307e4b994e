package components

import (
	"encoding/json"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kcorev1 "k8s.io/api/core/v1"
	kresource "k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// template returns a pod template as package config decodes it.
func template(t *testing.T, text string) PodTemplate {
	t.Helper()
	var typed kcorev1.PodTemplateSpec
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &typed))
	content, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(content, &fields))
	return PodTemplate{Fields: fields}
}

func asYAML(t *testing.T, object any) string {
	t.Helper()
	text, err := yaml.Marshal(object)
	require.NoError(t, err)
	return string(text)
}

func TestPodTemplateIsMerged(t *testing.T) {
	for name, test := range map[string]struct {
		template string
		// change makes the program's own template what is expected.
		change func(*kcorev1.PodTemplateSpec)
	}{
		"labels and annotations": {`metadata: {labels: {team: ml}, annotations: {example.com/owner: ml}}`, func(pod *kcorev1.PodTemplateSpec) {
			pod.Labels["team"] = "ml"
			pod.Annotations["example.com/owner"] = "ml"
		}},
		"pull secret and runtime class": {`spec: {imagePullSecrets: [{name: registry}], runtimeClassName: nvidia}`, func(pod *kcorev1.PodTemplateSpec) {
			class := "nvidia"
			pod.Spec.ImagePullSecrets = []kcorev1.LocalObjectReference{{Name: "registry"}}
			pod.Spec.RuntimeClassName = &class
		}},
		"environment after the program's": {
			`spec: {containers: [{name: vllm, env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}, {name: A, value: b}], envFrom: [{configMapRef: {name: env}}]}]}`,
			func(pod *kcorev1.PodTemplateSpec) {
				server := &pod.Spec.Containers[0]
				server.Env = append(server.Env, kcorev1.EnvVar{Name: "HTTPS_PROXY", Value: "http://proxy:3128"}, kcorev1.EnvVar{Name: "A", Value: "b"})
				server.EnvFrom = []kcorev1.EnvFromSource{{ConfigMapRef: &kcorev1.ConfigMapEnvSource{LocalObjectReference: kcorev1.LocalObjectReference{Name: "env"}}}}
			},
		},
		"volume": {
			`spec: {volumes: [{name: weights, persistentVolumeClaim: {claimName: weights}}],
  containers: [{name: vllm, volumeMounts: [{name: weights, mountPath: /weights}]}]}`,
			func(pod *kcorev1.PodTemplateSpec) {
				pod.Spec.Volumes = append(pod.Spec.Volumes, kcorev1.Volume{Name: "weights", VolumeSource: kcorev1.VolumeSource{
					PersistentVolumeClaim: &kcorev1.PersistentVolumeClaimVolumeSource{ClaimName: "weights"}}})
				server := &pod.Spec.Containers[0]
				server.VolumeMounts = append(server.VolumeMounts, kcorev1.VolumeMount{Name: "weights", MountPath: "/weights"})
			},
		},
		"CPU limit": {`spec: {containers: [{name: vllm, resources: {limits: {cpu: "8"}}}]}`, func(pod *kcorev1.PodTemplateSpec) {
			pod.Spec.Containers[0].Resources.Limits[kcorev1.ResourceCPU] = kresource.MustParse("8")
		}},
		"sidecar": {`spec: {containers: [{name: log, image: "log:1", ports: [{containerPort: 9000}]}]}`, func(pod *kcorev1.PodTemplateSpec) {
			pod.Spec.Containers = append(pod.Spec.Containers, kcorev1.Container{Name: "log", Image: "log:1", Ports: []kcorev1.ContainerPort{{ContainerPort: 9000}}})
		}},
		"tolerations beside the GPUs'": {`spec: {tolerations: [{key: team, operator: Exists}]}`, func(pod *kcorev1.PodTemplateSpec) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, kcorev1.Toleration{Key: "team", Operator: "Exists"})
		}},
		"security context": {`spec: {securityContext: {supplementalGroups: [7], runAsUser: 2000}}`, func(pod *kcorev1.PodTemplateSpec) {
			user := int64(2000)
			pod.Spec.SecurityContext.SupplementalGroups = []int64{7}
			pod.Spec.SecurityContext.RunAsUser = &user
		}},
		"spread over zones": {`spec: {topologySpreadConstraints: [{topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, maxSkew: 2}]}`,
			func(pod *kcorev1.PodTemplateSpec) {
				pod.Spec.TopologySpreadConstraints[0].WhenUnsatisfiable = kcorev1.DoNotSchedule
				pod.Spec.TopologySpreadConstraints[0].MaxSkew = 2
			}},
	} {
		t.Run(name, func(t *testing.T) {
			args := vllmArgs()
			args.APIKey = pulumi.ToSecret(pulumi.StringPtr("the key")).(pulumi.StringPtrOutput)
			want := vllmDeployment(t, args)
			test.change(&want.Spec.Template)
			args.PodTemplate = template(t, test.template)
			for range 3 {
				require.Equal(t, asYAML(t, want), asYAML(t, vllmDeployment(t, args)), "in the same order every time")
			}
		})
	}
}

// TestPodTemplateLeavesTheInputs checks that a merged template changes nothing of the Deployment but its own fields.
func TestPodTemplateLeavesTheInputs(t *testing.T) {
	args := vllmArgs()
	args.APIKey = pulumi.ToSecret(pulumi.StringPtr("the key")).(pulumi.StringPtrOutput)
	own := runVLLM(t, args).get(t, deploymentType, VLLMName).Inputs
	args.PodTemplate = template(t, `metadata: {labels: {team: ml}}`)
	merged := runVLLM(t, args).get(t, deploymentType, VLLMName).Inputs
	diff := own.Diff(merged)
	require.NotNil(t, diff)
	labels := merged["spec"].ObjectValue()["template"].ObjectValue()["metadata"].ObjectValue()["labels"].ObjectValue()
	assert.Equal(t, "ml", labels["team"].StringValue())
	delete(labels, "team")
	assert.Nil(t, own.Diff(merged), "with its label removed")
}

func TestPodTemplateKeepsSecrets(t *testing.T) {
	args := vllmArgs()
	args.APIKey = pulumi.ToSecret(pulumi.StringPtr("the key")).(pulumi.StringPtrOutput)
	args.PodTemplate = template(t, `spec: {containers: [{name: vllm, env: [{name: A, value: hidden}], resources: {limits: {cpu: "8"}}}]}`)
	args.PodTemplate.Secret = true
	inputs := runVLLM(t, args).get(t, deploymentType, VLLMName).Inputs
	pod := inputs["spec"].ObjectValue()["template"].ObjectValue()
	assert.True(t, pod["metadata"].ObjectValue()["annotations"].ObjectValue()["vllm-autoscaling/secrets-checksum"].IsSecret(), "the program's own secret")
	server := pod["spec"].ObjectValue()["containers"].ArrayValue()[0].ObjectValue()
	env := server["env"].ArrayValue()
	assert.True(t, env[len(env)-1].ObjectValue()["value"].IsSecret())
	assert.Equal(t, resource.NewProperty("HOME"), env[0].ObjectValue()["name"], "the program's own stay readable")
	limits := server["resources"].ObjectValue()["limits"].ObjectValue()
	assert.True(t, limits["cpu"].IsSecret())
	assert.Equal(t, resource.NewProperty("10Gi"), limits["memory"])
}

func TestPodTemplateHasNoVariableOfTheCloud(t *testing.T) {
	args := vllmArgs()
	args.Env = map[string]string{"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64"}
	args.PodTemplate = template(t, `spec: {containers: [{name: log, env: [{name: LD_LIBRARY_PATH}]}]}`)
	require.NoError(t, args.validate(), "of another container")
	args.PodTemplate = template(t, `spec: {containers: [{name: vllm, env: [{name: LD_LIBRARY_PATH, value: x}]}]}`)
	require.ErrorContains(t, args.validate(), "vllm.podTemplate sets the environment variable LD_LIBRARY_PATH")
}

// TestPodNamesAreComplete checks that the names of the program are those in its pod.
func TestPodNamesAreComplete(t *testing.T) {
	args := vllmArgs()
	args.HuggingFaceToken = pulumi.ToSecret(pulumi.StringPtr("the token")).(pulumi.StringPtrOutput)
	args.APIKey = pulumi.ToSecret(pulumi.StringPtr("the key")).(pulumi.StringPtrOutput)
	args.Env = nil
	// With adapters from the hub; without them, HF_HUB_OFFLINE is set, which the owner may set otherwise.
	args.Model.Weights = Weights{Source: WeightsClaim, Claim: "models"}
	args.Model.LoRA = LoRA{Adapters: map[string]string{"a": "example/a"}, MaxRank: 16, MaxLoras: 1}
	args.CompileCache = CompileCache{Claim: "shared", Size: "1Gi"}
	pod := vllmDeployment(t, args).Spec.Template
	var labels, variables, volumes, paths, inits []string
	for label := range pod.Labels {
		labels = append(labels, label)
	}
	for _, variable := range pod.Spec.Containers[0].Env {
		variables = append(variables, variable.Name)
	}
	for _, volume := range pod.Spec.Volumes {
		volumes = append(volumes, volume.Name)
	}
	for _, mount := range pod.Spec.Containers[0].VolumeMounts {
		paths = append(paths, mount.MountPath)
	}
	for _, container := range pod.Spec.InitContainers {
		inits = append(inits, container.Name)
	}
	names := PodNames()
	assert.ElementsMatch(t, inits, names.InitContainers)
	assert.ElementsMatch(t, labels, names.Labels)
	assert.ElementsMatch(t, variables, names.Variables)
	assert.ElementsMatch(t, volumes, names.Volumes)
	assert.ElementsMatch(t, paths, names.MountPaths)
}

func TestRestrictedViolations(t *testing.T) {
	for name, test := range map[string]struct{ template, violation string }{
		"nothing":                    {`{}`, ""},
		"claim":                      {`spec: {volumes: [{name: w, persistentVolumeClaim: {claimName: w}}]}`, ""},
		"the server's own user":      {`spec: {securityContext: {runAsUser: 2000, fsGroup: 2000}}`, ""},
		"path of the node":           {`spec: {volumes: [{name: w, hostPath: {path: /w}}]}`, "hostPath"},
		"root":                       {`spec: {securityContext: {runAsUser: 0}}`, "runAsUser=0"},
		"privileged server":          {`spec: {containers: [{name: vllm, securityContext: {privileged: true}}]}`, "privileged"},
		"capability":                 {`spec: {containers: [{name: vllm, securityContext: {capabilities: {add: [SYS_PTRACE]}}}]}`, "SYS_PTRACE"},
		"sidecar without a context":  {`spec: {containers: [{name: log, image: "log:1"}]}`, "allowPrivilegeEscalation"},
		"sidecar with its own":       {`spec: {containers: [{name: log, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}`, ""},
		"init container of the node": {`spec: {initContainers: [{name: i, ports: [{hostPort: 80, containerPort: 80}]}]}`, "hostPort"},
	} {
		t.Run(name, func(t *testing.T) {
			violations, err := RestrictedViolations(template(t, test.template).Fields)
			require.NoError(t, err)
			if test.violation == "" {
				assert.Empty(t, violations)
				return
			}
			require.NotEmpty(t, violations)
			assert.Contains(t, violations[0]+violations[len(violations)-1], test.violation)
		})
	}
}
