package components

import (
	"encoding/json"
	"fmt"
	"sync"

	kcorev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// podSecurityChecks evaluates pods with the code of the API server's own admission.
var podSecurityChecks = sync.OnceValues(func() (policy.Evaluator, error) { return policy.NewEvaluator(policy.DefaultChecks()) })

// RestrictedViolations returns what the restricted Pod Security Standard forbids in the server's pod with the fields of a pod
// template, and how to change it. The serving namespace enforces the standard.
func RestrictedViolations(fields map[string]any) ([]string, error) {
	own := outputs{}.plain((&VLLMArgs{Engine: EngineVLLM, CPU: "1", Memory: "1"}).podTemplate()).(map[string]any)
	merged, err := mergePodTemplate(own, fields)
	if err != nil {
		return nil, err
	}
	content, err := json.Marshal(merged)
	if err != nil {
		return nil, err
	}
	var template kcorev1.PodTemplateSpec
	if err := json.Unmarshal(content, &template); err != nil {
		return nil, fmt.Errorf("the merged pod template: %w", err)
	}
	evaluator, err := podSecurityChecks()
	if err != nil {
		return nil, err
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var violations []string
	for _, result := range evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
		if !result.Allowed {
			violations = append(violations, fmt.Sprintf("%s (%s)", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return violations, nil
}
