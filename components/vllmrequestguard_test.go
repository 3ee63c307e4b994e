package components

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kappsv1 "k8s.io/api/apps/v1"
	kcorev1 "k8s.io/api/core/v1"
)

func TestRequestGuardInPython(t *testing.T) { testPython(t, "request_guard_test.py") }

// testPython runs a file of unit tests in testdata.
func testPython(t *testing.T, file string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed; what runs in the server's image is Python")
	}
	command := exec.Command(python, "-m", "unittest", "-v", file)
	command.Dir = "testdata"
	command.Env = append(command.Environ(), "PYTHONPATH=..", "PYTHONDONTWRITEBYTECODE=1")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "\nOK")
}

func TestVLLMWithAKeyGuardsRequests(t *testing.T) {
	args := vllmArgs()
	args.APIKey = pulumi.String("key")
	r := runVLLM(t, args)
	guard := decode[kcorev1.ConfigMap](t, r.get(t, configMapType, requestGuardConfigMap(VLLMName)))
	assert.Equal(t, "vllm", guard.Namespace)
	deployment := r.get(t, deploymentType, VLLMName)
	assert.True(t, deployment.dependsOn(configMapType, requestGuardConfigMap(VLLMName)), "no server runs without it")

	template := decode[kappsv1.Deployment](t, deployment).Spec.Template
	assert.Len(t, template.Annotations["vllm-autoscaling/request-guard-checksum"], 64)
	container := template.Spec.Containers[0]

	// vLLM imports the module of the flag from PYTHONPATH.
	var flag, pythonPath, file string
	for _, arg := range container.Args {
		if value, ok := strings.CutPrefix(arg, "--middleware="); ok {
			flag = value
		}
	}
	module, class, _ := strings.Cut(flag, ".")
	for _, variable := range container.Env {
		if variable.Name == "PYTHONPATH" {
			pythonPath = variable.Value
		}
	}
	for _, mount := range container.VolumeMounts {
		if mount.MountPath != pythonPath {
			continue
		}
		assert.True(t, mount.ReadOnly)
		for _, volume := range template.Spec.Volumes {
			if volume.Name == mount.Name {
				assert.Equal(t, guard.Name, volume.ConfigMap.Name)
				file = guard.Data[module+".py"]
			}
		}
	}
	assert.Contains(t, file, "\nclass "+class+":\n")
}

func TestVLLMWithoutAKeyGuardsNothing(t *testing.T) {
	simulated := simulatorArgs()
	simulated.APIKey = pulumi.String("key")
	for name, args := range map[string]*VLLMArgs{"no key": vllmArgs(), "the simulator has no such flag": simulated} {
		r := runVLLM(t, args)
		assert.False(t, r.has(configMapType, requestGuardConfigMap(VLLMName)), name)
		template := decode[kappsv1.Deployment](t, r.get(t, deploymentType, VLLMName)).Spec.Template
		assert.NotContains(t, strings.Join(template.Spec.Containers[0].Args, " "), "--middleware", name)
		assert.NotContains(t, template.Annotations, "vllm-autoscaling/request-guard-checksum", name)
	}
}
