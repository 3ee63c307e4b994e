package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"vllm-autoscaling/ops/report"
)

// screen prints whole lines, each with the time since the start, from any goroutine.
type screen struct {
	started time.Time
	failed  func(error)

	mu   sync.Mutex
	out  io.Writer
	part string
	dead bool
}

// newScreen returns a screen that calls failed once, on the first failed write to out.
func newScreen(out io.Writer, failed func(error)) *screen {
	return &screen{started: time.Now(), out: out, failed: failed}
}

// say prints one line, prefixed with the time.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line(s.stamp() + fmt.Sprintf(format, args...))
}

// step prints the heading of a part of the demo.
func (s *screen) step(format string, args ...any) { s.say("== "+format, args...) }

// last prints the verdict, without a time so that scripts can match it.
func (s *screen) last(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush()
	s.line(line)
}

// Write prints the output of other programs line by line.
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

// columns prints one line of the live view.
func (s *screen) columns(load string, readings []string, desired, ready string) {
	line := fmt.Sprintf("%6s", load)
	for _, reading := range readings {
		line += fmt.Sprintf("  %16s", reading)
	}
	s.say("%s  %8s  %6s", line, desired, ready)
}

// heading prints the names of change's columns.
func (s *screen) heading() {
	var headings []string
	for _, signal := range shown() {
		headings = append(headings, signal.Column+"/target")
	}
	s.columns("load", headings, "desired", "ready")
}

// change prints one line of the live view: values and targets of the HPA's status.
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
	var readings []string
	for _, signal := range shown() {
		readings = append(readings, reading(signal.Name))
	}
	s.columns(fmt.Sprintf("%g", sample.Load), readings, desired, fmt.Sprint(sample.Ready))
}
