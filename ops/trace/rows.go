package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// row is the text of a row's values.
type row struct {
	line   int
	values [values]string
}

// rows reads the rows of a file one after the other.
type rows interface {
	// next returns the next row, or io.EOF at the end. After an rowError the next row can be read.
	next() (row, error)
}

// rowError is an error in one row.
type rowError struct {
	line int
	err  error
}

func (e rowError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

func (e rowError) Unwrap() error { return e.err }

// openRows recognizes the format of a file and returns its rows. No line may be longer than maxLine bytes.
func openRows(from io.Reader, maxLine int) (rows, format, error) {
	text, err := uncompressed(from)
	if err != nil {
		return nil, format{}, err
	}
	start, err := text.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, format{}, err
	}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(start, []byte(mark)) {
			return nil, format{}, errors.New("line 1: the file is in UTF-16: want UTF-8")
		}
	}
	if bytes.HasPrefix(start, []byte("\ufeff")) {
		_, _ = text.Discard(len("\ufeff"))
		start = start[len("\ufeff"):]
	}
	switch start = bytes.TrimLeft(start, " \t\r\n"); {
	case len(start) == 0:
		return nil, format{}, fmt.Errorf("the file is empty: want %s", known())
	case start[0] == '{':
		return openJSONLines(text, maxLine)
	case start[0] == '[':
		return nil, format{}, errors.New("line 1: the file is a JSON array: want one object on each line, as `jq -c '.[]'` prints them")
	}
	return openCSV(text, maxLine)
}

// uncompressed returns the text of a file that may be compressed with gzip.
func uncompressed(from io.Reader) (*bufio.Reader, error) {
	buffered := bufio.NewReaderSize(from, 64<<10)
	if magic, _ := buffered.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	unpacked, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("compressed with gzip: %w", err)
	}
	return bufio.NewReaderSize(unpacked, 64<<10), nil
}

// csvRows reads CSV.
type csvRows struct {
	reader *csv.Reader
	limit  *limited
	at     [values]int
	width  int
	line   int // last line of the row that was read last
}

// limited fails if more than most bytes are read between two calls of reset.
type limited struct {
	from       io.Reader
	left, most int
}

var errLong = errors.New("line too long")

func (l *limited) reset() { l.left = l.most }

func (l *limited) Read(to []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLong
	}
	n, err := l.from.Read(to[:min(len(to), l.left)])
	l.left -= n
	return n, err
}

func openCSV(text io.Reader, maxLine int) (rows, format, error) {
	c := &csvRows{limit: &limited{from: text, most: maxLine}}
	c.reader = csv.NewReader(c.limit)
	c.reader.TrimLeadingSpace, c.reader.ReuseRecord = true, true
	header, err := c.read()
	if err != nil {
		return nil, format{}, err
	}
	c.width = len(header)
	f, at, err := recognize(header, false)
	if err != nil {
		return nil, format{}, rowError{c.line, err}
	}
	c.at = at
	return c, f, nil
}

func (c *csvRows) next() (row, error) {
	fields, err := c.read()
	if err != nil {
		return row{}, err
	}
	r := row{line: c.line}
	for value, at := range c.at {
		r.values[value] = fields[at]
	}
	return r, nil
}

// read returns the next record.
func (c *csvRows) read() ([]string, error) {
	c.limit.reset()
	fields, err := c.reader.Read()
	var bad *csv.ParseError
	switch {
	case errors.Is(err, errLong):
		return nil, errTooLong(c.line+1, c.limit.most)
	case errors.Is(err, csv.ErrFieldCount):
		c.line, _ = c.reader.FieldPos(0)
		return nil, rowError{c.line, fmt.Errorf("want %d values, as the header has, found %d", c.width, len(fields))}
	case errors.As(err, &bad):
		c.line = bad.Line
		return nil, rowError{bad.StartLine, fmt.Errorf("CSV: %w", bad.Err)}
	case err != nil:
		return nil, err
	}
	last := len(fields) - 1
	c.line, _ = c.reader.FieldPos(last)
	c.line += strings.Count(fields[last], "\n")
	return fields, nil
}

// errTooLong returns the error of a line after which reading cannot go on.
func errTooLong(line, most int) error {
	return fmt.Errorf("line %d: longer than %d bytes: want one request on a line (or a quote is not closed)", line, most)
}

// jsonRows reads one JSON object a line.
type jsonRows struct {
	lines *bufio.Scanner
	most  int
	line  int
	names [values]string
	// first is the first object, which was read to recognize the format.
	first map[string]json.RawMessage
}

func openJSONLines(text io.Reader, maxLine int) (rows, format, error) {
	j := &jsonRows{lines: bufio.NewScanner(text), most: maxLine}
	j.lines.Buffer(nil, maxLine)
	first, err := j.read()
	if err != nil {
		return nil, format{}, err
	}
	header := slices.Sorted(maps.Keys(first))
	f, at, err := recognize(header, true)
	if err != nil {
		return nil, format{}, rowError{j.line, err}
	}
	for value, i := range at {
		j.names[value] = header[i]
	}
	j.first = first
	return j, f, nil
}

func (j *jsonRows) next() (row, error) {
	object := j.first
	if j.first = nil; object == nil {
		var err error
		if object, err = j.read(); err != nil {
			return row{}, err
		}
	}
	r := row{line: j.line}
	for value, name := range j.names {
		raw, ok := object[name]
		if !ok || string(raw) == "null" {
			return row{}, rowError{j.line, fmt.Errorf("no %q", name)}
		}
		r.values[value] = string(raw)
	}
	return r, nil
}

// read returns the next object.
func (j *jsonRows) read() (map[string]json.RawMessage, error) {
	for j.lines.Scan() {
		j.line++
		text := bytes.TrimSpace(j.lines.Bytes())
		if len(text) == 0 {
			continue
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(text, &object); err != nil || object == nil {
			return nil, rowError{j.line, fmt.Errorf("%s: want a JSON object", quote(string(text)))}
		}
		return object, nil
	}
	switch err := j.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, errTooLong(j.line+1, j.most)
	case err != nil:
		return nil, err
	}
	return nil, io.EOF
}
