package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxEvent bounds an event of a stream, in bytes: a chunk of an answer has some hundred.
const maxEvent = 1 << 20

// errTooLong is the error of an event above maxEvent.
var errTooLong = fmt.Errorf("an event longer than %d bytes", maxEvent)

// event is a server-sent event with data.
type event struct {
	// name is that of the field event; empty for a message.
	name string
	data []byte
}

// events reads server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html. Comments, which
// proxies send to keep a connection open, and fields that have no meaning here are skipped.
type events struct{ lines *bufio.Scanner }

func newEvents(from io.Reader) *events {
	e := &events{lines: bufio.NewScanner(from)}
	e.lines.Buffer(make([]byte, 0, 4096), maxEvent)
	return e
}

// next returns the next event that has data, or io.EOF at the end of the stream.
func (e *events) next() (event, error) {
	var current event
	for e.lines.Scan() {
		line := e.lines.Bytes() // without the CR of a CRLF
		if len(line) == 0 {
			if len(current.data) > 0 {
				return current, nil
			}
			current = event{}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":")) // a comment has an empty name
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			current.name = string(value)
		case "data":
			if len(current.data) > 0 {
				current.data = append(current.data, '\n')
			}
			current.data = append(current.data, value...)
			if len(current.data) > maxEvent {
				return event{}, errTooLong
			}
		}
	}
	switch err := e.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return event{}, errTooLong
	case err != nil:
		return event{}, err
	case len(current.data) > 0: // the blank line after the last event is missing
		return current, nil
	}
	return event{}, io.EOF
}
