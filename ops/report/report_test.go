package report

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"vllm-autoscaling/ops/figure"
)

// sampled is a run of three minutes: load from 20 to 100 s, four replicas.
func sampled() *Report {
	r := &Report{
		Title:   "A run <with> & signs",
		Started: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		Notes:   []string{"scale-down window 30 s"},
		Signals: []Signal{
			{Name: "running", Label: "requests running", Unit: "per pod"},
			{Name: "waiting", Label: "requests waiting", Unit: "per pod"},
			{Name: "gpu", Label: "GPU utilisation", Unit: "percent"},
		},
		Summary: []Row{{Name: "replicas 1 -> 4", Value: "31 s"}},
	}
	for second := range 180 {
		sample := Sample{Seconds: float64(second), Desired: 1, Current: 1, Ready: 1, Pods: 1, Signals: map[string]Reading{
			"running": {Target: 12}, "waiting": {Target: 4}, "gpu": {Target: 80},
		}}
		running, waiting, gpu := 0.0, 0.0, 0.0
		if second >= 20 && second < 100 {
			sample.Load, running, gpu = 40, 10, 96
			if second < 50 {
				running, waiting = 16, 24
			}
		}
		if second >= 35 && second < 140 {
			sample.Desired, sample.Current, sample.Ready, sample.Pods = 4, 4, 4, 4
		}
		if second > 10 {
			sample.Signals["running"] = Reading{Value: &running, Target: 12}
			sample.Signals["waiting"] = Reading{Value: &waiting, Target: 4}
			sample.Signals["gpu"] = Reading{Value: &gpu, Target: 80}
		}
		r.Samples = append(r.Samples, sample)
	}
	r.Events = []Event{
		{20, "load on: 40 requests in flight"}, {35, "HPA wants 4"}, {36, "4 ready"},
		{100, "load off"}, {140, "HPA wants 1"}, {141, "1 ready"},
	}
	return r
}

func TestReportIsWritten(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "demo-report")
	want := sampled()
	require.NoError(t, want.Write(folder))
	require.NoError(t, want.Write(folder), "a second run replaces the first")

	t.Run("json holds every sample", func(t *testing.T) {
		raw, err := os.ReadFile(filepath.Join(folder, "report.json"))
		require.NoError(t, err)
		var got Report
		require.NoError(t, json.Unmarshal(raw, &got))
		assert.Equal(t, *want, got)
	})
	t.Run("page needs no other file", func(t *testing.T) {
		raw, err := os.ReadFile(filepath.Join(folder, "index.html"))
		require.NoError(t, err)
		html := string(raw)
		assert.NotRegexp(t, `(?i)<(script|link|iframe)|@import|url\(|https?://`, html)
		image := regexp.MustCompile(`src="data:image/png;base64,([^"]+)"`).FindStringSubmatch(html)
		require.NotNil(t, image, "the plot is inlined")
		inlined, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(image[1], "&#43;", "+"))
		require.NoError(t, err)
		file, err := os.ReadFile(filepath.Join(folder, "plot.png"))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(file, inlined), "the same plot as plot.png")
		assert.Equal(t, 1, strings.Count(html, `src=`))
		assert.Contains(t, html, "A run &lt;with&gt; &amp; signs")
		assert.Contains(t, html, "replicas 1 -&gt; 4")
		assert.Contains(t, html, "GPU utilisation (percent)")
		assert.Contains(t, html, "24/4", "the HPA's view of a change")
	})
	t.Run("plot shows the data", func(t *testing.T) {
		raw, err := os.ReadFile(filepath.Join(folder, "plot.png"))
		require.NoError(t, err)
		picture, err := png.Decode(bytes.NewReader(raw))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, picture.Bounds().Dx(), 1200)
		assert.GreaterOrEqual(t, picture.Bounds().Dy(), 900)
		for name, hue := range map[string]color.RGBA{
			"load": figure.Ink, "running and desired": figure.Blue, "waiting": figure.Vermillion, "gpu": figure.Green, "ready": figure.Orange,
		} {
			assert.Greater(t, pixels(picture, hue), 300, name)
		}
	})
}

// A plot that drew no values would still have axes: the same run without load
// must give another picture, and a signal never seen must lose its line.
func TestPlotDependsOnTheData(t *testing.T) {
	with, without := sampled(), sampled()
	for i := range without.Samples {
		without.Samples[i].Signals = map[string]Reading{"running": {Target: 12}, "waiting": {Target: 4}}
	}
	first, second := decoded(t, with), decoded(t, without)
	assert.Greater(t, pixels(first, figure.Green), 300)
	assert.Zero(t, pixels(second, figure.Green), "the GPU was never seen")
}

func decoded(t *testing.T, r *Report) image.Image {
	t.Helper()
	raw, err := r.PNG()
	require.NoError(t, err)
	picture, err := png.Decode(bytes.NewReader(raw))
	require.NoError(t, err)
	return picture
}

func pixels(picture image.Image, hue color.RGBA) int {
	found := 0
	for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
		for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
			r, g, b, _ := picture.At(x, y).RGBA()
			if uint8(r>>8) == hue.R && uint8(g>>8) == hue.G && uint8(b>>8) == hue.B {
				found++
			}
		}
	}
	return found
}

func TestEmptyReportIsAnError(t *testing.T) {
	require.ErrorContains(t, (&Report{}).Write(t.TempDir()), "no sample was recorded")
}

func TestHPASourceReadsWhatTheHPASees(t *testing.T) {
	quantity := func(s string) *resource.Quantity { q := resource.MustParse(s); return &q }
	metric := func(name, target string) autoscalingv2.MetricSpec {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: name},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: quantity(target)},
		}}
	}
	replicas := int32(3)
	labels := map[string]string{"app": "vllm"}
	client := fake.NewClientset(
		&autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "vllm"},
			Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
				ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "server"},
				Metrics:        []autoscalingv2.MetricSpec{metric("running", "12"), metric("gpu", "80")},
			},
			Status: autoscalingv2.HorizontalPodAutoscalerStatus{DesiredReplicas: 4, CurrentMetrics: []autoscalingv2.MetricStatus{
				{}, // what the controller writes for a metric that it could not read
				{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricStatus{
					Metric: autoscalingv2.MetricIdentifier{Name: "running"}, Current: autoscalingv2.MetricValueStatus{AverageValue: quantity("15500m")},
				}},
			}},
		},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "server"},
			Spec:       appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}},
			Status:     appsv1.DeploymentStatus{ReadyReplicas: 2},
		},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "a", Labels: labels}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "vllm", Name: "other"}},
	)
	sample, err := HPASource(client, "vllm", "vllm", func() float64 { return 7 })(t.Context())
	require.NoError(t, err)
	value := 15.5
	assert.Equal(t, Sample{
		Load: 7, Desired: 4, Current: 3, Ready: 2, Pods: 1, Min: 1,
		Signals: map[string]Reading{"running": {Value: &value, Target: 12}, "gpu": {Target: 80}},
	}, sample)
	assert.Equal(t, "load 7, gpu ?/80, running 15.5/12, desired 4, replicas 3, ready 2, pods 1", sample.String())
	assert.InDelta(t, 15.5/12, sample.Signals["running"].Ratio(), 1e-9)
	assert.Zero(t, sample.Signals["gpu"].Ratio())

	_, err = HPASource(client, "vllm", "absent", func() float64 { return 0 })(t.Context())
	require.ErrorContains(t, err, "read the HPA")
}

func TestRecorderSaysEachChangeOnce(t *testing.T) {
	desired := []int{1, 1, 1, 4, 4, 1}
	calls := 0
	ctx, cancel := context.WithCancel(t.Context())
	recorder := NewRecorder(time.Now(), func(context.Context) (Sample, error) {
		calls++
		switch {
		case calls == 1:
			return Sample{}, errors.New("not there yet")
		case calls > len(desired):
			cancel()
		}
		return Sample{Desired: desired[min(calls, len(desired))-1]}, nil
	})
	var seen []int
	recorder.Record(ctx, time.Millisecond, func(s Sample) { seen = append(seen, s.Desired) })
	assert.Equal(t, []int{1, 4, 1}, seen)
	assert.Len(t, recorder.Samples(), len(desired)-1, "a failed read is no sample")
}

func TestWaitForNamesWhatWasSeen(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	recorder := NewRecorder(time.Now(), func(context.Context) (Sample, error) { return Sample{Desired: 2}, nil })
	go recorder.Record(ctx, time.Millisecond, nil)
	got, err := recorder.WaitFor(ctx, "two replicas", func(s Sample) bool { return s.Desired == 2 })
	require.NoError(t, err)
	assert.Equal(t, 2, got.Desired)
	_, err = recorder.WaitFor(ctx, "three replicas", func(s Sample) bool { return s.Desired == 3 })
	require.ErrorContains(t, err, "three replicas did not happen in time (last seen: load 0, desired 2")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestMarksKeepTheirTime(t *testing.T) {
	recorder := NewRecorder(time.Now().Add(-time.Minute), nil)
	at := recorder.Mark("load on: %d", 40)
	assert.GreaterOrEqual(t, at, 60.0)
	assert.Equal(t, []Event{{Seconds: at, Text: "load on: 40"}}, recorder.Events())
}
