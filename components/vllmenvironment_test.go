package components

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	kcorev1 "k8s.io/api/core/v1"
)

func TestVLLMWritesToVolumesOnly(t *testing.T) {
	args := vllmArgs()
	args.APIKey = pulumi.String("key")
	deployment := vllmDeployment(t, args)
	pod := deployment.Spec.Template.Spec
	volumes := map[string]*kcorev1.EmptyDirVolumeSource{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = volume.EmptyDir
	}
	var writable []string
	for _, mount := range pod.Containers[0].VolumeMounts {
		if mount.ReadOnly {
			continue
		}
		writable = append(writable, mount.MountPath)
		if mount.MountPath == "/dev/shm" {
			assert.Equal(t, kcorev1.StorageMediumMemory, volumes[mount.Name].Medium)
			assert.Equal(t, "2Gi", volumes[mount.Name].SizeLimit.String())
		}
		if mount.MountPath == modelCacheDir {
			assert.Equal(t, "20Gi", volumes[mount.Name].SizeLimit.String())
		}
	}
	assert.Contains(t, writable, "/dev/shm")
	assert.Contains(t, writable, modelCacheDir)
	for _, variable := range pod.Containers[0].Env {
		// Of PYTHONPATH the server only reads.
		if !strings.HasPrefix(variable.Value, "/") || variable.Name == "PYTHONPATH" {
			continue
		}
		assert.True(t, slices.ContainsFunc(writable, func(dir string) bool {
			return variable.Value == dir || strings.HasPrefix(variable.Value, dir+"/")
		}), "%s=%s is on the read-only image, writable: %v", variable.Name, variable.Value, writable)
	}
}

// A place may keep things where the image does not look for them.
func TestVLLMEnvironmentOfThePlace(t *testing.T) {
	args := vllmArgs()
	args.Env = map[string]string{"LD_LIBRARY_PATH": "/usr/local/nvidia/lib64", "B": "2", "A": "1"}
	args.HuggingFaceToken, args.APIKey = pulumi.String("token"), pulumi.String("key")
	var names []string
	for _, variable := range vllmContainer(t, args).Env {
		if value, ours := args.Env[variable.Name]; ours {
			assert.Equal(t, value, variable.Value)
			names = append(names, variable.Name)
		} else {
			assert.Contains(t, ownedVariables, variable.Name, "so that nobody sets it twice")
		}
	}
	assert.Equal(t, []string{"A", "B", "LD_LIBRARY_PATH"}, names, "another order would roll all replicas")
}
