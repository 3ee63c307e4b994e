package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/portforward"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
	"vllm-autoscaling/tests/lab/tools"
)

const (
	serving    = "vllm"       // the serving namespace and the name of everything in it
	monitoring = "monitoring" // the namespace of Prometheus
	selector   = "app.kubernetes.io/name=vllm"
	model      = "google/gemma-3-1b-it"
	apiPort    = 8000

	// batch is what a server runs at once. Its default target of requests in flight is 4.
	batch = 16
	// inFlight is the step of load: it asks for all replicas, and is more than the first one runs at once, so that some requests
	// wait and the GPU signal counts until the others are ready.
	inFlight = 20
	gpuNodes = 5
	replicas = gpuNodes // what the step of load asks for: the HPA's maximum, one GPU each

	// answerTokens makes a request last a few seconds, like that of a chat.
	answerTokens = 200
	// plateau is how long the load goes on after the last replica is ready.
	plateau = 20 * time.Second
	// objective is the objective for the time to first token in the report.
	objective = 2 * time.Second
)

// demo is one run.
type demo struct {
	options
	out      *screen
	lab      *lab.Lab
	stack    *lab.Stack
	recorder *report.Recorder
	requests *report.Requests
	on, off  float64 // when the load began and ended, in the recorder's seconds
	notes    []string
	result   result
}

// result holds the values of the summary and the last line.
type result struct {
	up, upReady, down float64 // seconds: load on to HPA decision, load on to all ready, load off to one replica
	peak              int
	load              load.Stats
	crds              int
	left              int
}

// run runs the demo and returns the text of the last line.
func run(ctx context.Context, o options, out *screen) (ok string, err error) {
	d := &demo{options: o, out: out}
	out.step("1/7 tools")
	names, err := tools.ForStack(filepath.Join(o.root, "Pulumi."+o.stack+".yaml"))
	if err != nil {
		return "", err
	}
	// Directly to the terminal, so that a build of minutes can show its progress.
	built, err := lab.BuildTools(ctx, out.out, names...)
	if err != nil {
		return "", fmt.Errorf("build the lab's tools: %w", err)
	}
	if err := lab.BuildProgram(ctx, o.root, out.out); err != nil {
		return "", err
	}

	labOptions := lab.Options{Tools: built, Log: out}
	if o.stack == localStack {
		out.step("2/7 control plane, %d GPU nodes, simulators", gpuNodes)
	} else {
		out.step("2/7 control plane, simulated cloud without a cluster yet, simulators")
		labOptions.Clouds = &cloud.Options{}
	}
	// Unix sockets live in this folder: their paths must stay short.
	folder, err := os.MkdirTemp("", "vllm-demo-")
	if err != nil {
		return "", fmt.Errorf("make the lab's folder: %w", err)
	}
	defer func() { err = errors.Join(err, cleaned(os.RemoveAll(folder))) }()
	labOptions.Dir = filepath.Join(folder, "lab")
	d.lab, err = lab.Start(ctx, labOptions)
	if err != nil {
		return "", fmt.Errorf("start the lab: %w", err)
	}
	defer func() {
		out.say("ending the lab")
		err = errors.Join(err, cleaned(d.lab.Stop()))
	}()
	defer func() {
		if err != nil && ctx.Err() == nil {
			for _, failure := range d.lab.Failures() {
				out.say("%s", failure)
			}
		}
	}()
	// If a program of the lab exits, the conditions that the demo waits for cannot be met.
	working, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	go func() {
		select {
		case <-working.Done():
		case crash := <-d.lab.Crashed():
			broken(fmt.Errorf("the lab broke: %w", crash))
		}
	}()
	return d.show(working)
}

// show runs the demo on a running lab.
func (d *demo) show(ctx context.Context) (string, error) {
	if d.stackName() == localStack {
		if err := d.lab.AddGPUNodes(ctx, gpuNodes, 1); err != nil {
			return "", fmt.Errorf("add GPU nodes: %w", err)
		}
	}
	d.out.step("3/7 pulumi up --stack %s", d.stackName())
	if err := d.deploy(ctx); err != nil {
		return "", err
	}
	err := d.scale(ctx)
	if d.recorder != nil && len(d.recorder.Samples()) > 0 {
		err = errors.Join(err, d.writeReport(err))
	}
	if err != nil {
		return "", err
	}
	if d.keep {
		d.explain()
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	if err := d.destroy(ctx); err != nil {
		return "", err
	}
	// Write the report again, with the result of destroy.
	if err := d.writeReport(nil); err != nil {
		return "", err
	}
	d.out.step("7/7 report: %s", filepath.Join(d.report, "index.html"))
	for _, row := range d.summary() {
		d.out.say("%-42s %s", row.Name, row.Value)
	}
	return fmt.Sprintf("replicas 1 -> %d in %.0f s, back to 1 in %.0f s, %d resources left",
		d.result.peak, d.result.upReady, d.result.down, d.result.left), nil
}

func cleaned(err error) error {
	if err == nil {
		return nil
	}
	return &cleanupError{err: err}
}

// config returns the stack's configuration: the production Deployment with its GPU requests, and charts from the lab's own
// repository.
func (d *demo) config() map[string]any {
	chart := map[string]any{"repository": d.lab.ChartRepository()}
	charts := map[string]any{"kubePrometheusStack": chart, "prometheusAdapter": chart, "dcgmExporter": chart}
	config := map[string]any{"model": map[string]any{"id": model, "maxNumSeqs": batch}, "charts": charts}
	if d.stackName() == localStack {
		config["cluster"] = map[string]any{"kubeconfig": d.lab.Kubeconfig(), "context": d.lab.ContextName()}
		config["gpu"] = map[string]any{"mode": "nvidia"}
		// The simulator has no weights to keep.
		config["vllm"] = map[string]any{"modelCache": "3Gi"}
	} else {
		// The cluster and its pools are those of the shipped stack file.
		charts["devicePlugin"], charts["clusterAutoscaler"] = chart, chart
		config["nodePools"] = map[string]any{"gpu": map[string]any{"maxNodes": gpuNodes}}
		// Users fill in their own address.
		config["cluster"] = map[string]any{"apiAccessCidrs": []any{"1.2.3.4/32"}}
		d.note("simulated cloud: nodes appear after seconds instead of minutes")
		d.note("a server runs %d requests at once, so that a small load fills it; by default it would be as many as fit the GPU's memory", batch)
	}
	scaling := map[string]any{"maxReplicas": replicas}
	if d.fast {
		scaling["scaleUp"] = map[string]any{"stabilization": "0s"}
		scaling["scaleDown"] = map[string]any{"stabilization": "30s", "pods": replicas, "period": "15s"}
		d.note("--fast: scale-up acts at once, scale-down waits 30 s and may remove %d pods per 15 s, all sooner than by default", replicas)
	}
	config["autoscaling"] = scaling
	d.note("everything else as in production: kube-controller-manager's defaults (HPA every 15 s), signals scraped every 2 s")
	return config
}

// stackName returns the name of the deployed stack.
func (d *demo) stackName() string { return d.options.stack }

func (d *demo) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.notes = append(d.notes, text)
	d.out.say("%s", text)
}

func (d *demo) deploy(ctx context.Context) error {
	var err error
	d.stack, err = d.lab.Stack(ctx, lab.StackOptions{
		Name: d.stackName(), ProjectDir: d.root, Config: d.config(),
		Secrets: map[string]string{"huggingFaceToken": "hf_not_a_token"},
		Output:  d.out,
	})
	if err != nil {
		return fmt.Errorf("make the stack: %w", err)
	}
	if err := d.stack.Up(ctx); err != nil {
		return fmt.Errorf("pulumi up: %w", err)
	}
	d.out.say("pulumi preview --expect-no-changes")
	if err := d.stack.Preview(ctx, true); err != nil {
		return fmt.Errorf("pulumi preview after up: %w", err)
	}
	return nil
}

// scale applies the step of load and watches the replicas go up and down.
func (d *demo) scale(ctx context.Context) error {
	// Like the users of a cluster: through the API server, to every ready pod.
	forwards, err := portforward.Follow(ctx, portforward.Options{
		Config: d.lab.Config(), Namespace: serving, Selector: selector, Port: apiPort,
	})
	if err != nil {
		return err
	}
	defer forwards.Stop()
	generator, err := startLoad(ctx, forwards)
	if err != nil {
		return err
	}
	defer func() {
		d.result.load = generator.Stop()
		d.requests = report.Measure(generator, d.out.started, d.on, d.off, report.Objective{TTFT: objective})
	}()
	defer d.record(ctx, generator)()

	// With a value of every signal, so that the step of load shows in all of them.
	if _, err := d.wait(ctx, 2*time.Minute, "one ready replica with every signal", func(s report.Sample) bool {
		return s.Ready == 1 && everySignal(s)
	}); err != nil {
		return err
	}
	if err := d.scaleUp(ctx, generator); err != nil {
		return d.withLoad(err, generator)
	}
	if err := sleep(ctx, plateau); err != nil {
		return err
	}
	if generator.Stats().OK == 0 {
		return d.withLoad(errors.New("no request was answered"), generator)
	}
	if err := d.scaleDown(ctx, generator); err != nil {
		return err
	}
	// A few seconds without load let the plot show the final state.
	return sleep(ctx, 3*time.Second)
}

// startLoad starts a generator of requests to the forwarded pods, without load yet.
func startLoad(ctx context.Context, forwards *portforward.Forwards) (*load.Generator, error) {
	return load.Start(ctx, load.Options{
		Model: model, MaxTokens: answerTokens, Stream: true, Changed: forwards.Changed(),
		// An even load shows what the autoscaler does and not what chance does.
		Routing: load.Least,
		Targets: func(context.Context) ([]load.Target, error) {
			var targets []load.Target
			for _, pod := range forwards.Pods() {
				targets = append(targets, load.Target{Name: pod.Name, URL: pod.URL})
			}
			return targets, nil
		},
	})
}

// record records and prints the HPA's status every second, until the returned function is called.
func (d *demo) record(ctx context.Context, generator *load.Generator) (stop func()) {
	d.recorder = report.NewRecorder(d.out.started, report.HPASource(d.lab.Client(), serving, serving,
		func() float64 { return float64(generator.Shape().Concurrency) }))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	d.out.heading()
	go func() {
		defer close(done)
		d.recorder.Record(ctx, time.Second, d.out.change)
	}()
	return func() { cancel(); <-done }
}

// scaleUp turns the load on and waits until every replica is ready.
func (d *demo) scaleUp(ctx context.Context, generator *load.Generator) error {
	shape := load.Shape{Concurrency: d.load}
	d.out.step("4/7 load on: %s", shape)
	d.on = d.recorder.Mark("load on: %s", shape)
	generator.Set(shape)
	decided, err := d.wait(ctx, 2*time.Minute, "scale-up", func(s report.Sample) bool { return s.Desired > 1 })
	if err != nil {
		return err
	}
	d.result.up = d.recorder.Mark("HPA wants %d", decided.Desired) - d.on
	d.out.say("-> scale-up decided %.1f s after the load began (%s)", d.result.up, cause(decided))
	ready, err := d.wait(ctx, 3*time.Minute, fmt.Sprintf("%d ready replicas", replicas), func(s report.Sample) bool {
		return s.Ready == replicas && s.Desired == replicas
	})
	if err != nil {
		return err
	}
	d.result.peak = ready.Ready
	d.result.upReady = d.recorder.Mark("%d ready", ready.Ready) - d.on
	d.out.say("-> %d replicas ready %.1f s after the load began", ready.Ready, d.result.upReady)
	return nil
}

// scaleDown turns the load off and waits until one replica is left.
func (d *demo) scaleDown(ctx context.Context, generator *load.Generator) error {
	d.out.step("5/7 load off")
	d.off = d.recorder.Mark("load off")
	generator.Set(load.Shape{})
	// The default stabilization is longer than the time of a cold start.
	limit := 30 * time.Minute
	if d.fast {
		limit = 3 * time.Minute
	}
	if _, err := d.wait(ctx, limit, "scale-down", func(s report.Sample) bool { return s.Desired < replicas }); err != nil {
		return err
	}
	d.recorder.Mark("HPA scales down")
	if _, err := d.wait(ctx, limit, "back to one replica", func(s report.Sample) bool {
		return s.Desired == 1 && s.Current == 1 && s.Ready == 1
	}); err != nil {
		return err
	}
	d.result.down = d.recorder.Mark("1 ready") - d.off
	d.out.say("-> back to one replica %.1f s after the load ended", d.result.down)
	return nil
}

// sleep returns after d, or returns the cause when the context ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func (d *demo) wait(ctx context.Context, limit time.Duration, what string, condition func(report.Sample) bool) (report.Sample, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("waited %s", seconds(limit)))
	defer cancel()
	return d.recorder.WaitFor(ctx, what, condition)
}

func (d *demo) withLoad(err error, generator *load.Generator) error {
	stats := generator.Stats()
	return fmt.Errorf("%w (load: %d sent, %d answered, %d failed, last failure %q)",
		err, stats.Started, stats.OK, stats.Errors, stats.LastError)
}

func (d *demo) destroy(ctx context.Context) error {
	d.out.step("6/7 pulumi destroy")
	if err := d.stack.Destroy(ctx); err != nil {
		return fmt.Errorf("pulumi destroy: %w", err)
	}
	left, err := d.lab.Leftovers(ctx)
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	if err := nothing(left.Objects, "pulumi destroy"); err != nil {
		return err
	}
	d.result.crds = len(left.CRDs)
	if len(left.CRDs) > 0 {
		d.out.say("Helm never removes the %d CustomResourceDefinitions of kube-prometheus-stack; this does, as the demo does now:", len(left.CRDs))
		d.out.say("   kubectl delete crd %s", strings.Join(left.CRDs, " "))
		if err := d.lab.DeleteCRDs(ctx, left.CRDs); err != nil {
			return err
		}
	}
	if left, err = d.lab.Leftovers(ctx); err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	d.result.left = len(left.Objects) + len(left.CRDs)
	if clouds := d.lab.Clouds(); clouds != nil {
		resources := slices.DeleteFunc(clouds.Resources(), func(r cloud.Resource) bool {
			// EKS creates it again for the last lines of a deleted cluster.
			return r.Token == cloud.AWSLogGroup
		})
		if len(resources) > 0 {
			return fmt.Errorf("pulumi destroy left %d resources in the cloud: %v", len(resources), resources)
		}
	}
	if d.result.left > 0 {
		return fmt.Errorf("%d resources left: %v %v", d.result.left, left.Objects, left.CRDs)
	}
	return nil
}

// nothing returns an error that lists the remaining objects, or nil if there are none.
func nothing(objects []lab.Object, who string) error {
	if len(objects) == 0 {
		return nil
	}
	return fmt.Errorf("%s left %d objects: %v", who, len(objects), objects)
}

func (d *demo) writeReport(failed error) error {
	var plotted []report.Signal
	for _, signal := range shown() {
		plotted = append(plotted, report.Signal{Name: signal.Name, Label: signal.Label, Unit: string(signal.Unit) + " per pod"})
	}
	r := &report.Report{
		Title:    "vllm-autoscaling: a step of load on the lab",
		Started:  d.out.started,
		Notes:    d.notes,
		Signals:  plotted,
		Samples:  d.recorder.Samples(),
		Events:   d.recorder.Events(),
		Requests: d.requests,
	}
	r.Scaling = report.Judge(r.Samples, d.on, 1)
	r.Summary = d.summary()
	if failed != nil {
		r.Summary = append(r.Summary, report.Row{Name: "failed", Value: oneLine(failed)})
	}
	return r.Write(d.report)
}

func (d *demo) summary() []report.Row {
	rows := []report.Row{
		{Name: "load", Value: fmt.Sprintf("%d chat completions in flight", d.load)},
		{Name: "load on to the HPA's decision", Value: fmt.Sprintf("%.1f s", d.result.up)},
		{Name: fmt.Sprintf("load on to %d ready replicas", d.result.peak), Value: fmt.Sprintf("%.1f s", d.result.upReady)},
		{Name: "load off to one replica", Value: fmt.Sprintf("%.1f s", d.result.down)},
	}
	if d.result.crds > 0 {
		rows = append(rows, report.Row{
			Name:  "left after pulumi destroy",
			Value: fmt.Sprintf("%d resources, besides %d CRDs that Helm keeps (removed by the demo)", d.result.left, d.result.crds),
		})
	}
	return append(rows, (&report.Report{Requests: d.requests}).LoadRows()...)
}

// explain prints how to use the lab that KEEP=1 leaves running.
func (d *demo) explain() {
	say := d.out.say
	api := d.lab.ServiceURL(serving, serving, apiPort)
	d.out.step("left running until Ctrl-C; another terminal can use it:")
	say("   export KUBECONFIG=%s", d.lab.Kubeconfig())
	say("   kubectl -n %s get hpa %s --watch", serving, serving)
	say("   curl %s/v1/chat/completions -H 'Content-Type: application/json' -d '%s'", api,
		`{"model":"`+model+`","messages":[{"role":"user","content":"Hello"}],"max_tokens":64}`)
	say("   API         %s/v1/models", api)
	say("   Prometheus  %s/", d.lab.ServiceURL(monitoring, "kps-prometheus", 9090))
	say("   report      %s", filepath.Join(d.report, "index.html"))
	say("the pulumi CLI, in %s:", d.root)
	own := os.Environ()
	for _, variable := range d.stack.Environment() {
		if slices.Contains(own, variable) {
			continue
		}
		switch name, value, _ := strings.Cut(variable, "="); name {
		case "KUBECONFIG", "TMPDIR":
			// KUBECONFIG is printed above; TMPDIR only matters for processes that are killed.
		case "PATH":
			say("   export PATH='%s'\"$PATH\"", strings.TrimSuffix(value, os.Getenv("PATH")))
		default:
			say("   export %s='%s'", name, value)
		}
	}
	say("   %s", strings.Join(d.stack.CommandLine("preview"), " "))
	say("   make load STACK=%s", d.stackName())
}
