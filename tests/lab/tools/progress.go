package tools

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress counts the builds and estimates the remaining time: from the CPU times in the catalogue, corrected by the time that
// the finished builds took on this machine.
type progress struct {
	programs int // to build in all
	built    int
	left     float64 // CPU seconds of the catalogue
	done     float64
	elapsed  time.Duration // that done took
}

// expect returns the progress of a build of the given number of programs and CPU seconds of the catalogue.
func expect(programs, seconds int) progress {
	return progress{programs: programs, left: float64(seconds)}
}

// assumed is the weight of the catalogue's speed in the estimate, in seconds of building: the first build alone predicts the
// others poorly.
const assumed = 60

// busy is the share of the CPUs that a build keeps busy on average: linking is one thread, and compiling ends with few.
const busy = 0.85

// remaining returns the remaining time as text, given how long the current build has been running.
func (p *progress) remaining(running time.Duration) string {
	speed := (p.done + assumed*busy*float64(runtime.GOMAXPROCS(0))) / (p.elapsed.Seconds() + assumed)
	minutes := math.Max(p.left/speed-running.Seconds(), 0) / 60
	if minutes < 1 {
		return "less than a minute"
	}
	return fmt.Sprintf("about %.0f min", minutes)
}

// finish counts one build of programs.
func (p *progress) finish(programs, seconds int, took time.Duration) {
	p.built += programs
	p.left -= float64(seconds)
	p.done += float64(seconds)
	p.elapsed += took
}

// start prints what one go command builds, with the elapsed time and the remaining time of all builds. On a terminal it updates
// the line every second, otherwise it prints it once at the end. The returned function ends the line.
func (p *progress) start(log io.Writer, what string, programs, seconds int) func(error) {
	started := time.Now()
	label := fmt.Sprintf("tools: [%s/%d] %s", span(p.built+1, p.built+programs), p.programs, what)
	status := func(running time.Duration) string {
		text := fmt.Sprintf("%.0f s", time.Since(started).Seconds())
		if p.built < p.programs {
			text += ", " + p.remaining(running) + " left"
		}
		return text
	}
	outcome := func(err error) string {
		if err != nil {
			return fmt.Sprintf("failed after %.0f s", time.Since(started).Seconds())
		}
		p.finish(programs, seconds, time.Since(started))
		return status(0)
	}
	if !terminal(log) {
		fmt.Fprintf(log, "%s building ... ", label)
		return func(err error) { fmt.Fprintln(log, outcome(err)) }
	}
	// The previous text of the line may be longer.
	const clearLine = "\x1b[K"
	stop := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			fmt.Fprintf(log, "\r%s building ... %s%s", label, status(time.Since(started)), clearLine)
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	})
	return func(err error) {
		close(stop)
		ticking.Wait()
		fmt.Fprintf(log, "\r%s building ... %s%s\n", label, outcome(err), clearLine)
	}
}

func span(first, last int) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, last)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
