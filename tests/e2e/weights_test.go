package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/ops/verify"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
)

// weightsFolder is where the test's model is in its bucket.
const weightsFolder = "staged/gemma"

// modelFiles are a model, as far as vLLM looks at it before it loads the tensors.
var modelFiles = map[string]string{"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": "weights", "vllm-autoscaling.json": "{}"}

// TestWeights reads the weights from a bucket and from a claim, and from each where they are not, on a simulated GKE. No token of the hub is
// configured.
func TestWeights(t *testing.T) {
	l := startCloudLab(t)
	require.NoError(t, l.Clouds().MakeBucket(cloud.Location{Scheme: "gs", Bucket: "lab-models"}))
	bucket := map[string]any{
		"model": map[string]any{"source": "bucket", "bucket": "gs://lab-models/" + weightsFolder},
		// An update that waits for a server without a model ends with the reason.
		"vllm": map[string]any{"readyTimeout": "20s"},
	}
	base := merged(cloudLabConfig(l), quick, gpuNodes, small, onClouds[0].config)
	stack := makeStack(t, l, "gke", merged(base, bucket), nil)

	t.Run("a bucket without the model", func(t *testing.T) {
		require.Error(t, stack.Up(testContext(t), "--skip-preview"))
		printed := stack.printed.take()
		assert.Contains(t, printed, "ensure the presence of a 'params.json'", "vLLM's message")
		assert.Contains(t, printed, "likely: model.bucket, model.claim.path or model.image.path has no config.json")
		pods := podsStage(t, l, stack)
		assert.Equal(t, verify.Failed, pods.Status)
		assert.Contains(t, pods.Measured, "make stage-model")
	})
	t.Run("a staged bucket", func(t *testing.T) {
		for name, content := range modelFiles {
			assert.Equal(t, http.StatusForbidden, putAs(t, l, "vllm", name, content), "the server only reads")
			require.Equal(t, http.StatusOK, putAs(t, l, "vllm-stager", name, content))
		}
		deleteServers(t, l)
		require.NoError(t, stack.SetConfig(merged(base, bucket, map[string]any{"vllm": map[string]any{"readyTimeout": "2m"}})))
		require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
		servesModel(t, l)
		assert.Contains(t, podsStage(t, l, stack).Measured, "weights from bucket gs://lab-models/"+weightsFolder)
	})
	t.Run("without the right to read", func(t *testing.T) {
		for _, r := range l.Clouds().Resources() {
			if strings.HasSuffix(fmt.Sprint(r.Inputs["member"]), "/sa/vllm") && r.Inputs["role"] == "roles/storage.objectViewer" {
				require.NoError(t, l.Clouds().Remove(r.Token, r.ID))
			}
		}
		deleteServers(t, l)
		var pods verify.Result
		require.Eventually(t, func() bool {
			pods = podsStage(t, l, stack)
			return strings.Contains(pods.Measured, "may not read model.bucket")
		}, time.Minute, time.Second, "%+v", pods)
		assert.Contains(t, strings.Join(pods.Log, "\n"), "Permission 'storage.objects.list' denied")
	})
	claim := func(name string) map[string]any {
		return merged(base, map[string]any{"model": map[string]any{"source": "claim", "claim": map[string]any{"name": name}}})
	}
	t.Run("a claim of another zone", func(t *testing.T) {
		require.NoError(t, stack.Refresh(testContext(t)))
		makeClaimElsewhere(t, l)
		require.NoError(t, stack.SetConfig(merged(claim("elsewhere"), map[string]any{"vllm": map[string]any{"readyTimeout": "20s"}})))
		stack.printed.take()
		require.Error(t, stack.Up(testContext(t), "--skip-preview"))
		assert.Contains(t, stack.printed.take(), "likely: the volume of model.claim.name is in another zone than the nodes")
		assert.Contains(t, podsStage(t, l, stack).Measured, "set nodePools.gpu.zones to its zone")
	})
	t.Run("a claim", func(t *testing.T) {
		makeClaim(t, l, "models", filepath.FromSlash("google/gemma-3-1b-it"))
		require.NoError(t, stack.SetConfig(claim("models")))
		require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
		servesModel(t, l)
		require.NoError(t, l.Client().CoreV1().PersistentVolumeClaims(serving).Delete(testContext(t), "elsewhere", metav1.DeleteOptions{}))
		require.NoError(t, l.Client().CoreV1().PersistentVolumes().Delete(testContext(t), "elsewhere", metav1.DeleteOptions{}))
		assert.Contains(t, podsStage(t, l, stack).Measured, "weights from PersistentVolumeClaim models (Bound")
		for _, r := range l.Clouds().Resources() {
			assert.NotContains(t, r.Token, "bucketIAMMember", "nothing is granted that is not needed")
		}
	})
	t.Run("destroy", func(t *testing.T) { cloudDestroyLeavesNothing(t, l, stack) })
	assert.Empty(t, l.Clouds().Incidents())
}

// podsStage returns the stage of `make verify` that looks at the server's pods.
func podsStage(t *testing.T, l *lab.Lab, stack *deployment) verify.Result {
	t.Helper()
	v := newVerifier(t, l, stack)
	report, err := v.walk(testContext(t), l.Config())
	require.NoError(t, err)
	for _, stage := range report.Stages {
		if stage.Stage == "pods" {
			return stage
		}
	}
	t.Fatalf("no stage pods in %+v", report)
	return verify.Result{}
}

// putAs writes a file of the model into the bucket as a pod with a ServiceAccount, and returns the status of the answer.
func putAs(t *testing.T, l *lab.Lab, account, name, content string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(testContext(t), http.MethodPut,
		l.Clouds().ObjectStoresURL()+"/gs/lab-models/"+weightsFolder+"/"+name, bytes.NewReader([]byte(content)))
	require.NoError(t, err)
	request.Header.Set(cloud.NamespaceHeader, serving)
	request.Header.Set(cloud.AccountHeader, account)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}

// deleteServers deletes the server's pods, whose successors start without a back-off.
func deleteServers(t *testing.T, l *lab.Lab) {
	t.Helper()
	require.NoError(t, l.Client().CoreV1().Pods(serving).DeleteCollection(testContext(t), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: selector}))
}

// servesModel checks that clients choose the model by its name, wherever its files are.
func servesModel(t *testing.T, l *lab.Lab) {
	t.Helper()
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		urls, err := l.ReadyPodURLs(ctx, serving, selector, apiPort)
		if err != nil || len(urls) == 0 {
			return fmt.Errorf("no ready server: %w", err)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, urls[0]+"/v1/models", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err == nil && !strings.Contains(string(body), `"id":"`+modelID+`"`) {
			err = fmt.Errorf("the models are %s", body)
		}
		return err
	})
}

// makeClaim creates a claim with the model in a folder of it.
func makeClaim(t *testing.T, l *lab.Lab, name, folder string) {
	t.Helper()
	at := filepath.Join(l.ClaimFolder(serving, name), folder)
	require.NoError(t, os.MkdirAll(at, 0o755))
	for file, content := range modelFiles {
		require.NoError(t, os.WriteFile(filepath.Join(at, file), []byte(content), 0o600))
	}
	_, err := l.Client().CoreV1().PersistentVolumeClaims(serving).Create(testContext(t), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}

// makeClaimElsewhere creates a claim whose volume only nodes of another zone can mount.
func makeClaimElsewhere(t *testing.T, l *lab.Lab) {
	t.Helper()
	size, none := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}, ""
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany}
	_, err := l.Client().CoreV1().PersistentVolumes().Create(testContext(t), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size, AccessModes: modes, ClaimRef: &corev1.ObjectReference{Namespace: serving, Name: "elsewhere"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "pd.csi.storage.gke.io", VolumeHandle: "elsewhere"}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"us-central1-f"},
				}},
			}}}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = l.Client().CoreV1().PersistentVolumeClaims(serving).Create(testContext(t), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: modes, Resources: corev1.VolumeResourceRequirements{Requests: size}, StorageClassName: &none, VolumeName: "elsewhere",
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
}
