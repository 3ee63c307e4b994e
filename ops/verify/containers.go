package verify

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/components/rollout"
	"vllm-autoscaling/ops/redact"
)

// The bounds of what is shown of a container's log: its last lines only, because a server logs its settings at its start and
// requests while it serves.
const (
	logLines     = 3
	logLineBytes = 300
	// logTail and logBytes limit what is read: lines that are empty or repeat themselves are left out.
	logTail  = 20
	logBytes = 16 << 10
	// logTimeout leaves the rest of a run to the report, where a kubelet does not answer.
	logTimeout = 5 * time.Second
	// logPods is how many pods' logs are read.
	logPods = 3
	// recentEnd is how long ago a container of a ready pod may have ended to be worth a warning.
	recentEnd = 10 * time.Minute
)

// trouble is why a pod is not ready.
type trouble struct {
	text string
	// container has a log that may tell more; "" for none. previous is its run before the present one.
	container string
	previous  bool
	// message is the end of that log, where the kubelet has put it into the status.
	message string
}

// whyNotReady returns the reason that a pod is not ready, in Kubernetes' words if there are any. server is true for the pods
// of the server, which load a model before they are ready.
func whyNotReady(pod *corev1.Pod, server bool) trouble {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			if strings.Contains(c.Message, "nvidia.com/gpu") {
				return trouble{text: "pending for a node with a free GPU: " + c.Message}
			}
			return trouble{text: "pending for a node: " + c.Message}
		}
	}
	statuses := append(slices.Clone(pod.Status.InitContainerStatuses), pod.Status.ContainerStatuses...)
	for _, s := range statuses {
		if s.Ready {
			continue
		}
		waiting := s.State.Waiting
		switch last, previous := lastEnd(s); {
		case waiting != nil && strings.Contains(waiting.Reason, "Image"):
			return trouble{text: fmt.Sprintf("the image %s cannot be pulled: %s %s", s.Image, waiting.Reason, waiting.Message)}
		case last != nil:
			return trouble{text: ended(s, last), container: s.Name, previous: previous, message: last.Message}
		case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing":
			return trouble{text: fmt.Sprintf("container %s waits: %s %s", s.Name, waiting.Reason, waiting.Message)}
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Running != nil && !s.Ready {
			return trouble{text: running(pod, s, server), container: s.Name}
		}
	}
	return trouble{text: "phase " + string(pod.Status.Phase)}
}

// lastEnd returns how a container ended last, and whether it is another run than the present one; nil where it has not ended,
// or ended as it should.
func lastEnd(s corev1.ContainerStatus) (end *corev1.ContainerStateTerminated, previous bool) {
	if now := s.State.Terminated; now != nil && (now.ExitCode != 0 || s.RestartCount > 0) {
		return now, false
	}
	return s.LastTerminationState.Terminated, true
}

// ended describes a container that has ended: restarts, last exit code and reason, and what it does now.
func ended(s corev1.ContainerStatus, last *corev1.ContainerStateTerminated) string {
	text := fmt.Sprintf("container %s: %s, last exit code %d", s.Name, plural(int(s.RestartCount), "restart"), last.ExitCode)
	if last.Reason != "" {
		text += " (" + last.Reason + ")"
	}
	if !last.FinishedAt.IsZero() {
		text += fmt.Sprintf(" %s ago", since(last.FinishedAt.Time))
	}
	switch {
	case s.State.Waiting != nil && s.State.Waiting.Reason != "":
		text += ", waits: " + s.State.Waiting.Reason
	case s.State.Running != nil && s.Ready:
		text += ", serves again"
	case s.State.Running != nil:
		text += fmt.Sprintf(", runs for %s and is not ready", since(s.State.Running.StartedAt.Time))
	}
	return text
}

// running describes a container that runs and has never ended.
func running(pod *corev1.Pod, s corev1.ContainerStatus, server bool) string {
	runs := time.Since(s.State.Running.StartedAt.Time)
	text := fmt.Sprintf("container %s runs for %s and is not ready", s.Name, since(s.State.Running.StartedAt.Time))
	budget := startupBudget(pod, s.Name)
	switch {
	case s.Started != nil && *s.Started && budget > 0:
		return text + ": it had started, and its readiness probe fails"
	case !server || budget == 0:
		return text
	case runs < budget:
		return text + " (loading its model?)"
	}
	return fmt.Sprintf("%s, longer than the %s of its start-up probe", text, budget)
}

// startupBudget returns how long the start-up probe of a container lets it start; 0 without one.
func startupBudget(pod *corev1.Pod, container string) time.Duration {
	for _, c := range pod.Spec.Containers {
		if c.Name != container || c.StartupProbe == nil {
			continue
		}
		p := c.StartupProbe
		period, failures := max(p.PeriodSeconds, 1), max(p.FailureThreshold, 1)
		return time.Duration(p.InitialDelaySeconds+period*failures) * time.Second
	}
	return 0
}

// restarted warns of the containers of a ready pod that have ended a short while ago: such a pod is ready between two crashes.
func (w *walk) restarted(pod *corev1.Pod) {
	for _, s := range pod.Status.ContainerStatuses {
		if last, _ := lastEnd(s); last != nil && s.RestartCount > 0 && time.Since(last.FinishedAt.Time) < recentEnd {
			w.warn(pod.Name + ": " + ended(s, last))
		}
	}
}

// troubles collects why pods are not ready, with the last lines of their logs.
type troubles struct {
	texts, log []string
	// commands show the logs.
	commands []string
}

// add adds a pod that is not ready.
func (w *walk) add(ctx context.Context, t *troubles, pod *corev1.Pod, server bool) {
	why := whyNotReady(pod, server)
	t.texts = append(t.texts, pod.Name+": "+why.text)
	at := len(t.texts) - 1
	if cause := rollout.WeightsCause(why.text + " " + why.message); cause != "" {
		t.texts[at] += "; likely: " + cause
	}
	if why.container == "" || len(t.commands) >= logPods {
		return
	}
	options := ""
	if why.previous {
		options = " --previous"
	}
	t.commands = append(t.commands, w.kubectl(pod.Namespace, "logs %s -c %s%s --tail=50", pod.Name, why.container, options))
	lines, err := w.lastLines(ctx, pod, why)
	if err != nil {
		lines = tail(why.message)
		t.log = append(t.log, fmt.Sprintf("%s: the log cannot be read: %v", pod.Name, firstLine([]byte(err.Error()))))
	}
	for _, line := range lines {
		t.log = append(t.log, pod.Name+": "+line)
	}
	if cause := rollout.WeightsCause(strings.Join(lines, " ")); cause != "" && !strings.Contains(t.texts[at], cause) {
		t.texts[at] += "; likely: " + cause
	}
}

// lastLines reads the end of a container's log through the API server.
func (w *walk) lastLines(ctx context.Context, pod *corev1.Pod, why trouble) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	most, bytes := int64(logTail), int64(logBytes)
	stream, err := w.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: why.container, Previous: why.previous, TailLines: &most, LimitBytes: &bytes,
	}).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	// The kubelet keeps the bounds; this one does not depend on it.
	content, err := io.ReadAll(io.LimitReader(stream, logBytes))
	if err != nil {
		return nil, err
	}
	return tail(string(content)), nil
}

var (
	// colours are a terminal's escape sequences.
	colours = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	control = regexp.MustCompile(`[\x00-\x1f\x7f-\x9f]+`)
)

// tail returns the last lines of a log, without what looks like a secret and without control characters, which a terminal
// would obey.
func tail(content string) []string {
	var lines []string
	for _, line := range strings.Split(redact.Log(content), "\n") {
		// A progress bar overwrites its line.
		line = strings.TrimRight(line, "\r")
		line = line[strings.LastIndex(line, "\r")+1:]
		line = strings.TrimSpace(control.ReplaceAllString(colours.ReplaceAllString(line, ""), " "))
		if line == "" {
			continue
		}
		if len(line) > logLineBytes {
			line = strings.ToValidUTF8(line[:logLineBytes], "") + "..."
		}
		lines = append(lines, line)
	}
	return lines[max(len(lines)-logLines, 0):]
}

// since formats the time since a moment, in whole seconds.
func since(moment time.Time) time.Duration { return time.Since(moment).Round(time.Second) }
