package trace

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Request is one request of a schedule.
type Request struct {
	// At is when the request arrives, from the schedule's start. Latency counts from here.
	At time.Duration
	// InputTokens and OutputTokens are at least 1 in a trace.
	InputTokens, OutputTokens int
}

// Trace is the part of a file's requests that is replayed, in order of time.
type Trace struct {
	name     string
	format   string
	requests []Request
	length   time.Duration
	options  Options
	// cut counts the requests whose tokens were above a cap.
	cut int
}

// Options select the part of a trace and its speed. The zero value plays all of it at its own speed.
type Options struct {
	// Start and Length select the part, in the trace's own time; Length 0 goes to its end.
	Start, Length time.Duration
	// Speed divides the times between requests: 2 plays twice as fast. 0 means 1.
	Speed float64
	// MaxInput and MaxOutput limit a request's tokens; 0 for no limit.
	MaxInput, MaxOutput int
}

// Register adds the flags of the part, the speed and the cap on input tokens.
func (o *Options) Register(flags *flag.FlagSet) {
	flags.Float64Var(&o.Speed, "speed", 1, "factor by which the trace is replayed faster than it was recorded")
	flags.DurationVar(&o.Start, "trace-start", 0, "where in the trace to begin, in its own time")
	flags.DurationVar(&o.Length, "trace-length", 0, "how much of the trace to replay, in its own time; 0 for all")
	flags.IntVar(&o.MaxInput, "max-input-tokens", 0, "cap on a trace's input tokens; 0 for none")
}

const (
	minSpeed, maxSpeed = 0.001, 1e6
	// longest bounds Start and Length.
	longest = 50 * 365 * 24 * time.Hour
	// maxProblems is the number of bad rows that an error lists.
	maxProblems = 5
)

// check returns an error that names the flag with a bad value.
func (o Options) check() error {
	switch {
	case !(o.Speed >= minSpeed && o.Speed <= maxSpeed):
		return fmt.Errorf("-speed %g: want a factor from %g to %g", o.Speed, minSpeed, maxSpeed)
	case o.Start < 0 || o.Start > longest:
		return fmt.Errorf("-trace-start %s: want a time from 0 to %s", o.Start, longest)
	case o.Length < 0 || o.Length > longest:
		return fmt.Errorf("-trace-length %s: want a time from 0 to %s", o.Length, longest)
	case o.MaxInput < 0:
		return fmt.Errorf("-max-input-tokens %d: want a number from 0 on", o.MaxInput)
	case o.MaxOutput < 0:
		return fmt.Errorf("-max-tokens %d: want a number from 0 on", o.MaxOutput)
	}
	return nil
}

// limits bound what is read, so that no file can exhaust the memory.
type limits struct {
	line     int // bytes of a line
	requests int // of the chosen part
}

// defaultLimits are generous: a line of Mooncake's trace has some KB, and ten million requests take 240 MB.
var defaultLimits = limits{line: 1 << 20, requests: 10_000_000}

// Open reads a trace from a file, or the built-in one if the name is empty or BurstName.
func Open(file string, o Options) (*Trace, error) {
	if file == "" || file == BurstName {
		return Burst(o)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer func() { _ = f.Close() }()
	return Read(filepath.Base(file), f, o)
}

// Read reads a trace of any format. The first request is at second 0; rows are sorted by their time. The error names
// the trace and lists every bad row with its line and what was expected, up to five.
func Read(name string, from io.Reader, o Options) (*Trace, error) {
	return read(name, from, o, defaultLimits)
}

func read(name string, from io.Reader, o Options, l limits) (*Trace, error) {
	if o.Speed == 0 {
		o.Speed = 1
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	t := &Trace{name: name, options: o}
	all, err := t.readRows(from, l)
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	if err := t.choose(all); err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	return t, nil
}

// span is the time from the earliest to the latest request.
type span struct{ from, to time.Duration }

// collected are the rows that may belong to the chosen part, with times from an arbitrary zero.
type collected struct {
	requests []Request
	span     span
	// pruned is set when requests before the chosen part were dropped.
	pruned bool
}

// readRows reads all rows.
func (t *Trace) readRows(from io.Reader, l limits) (collected, error) {
	rows, f, err := openRows(from, l.line)
	if err != nil {
		return collected{}, err
	}
	t.format = f.name
	p := &parser{format: f}
	var all collected
	var problems []string
	for read := 0; ; read++ {
		request, err := nextRequest(rows, p)
		var bad rowError
		switch {
		case errors.Is(err, io.EOF):
			if problems != nil {
				return collected{}, errors.New(strings.Join(problems, "; "))
			}
			if read == 0 {
				return collected{}, errors.New("there is no row below the header")
			}
			return all, nil
		case errors.As(err, &bad):
			if problems = append(problems, bad.Error()); len(problems) == maxProblems {
				return collected{}, errors.New(strings.Join(problems, "; ") + "; further rows were not read")
			}
		case err != nil:
			return collected{}, errors.New(strings.Join(append(problems, err.Error()), "; "))
		default:
			if err := t.collect(&all, request, read == 0, l.requests); err != nil {
				return collected{}, err
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

// collect keeps a request unless it cannot belong to the chosen part. It keeps at most that many.
func (t *Trace) collect(all *collected, request Request, first bool, most int) error {
	o := t.options
	if first {
		all.span = span{request.At, request.At}
	}
	if request.At < all.span.from && all.pruned {
		return errors.New("too many requests that are not in order of time to choose a part: sort the rows by time")
	}
	all.span.from, all.span.to = min(all.span.from, request.At), max(all.span.to, request.At)
	// The earliest request of the whole file can only be earlier than the earliest one so far.
	if o.Length > 0 && request.At-all.span.from > o.Start+o.Length {
		return nil
	}
	all.requests = append(all.requests, request)
	if len(all.requests) <= most {
		return nil
	}
	all.pruned = true
	all.requests = slices.DeleteFunc(all.requests, func(r Request) bool { return r.At-all.span.from < o.Start })
	if len(all.requests) > most/2 { // pruned again and again, a larger part would take forever
		return fmt.Errorf("more than %d requests: choose a smaller part with -trace-start and -trace-length", most)
	}
	return nil
}

// choose selects the part that is played, with times from its start.
func (t *Trace) choose(all collected) error {
	o := t.options
	slices.SortStableFunc(all.requests, func(a, b Request) int { return cmp.Compare(a.At, b.At) })
	end := all.span.to - all.span.from
	if o.Length > 0 {
		end = o.Start + o.Length
	}
	if float64(end-o.Start)/o.Speed > float64(longest) {
		return fmt.Errorf("-speed %g: the trace would last longer than %s", o.Speed, longest)
	}
	for _, r := range all.requests {
		r.At -= all.span.from
		// A part includes its start but not its end, so that consecutive parts make up the whole.
		if r.At < o.Start || r.At > end || (o.Length > 0 && r.At == end) {
			continue
		}
		r.At = t.scaled(r.At - o.Start)
		t.requests = append(t.requests, t.capped(r))
	}
	if len(t.requests) == 0 {
		to := "its end"
		if o.Length > 0 {
			to = fmt.Sprint(o.Start + o.Length)
		}
		return fmt.Errorf("no request between %s and %s: it lasts %s", o.Start, to, (all.span.to - all.span.from).Round(time.Second))
	}
	t.length = t.scaled(end - o.Start)
	return nil
}

func (t *Trace) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) / t.options.Speed)
}

// capped limits a request's tokens.
func (t *Trace) capped(r Request) Request {
	before := r
	if t.options.MaxInput > 0 {
		r.InputTokens = min(r.InputTokens, t.options.MaxInput)
	}
	if t.options.MaxOutput > 0 {
		r.OutputTokens = min(r.OutputTokens, t.options.MaxOutput)
	}
	if r != before {
		t.cut++
	}
	return r
}

// Arrivals yields the selected part.
func (t *Trace) Arrivals() iter.Seq[Request] { return slices.Values(t.requests) }

// Length returns the duration of the selected part at its speed.
func (t *Trace) Length() time.Duration { return t.length }

// Rate returns the mean over ten seconds around a time.
func (t *Trace) Rate(at time.Duration) float64 {
	const half = 5 * time.Second
	find := func(moment time.Duration) int {
		i, _ := slices.BinarySearchFunc(t.requests, moment, func(r Request, m time.Duration) int { return cmp.Compare(r.At, m) })
		return i
	}
	return float64(find(at+half)-find(at-half)) / (2 * half).Seconds()
}

// Requests returns their number.
func (t *Trace) Requests() int { return len(t.requests) }

// Format returns the name of the file's format.
func (t *Trace) Format() string { return t.format }

func (t *Trace) String() string {
	text := "trace " + t.name
	if t.format != own {
		text += " (" + t.format + ")"
	}
	precision := time.Second
	if t.length < 10*time.Second {
		precision = time.Millisecond
	}
	text += fmt.Sprintf(", %d requests in %s", len(t.requests), t.length.Round(precision))
	if t.options.Speed != 1 {
		text += fmt.Sprintf(", %gx its speed", t.options.Speed)
	}
	if t.options.Start > 0 {
		text += fmt.Sprintf(", from %s on", t.options.Start)
	}
	if t.cut > 0 {
		text += fmt.Sprintf(", %d with fewer tokens than recorded", t.cut)
	}
	return text
}
