package presets

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/utils/ptr"
)

const (
	pods     = autoscalingv2.PodsMetricSourceType
	external = autoscalingv2.ExternalMetricSourceType
)

// All returns the presets.
func All() []Preset {
	return []Preset{
		{
			Name: "exercise",
			Source: "kubernetes/examples@279e8e4fe314, AI/vllm-deployment/hpa/horizontal-pod-autoscaler.yaml, " +
				"AI/vllm-deployment/vllm-deployment.yaml",
			Note: "Its limits are 1 and 5 replicas. Metrics are scraped every 15 s there. As published, its adapter does not start " +
				"and its monitor selects no Service: this is the policy with both corrected.",
			metrics:    []metric{{pods, running, 4}},
			behavior:   behavior(nil, rules(30, percent(100, 15))),
			maxNumSeqs: 64,
		},
		{
			Name: "exercise-gpu",
			Source: "kubernetes/examples@279e8e4fe314, AI/vllm-deployment/hpa/gpu-horizontal-pod-autoscaler.yaml, " +
				"AI/vllm-deployment/hpa/prometheus-rule.yaml, AI/vllm-deployment/vllm-deployment.yaml",
			Note: "Its limits are 1 and 5 replicas. The utilization is 98 % while a replica runs anything and 0 otherwise. " +
				"Metrics are scraped every 15 s there. As published, its adapter does not start.",
			metrics:    []metric{{pods, gpuUtilization, 20}},
			behavior:   behavior(rules(0, fixed(4, 15), percent(100, 15)), rules(30, percent(100, 15))),
			maxNumSeqs: 64,
		},
		{
			Name: "production-stack",
			Source: "vllm-project/production-stack@a6c01db05f65 (chart 0.1.12), helm/templates/scaledobject-vllm.yaml, " +
				"tutorials/assets/keda-scaled-object.yaml",
			Note: "Its limits are 1 and 2 replicas in the tutorial. The query has one series for each replica, which KEDA rejects from " +
				"two replicas on: this is the policy with the sum. Scaling to zero, the fallback to 2 replicas and its router are not simulated.",
			metrics: []metric{{external, waiting, 5}},
		},
		{
			Name: "accelerated-platforms",
			Source: "GoogleCloudPlatform/accelerated-platforms@9320f3b27aa0, use-cases/inferencing/serving/vllm/autoscaling/manifests/" +
				"hpa-vllm-openai-queue-size.yaml; the same in platforms/gke/base/use-cases/inference-ref-arch/kubernetes-manifests/" +
				"async-inference-gpu/vllm/base/hpa.yaml",
			Note: "Its limits are 1 and 5 replicas. The way through Google Cloud Managed Service for Prometheus and Cloud Monitoring, " +
				"which adds to the age of the metrics, is not simulated.",
			metrics: []metric{{pods, waiting, 10}},
		},
		{
			Name: "accelerated-platforms-running",
			Source: "GoogleCloudPlatform/accelerated-platforms@9320f3b27aa0, use-cases/inferencing/serving/vllm/autoscaling/manifests/" +
				"hpa-vllm-openai-batch-size.yaml",
			Note: "The alternative of the same guide, which says to choose one of the two. Its limits are 1 and 5 replicas. " +
				"The way of the metrics is not simulated.",
			metrics: []metric{{pods, running, 10}},
		},
		{
			Name: "llm-d-in-flight",
			Source: "llm-d/llm-d@057abb4a5165, guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s/queue/scaledobject.yaml, " +
				"trigger epp-running-requests",
			Note: "Its limits are 1 and 8 replicas. The development documentation names requests in flight, without flow control, as the " +
				"default signal; the numbers are those of the guide's trigger on its router's requests running, which are the requests in " +
				"flight then. The queue of flow control, the routing by load and prefix, and prefill apart from decoding are not simulated.",
			metrics:  []metric{{external, inFlight, 16}},
			behavior: behavior(rules(300, percent(100, 15)), rules(300, percent(100, 15))),
		},
		{
			Name: "llm-d-slo-aware",
			Source: "llm-d/llm-d@3d016852a467, docs/architecture/autoscaling/slo-aware.md; llm-d/llm-d@1860df22b338, " +
				"guides/workload-autoscaling/slo-aware/README.md",
			Note: "Its limits are 3 and 8 replicas. The objectives are those of the simulation, or the guide's where it has none. Latencies are " +
				"the measured ones, which the guide falls back to, of the requests that were answered in the last minute, and not those " +
				"that its router predicts; quantiles are exact and rules are evaluated with each round. The routing is not simulated.",
			law: llmdSLOAware,
		},
		{
			Name: "kubeai",
			Source: "kubeai-project/kubeai@f442a2cd620c (chart 0.22.1), internal/modelautoscaler/autoscaler.go, " +
				"internal/modelclient/scale.go, charts/kubeai/values.yaml, api/k8s/v1/model_types.go",
			Note: "Its minimum is 0 and it has no maximum. The average begins at 0, as for a new model. Scaling to zero, requests that its " +
				"proxy keeps until a replica is ready, and its routing are not simulated.",
			law: kubeAIDefaults,
		},
		{
			Name: "kserve",
			Source: "kserve/website@05b83a6cf9d6, docs/model-serving/generative-inference/autoscaling/autoscaling.md; " +
				"kserve/kserve@aaac4e294dae, config/configmap/inferenceservice.yaml",
			Note: "Its limits are 1 and 5 replicas. The query has one series for each replica, which KEDA rejects from two replicas on: " +
				"this is the policy with the sum. With OpenTelemetry instead of Prometheus the guide's target is 4.",
			metrics:  []metric{{external, running, 2}},
			behavior: behavior(rules(0), rules(300)),
		},
		{
			Name:   "202218d",
			Source: "this project at commit 202218d, stacks/config.go",
			Note:   "The defaults of this project before the signals followed the number of sequences. Its limits were 1 and 4 replicas.",
			metrics: []metric{
				{pods, running, 12}, {pods, waiting, 4}, {pods, guarded(12), 80},
			},
			behavior:   behavior(rules(0, fixed(4, 15), percent(100, 15)), rules(300, fixed(1, 60))),
			maxNumSeqs: 16,
		},
	}
}

func behavior(up, down *autoscalingv2.HPAScalingRules) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: up, ScaleDown: down}
}

// rules returns scaling rules with a stabilization window in seconds. Without policies they have Kubernetes' defaults.
func rules(window int32, policies ...autoscalingv2.HPAScalingPolicy) *autoscalingv2.HPAScalingRules {
	return &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: ptr.To(window), Policies: policies}
}

func percent(value, seconds int32) autoscalingv2.HPAScalingPolicy {
	return autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: value, PeriodSeconds: seconds}
}

func fixed(value, seconds int32) autoscalingv2.HPAScalingPolicy {
	return autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: value, PeriodSeconds: seconds}
}
