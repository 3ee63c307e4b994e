package config

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/components"
	"vllm-autoscaling/stacks/config/sizing"
)

// typed returns the template as Kubernetes' type.
func (t PodTemplate) typed() (corev1.PodTemplateSpec, error) {
	var template corev1.PodTemplateSpec
	content, err := json.Marshal(t)
	if err == nil {
		err = json.Unmarshal(content, &template)
	}
	return template, err
}

// sidecars returns the CPUs and the memory that the containers beside the server request together. Init containers that end
// before the server starts take no room from it.
func (t PodTemplate) sidecars() sizing.Room {
	template, err := t.typed()
	if err != nil {
		return sizing.Room{} // Reported by checkPodTemplate.
	}
	var sum sizing.Room
	add := func(resources corev1.ResourceRequirements) {
		for name, to := range map[corev1.ResourceName]*float64{corev1.ResourceCPU: &sum.CPUs, corev1.ResourceMemory: &sum.MemoryGiB} {
			request, ok := resources.Requests[name]
			if !ok {
				request = resources.Limits[name] // Kubernetes' default of a request.
			}
			*to += request.AsApproximateFloat64()
		}
	}
	for _, container := range template.Spec.Containers {
		if container.Name != components.VLLMName {
			add(container.Resources)
		}
	}
	for _, container := range template.Spec.InitContainers {
		if container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(container.Resources)
		}
	}
	sum.MemoryGiB /= sizing.GiB
	return sum
}
