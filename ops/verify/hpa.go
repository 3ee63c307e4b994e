package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hpa checks that one autoscaler works: two on one Deployment conflict.
func (w *walk) hpa(ctx context.Context) (string, error) {
	hpa, err := w.onlyHPA(ctx)
	if err != nil {
		return "", err
	}
	if err := w.hpaConditions(hpa); err != nil {
		return "", err
	}
	readings, err := w.hpaReadings(hpa)
	if err != nil {
		return "", err
	}
	least := int32(1)
	if hpa.Spec.MinReplicas != nil {
		least = *hpa.Spec.MinReplicas
	}
	desired := plural(int(hpa.Status.DesiredReplicas), "replica")
	text := fmt.Sprintf("%s desired (%d to %d), %s", desired, least, hpa.Spec.MaxReplicas, strings.Join(readings, ", "))
	for _, c := range hpa.Status.Conditions {
		if c.Type == autoscalingv2.ScalingLimited && c.Status == corev1.ConditionTrue {
			text += fmt.Sprintf("; limited: %s", c.Reason)
		}
	}
	return text, nil
}

// onlyHPA returns the stack's HPA if no other one scales the Deployment.
func (w *walk) onlyHPA(ctx context.Context) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	s := w.Pipeline.Serving
	list, err := w.client.AutoscalingV2().HorizontalPodAutoscalers(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, w.allowed(err)
	}
	var found []string
	var hpa *autoscalingv2.HorizontalPodAutoscaler
	for i, one := range list.Items {
		if one.Spec.ScaleTargetRef.Kind == "Deployment" && one.Spec.ScaleTargetRef.Name == s.Deployment {
			found = append(found, one.Name)
			if one.Name == s.HPA {
				hpa = &list.Items[i]
			}
		}
	}
	slices.Sort(found)
	if hpa == nil {
		return nil, &failure{
			measured: joined(fmt.Sprintf("no HPA %s/%s for Deployment %s", s.Namespace, s.HPA, s.Deployment), found),
			expected: "the HPA that the stack created", look: []string{w.kubectl(s.Namespace, "get hpa"), "$ pulumi up --refresh --stack " + w.Stack},
		}
	}
	if len(found) > 1 {
		others := slices.DeleteFunc(slices.Clone(found), func(name string) bool { return name == s.HPA })
		return nil, &failure{
			measured: fmt.Sprintf("%d HPAs scale Deployment %s: %s", len(found), s.Deployment, strings.Join(found, ", ")),
			expected: "only " + s.HPA + ": two on one Deployment stop each other (AmbiguousSelector), or fight over its replicas",
			look: []string{"find out what created the other one (a KEDA ScaledObject does), then delete it",
				w.kubectl(s.Namespace, "get hpa %s -o yaml", others[0])},
		}
	}
	return hpa, nil
}

// hpaConditions checks that the HPA can scale and is active.
func (w *walk) hpaConditions(hpa *autoscalingv2.HorizontalPodAutoscaler) error {
	describe := w.kubectl(hpa.Namespace, "describe hpa %s", hpa.Name)
	for _, kind := range []autoscalingv2.HorizontalPodAutoscalerConditionType{autoscalingv2.AbleToScale, autoscalingv2.ScalingActive} {
		i := slices.IndexFunc(hpa.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool { return c.Type == kind })
		if i < 0 {
			return &failure{
				measured: fmt.Sprintf("the HPA has no condition %s yet: the controller has not processed it", kind),
				expected: string(kind) + " true", look: []string{"the controller runs every 15 s; run this again", describe},
			}
		}
		if c := hpa.Status.Conditions[i]; c.Status != corev1.ConditionTrue {
			return &failure{
				measured: fmt.Sprintf("%s is %s: %s: %s", kind, c.Status, c.Reason, c.Message),
				expected: string(kind) + " true", look: []string{"the controller runs every 15 s, and its message may be as old", describe},
			}
		}
	}
	return nil
}

// hpaReadings returns the HPA's value of each signal as text, and fails if one is missing.
func (w *walk) hpaReadings(hpa *autoscalingv2.HorizontalPodAutoscaler) ([]string, error) {
	read := map[string]float64{}
	for _, metric := range hpa.Status.CurrentMetrics {
		if metric.Pods != nil && metric.Pods.Current.AverageValue != nil {
			read[metric.Pods.Metric.Name] = metric.Pods.Current.AverageValue.AsApproximateFloat64()
		}
	}
	var readings, missing []string
	for _, signal := range w.Pipeline.Signals {
		value, ok := read[signal.Name]
		if !ok {
			missing = append(missing, signal.Name)
			continue
		}
		readings = append(readings, fmt.Sprintf("%s %s of %s", signal.Name, number(value), number(signal.Target)))
	}
	if len(missing) > 0 {
		return nil, &failure{
			measured: "the HPA has no value of " + strings.Join(missing, ", "),
			expected: "a value of each of " + fmt.Sprint(len(w.Pipeline.Signals)) + " signals",
			look: []string{w.kubectl(hpa.Namespace, "describe hpa %s", hpa.Name),
				w.kubectl(hpa.Namespace, "get events --field-selector involvedObject.name=%s", hpa.Name)},
		}
	}
	return readings, nil
}
