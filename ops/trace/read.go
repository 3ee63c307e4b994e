package trace

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// limits bound what is read, so that no file can exhaust the memory.
type limits struct {
	line     int // bytes of a line
	requests int // of the chosen part, if they are not in order of time
	held     int // above which a trace in order of time is read from its file each time that it is played
}

// defaultLimits are generous: a line of Mooncake's trace has some KB, and ten million requests take up to 800 MB while they are
// read. A day of requests, which a search replays again and again, is held.
var defaultLimits = limits{line: 1 << 20, requests: 10_000_000, held: 1_000_000}

// maxProblems is the number of bad rows that an error lists.
const maxProblems = 5

// Open returns the trace of a file, the built-in one if the name is empty or BurstName, or a synthetic load, such as
// poisson:rate=4,length=1h. The requests of a large file that are in order of time are not held in memory.
func Open(name string, o Options) (*Trace, error) {
	switch {
	case name == "" || name == BurstName:
		return Burst(o)
	case isSpec(name):
		return openSynthetic(name, o)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return openFile(f, o, defaultLimits)
}

// openFile reads a trace. The file stays open if the trace has to be read from it again.
func openFile(f *os.File, o Options, l limits) (*Trace, error) {
	name := filepath.Base(f.Name())
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("trace: %w", err)
	}
	if info.Mode().IsRegular() {
		// What is appended to a log meanwhile does not belong to the trace.
		t, err := readOrdered(name, func() io.Reader { return io.NewSectionReader(f, 0, info.Size()) }, o, l)
		if !errors.Is(err, errUnordered) {
			if err != nil || min(t.requests, t.recorded.requests) <= l.held {
				_ = f.Close() // all is held
			}
			return t, err
		}
	}
	defer func() { _ = f.Close() }()
	return read(name, f, o, l)
}

// Read reads a trace of any format and holds it. The first request is at second 0; rows are sorted by their time. The error
// names the trace and lists every bad row with its line and what was expected, up to five.
func Read(name string, from io.Reader, o Options) (*Trace, error) {
	return read(name, from, o, defaultLimits)
}

func read(name string, from io.Reader, o Options, l limits) (*Trace, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	t := &Trace{name: name, options: o}
	all := collected{options: o, most: l.requests}
	if t.format, err = eachRow(from, l.line, all.add); err == nil {
		err = t.hold(all, l)
	}
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	return t, nil
}

// eachRow calls visit with each request of a file, whose time is from an arbitrary zero, and returns the name of the format.
// It ends with the first error of visit.
func eachRow(from io.Reader, maxLine int, visit func(Request) error) (string, error) {
	rows, f, err := openRows(from, maxLine)
	if err != nil {
		return "", err
	}
	p := &parser{format: f}
	var problems []string
	for read := 0; ; read++ {
		request, err := nextRequest(rows, p)
		var bad rowError
		switch {
		case errors.Is(err, io.EOF):
			switch {
			case problems != nil:
				return "", errors.New(strings.Join(problems, "; "))
			case read == 0:
				return "", errors.New("there is no row below the header")
			}
			return f.name, p.checkTokens()
		case errors.As(err, &bad):
			if problems = append(problems, bad.Error()); len(problems) == maxProblems {
				return "", errors.New(strings.Join(problems, "; ") + "; further rows were not read")
			}
		case err != nil:
			return "", errors.New(strings.Join(append(problems, err.Error()), "; "))
		default:
			if err := visit(request); err != nil {
				return "", err
			}
		}
	}
}

// nextRequest reads a row and parses it.
func nextRequest(rows rows, p *parser) (Request, error) {
	r, err := rows.next()
	if err != nil {
		return Request{}, err
	}
	request, err := p.parse(r)
	if err != nil {
		return Request{}, rowError{r.line, err}
	}
	return request, nil
}

// span is the time from the earliest to the latest request.
type span struct{ from, to time.Duration }

// collected are the rows, in any order, that may belong to the chosen part, with times from an arbitrary zero.
type collected struct {
	options  Options
	most     int
	requests []Request
	span     span
	begun    bool
	// pruned is set when requests before the chosen part were dropped.
	pruned bool
}

// add keeps a request unless it cannot belong to the chosen part. It keeps at most that many.
func (c *collected) add(request Request) error {
	o := c.options
	if !c.begun {
		c.begun, c.span = true, span{request.At, request.At}
	}
	if request.At < c.span.from && c.pruned {
		return errors.New("too many requests that are not in order of time to choose a part: sort the rows by time")
	}
	c.span.from, c.span.to = min(c.span.from, request.At), max(c.span.to, request.At)
	// The earliest request of the whole file can only be earlier than the earliest one so far.
	if o.after(request.At - c.span.from) {
		return nil
	}
	c.requests = append(c.requests, request)
	if len(c.requests) <= c.most {
		return nil
	}
	c.pruned = true
	c.requests = slices.DeleteFunc(c.requests, func(r Request) bool { return r.At-c.span.from < o.Start })
	if len(c.requests) > c.most/2 { // pruned again and again, a larger part would take forever
		return fmt.Errorf("more than %d requests: choose a smaller part with -trace-start and -trace-length", c.most)
	}
	return nil
}

// hold makes the collected requests the trace.
func (t *Trace) hold(all collected, l limits) error {
	slices.SortStableFunc(all.requests, func(a, b Request) int { return cmp.Compare(a.At, b.At) })
	var counted summary
	requests := all.requests[:0] // in place: there may be many
	for _, r := range all.requests {
		r.At -= all.span.from
		if played, ok := t.options.played(r); ok {
			counted.add(r, played)
			requests = append(requests, played)
		}
	}
	return t.play(slices.Values(requests), counted, all.span.to-all.span.from, l.held)
}
