package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/ops/trace"
)

// run applies one load and writes its report. It returns the text of the last line; after an interruption, text and
// error.
func run(ctx context.Context, o options, out *screen) (string, error) {
	t, err := find(ctx, o, out)
	if err != nil {
		return "", err
	}
	defer t.stop()
	model, err := t.findModel(ctx)
	if err != nil {
		return "", err
	}
	t.warnOfLength(model)
	generator, err := t.generator(ctx, model.ID)
	if err != nil {
		return "", err
	}
	defer generator.Stop()
	out.print("load: %s, model %s, routing %s, at most %d in flight, Ctrl-C ends it with a report", o.shape(), model.ID, t.routedBy(), o.maxInFlight)

	started := time.Now()
	recorder := report.NewRecorder(started, t.source(func() float64 { return float64(generator.InFlight()) }))
	stopWatching := t.watch(ctx, generator, recorder)
	defer stopWatching()
	loadFrom := recorder.Mark("load on")
	err = apply(ctx, generator, o)
	loadOff := recorder.Mark("load off")
	if err == nil {
		err = t.finish(ctx, generator)
	}
	stats := generator.Stop()
	stopWatching()

	r := t.report(recorder, started, model.ID)
	r.Requests = report.Measure(generator, started, loadFrom, loadOff, o.objective)
	if r.Requests != nil {
		r.Requests.Routing = t.routedBy()
	}
	r.Scaling = report.Judge(r.Samples, loadFrom, t.gpus)
	if t.starts != nil {
		r.Starts, r.Estimate = t.starts.Starts(ctx), t.access.Pipeline.ColdStart
	}
	r.Summary = slices.Concat(r.LoadRows(), r.ScalingRows(), r.StartRows())
	if writeErr := r.Write(o.report); writeErr != nil {
		return "", errors.Join(err, writeErr)
	}
	for _, row := range r.Summary {
		out.print("  %-30s %s", row.Name, row.Value)
	}
	out.print("load: report: %s", filepath.Join(o.report, "index.html"))
	return judge(r, stats, err)
}

// generator starts a generator without load and returns it when it has at least one server to load.
func (t *target) generator(ctx context.Context, model string) (*load.Generator, error) {
	options := load.Options{
		Targets: t.targets, Model: model, APIKey: t.apiKey, InputTokens: t.input, MaxTokens: t.output,
		TokenBound: t.tokenBound, Stream: true, Timeout: t.timeout, MaxInFlight: t.maxInFlight,
		Routing: t.routing, Seed: t.seed,
	}
	if t.transport != nil {
		options.Transport = t.transport
	}
	if t.forwards != nil {
		options.Changed = t.forwards.Changed()
	}
	// Not ctx: requests in flight are ended by Stop, which counts them.
	generator, err := load.Start(context.WithoutCancel(ctx), options)
	if err != nil {
		return nil, err
	}
	for len(generator.Targets()) == 0 {
		select {
		case <-ctx.Done():
			generator.Stop()
			return nil, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return generator, nil
}

// watch records the autoscaler and shows the progress until the returned function is called, which may be called again.
func (t *target) watch(ctx context.Context, generator *load.Generator, recorder *report.Recorder) (stop func()) {
	// Not ctx: what happens while an interrupted run stops is recorded as well.
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	if t.access != nil {
		running.Go(func() { recorder.Record(watching, time.Second, marks(recorder)) })
	}
	p := newProgress(t.out, generator, recorder, t.options)
	running.Go(func() { p.show(watching) })
	return func() {
		cancel()
		running.Wait()
	}
}

// finish waits until no request is in flight, then for as long as -after demands.
func (t *target) finish(ctx context.Context, generator *load.Generator) error {
	// No request can last longer than its timeout.
	draining, cancel := context.WithTimeoutCause(ctx, t.timeout+5*time.Second, errors.New("waited for the timeout"))
	defer cancel()
	if err := generator.Drain(draining); err != nil {
		return err
	}
	if t.access != nil && t.after > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(t.after):
		}
	}
	return nil
}

// report returns the report without its results.
func (t *target) report(recorder *report.Recorder, started time.Time, model string) *report.Report {
	r := &report.Report{
		Title:    "Load on " + t.name() + ": " + t.shape(),
		Started:  started,
		Settings: t.settings,
		Notes:    []string{"model " + model},
		Signals:  t.signals,
		Samples:  recorder.Samples(),
		Events:   recorder.Events(),
	}
	if t.access != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("cluster %s, namespace %s, deployment %s", t.access.Config.Host,
			t.access.Pipeline.Serving.Namespace, t.access.Pipeline.Serving.Deployment))
	}
	return r
}

// judge returns the text of the last line, or an error if the load failed or missed its objective.
func judge(r *report.Report, stats load.Stats, err error) (string, error) {
	q := r.Requests
	if q == nil {
		return "nothing was offered", err
	}
	first := "not known"
	if q.TTFT.Count > 0 {
		first = report.Duration(q.TTFT.P95)
	}
	text := fmt.Sprintf("%d of %d requests answered, first token p95 %s", q.OK, q.Offered-q.Canceled, first)
	switch {
	case err != nil:
		return text, err
	case q.OK == 0:
		return "", fmt.Errorf("no request was answered; last failure: %s", cmp.Or(stats.LastError, "none, because none was sent (see the report)"))
	case q.Goodput != nil && !q.Goodput.Met:
		g := q.Goodput
		err := fmt.Errorf("%.1f %% of the requests had their first token within %g s, the objective is %.1f %%", 100*g.Ratio, g.Objective, 100*g.Want)
		if g.Unknown > 0 {
			err = fmt.Errorf("%w; of %d more it is not known, because no event of their answers had text", err, g.Unknown)
		}
		return "", err
	}
	return text, nil
}

// name returns the stack or the address, for the title.
func (t *target) name() string {
	switch {
	case t.access == nil:
		return t.url
	case t.access.Server != "":
		return "stack " + t.stack + ", server " + t.access.Server
	}
	return "stack " + t.stack
}

// apply applies the load for its duration.
func apply(ctx context.Context, generator *load.Generator, o options) error {
	if o.schedule != nil {
		err := generator.Play(ctx, o.schedule)
		if replayed, ok := o.schedule.(*trace.Trace); ok {
			err = errors.Join(err, replayed.Err())
		}
		return err
	}
	generator.Set(o.closedShape())
	defer generator.Set(load.Shape{})
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(o.length):
		return nil
	}
}

// marks returns a function that marks each change of the desired and of the ready replicas.
func marks(recorder *report.Recorder) func(report.Sample) {
	var before *report.Sample
	return func(now report.Sample) {
		if before != nil && now.Desired != before.Desired && now.Desired > 0 {
			recorder.Mark("%d desired", now.Desired)
		}
		if before != nil && now.Ready != before.Ready {
			recorder.Mark("%d ready", now.Ready)
		}
		before = &now
	}
}
