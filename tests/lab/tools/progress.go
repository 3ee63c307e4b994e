package tools

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress prints the label with the time that passed: ticking on a terminal, else once at the start
// and the time at the end. The returned function ends the line.
func (b *builder) progress(label string) func(error) {
	started := time.Now()
	elapsed := func() string { return fmt.Sprintf("%.0f s", time.Since(started).Seconds()) }
	outcome := func(err error) string {
		if err != nil {
			return "failed after " + elapsed()
		}
		return elapsed()
	}
	if !terminal(b.log) {
		fmt.Fprintf(b.log, "%s building ... ", label)
		return func(err error) { fmt.Fprintln(b.log, outcome(err)) }
	}
	stop := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			fmt.Fprintf(b.log, "\r%s building ... %s", label, elapsed())
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
		fmt.Fprintf(b.log, "\r%s building ... %s\n", label, outcome(err))
	}
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
