package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/report"
)

// screen prints whole lines and, on a terminal, a status line below them that is replaced.
type screen struct {
	terminal bool

	mu    sync.Mutex
	out   io.Writer
	shown bool // whether a status line must be cleared
}

// print prints a line that stays.
func (s *screen) print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

// note prints an event of a port-forward.
func (s *screen) note(format string, args ...any) { s.print("  "+format, args...) }

// status replaces the status line; without a terminal it prints a line.
func (s *screen) status(line string) {
	if !s.terminal {
		s.print("%s", line)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	_, _ = io.WriteString(s.out, line)
	s.shown = true
}

func (s *screen) clear() {
	if s.shown {
		_, _ = io.WriteString(s.out, "\r\x1b[K")
		s.shown = false
	}
}

// window is the time over which the live view computes rates and quantiles.
const window = 10 * time.Second

// progress is the live view.
type progress struct {
	out       *screen
	generator *load.Generator
	recorder  *report.Recorder
	options   options
	started   time.Time

	seen   int
	recent []load.Record // ended within the window
}

func newProgress(out *screen, generator *load.Generator, recorder *report.Recorder, o options) *progress {
	return &progress{out: out, generator: generator, recorder: recorder, options: o, started: time.Now()}
}

// show updates the live view every second on a terminal and every ten elsewhere, until ctx ends.
func (p *progress) show(ctx context.Context) {
	every := window
	if p.out.terminal {
		every = time.Second
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.out.status(p.line())
		}
	}
}

func (p *progress) line() string {
	fresh := p.generator.RecordsSince(p.seen)
	p.seen += len(fresh)
	now := time.Since(p.generator.Started())
	p.recent = slices.DeleteFunc(append(p.recent, fresh...), func(r load.Record) bool { return now-r.Ended > window })
	var first []float64
	served := 0
	for _, r := range p.recent {
		if r.Outcome != load.OK {
			continue
		}
		served++
		if ttft, known := r.TTFT(); known {
			first = append(first, ttft.Seconds())
		}
	}
	elapsed := time.Since(p.started)
	over := min(window, elapsed).Seconds()
	parts := []string{fmt.Sprintf("%3.0f/%.0f s", elapsed.Seconds(), p.options.duration().Seconds())}
	if p.options.schedule != nil {
		parts = append(parts, fmt.Sprintf("%.1f req/s offered", p.options.schedule.Rate(elapsed)))
	}
	parts = append(parts, fmt.Sprintf("%.1f served", float64(served)/over), fmt.Sprintf("%d in flight", p.generator.InFlight()))
	if len(first) > 0 {
		slices.Sort(first)
		parts = append(parts, "TTFT p95 "+report.Duration(first[min(len(first)-1, len(first)*95/100)]))
	}
	stats := p.generator.Counts()
	parts = append(parts, fmt.Sprintf("%d errors", stats.Errors+stats.Dropped))
	if samples := p.recorder.Samples(); len(samples) > 0 {
		last := samples[len(samples)-1]
		desired := "?" // the HPA has computed none yet
		if last.Desired > 0 {
			desired = fmt.Sprint(last.Desired)
		}
		parts = append(parts, fmt.Sprintf("replicas %d/%s", last.Ready, desired))
		var signals []string
		for _, signal := range p.options.signalNames(last) {
			reading := last.Signals[signal]
			if reading.Live != nil {
				reading.Value = reading.Live
			}
			signals = append(signals, label(signal)+" "+reading.String())
		}
		parts = append(parts, strings.Join(signals, ", "))
	}
	return strings.Join(parts, " | ")
}

// signalNames returns the signals of a sample, sorted.
func (options) signalNames(s report.Sample) []string {
	var names []string
	for name := range s.Signals {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
