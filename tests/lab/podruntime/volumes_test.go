package podruntime

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestVolumes(t *testing.T) {
	pod := serverPod("a")
	pod.Spec.NodeName = ""
	yes := true
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "all", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}},
		{Name: "some", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s",
			Items: []corev1.KeyToPath{{Key: "k", Path: "deep/er"}}}}},
		{Name: "mixed", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}},
		}}}},
		{Name: "optional", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent", Optional: &yes}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
		{Name: "all", MountPath: "/etc/app"}, {Name: "scratch", MountPath: "/etc/app/cache"}, {Name: "some", MountPath: "/one", SubPath: "deep/er"},
	}
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "c"}, Data: map[string]string{"a": "1", "b": "2"}}
	r, client, _ := startRuntime(t, nil, pod, configMap,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "s"}, Data: map[string][]byte{"k": []byte("v"), "other": []byte("w")}})
	l := &launcher{runtime: r, pod: pod, container: &pod.Spec.Containers[0], dir: t.TempDir()}
	files := func() map[string]string {
		found := map[string]string{}
		require.NoError(t, filepath.WalkDir(l.dir, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				content, readErr := os.ReadFile(path)
				require.NoError(t, readErr)
				found[strings.TrimPrefix(path, filepath.Join(l.dir, "volumes")+"/")] = string(content)
			}
			return err
		}))
		return found
	}

	changed, err := l.volumes()
	require.NoError(t, err)
	assert.True(t, changed)
	assert.Equal(t, map[string]string{"all/a": "1", "all/b": "2", "some/deep/er": "v", "mixed/k": "v", "mixed/other": "w"}, files())
	assert.DirExists(t, filepath.Join(l.dir, "volumes", "scratch"))

	require.NoError(t, os.WriteFile(filepath.Join(l.dir, "volumes", "scratch", "mine"), []byte("x"), 0o600))
	changed, err = l.volumes()
	require.NoError(t, err)
	assert.False(t, changed, "nothing differs")

	configMap.Data = map[string]string{"b": "3"}
	_, err = client.CoreV1().ConfigMaps("vllm").Update(t.Context(), configMap, metav1.UpdateOptions{})
	require.NoError(t, err)
	eventually(t, func() string {
		changed, err = l.volumes()
		if err != nil || !changed {
			return fmt.Sprintf("changed %v, error %v", changed, err)
		}
		return ""
	})
	assert.Equal(t, map[string]string{"all/b": "3", "some/deep/er": "v", "mixed/k": "v", "mixed/other": "w", "scratch/mine": "x"}, files())

	for given, want := range map[string]string{
		"--config=/etc/app/b":  "--config=" + filepath.Join(l.dir, "volumes", "all", "b"),
		"/etc/app/cache/x":     filepath.Join(l.dir, "volumes", "scratch", "x"),
		"/one":                 filepath.Join(l.dir, "volumes", "some", "deep", "er"),
		"--config=/etc/apples": "--config=/etc/apples",
		"--url=http://x/etc":   "--url=http://x/etc",
	} {
		assert.Equal(t, []string{want}, l.localArgs([]string{given}))
	}
}

func TestPodWaitsForWhatItMounts(t *testing.T) {
	pod := serverPod("a", "--model=m", "--config=/config/sim.yaml")
	pod.Spec.Volumes = []corev1.Volume{{Name: "c", VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "sim"}},
	}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "c", MountPath: "/config"}}
	r, client, _ := startRuntime(t, nil, pod)
	eventually(t, func() string {
		if f := r.Failures(); len(f) != 1 || !strings.Contains(f[0].Err.Error(), `ConfigMap "sim" does not exist`) {
			return fmt.Sprint(f)
		}
		return ""
	})
	_, err := client.CoreV1().ConfigMaps("vllm").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "sim"},
		Data: map[string]string{"sim.yaml": "one"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventuallyReady(t, client, "a")
	assert.Empty(t, r.Failures())
}
