package podruntime

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// jobPod returns a pod of a Job that runs a script, and the ConfigMap with the script.
func jobPod(name, script string) (*corev1.Pod, *corev1.ConfigMap) {
	pod := serverPod(name)
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.Spec.Containers = []corev1.Container{{
		Name: "server", Image: "vllm/vllm-openai:v0.20.0", Command: []string{"python3", "/scripts/run.py"},
		VolumeMounts:             []corev1.VolumeMount{{Name: "scripts", MountPath: "/scripts"}},
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "scripts", VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}},
	}}}
	return pod, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: name}, Data: map[string]string{"run.py": script}}
}

func TestScriptsOfJobsEnd(t *testing.T) {
	if _, err := FindPython(); err != nil {
		t.Skip(err)
	}
	good, goodScript := jobPod("good", `print("done")`)
	bad, badScript := jobPod("bad", `print("no"); raise SystemExit(3)`)
	r, client, _ := startRuntime(t, nil, good, goodScript, bad, badScript)
	phaseOf(t, client, "good", corev1.PodSucceeded)
	phaseOf(t, client, "bad", corev1.PodFailed)
	end := containerOf(t, client, "bad").State.Terminated
	assert.EqualValues(t, 3, end.ExitCode)
	assert.Contains(t, end.Message, "no")
	assert.Zero(t, containerOf(t, client, "bad").RestartCount, "it is not started again")
	assert.Equal(t, "done\n", logOf(t, r, "good", false), "the log stays until the pod is deleted")
}

// phaseOf waits for the phase of a pod.
func phaseOf(t *testing.T, client *fake.Clientset, name string, phase corev1.PodPhase) {
	t.Helper()
	eventually(t, func() string {
		if status := statusOf(t, client, name); status.Phase != phase {
			return fmt.Sprintf("%+v", status)
		}
		return ""
	})
}
