package rollout

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The events of node autoscalers: cluster-autoscaler, which also runs in GKE and AKS, and Karpenter.
var (
	nodeIsComing = []string{"TriggeredScaleUp", "Nominated"}
	nodeFailed   = []string{"FailedScaleUp"}
	noNode       = []string{"NotTriggerScaleUp"}
)

// The events of the kubelet before a container starts.
var (
	pulling      = []string{"Pulling"}
	pulled       = []string{"Pulled"}
	notPrepared  = []string{"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedCreatePodContainer"}
	probeFailed  = []string{"Unhealthy"}
	badImageName = []string{"InvalidImageName", "ErrImageNeverPull"}
)

// whyUnscheduled returns why a pod has no node: the last word of the node autoscaler, or else that of the scheduler.
func (s State) whyUnscheduled(p corev1.Pod) string {
	var scheduler string
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			scheduler = c.Message
		}
	}
	autoscaler, found := s.last(p, slices.Concat(nodeIsComing, nodeFailed, noNode))
	if !found {
		if scheduler == "" {
			scheduler = "not scheduled yet"
		}
		return withCause(oneLine(scheduler), scheduler)
	}
	text := autoscaler.Reason + ": " + autoscaler.Message
	// The autoscaler tries again after a failure, which stays the reason.
	if failed, found := s.last(p, nodeFailed); found && autoscaler.Reason != failed.Reason {
		text += "; before, " + failed.Reason + ": " + failed.Message
	}
	if slices.Contains(noNode, autoscaler.Reason) && scheduler != "" {
		text += "; scheduler: " + scheduler
	}
	return withCause(oneLine(text), text+scheduler)
}

// whyNotStarted returns why the server's container has not started, and whether it never will.
func (s State) whyNotStarted(p corev1.Pod, status corev1.ContainerStatus) (detail string, hopeless bool) {
	if waiting := status.State.Waiting; waiting != nil && waiting.Reason != "ContainerCreating" && waiting.Reason != "PodInitializing" {
		return oneLine(waiting.Reason + ": " + waiting.Message), slices.Contains(badImageName, waiting.Reason) || imageMissing(waiting.Message)
	}
	image := s.image(p)
	begun, isPulling := s.last(p, pulling)
	ended, isPulled := s.last(p, pulled)
	trouble, isTrouble := s.last(p, notPrepared)
	switch {
	case isTrouble && (!isPulling || at(trouble).After(at(begun))):
		return withCause(oneLine(trouble.Reason+": "+trouble.Message), trouble.Message), false
	case isPulling && (!isPulled || at(ended).Before(at(begun))):
		return "pulling " + image, false
	case isPulled:
		return "starting the container of " + image, false
	}
	return fmt.Sprintf("preparing the pod on node %s (%s)", p.Spec.NodeName, image), false
}

// imageMissing reports whether a registry has answered that it does not have the image. Refused permissions may be granted
// meanwhile, and networks come back.
func imageMissing(message string) bool {
	return strings.Contains(message, "code = NotFound") || strings.Contains(message, "manifest unknown") || strings.HasSuffix(message, ": not found")
}

// image returns the image of the server's container.
func (s State) image(p corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		if c.Name == s.Container {
			return c.Image
		}
	}
	return "the image"
}

// whyStarting returns what a running container does until it is ready.
func (s State) whyStarting(p corev1.Pod, status corev1.ContainerStatus) string {
	var parts []string
	if status.RestartCount > 0 {
		before, _ := whyRestarted(status)
		parts = append(parts, before)
	}
	switch probe, found := s.last(p, probeFailed); {
	case status.Ready:
		parts = append(parts, "the server is ready, the pod is not: "+waitingConditions(p))
	case found && strings.HasPrefix(probe.Message, "Startup") && !at(probe).Before(status.State.Running.StartedAt.Time):
		parts = append(parts, "the server does not answer yet")
	default:
		parts = append(parts, "the server starts")
	}
	return oneLine(strings.Join(parts, "; "))
}

// waitingConditions lists what keeps a pod from being ready beside the server: another container or a readiness gate.
func waitingConditions(p corev1.Pod) string {
	var names []string
	for _, c := range p.Status.Conditions {
		if c.Status != corev1.ConditionTrue && c.Type != corev1.PodReady {
			names = append(names, fmt.Sprintf("%s %s", c.Type, c.Message))
		}
	}
	return strings.Join(names, ", ")
}

const (
	// hopelessRestarts is the number of restarts after which an error of the server counts as permanent. A download that
	// fails is tried again by then.
	hopelessRestarts = 4
	// hopelessSoon is that number for errors that only another configuration removes.
	hopelessSoon = 2
	// usageError is the exit code of vLLM for arguments that it refuses.
	usageError = 2
)

// whyRestarted returns how the server ended, and whether it will end like that again.
func whyRestarted(status corev1.ContainerStatus) (detail string, hopeless bool) {
	last := lastEnd(status)
	ended := "ended"
	if last != nil {
		ended = fmt.Sprintf("exit code %d", last.ExitCode)
		if last.Reason != "" && last.Reason != "Error" {
			ended = last.Reason + ", " + ended
		}
		if line := lastLine(last.Message); line != "" {
			ended += ": " + line
		}
	}
	text := fmt.Sprintf("the server has been restarted %s, the last time after: %s", times(status.RestartCount), ended)
	if status.RestartCount == 0 {
		text = "the server ended: " + ended
	}
	limit := int32(hopelessRestarts)
	if last != nil && (last.Reason == "OOMKilled" || last.ExitCode == usageError) {
		limit = hopelessSoon
	}
	text = oneLine(text)
	if last != nil {
		text = withCause(text, last.Message)
	}
	return text, status.State.Running == nil && status.RestartCount >= limit
}

// lastEnd returns how the server's last run ended, nil if none has.
func lastEnd(status corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if status.State.Terminated != nil {
		return status.State.Terminated
	}
	return status.LastTerminationState.Terminated
}

func times(n int32) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// lastLine returns the last line with text, in which a Python traceback has the error.
func lastLine(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// token matches a token of the Hugging Face hub, which a server must not log, and may.
var token = regexp.MustCompile(`\bhf_[A-Za-z0-9]{8,}`)

// lastLines returns the last lines of the server in a pod: of its log, or else of what the status has of it.
func (s State) lastLines(p pod) []string {
	if p.phase != Weights && p.phase != WarmUp {
		return nil
	}
	text := s.Log
	if strings.TrimSpace(text) == "" {
		text = p.message
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = oneLine(line); line != "" {
			lines = append(lines, token.ReplaceAllString(line, "[hidden]"))
		}
	}
	return lines[max(0, len(lines)-endLines):]
}

// loaded are parts of the lines that vLLM logs once it has loaded the weights.
var loaded = []string{"Model loading took", "Loading weights took", "torch.compile takes", "Capturing CUDA graph", "Graph capturing finished",
	"init engine (profile", "Starting vLLM API server", "Application startup complete"}

// warmsUp reports whether the server's log is from after the loading of the weights.
func warmsUp(log string) bool {
	return slices.ContainsFunc(loaded, func(part string) bool { return strings.Contains(log, part) })
}

// last returns the latest event of a pod with one of some reasons.
func (s State) last(p corev1.Pod, reasons []string) (latest corev1.Event, found bool) {
	for _, event := range s.Events {
		of := event.InvolvedObject
		if of.Name != p.Name || of.UID != "" && of.UID != p.UID || !slices.Contains(reasons, event.Reason) {
			continue
		}
		if !found || !at(event).Before(at(latest)) {
			latest, found = event, true
		}
	}
	return latest, found
}

// at returns when an event last happened. Clients record it in different fields.
func at(event corev1.Event) time.Time {
	switch {
	case event.Series != nil:
		return event.Series.LastObservedTime.Time
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	}
	return event.CreationTimestamp.Time
}
