package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"vllm-autoscaling/ops/simulate/compare"
)

const (
	// onTerminal and inLog are how often the progress is written.
	onTerminal = 200 * time.Millisecond
	inLog      = 5 * time.Second
)

// progress writes how many runs are left and for how long. It is safe for concurrent use.
type progress struct {
	to       io.Writer
	terminal bool
	interval time.Duration

	lock             sync.Mutex
	started, written time.Time
	doing            string
	finished, left   int
	found            string
}

// newProgress writes to a terminal in one line, and elsewhere a line every few seconds.
func newProgress(to io.Writer) *progress {
	file, ok := to.(*os.File)
	p := &progress{to: to, interval: inLog, started: time.Now(), written: time.Now()}
	if ok && term.IsTerminal(int(file.Fd())) {
		p.terminal, p.interval = true, onTerminal
	}
	return p
}

// begin sets what is being done, and how many runs are left from now on.
func (p *progress) begin(doing string, left int) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.doing, p.left = doing, left
}

// done counts a run.
func (p *progress) done() {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.finished++
	p.left = max(0, p.left-1)
	if now := time.Now(); now.Sub(p.written) >= p.interval {
		p.written = now
		p.write()
	}
}

// best sets the best candidate so far.
func (p *progress) best(c compare.Candidate) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.found = fmt.Sprintf(", best so far %.2f GPU-hours with %.2f %%", c.GPUHours, 100*c.Attainment)
}

func (p *progress) write() {
	each := time.Since(p.started) / time.Duration(p.finished)
	line := fmt.Sprintf("%s: %d runs done, about %s left%s", p.doing, p.finished, (each * time.Duration(p.left)).Round(time.Second), p.found)
	if p.terminal {
		_, _ = fmt.Fprintf(p.to, "\r\x1b[K%s", line)
		return
	}
	_, _ = fmt.Fprintln(p.to, line)
}

// end removes the line from a terminal.
func (p *progress) end() {
	if p.terminal {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K")
	}
}
