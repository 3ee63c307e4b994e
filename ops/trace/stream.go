package trace

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"
)

// errUnordered is the error of a trace whose rows are not in order of time.
var errUnordered = errors.New("the rows are not in order of time")

// errStop ends a pass over a file.
var errStop = errors.New("stop")

// readOrdered reads a trace whose rows are in order of time, from a file that can be opened again and again. It checks all
// rows. The requests are held if they are few, and otherwise read from the file each time that they are played. The error is
// errUnordered if the rows are in another order.
func readOrdered(name string, open func() io.Reader, o Options, l limits) (*Trace, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	t := &Trace{name: name, options: o}
	first := pass{options: o, most: l.held}
	if t.format, err = eachRow(open(), l.line, first.add); err == nil {
		part := slices.Values(first.held)
		if first.counted.requests > l.held {
			part = t.stream(open, first.span.from, l.line)
		}
		err = t.play(part, first.counted, first.span.to-first.span.from, l.held)
	}
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", name, err)
	}
	return t, t.Err()
}

// pass is the first pass over a trace in order of time.
type pass struct {
	options Options
	most    int
	counted summary
	span    span
	begun   bool
	// held are the requests of the part, as they are played; none if there are more than most.
	held []Request
}

// add counts a request, whose time is from an arbitrary zero.
func (p *pass) add(r Request) error {
	switch {
	case !p.begun:
		p.begun, p.span.from = true, r.At
	case r.At < p.span.to:
		return errUnordered
	}
	p.span.to = r.At
	r.At -= p.span.from
	played, ok := p.options.played(r)
	if !ok {
		return nil
	}
	p.counted.add(r, played)
	if p.counted.requests > p.most {
		p.held = nil
		return nil
	}
	p.held = append(p.held, played)
	return nil
}

// stream returns the requests of the part, which are read from the file each time. Zero is the time of the first row.
func (t *Trace) stream(open func() io.Reader, zero time.Duration, maxLine int) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		last := zero
		_, err := eachRow(open(), maxLine, func(r Request) error {
			if r.At < last {
				return errUnordered
			}
			last = r.At
			r.At -= zero
			if t.options.after(r.At) {
				return errStop
			}
			if played, ok := t.options.played(r); ok && !yield(played) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			err = fmt.Errorf("read again while it is played: %w", err)
			t.failure.Store(&err)
		}
	}
}
