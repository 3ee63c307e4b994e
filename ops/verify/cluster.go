package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func (w *walk) kubectl(namespace, format string, values ...any) string {
	return fmt.Sprintf("$ %s -n %s ", w.Kubectl, namespace) + fmt.Sprintf(format, values...)
}

// allowed adds the missing permission to an error of the API server.
func (w *walk) allowed(err error) error {
	switch {
	case apierrors.IsUnauthorized(err):
		return &failure{
			measured: "the API server does not accept the credentials: " + err.Error(),
			expected: "credentials that are valid for this cluster",
			look:     []string{"log in to the cloud again, or renew the credentials in the kubeconfig", "$ " + w.Kubectl + " auth whoami"},
		}
	case apierrors.IsForbidden(err):
		return &failure{
			measured: err.Error(),
			expected: "a role that may read the stack's namespaces and use pods/portforward in them",
			look:     []string{"$ " + w.Kubectl + " auth whoami", "$ " + w.Kubectl + " auth can-i --list -n " + w.Pipeline.Serving.Namespace},
		}
	}
	return err
}

// raw reads a path of the API server; errors contain the server's message.
func (w *walk) raw(ctx context.Context, path string) ([]byte, error) {
	result := w.client.CoreV1().RESTClient().Get().AbsPath(path).Do(ctx)
	// Only Error reads the Status in the answer.
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

func (w *walk) api(ctx context.Context) (string, error) {
	raw, err := w.raw(ctx, "/version")
	if err != nil {
		if known := w.allowed(err); known != err { //nolint:errorlint // whether it is another one
			return "", known
		}
		return "", &failure{
			measured: fmt.Sprintf("%s does not answer: %v", w.Config.Host, err),
			expected: "the version of the API server",
			look: []string{
				"is the cluster there, and may this machine reach it (VPN, authorized networks)? Is the program that the kubeconfig calls for credentials installed?",
				"$ " + w.Kubectl + " version",
				"$ pulumi refresh --preview-only --stack " + w.Stack,
			},
		}
	}
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(raw, &version); err != nil || version.GitVersion == "" {
		return "", &failure{
			measured: fmt.Sprintf("%s is not an API server: /version returns no version", w.Config.Host),
			expected: "the version of the API server", look: []string{"$ " + w.Kubectl + " version"},
		}
	}
	return fmt.Sprintf("Kubernetes %s at %s", version.GitVersion, w.Config.Host), nil
}

// servers finds the Deployment's pods.
func (w *walk) servers(ctx context.Context) (string, error) {
	s := w.Pipeline.Serving
	deployment, err := w.client.AppsV1().Deployments(s.Namespace).Get(ctx, s.Deployment, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", &failure{
			measured: fmt.Sprintf("there is no Deployment %s/%s", s.Namespace, s.Deployment), expected: "the Deployment that the stack created",
			look: []string{"$ pulumi up --refresh --stack " + w.Stack},
		}
	}
	if err != nil {
		return "", w.allowed(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(deployment.Spec.Selector)
	if err != nil {
		return "", err
	}
	list, err := w.client.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return "", w.allowed(err)
	}
	wanted := 1
	if deployment.Spec.Replicas != nil {
		wanted = int(*deployment.Spec.Replicas)
	}
	var unready troubles
	for _, pod := range list.Items {
		// Terminating and evicted pods serve no requests and are ignored.
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
			continue
		}
		if !ready(&pod) {
			w.add(ctx, &unready, &pod, true)
			continue
		}
		w.pods = append(w.pods, pod)
		w.settles(&pod)
		w.restarted(&pod)
	}
	slices.SortFunc(w.pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	total := len(w.pods) + len(unready.texts)
	look := append([]string{
		w.kubectl(s.Namespace, "get pods -l '%s' -o wide", selector),
		w.kubectl(s.Namespace, "describe pods -l '%s'", selector),
	}, unready.commands...)
	switch {
	case wanted == 0:
		return "", &failure{
			measured: fmt.Sprintf("Deployment %s/%s is scaled to 0: the HPA does not scale it up from there", s.Namespace, s.Deployment),
			expected: "at least 1 replica",
			look:     []string{w.kubectl(s.Namespace, "scale deployment %s --replicas=1", s.Deployment)},
		}
	case total < wanted:
		for _, c := range deployment.Status.Conditions {
			if c.Status == corev1.ConditionTrue && c.Type == "ReplicaFailure" {
				unready.texts = append(unready.texts, c.Message)
			}
		}
		return "", &failure{
			measured: joined(fmt.Sprintf("%d of %d replicas have a pod", total, wanted), unready.texts), log: unready.log,
			expected: fmt.Sprintf("%d pods, all Ready", wanted),
			look:     append(look, w.kubectl(s.Namespace, "describe replicasets -l '%s'", selector)),
		}
	case len(unready.texts) > 0:
		return "", &failure{
			measured: joined(fmt.Sprintf("%d/%d ready", len(w.pods), total), unready.texts), log: unready.log,
			expected: fmt.Sprintf("%d/%d ready", total, total),
			look:     append(look, "a new replica needs minutes for its node, image and model: --wait 15m waits for it"),
		}
	}
	return fmt.Sprintf("%d/%d ready: %s", total, total, names(w.pods)) + w.weights(ctx, &deployment.Spec.Template.Spec, s.Namespace) + w.spareNodes(ctx), nil
}

func ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// readyPodOf returns a ready pod behind a Service, and the container port of the Service's port.
func (w *walk) readyPodOf(ctx context.Context, namespace, name string, port int) (string, int, error) {
	service, err := w.client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", 0, w.allowed(err)
	}
	i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return int(p.Port) == port })
	if i < 0 {
		return "", 0, fmt.Errorf("Service %s/%s has no port %d", namespace, name, port) //nolint:staticcheck // Service is a kind
	}
	list, err := w.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: service.Spec.Selector}),
	})
	if err != nil {
		return "", 0, w.allowed(err)
	}
	var unready troubles
	for _, pod := range list.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		if !ready(&pod) {
			w.add(ctx, &unready, &pod, false)
			continue
		}
		if number, ok := containerPort(&pod, service.Spec.Ports[i]); ok {
			w.settles(&pod)
			return pod.Name, number, nil
		}
	}
	return "", 0, &failure{
		measured: joined(fmt.Sprintf("no ready pod behind Service %s/%s", namespace, name), unready.texts), log: unready.log, look: unready.commands,
	}
}

func containerPort(pod *corev1.Pod, port corev1.ServicePort) (int, bool) {
	if port.TargetPort.Type == intstr.Int {
		if port.TargetPort.IntVal == 0 {
			return int(port.Port), true
		}
		return int(port.TargetPort.IntVal), true
	}
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == port.TargetPort.StrVal {
				return int(p.ContainerPort), true
			}
		}
	}
	return 0, false
}

func names(pods []corev1.Pod) string {
	var all []string
	for _, pod := range pods {
		all = append(all, pod.Name)
	}
	return shortened(all)
}

// shortened lists at most five names.
func shortened(all []string) string {
	const most = 5
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

func joined(text string, details []string) string {
	if len(details) == 0 {
		return text
	}
	return text + "; " + strings.Join(details, "; ")
}
