package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/ops/report"
)

// screen prints whole lines, each with the time since the start, from any
// goroutine.
type screen struct {
	started time.Time
	failed  func(error)

	mu   sync.Mutex
	out  io.Writer
	part string
	dead bool
}

// newScreen calls failed once when out cannot be written to any more.
func newScreen(out io.Writer, failed func(error)) *screen {
	return &screen{started: time.Now(), out: out, failed: failed}
}

// say prints one line with the time in front.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line(s.stamp() + fmt.Sprintf(format, args...))
}

// step prints a line that stands out: a new part of the demo begins.
func (s *screen) step(format string, args ...any) { s.say("== "+format, args...) }

// last prints the verdict, without a time so that scripts can match it.
func (s *screen) last(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush()
	s.line(line)
}

// Write makes lines of what other programs print.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.part += string(p)
	for {
		line, rest, found := strings.Cut(s.part, "\n")
		if !found {
			return len(p), nil
		}
		s.part = rest
		if line = strings.TrimRight(line, " \r\t"); line != "" {
			s.line(s.stamp() + "   " + line)
		}
	}
}

func (s *screen) flush() {
	if line := strings.TrimSpace(s.part); line != "" {
		s.part = ""
		s.line(s.stamp() + "   " + line)
	}
}

func (s *screen) stamp() string { return fmt.Sprintf("%6.1f s  ", time.Since(s.started).Seconds()) }

func (s *screen) line(text string) {
	if s.dead {
		return
	}
	if _, err := io.WriteString(s.out, text+"\n"); err != nil {
		s.dead = true
		s.failed(err)
	}
}

const columns = "%6s  %14s  %14s  %14s  %8s  %6s"

// heading names the columns of change.
func (s *screen) heading() {
	s.say(columns, "load", "running/target", "waiting/target", "GPU %/target", "desired", "ready")
}

// change is one line of the live view: values and targets are what the HPA's
// status says.
func (s *screen) change(sample report.Sample) {
	reading := func(name string) string {
		if value, ok := sample.Signals[name]; ok {
			return value.String()
		}
		return "off"
	}
	desired := fmt.Sprint(sample.Desired)
	if sample.Desired == 0 {
		desired = "?" // the HPA has not computed anything yet
	}
	s.say(columns, fmt.Sprintf("%g", sample.Load),
		reading(signals.MetricRequestsRunning), reading(signals.MetricRequestsWaiting), reading(signals.MetricGPUUtilization),
		desired, fmt.Sprint(sample.Ready))
}
