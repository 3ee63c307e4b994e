package destroy

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"vllm-autoscaling/providers/apiservices"
)

const (
	// lookInterval is how often the namespaces are looked at while the CLI runs.
	lookInterval = 2 * time.Second
	// heldFor is how long nothing but dead APIs may hold the namespaces before the CLI is told to stop waiting for them: longer
	// than an API that restarts is away.
	heldFor = 20 * time.Second
	// lookTimeout bounds a look at the cluster.
	lookTimeout = 10 * time.Second
)

// Options select the stack.
type Options struct {
	// Stack is its name, ProjectDir the folder of Pulumi.yaml.
	Stack, ProjectDir string
	// Yes destroys without asking.
	Yes bool
	// Stdin, Stdout and Stderr are those of the CLI. What is found is written to Stderr.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// patience replaces heldFor in tests.
	patience time.Duration
}

// Look writes the APIServices that would keep a stack's namespaces from being deleted, and how to help. Where it cannot look, it
// writes that: destroying needs no permission to look.
func (o Options) Look(ctx context.Context) { o.look(ctx) }

func (o Options) look(ctx context.Context) *cluster {
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	c, err := openCluster(limited, o.ProjectDir, o.Stack)
	var dead []apiservices.Unavailable
	if err == nil {
		dead, err = c.deadAPIs(limited)
	}
	if err != nil {
		o.printf("not looked for APIs that would hold up the deletion of namespaces: %v", err)
		return nil
	}
	if len(dead) > 0 {
		o.printf("the deletion of namespaces will not complete while an API of the cluster does not answer. `%s get apiservices` lists them all", c.kubectl)
		o.name(c, dead)
	}
	return c
}

// name writes APIServices with their remedies.
func (o Options) name(c *cluster, dead []apiservices.Unavailable) {
	for _, d := range dead {
		o.printf("%s. To help, %s", d, d.Remedy(c.kubectl))
	}
}

func (o Options) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Stderr, "destroy: "+format+"\n", args...)
}

// Run destroys everything of the stack. Namespaces that are empty and only wait for APIs of others are left to Kubernetes, which
// removes them once these APIs answer or are gone: what the stack has besides is destroyed without them.
func (o Options) Run(ctx context.Context) error {
	cluster := o.look(ctx)
	left, err := o.destroy(ctx, cluster, o.Yes)
	if len(left) == 0 || ctx.Err() != nil {
		return err
	}
	var names []string
	for _, h := range left {
		names = append(names, h.name)
	}
	o.printf("leaving %s to Kubernetes, and destroying the rest", strings.Join(names, ", "))
	if err := o.forget(ctx, names); err != nil {
		return err
	}
	if _, err := o.destroy(ctx, nil, true); err != nil {
		return err
	}
	o.printf("done; of %s only the name is left, which goes by itself once every APIService named above answers or is deleted "+
		"(in a cluster that the stack created, it has gone with the cluster)", strings.Join(names, ", "))
	return nil
}

// destroy runs `pulumi destroy`. It returns the namespaces that it was stopped for.
func (o Options) destroy(ctx context.Context, c *cluster, yes bool) ([]held, error) {
	args := []string{"destroy"}
	if yes {
		args = append(args, "--yes", "--non-interactive")
	}
	cli, err := o.start(args...)
	if err != nil {
		return nil, err
	}
	watch := watcher{Options: o, cluster: c}
	ticks := time.NewTicker(lookInterval)
	defer ticks.Stop()
	interrupted := ctx.Done()
	for {
		select {
		case err := <-cli.ended:
			return watch.stoppedFor, err
		case <-interrupted:
			interrupted = nil
			cli.pass()
		case <-ticks.C:
			if c != nil && ctx.Err() == nil && watch.look(ctx, time.Now()) {
				cli.interrupt()
			}
		}
	}
}

// watcher looks at the namespaces while the CLI runs.
type watcher struct {
	Options
	cluster *cluster
	// since is when nothing but dead APIs began to hold them; zero while something else does.
	since time.Time
	named bool
	// stoppedFor are the namespaces for which the CLI was stopped.
	stoppedFor []held
}

// look reports, once, that the CLI waits for nothing but namespaces that are held. It names what holds them at once.
func (w *watcher) look(ctx context.Context, now time.Time) (stop bool) {
	if w.stoppedFor != nil {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	present, waiting, err := w.cluster.namespaces(limited)
	if err != nil || len(waiting) == 0 || len(waiting) < present {
		w.since = time.Time{}
		return false
	}
	if w.since.IsZero() {
		w.since = now
	}
	if !w.named {
		w.named = true
		for _, h := range waiting {
			w.printf("namespace %s is empty, and Kubernetes cannot complete its deletion: %s", h.name, h.message)
		}
		if dead, err := w.cluster.deadAPIs(limited); err == nil {
			w.name(w.cluster, dead)
		}
	}
	if now.Sub(w.since) < cmp.Or(w.patience, heldFor) {
		return false
	}
	w.stoppedFor = waiting
	return true
}
