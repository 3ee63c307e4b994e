package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/deployment"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/agreement"
	"vllm-autoscaling/tests/lab/cloud"
	"vllm-autoscaling/tests/lab/podruntime"
	"vllm-autoscaling/tests/lab/tools"
)

const (
	model     = "google/gemma-3-1b-it"
	serving   = "vllm" // the serving namespace and the name of everything in it
	apiPort   = 8000
	stackName = "gke"
	// idleNode is how long a node without pods stays.
	idleNode = 30 * time.Second
)

// bench is a stack on a running lab.
type bench struct {
	*options
	lab   *lab.Lab
	stack *lab.Stack
	fleet *fleet
}

// compare runs each load on the lab and in memory.
func compare(ctx context.Context, o *options, loads []*agreement.Load) (comparisons []*agreement.Comparison, err error) {
	names, err := tools.ForStack(filepath.Join(o.root, "Pulumi."+stackName+".yaml"))
	if err != nil {
		return nil, err
	}
	built, err := lab.BuildTools(ctx, os.Stderr, names...)
	if err != nil {
		return nil, err
	}
	if err := lab.BuildProgram(ctx, o.root, os.Stderr); err != nil {
		return nil, err
	}
	// Unix sockets live in this folder: their paths must stay short.
	folder, err := os.MkdirTemp("", "vllm-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	b := &bench{options: o}
	b.lab, err = lab.Start(ctx, lab.Options{
		Dir: filepath.Join(folder, "lab"), Tools: built, Log: o.log(), Latency: o.server.Latency(), Start: podruntime.StartTimes{Weights: o.podDelay},
		Clouds: &cloud.Options{NodeStartTime: o.nodeDelay, IdleTime: idleNode},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.lab.Stop()) }()
	if err := b.deploy(ctx); err != nil {
		return nil, err
	}
	if b.fleet, err = follow(ctx, b.lab); err != nil {
		return nil, err
	}
	for i, l := range loads {
		c, err := b.both(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l, err)
		}
		comparisons = append(comparisons, c)
		if o.raw != "" {
			if err := save(o.raw, i+1, c); err != nil {
				return nil, fmt.Errorf("raw results: %w", err)
			}
		}
	}
	return comparisons, nil
}

func (o *options) log() io.Writer {
	if o.verbose {
		return os.Stderr
	}
	return io.Discard
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05")+"  "+format+"\n", args...)
}

// deploy deploys the shipped stack with short times of scale-down.
func (b *bench) deploy(ctx context.Context) error {
	chart := map[string]any{"repository": b.lab.ChartRepository()}
	charts := map[string]any{}
	for _, name := range []string{"kubePrometheusStack", "prometheusAdapter", "dcgmExporter", "devicePlugin", "clusterAutoscaler"} {
		charts[name] = chart
	}
	var err error
	b.stack, err = b.lab.Stack(ctx, lab.StackOptions{
		Name: stackName, ProjectDir: b.root, Output: b.log(),
		Secrets: map[string]string{"huggingFaceToken": "hf_not_a_token"},
		Config: map[string]any{
			"charts":    charts,
			"cluster":   map[string]any{"apiAccessCidrs": []any{"1.2.3.4/32"}},
			"model":     map[string]any{"maxNumSeqs": b.server.MaxNumSeqs},
			"nodePools": map[string]any{"gpu": map[string]any{"minNodes": 1, "maxNodes": b.maxReplicas + 1}},
			"autoscaling": map[string]any{
				"maxReplicas": b.maxReplicas,
				// Three quarters of the batch, above which requests wait now and then. The default is so far below a small batch that
				// the loads would keep the deployment at its maximum, where there is nothing to compare.
				"signals":   map[string]any{"requestsInFlight": map[string]any{"target": max(1, b.server.MaxNumSeqs*3/4)}},
				"scaleDown": map[string]any{"stabilization": "60s", "pods": 2, "period": "30s"},
			},
		},
	})
	if err != nil {
		return err
	}
	say("pulumi up --stack %s", stackName)
	return b.stack.Up(ctx)
}

// settings returns the deployment for package simulate, from the configuration that is deployed.
func (b *bench) settings() (simulate.Settings, error) {
	source, err := project.StackSource(filepath.Dir(b.stack.ConfigFile()), stackName)
	if err != nil {
		return simulate.Settings{}, err
	}
	c, err := config.Read(source)
	if err != nil {
		return simulate.Settings{}, err
	}
	s, err := deployment.Of(c, deployment.Defaults())
	if err != nil {
		return simulate.Settings{}, err
	}
	s.Server = b.server.Model()
	// The lab removes an idle node soon after the pool has grown, too.
	s.Nodes.Idle, s.Nodes.AfterAdd = idleNode.Seconds(), 0
	s.Objective = simulate.Objective{FirstToken: b.objective.Seconds()}
	return s, nil
}

// both runs a load on the lab and then in memory, where replicas and nodes take as long to start as they did on the lab.
func (b *bench) both(ctx context.Context, l *agreement.Load) (*agreement.Comparison, error) {
	settings, err := b.settings()
	if err != nil {
		return nil, err
	}
	if err := b.calm(ctx, settings.Replicas); err != nil {
		return nil, err
	}
	say("%s", l)
	c := &agreement.Comparison{Load: l.Name, Requests: l.Requests()}
	seen, err := b.apply(ctx, l, c)
	if err != nil {
		return nil, err
	}
	c.Lab.Replicas, c.Rounds = seen.timeline, seen.rounds
	settings.Start = simulate.Start{Node: cmpOr(seen.node, b.nodeDelay), Warmup: cmpOr(seen.pod, b.podDelay)}
	c.Start = settings.Start
	say("nodes took %.1f s, servers %.1f s; load average %.1f, requests sent up to %.0f ms late", settings.Start.Node, settings.Start.Warmup,
		c.Machine.LoadAverage, 1000*c.Machine.Late)
	return c, agreement.SimulateAll(c, settings, l, b.seed, b.seeds)
}

// cmpOr returns a measured delay in seconds, or the given one where none was measured.
func cmpOr(measured float64, given time.Duration) float64 {
	if measured > 0 {
		return measured
	}
	return given.Seconds()
}

const (
	// calmLimit is how long the deployment may take to become as small as at the beginning.
	calmLimit = 15 * time.Minute
	// calmFor is how long it has to stay so: two rounds of the autoscaler, after which its stabilisation has nothing else.
	calmFor = 75 * time.Second
)

// calm waits until the deployment has been at its minimum for a while.
func (b *bench) calm(ctx context.Context, replicas int) error {
	deadline, since := time.Now().Add(calmLimit), time.Now()
	for time.Since(since) < calmFor {
		wanted, pods, ready := b.fleet.counts()
		if wanted != replicas || pods != replicas || ready != replicas || b.gpuNodes() != 1 {
			since = time.Now()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d replicas wanted, %d pods, %d ready, %d GPU nodes after %s without load: %v",
				wanted, pods, ready, b.gpuNodes(), calmLimit, b.lab.Failures())
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// gpuNodes returns the number of GPU nodes.
func (b *bench) gpuNodes() int { return len(b.lab.Clouds().Nodes("gpu")) }

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

const (
	// requestTimeout is above what a request waits in any queue of these loads.
	requestTimeout = 10 * time.Minute
	maxInFlight    = 4096
	// drainLimit is how long requests may take to end after the load.
	drainLimit = 3 * time.Minute
)

// apply applies a load to the lab.
func (b *bench) apply(ctx context.Context, l *agreement.Load, c *agreement.Comparison) (observed, error) {
	ctx, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	go func() {
		select {
		case <-ctx.Done():
		case crash := <-b.lab.Crashed():
			broken(fmt.Errorf("the lab broke: %w", crash))
		}
	}()
	generator, err := load.Start(ctx, load.Options{
		Model: model, Stream: true, Timeout: requestTimeout, MaxInFlight: maxInFlight, Transport: b.fleet,
		Targets: func(context.Context) ([]load.Target, error) {
			return []load.Target{{Name: serving, URL: "http://" + serving}}, nil
		},
	})
	if err != nil {
		return observed{}, err
	}
	defer generator.Stop()
	// The generator looks for its targets in the background.
	if err := sleep(ctx, time.Second); err != nil {
		return observed{}, err
	}
	busy := watchMachine(ctx)
	b.fleet.begin(b.seed)
	if err := generator.Play(ctx, l); err != nil {
		return observed{}, err
	}
	seen := b.fleet.end()
	c.Machine.LoadAverage = busy()
	drained, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if err := generator.Drain(drained); err != nil {
		say("%v", err)
	}
	stats := generator.Stop()
	if stats.OK == 0 {
		return observed{}, fmt.Errorf("no request was answered, last failure %q", stats.LastError)
	}
	if stats.Errors+stats.Dropped+stats.Canceled > 0 {
		say("%d failed, %d not sent, %d cancelled; last failure %q", stats.Errors, stats.Dropped, stats.Canceled, stats.LastError)
	}
	c.Lab.Seconds = l.Length().Seconds()
	c.Lab.Attainment, c.Machine.Late = judge(generator.Records(), b.objective)
	return seen, nil
}
