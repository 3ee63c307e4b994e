package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// pollInterval is how often the cluster is read.
	pollInterval = 2 * time.Second
	// reportInterval is how often an unchanged phase is reported.
	reportInterval = time.Minute
	// hopelessFor is how long a state without hope has to last before the wait ends: one moment may show a container
	// between two attempts.
	hopelessFor = 30 * time.Second
	// unreachableFor is how long the API server may not answer, or refuse to: a control plane that is being resized or
	// upgraded, and a permission that was just given, take minutes.
	unreachableFor = 3 * time.Minute
)

// Wait waits for a rollout.
type Wait struct {
	// Read returns the state of the Deployment, as Reader.Read does.
	Read func(context.Context) (State, error)
	// Report shows a line to the user; an error ends the wait.
	Report func(string) error
	// Limit is how long to wait for the next replica to become ready.
	Limit time.Duration
	// Name is what the errors call the Deployment, and Look the command that shows its pods.
	Name, Look string
}

// Run returns when a pod of the current version is ready and none of an earlier version is left. It reports what the rollout
// waits for when that changes, and once a minute. The number of replicas may change meanwhile.
//
// It fails when no further replica becomes ready within the limit, when none can without a change of the configuration or the
// cluster, or when the API server does not answer for minutes.
func (w Wait) Run(ctx context.Context) error {
	r := &run{Wait: w, began: time.Now()}
	r.progressed, r.answered = r.began, r.began
	for {
		state, err := w.Read(ctx)
		done, err := r.look(state, err)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// run is a wait in progress.
type run struct {
	Wait
	began time.Time
	// progressed is when a replica became ready or an earlier one went, answered when the API server last answered.
	progressed, answered time.Time
	// hopeless is when the state lost hope; zero while there is some.
	hopeless time.Time
	seen     bool
	last     Progress
	reported time.Time
	shown    string
}

// look takes in what was read, and reports whether the wait is over.
func (r *run) look(state State, err error) (done bool, _ error) {
	now := time.Now()
	if err != nil {
		return false, r.unanswered(now, err)
	}
	r.answered = now
	p := state.Progress()
	if r.seen && (p.Ready > r.last.Ready || p.Left < r.last.Left) {
		r.progressed = now
	}
	r.seen, r.last = true, p
	if p.Phase == Done {
		if r.shown == "" && p.Detail == "" {
			return true, nil // Nothing to wait for, nothing to report.
		}
		if p.Detail == "" {
			p.Detail = "a replica of the current version is ready, " + r.waited(now)
		}
		return true, r.Report(p.Detail)
	}
	if !p.Hopeless {
		r.hopeless = time.Time{}
	} else if r.hopeless.IsZero() {
		r.hopeless = now
	}
	switch {
	case p.Hopeless && now.Sub(r.hopeless) >= hopelessFor:
		return false, r.failed("and none can become ready without a change")
	case now.Sub(r.progressed) >= r.Limit:
		return false, r.failed("after " + r.Limit.String())
	}
	return false, r.report(now, string(p.Phase), p.text())
}

// text returns the phase with its reason.
func (p Progress) text() string {
	text := "waiting for " + string(p.Phase)
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.Pod != "" {
		text += " (pod " + p.Pod + ")"
	}
	return text
}

// report shows a text when its phase is new or a minute has passed.
func (r *run) report(now time.Time, phase, text string) error {
	if phase == r.shown && now.Sub(r.reported) < reportInterval {
		return nil
	}
	r.shown, r.reported = phase, now
	return r.Report(text + ", " + r.waited(now))
}

func (r *run) waited(now time.Time) string {
	return now.Sub(r.began).Round(time.Second).String() + " so far"
}

// unanswered reports an API server that does not answer, and ends the wait when that lasts.
func (r *run) unanswered(now time.Time, err error) error {
	if now.Sub(r.answered) >= unreachableFor {
		return fmt.Errorf("%s: the API server has not answered for %s: %w. What was created is there; look with `%s`, and run `pulumi up` again to wait again",
			r.Name, unreachableFor, err, r.Look)
	}
	return r.report(now, "unanswered", "the API server does not answer, trying again: "+oneLine(err.Error()))
}

// failed returns the error that ends a wait. It ends with the server's last lines.
func (r *run) failed(how string) error {
	what := "no replica is ready " + how
	if r.last.Ready > 0 {
		what = fmt.Sprintf("the rollout is not complete %s (%s on, %d of an earlier version left)", how, serving(r.last.Ready), r.last.Left)
	}
	text := fmt.Sprintf("%s: %s: %s. Everything else in the stack is there, and Kubernetes goes on trying. "+
		"Correct the configuration, or go back to the last one that worked, and run `pulumi up`, which replaces the pod; "+
		"where only time was missing, `pulumi up` waits again. Look with `%s`; docs/recovery.md#no-replica-becomes-ready has the usual reasons",
		r.Name, what, r.last.text(), r.Look)
	if len(r.last.Lines) > 0 {
		text += "\nThe last lines of the server:\n    " + strings.Join(r.last.Lines, "\n    ")
	}
	return errors.New(text)
}

// serving returns how many ready replicas go on serving.
func serving(ready int) string {
	if ready == 1 {
		return "1 ready replica serves"
	}
	return fmt.Sprintf("%d ready replicas serve", ready)
}
