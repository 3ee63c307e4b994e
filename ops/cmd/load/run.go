package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/report"
)

// run is one load; it returns the text of the last line. After an interruption both are returned.
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
	lo := load.Options{
		Targets: t.targets, Model: model, APIKey: t.apiKey, InputTokens: o.input, MaxTokens: o.output,
		TokenBound: o.tokenBound, Stream: true, Timeout: o.timeout, MaxInFlight: o.maxInFlight,
	}
	if t.forwards != nil {
		lo.Changed = t.forwards.Changed()
	}
	// Not ctx: requests in flight are ended by Stop, which counts them.
	generator, err := load.Start(context.WithoutCancel(ctx), lo)
	if err != nil {
		return "", err
	}
	defer generator.Stop()
	for len(generator.Targets()) == 0 {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	out.say("load: %s, model %s, at most %d in flight, Ctrl-C ends it with a report", o.shape(), model, o.maxInFlight)

	started := time.Now()
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	recorder := report.NewRecorder(started, t.source(func() float64 { return float64(generator.InFlight()) }))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if t.access != nil {
			recorder.Record(watching, time.Second, marks(recorder))
		}
	}()
	p := newProgress(out, generator, recorder, o)
	shown := make(chan struct{})
	go func() { defer close(shown); p.show(watching) }()

	loadFrom := recorder.Mark("load on")
	err = apply(ctx, generator, o)
	loadOff := recorder.Mark("load off")
	if err == nil {
		// Every request gets its time; none can take longer than its timeout.
		draining, cancel := context.WithTimeoutCause(ctx, o.timeout+5*time.Second, errors.New("waited for the timeout"))
		err = generator.Drain(draining)
		cancel()
	}
	if err == nil && t.access != nil && o.after > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(o.after):
		}
	}
	stats := generator.Stop()
	stopWatching()
	<-watched
	<-shown

	r := &report.Report{
		Title:    "Load on " + t.name() + ": " + o.shape(),
		Started:  started,
		Settings: o.settings,
		Notes:    []string{"model " + model},
		Requests: report.Measure(generator, started, loadFrom, loadOff, o.objective),
		Signals:  t.signals,
		Samples:  recorder.Samples(),
		Events:   recorder.Events(),
	}
	r.Scaling = report.Judge(r.Samples, loadFrom, t.gpus)
	r.Summary = append(r.LoadRows(), r.ScalingRows()...)
	if t.access != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("cluster %s, namespace %s, deployment %s", t.access.Config.Host,
			t.access.Pipeline.Serving.Namespace, t.access.Pipeline.Serving.Deployment))
	}
	if writeErr := r.Write(o.report); writeErr != nil {
		return "", errors.Join(err, writeErr)
	}
	for _, row := range r.Summary {
		out.say("  %-30s %s", row.Name, row.Value)
	}
	out.say("load: report: %s", filepath.Join(o.report, "index.html"))
	return judge(r, stats, err)
}

// judge says how it went.
func judge(r *report.Report, stats load.Stats, err error) (string, error) {
	q := r.Requests
	if q == nil {
		return "nothing was offered", err
	}
	text := fmt.Sprintf("%d of %d requests answered, first token p95 %.2f s", q.OK, q.Offered-q.Canceled, q.TTFT.P95)
	switch {
	case err != nil:
		return text, err
	case q.OK == 0:
		return "", fmt.Errorf("no request was answered; last failure: %s", cmp.Or(stats.LastError, "none, because none was sent (the report says why)"))
	case !q.Goodput.Met:
		return "", fmt.Errorf("%.1f %% of the requests had their first token within %g s, wanted %.1f %%",
			100*q.Goodput.Ratio, q.Goodput.Objective, 100*q.Goodput.Want)
	}
	return text, nil
}

// name is what is loaded, for the title.
func (t *target) name() string {
	if t.access != nil {
		return "stack " + t.stack
	}
	return t.url
}

// apply keeps the load up for its time.
func apply(ctx context.Context, generator *load.Generator, o options) error {
	if o.schedule != nil {
		return generator.Play(ctx, o.schedule)
	}
	generator.Set(load.Shape{Concurrency: o.concurrency})
	defer generator.Set(load.Shape{})
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(o.length):
		return nil
	}
}

// marks notes each time that the HPA wants another number and each time that another number is ready.
func marks(recorder *report.Recorder) func(report.Sample) {
	var before *report.Sample
	return func(now report.Sample) {
		if before != nil && now.Desired != before.Desired && now.Desired > 0 {
			recorder.Mark("HPA wants %d", now.Desired)
		}
		if before != nil && now.Ready != before.Ready {
			recorder.Mark("%d ready", now.Ready)
		}
		before = &now
	}
}
