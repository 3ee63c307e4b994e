package kubernetesprovider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// pollInterval is how often a live object is read while waiting for it.
const pollInterval = 500 * time.Millisecond

// progressInterval is how often an unchanged reason for waiting is shown again.
const progressInterval = 10 * time.Second

// readiness returns what a live object lacks to be ready, "" if it is ready. An error means that it will not become ready.
type readiness func(live map[string]any) (missing string, err error)

// readinessOf returns the readiness check of a kind, nil for kinds that are ready once they exist.
func readinessOf(gk schema.GroupKind) readiness {
	switch gk.String() {
	case "Deployment.apps":
		return deploymentReady
	case "StatefulSet.apps":
		return statefulSetReady
	case "DaemonSet.apps":
		return daemonSetReady
	case "Namespace":
		return namespaceReady
	case "Pod":
		return podReady
	case "Job.batch":
		return jobReady
	case "CustomResourceDefinition.apiextensions.k8s.io":
		return definitionReady
	}
	return nil
}

// awaitReady waits until the object is ready. It returns the last state and, if that is not ready, the reason.
func (p *Provider) awaitReady(ctx context.Context, c *cluster, t target, op change, live *unstructured.Unstructured) (*unstructured.Unstructured, []string) {
	ready := readinessOf(t.mapping.GroupVersionKind.GroupKind())
	if ready == nil || annotation(op.inputs, "pulumi.com/skipAwait") == "true" {
		return live, nil
	}
	var shown string
	var shownAt time.Time
	for {
		missing, err := ready(live.Object)
		if err != nil {
			return live, append([]string{fmt.Sprintf("%s: %v", t, err)}, podTroubles(ctx, c, t, live)...)
		}
		if missing == "" {
			return live, nil
		}
		if missing != shown || time.Since(shownAt) > progressInterval {
			p.progress(op.urn, missing)
			shown, shownAt = missing, time.Now()
		}
		if err := sleep(ctx, pollInterval); err != nil {
			what := fmt.Sprintf("%s is not ready after %s: %s", t, op.waitTime(), missing)
			if errors.Is(err, context.Canceled) {
				what = fmt.Sprintf("waiting for %s was cancelled: %s", t, missing)
			}
			return live, append([]string{what}, podTroubles(context.WithoutCancel(ctx), c, t, live)...)
		}
		next, err := t.client.Get(ctx, t.name(), metav1.GetOptions{})
		switch {
		case err == nil:
			live = next
		case apierrors.IsNotFound(err):
			return live, []string{fmt.Sprintf("%s was deleted while waiting for it to become ready", t)}
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return live, []string{t.describe("waiting for", err).Error()}
		}
		// Any other error means that the API server is busy; the deadline limits the wait.
	}
}

// awaitGone waits until the object no longer exists.
func (p *Provider) awaitGone(ctx context.Context, t target, op change, limit time.Duration) error {
	var last *unstructured.Unstructured
	var uid string
	var shownAt time.Time
	for {
		live, err := t.client.Get(ctx, t.name(), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err == nil && uid != "" && string(live.GetUID()) != uid:
			return nil // gone, and its name is taken again
		case err == nil:
			last, uid = live, string(live.GetUID())
			if time.Since(shownAt) > progressInterval && !shownAt.IsZero() {
				p.progress(op.urn, "waiting to be gone: "+blockers(live))
				shownAt = time.Now()
			}
			if shownAt.IsZero() {
				shownAt = time.Now()
			}
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return t.describe("waiting for the deletion of", err)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return fmt.Errorf("%s is not gone after %s: %s", t, limit, blockers(last))
		}
	}
}

// blockers returns what keeps an object from being deleted: its finalizers and, for a namespace, the conditions that list
// what is left in it.
func blockers(live *unstructured.Unstructured) string {
	if live == nil {
		return "the cluster does not answer"
	}
	var parts []string
	for _, c := range conditions(live.Object) {
		if c.status == "True" && (c.message != "" || c.reason != "") {
			parts = append(parts, c.String())
		}
	}
	if f := live.GetFinalizers(); len(f) > 0 {
		parts = append(parts, "finalizers "+strings.Join(f, ", "))
	}
	if f, ok, _ := unstructured.NestedStringSlice(live.Object, "spec", "finalizers"); ok && len(f) > 0 {
		parts = append(parts, "finalizers "+strings.Join(f, ", "))
	}
	if len(parts) == 0 {
		return "nothing is known to block it"
	}
	return strings.Join(parts, "; ")
}

func deploymentReady(live map[string]any) (string, error) {
	if !observed(live) {
		return "waiting for the controller to see the change", nil
	}
	for _, c := range conditions(live) {
		if c.kind == "Progressing" && c.reason == "ProgressDeadlineExceeded" {
			return "", errors.New(c.String())
		}
	}
	want := number(live, 1, "spec", "replicas")
	updated := number(live, 0, "status", "updatedReplicas")
	available := number(live, 0, "status", "availableReplicas")
	all := number(live, 0, "status", "replicas")
	switch {
	case updated < want:
		return fmt.Sprintf("%d of %d pods updated", updated, want), nil
	case all > updated:
		return fmt.Sprintf("%d pods of the earlier version still there", all-updated), nil
	case available < want:
		return fmt.Sprintf("%d of %d pods available", available, want), nil
	}
	return "", nil
}

func statefulSetReady(live map[string]any) (string, error) {
	if !observed(live) {
		return "waiting for the controller to see the change", nil
	}
	want := number(live, 1, "spec", "replicas")
	if ready := number(live, 0, "status", "readyReplicas"); ready < want {
		return fmt.Sprintf("%d of %d pods ready", ready, want), nil
	}
	onDelete, _, _ := unstructured.NestedString(live, "spec", "updateStrategy", "type")
	partition := number(live, 0, "spec", "updateStrategy", "rollingUpdate", "partition")
	if updated := number(live, 0, "status", "updatedReplicas"); onDelete != "OnDelete" && updated < want-partition {
		return fmt.Sprintf("%d of %d pods updated", updated, want-partition), nil
	}
	return "", nil
}

func daemonSetReady(live map[string]any) (string, error) {
	if !observed(live) {
		return "waiting for the controller to see the change", nil
	}
	want := number(live, 0, "status", "desiredNumberScheduled")
	onDelete, _, _ := unstructured.NestedString(live, "spec", "updateStrategy", "type")
	if updated := number(live, 0, "status", "updatedNumberScheduled"); onDelete != "OnDelete" && updated < want {
		return fmt.Sprintf("%d of %d pods updated", updated, want), nil
	}
	if available := number(live, 0, "status", "numberAvailable"); available < want {
		return fmt.Sprintf("%d of %d pods available", available, want), nil
	}
	return "", nil
}

func namespaceReady(live map[string]any) (string, error) {
	phase, _, _ := unstructured.NestedString(live, "status", "phase")
	if phase != "Active" {
		return fmt.Sprintf("namespace is %q, not yet Active", phase), nil
	}
	return "", nil
}

func podReady(live map[string]any) (string, error) {
	phase, _, _ := unstructured.NestedString(live, "status", "phase")
	switch phase {
	case "Succeeded":
		return "", nil
	case "Failed":
		return "", errors.New("the pod failed")
	}
	for _, c := range conditions(live) {
		if c.kind == "Ready" && c.status == "True" {
			return "", nil
		}
	}
	return fmt.Sprintf("pod is %q, not yet ready", phase), nil
}

func jobReady(live map[string]any) (string, error) {
	for _, c := range conditions(live) {
		if c.status != "True" {
			continue
		}
		switch c.kind {
		case "Complete":
			return "", nil
		case "Failed":
			return "", errors.New(c.String())
		}
	}
	return fmt.Sprintf("%d of %d pods succeeded", number(live, 0, "status", "succeeded"), number(live, 1, "spec", "completions")), nil
}

func definitionReady(live map[string]any) (string, error) {
	for _, c := range conditions(live) {
		switch {
		case c.kind == "Established" && c.status == "True":
			return "", nil
		case c.kind == "NamesAccepted" && c.status == "False":
			return "", errors.New(c.String())
		}
	}
	return "not yet served", nil
}

// observed reports whether the controller's status is that of the latest spec.
func observed(live map[string]any) bool {
	return number(live, 0, "status", "observedGeneration") >= number(live, 0, "metadata", "generation")
}

func number(live map[string]any, otherwise int64, fields ...string) int64 {
	if n, ok, err := unstructured.NestedInt64(live, fields...); ok && err == nil {
		return n
	}
	return otherwise
}

type condition struct{ kind, status, reason, message string }

func (c condition) String() string {
	s := c.kind
	if c.status != "True" {
		s += "=" + c.status
	}
	if c.reason != "" {
		s += " (" + c.reason + ")"
	}
	if c.message != "" {
		s += ": " + c.message
	}
	return s
}

func conditions(live map[string]any) []condition {
	list, _, _ := unstructured.NestedSlice(live, "status", "conditions")
	var out []condition
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		field := func(name string) string { s, _ := m[name].(string); return s }
		out = append(out, condition{field("type"), field("status"), field("reason"), field("message")})
	}
	return out
}

// maxTroubles is the number of pods in the error when a workload does not become ready.
const maxTroubles = 5

// podTroubles lists the pods of a workload that are not ready, with the reasons.
func podTroubles(ctx context.Context, c *cluster, t target, live *unstructured.Unstructured) []string {
	selector, ok, _ := unstructured.NestedMap(live.Object, "spec", "selector")
	if !ok || t.namespace == "" {
		return nil
	}
	var labels []string
	matched, _, _ := unstructured.NestedStringMap(selector, "matchLabels")
	for k, v := range matched {
		labels = append(labels, k+"="+v)
	}
	if len(labels) == 0 {
		return nil
	}
	slices.Sort(labels)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	pods, err := c.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(t.namespace).
		List(ctx, metav1.ListOptions{LabelSelector: strings.Join(labels, ",")})
	if err != nil {
		return []string{fmt.Sprintf("its pods cannot be listed: %v", err)}
	}
	if len(pods.Items) == 0 {
		troubles := []string{"it has no pods"}
		for _, c := range conditions(live.Object) {
			if c.status == "False" || c.kind == "ReplicaFailure" {
				troubles = append(troubles, c.String())
			}
		}
		return troubles
	}
	var troubles []string
	for _, pod := range pods.Items {
		if missing, err := podReady(pod.Object); missing == "" && err == nil {
			continue
		}
		if len(troubles) == maxTroubles {
			return append(troubles, "and more pods that are not ready")
		}
		troubles = append(troubles, fmt.Sprintf("pod %q: %s", identify(pod.GetNamespace(), pod.GetName()), podTrouble(pod.Object)))
	}
	return troubles
}

// podTrouble returns why a pod is not ready.
func podTrouble(pod map[string]any) string {
	var parts []string
	for _, c := range conditions(pod) {
		if c.status == "False" && (c.message != "" || c.reason != "") {
			parts = append(parts, c.String())
		}
	}
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		statuses, _, _ := unstructured.NestedSlice(pod, "status", field)
		for _, s := range statuses {
			m, ok := s.(map[string]any)
			if !ok {
				continue
			}
			for _, state := range []string{"waiting", "terminated"} {
				reason, _, _ := unstructured.NestedString(m, "state", state, "reason")
				message, _, _ := unstructured.NestedString(m, "state", state, "message")
				if reason != "" && reason != "Completed" {
					parts = append(parts, strings.TrimSuffix(fmt.Sprintf("container %v is %s (%s): %s", m["name"], state, reason, message), ": "))
				}
			}
		}
	}
	if len(parts) == 0 {
		phase, _, _ := unstructured.NestedString(pod, "status", "phase")
		return fmt.Sprintf("phase %q, no reason given", phase)
	}
	return strings.Join(parts, "; ")
}
