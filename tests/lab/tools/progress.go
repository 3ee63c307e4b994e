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

// estimate works out how long the rest of the builds takes: from the CPU time that each took where the catalogue's
// figures were measured, corrected by how long those took here that are built. The zero value estimates nothing.
type estimate struct {
	left    float64 // CPU seconds of the catalogue
	done    float64
	elapsed time.Duration // that done took
}

func newEstimate(seconds int) estimate { return estimate{left: float64(seconds)} }

// assumed is how many seconds of building as fast as the catalogue says the estimate begins with: a first build says
// little about the others.
const assumed = 60

// busy is the share of the CPUs that a build keeps busy on average: linking is one thread, and compiling ends with few.
const busy = 0.85

// remaining returns the time that is left when the current build has been running for that long, as text.
func (e *estimate) remaining(running time.Duration) string {
	if e.left <= 0 {
		return ""
	}
	speed := (e.done + assumed*busy*float64(runtime.GOMAXPROCS(0))) / (e.elapsed.Seconds() + assumed)
	minutes := math.Max(e.left/speed-running.Seconds(), 0) / 60
	if minutes < 1 {
		return "less than a minute"
	}
	return fmt.Sprintf("about %.0f min", minutes)
}

// finish counts a build of that many CPU seconds of the catalogue.
func (e *estimate) finish(seconds int, took time.Duration) {
	if e.left <= 0 {
		return
	}
	e.left -= float64(seconds)
	e.done += float64(seconds)
	e.elapsed += took
}

// start prints the label of a build with the time that passed and the time that all builds still take: ticking on a
// terminal, else once at the end. The returned function ends the line.
func (e *estimate) start(log io.Writer, label string, seconds int) func(error) {
	started := time.Now()
	status := func(running time.Duration) string {
		text := fmt.Sprintf("%.0f s", time.Since(started).Seconds())
		if left := e.remaining(running); left != "" {
			text += ", " + left + " left"
		}
		return text
	}
	outcome := func(err error) string {
		if err != nil {
			return fmt.Sprintf("failed after %.0f s", time.Since(started).Seconds())
		}
		e.finish(seconds, time.Since(started))
		return status(0)
	}
	if !terminal(log) {
		fmt.Fprintf(log, "%s building ... ", label)
		return func(err error) { fmt.Fprintln(log, outcome(err)) }
	}
	// What is printed before may be longer.
	const clear = "\x1b[K"
	stop := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			fmt.Fprintf(log, "\r%s building ... %s%s", label, status(time.Since(started)), clear)
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
		fmt.Fprintf(log, "\r%s building ... %s%s\n", label, outcome(err), clear)
	}
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
