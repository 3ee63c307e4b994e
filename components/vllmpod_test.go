package components

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kcorev1 "k8s.io/api/core/v1"
)

func TestVLLMErrorsAreInTheStatus(t *testing.T) {
	assert.Equal(t, kcorev1.TerminationMessageFallbackToLogsOnError, vllmContainer(t, vllmArgs()).TerminationMessagePolicy)
}

func TestVLLMDrain(t *testing.T) {
	pod := vllmDeployment(t, vllmArgs()).Spec.Template.Spec
	sleep := pod.Containers[0].Lifecycle.PreStop.Sleep
	require.NotNil(t, sleep)
	assert.EqualValues(t, 15, sleep.Seconds)
	assert.Contains(t, pod.Containers[0].Args, "--shutdown-timeout=45")
	assert.Greater(t, *pod.TerminationGracePeriodSeconds, int64(15+45), "killed in the middle of the drain")
}

func TestVLLMProbes(t *testing.T) {
	for budget, failures := range map[time.Duration]int32{
		5 * time.Second: 1, 12 * time.Second: 3, 30 * time.Minute: 360,
	} {
		args := vllmArgs()
		args.StartupBudget = budget
		container := vllmContainer(t, args)
		for name, probe := range map[string]*kcorev1.Probe{
			"startup": container.StartupProbe, "readiness": container.ReadinessProbe, "liveness": container.LivenessProbe,
		} {
			require.NotNil(t, probe, name)
			assert.Equal(t, "/health", probe.HTTPGet.Path, name)
			assert.Equal(t, VLLMPortName, probe.HTTPGet.Port.StrVal, name)
		}
		assert.Equal(t, failures, container.StartupProbe.FailureThreshold)
		assert.GreaterOrEqual(t, time.Duration(container.StartupProbe.FailureThreshold*container.StartupProbe.PeriodSeconds)*time.Second, budget)
	}
}

// TestVLLMHungServerIsRestartedSoon checks that a server which does not answer is out of the Service, and its clients free, long before the
// autoscaler could take the replicas without them for idle: its default of five minutes is the least that this leaves room for.
func TestVLLMHungServerIsRestartedSoon(t *testing.T) {
	container := vllmContainer(t, vllmArgs())
	most := func(p *kcorev1.Probe) time.Duration {
		return time.Duration(p.PeriodSeconds*p.FailureThreshold+p.TimeoutSeconds) * time.Second
	}
	assert.LessOrEqual(t, most(container.ReadinessProbe), 20*time.Second)
	require.NotNil(t, container.LivenessProbe.TerminationGracePeriodSeconds, "the pod's grace period is for a server that drains")
	restarted := most(container.LivenessProbe) + time.Duration(*container.LivenessProbe.TerminationGracePeriodSeconds)*time.Second
	assert.Less(t, restarted, 90*time.Second)
	assert.Nil(t, container.ReadinessProbe.TerminationGracePeriodSeconds, "the API server refuses it")
}

func TestVLLMIsRestricted(t *testing.T) {
	for name, args := range map[string]*VLLMArgs{"vllm": vllmArgs(), "simulator": simulatorArgs()} {
		t.Run(name, func(t *testing.T) {
			pod := vllmDeployment(t, args).Spec.Template.Spec
			assert.True(t, *pod.SecurityContext.RunAsNonRoot)
			assert.NotZero(t, *pod.SecurityContext.RunAsUser)
			assert.Equal(t, kcorev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
			assert.False(t, *pod.AutomountServiceAccountToken)
			assert.False(t, *pod.EnableServiceLinks, "the link of the Service vllm sets VLLM_PORT")
			container := pod.Containers[0]
			assert.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
			assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
			assert.Equal(t, []kcorev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop)

			// With a read-only image, each mount needs its volume and each volume its mount.
			mounts, volumes := map[string]string{}, []string{}
			for _, mount := range container.VolumeMounts {
				mounts[mount.Name] = mount.MountPath
			}
			for _, volume := range pod.Volumes {
				require.NotNil(t, volume.EmptyDir, volume.Name)
				volumes = append(volumes, volume.Name)
				assert.NotEmpty(t, mounts[volume.Name], volume.Name)
			}
			assert.Len(t, volumes, len(mounts))
			assert.Equal(t, "/tmp", mounts["tmp"])
		})
	}
	account := decode[kcorev1.ServiceAccount](t, runVLLM(t, vllmArgs()).get(t, accountType, VLLMName))
	assert.False(t, *account.AutomountServiceAccountToken)
}

func TestVLLMGPU(t *testing.T) {
	t.Run("requested, selected and tolerated", func(t *testing.T) {
		args := vllmArgs()
		args.GPU.PerReplica = 2
		args.NodeSelector = map[string]string{"pool": "l4"}
		args.PriorityClassName = "serving"
		pod := vllmDeployment(t, args).Spec.Template.Spec
		resources := pod.Containers[0].Resources
		gpus := resources.Limits["nvidia.com/gpu"]
		assert.EqualValues(t, 2, gpus.Value())
		assert.Equal(t, gpus, resources.Requests["nvidia.com/gpu"])
		assert.Equal(t, map[string]string{"nvidia.com/gpu.present": "true", "pool": "l4"}, pod.NodeSelector)
		assert.Equal(t, []kcorev1.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}}, pod.Tolerations)
		assert.Equal(t, "serving", pod.PriorityClassName)
	})
	t.Run("none when simulated", func(t *testing.T) {
		pod := vllmDeployment(t, simulatorArgs()).Spec.Template.Spec
		assert.Len(t, pod.Containers[0].Resources.Limits, 1, "memory only")
		assert.Empty(t, pod.NodeSelector)
		assert.Empty(t, pod.Tolerations)
	})
}

func TestVLLMResources(t *testing.T) {
	resources := vllmContainer(t, vllmArgs()).Resources
	assert.Equal(t, "2", resources.Requests.Cpu().String())
	assert.Equal(t, "10Gi", resources.Requests.Memory().String())
	assert.Equal(t, "10Gi", resources.Limits.Memory().String())
	assert.NotContains(t, resources.Limits, kcorev1.ResourceCPU, "a limit would throttle the event loop")
}

func TestVLLMSpreadNeverBlocks(t *testing.T) {
	constraints := vllmDeployment(t, vllmArgs()).Spec.Template.Spec.TopologySpreadConstraints
	require.Len(t, constraints, 2)
	for _, constraint := range constraints {
		assert.Equal(t, kcorev1.ScheduleAnyway, constraint.WhenUnsatisfiable)
		assert.Equal(t, vllmSelector(VLLMName), constraint.LabelSelector.MatchLabels)
	}
}
