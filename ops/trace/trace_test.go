package trace

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const header = "arrival_seconds,input_tokens,output_tokens\n"

// at returns a time in microseconds.
func at(microseconds int64) time.Duration { return time.Duration(microseconds) * time.Microsecond }

func TestFormats(t *testing.T) {
	for file, test := range map[string]struct {
		format string
		want   []Request
	}{
		"own.csv":       {own, []Request{{0, 180, 95}, {at(618_000), 2210, 40}}},
		"epoch.csv":     {own, []Request{{0, 180, 95}, {at(1_450_000), 2210, 40}}},
		"azure2023.csv": {"Azure", []Request{{0, 4808, 10}, {at(52_000), 3180, 8}, {at(10_000_000), 110, 27}}},
		"azure2024.csv": {"Azure", []Request{{0, 1200, 4}, {at(540_520), 520, 30}, {at(998_837), 910, 12}, {at(2_157_769), 1740, 55}}},
		// A request for no token would be refused: it asks for one.
		"burstgpt.csv":   {"BurstGPT", []Request{{0, 470, 20}, {at(40_500_000), 1090, 230}, {at(113_000_000), 300, 1}}},
		"burstgpt3.csv":  {"BurstGPT", []Request{{0, 900, 440}, {at(51_000_000), 36, 29}}},
		"mooncake.jsonl": {"Mooncake", []Request{{0, 6750, 500}, {at(3_052_000), 2290, 316}, {at(3_052_500), 12, 1}}},
	} {
		content, err := os.ReadFile(filepath.Join("testdata", file))
		require.NoError(t, err)
		for variant, text := range map[string][]byte{
			"as it is":              content,
			"byte order mark, CRLF": []byte("\ufeff" + strings.ReplaceAll(string(content), "\n", "\r\n")),
			"no newline at the end": bytes.TrimSpace(content),
			"blank lines":           []byte("\n" + strings.ReplaceAll(string(content), "\n", "\n\n")),
			"gzip":                  compressed(t, content),
		} {
			t.Run(file+" "+variant, func(t *testing.T) {
				trace, err := Read("a.name", bytes.NewReader(text), Options{})
				require.NoError(t, err)
				assert.Equal(t, test.want, slices.Collect(trace.Arrivals()))
				assert.Equal(t, test.format, trace.Format())
				assert.Equal(t, test.want[len(test.want)-1].At, trace.Length())
				assert.Equal(t, len(test.want), trace.Requests())
			})
		}
	}
	t.Run("each format has an example", func(t *testing.T) {
		seen := map[string]bool{}
		files, err := filepath.Glob("testdata/*")
		require.NoError(t, err)
		for _, file := range files {
			trace, err := Open(file, Options{})
			require.NoError(t, err)
			seen[trace.Format()] = true
		}
		for _, f := range formats {
			assert.True(t, seen[f.name], f.name)
		}
	})
}

func compressed(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	to := gzip.NewWriter(&out)
	_, err := to.Write(content)
	require.NoError(t, err)
	require.NoError(t, to.Close())
	return out.Bytes()
}

func TestTimes(t *testing.T) {
	for name, rows := range map[string][2]string{
		"date":               {"2023-11-16 18:17:03.5", "2023-11-16 18:17:05.0"},
		"RFC 3339":           {"2023-11-16T18:17:03.5Z", "2023-11-16T18:17:05Z"},
		"offsets":            {"2023-11-16 18:17:03.5+00:00", "2023-11-16 20:17:05+02:00"},
		"short offsets":      {"2023-11-16T18:17:03.5+0000", "2023-11-16T16:47:05-0130"},
		"hours only":         {"2023-11-16 18:17:03.5+00", "2023-11-16 19:17:05+01"},
		"UTC":                {"2023-11-16 18:17:03.5 UTC", "2023-11-16 18:17:05 UTC"},
		"epoch":              {"1764355200.10", "1764355201.60"},
		"nanoseconds":        {"1764355200.100000001", "1764355201.600000001"},
		"exponent":           {"1e2", "1.015e2"},
		"no digit before":    {".5", "2"},
		"no digit after":     {"5.", "6.5"},
		"rows in any order":  {"7.5", "6"},
		"many decimals":      {"0.0000000000001", "1.5000000000001"},
		"quoted with spaces": {`" 1"`, `"2.5 "`},
	} {
		t.Run(name, func(t *testing.T) {
			trace, err := Read("t", strings.NewReader(header+rows[0]+",1,1\n"+rows[1]+",1,1\n"), Options{})
			require.NoError(t, err)
			assert.Equal(t, []Request{{0, 1, 1}, {1500 * time.Millisecond, 1, 1}}, slices.Collect(trace.Arrivals()))
		})
	}
}

func TestBadFilesNameWhatIsExpected(t *testing.T) {
	const wantTokens = ": want a whole number of tokens from 0 to 1000000"
	for name, test := range map[string]struct{ text, message string }{
		"tokens that are no number": {header + "0,1,1\n1,many,1\n2,1,1\n3,1,-4\n",
			`line 3: input_tokens "many"` + wantTokens + `; line 5: output_tokens "-4"` + wantTokens},
		"no tokens in any row": {header + "0,7,0\n1,7,0\n", "output_tokens is 0 in every row: want the tokens of the requests"},
		"no input in any row":  {"TIMESTAMP,ContextTokens,GeneratedTokens\n0,0,5\n", "ContextTokens is 0 in every row"},
		"only times":           {"arrival_seconds\n0\n", `line 1: columns "arrival_seconds" are of no known format: want arrival_seconds,`},
		"half a token":         {header + "0,180.5,1\n", `line 2: input_tokens "180.5"` + wantTokens},
		"no tokens":            {header + "0,1,\n", `line 2: output_tokens ""` + wantTokens},
		"NaN tokens":           {header + "0,NaN,1\n", `line 2: input_tokens "NaN"` + wantTokens},
		"too many tokens":      {header + "0,2000000000,1\n", `line 2: input_tokens "2000000000": want at most 1000000 tokens`},
		"infinite tokens":      {header + "0,1,1e999\n", `line 2: output_tokens "1e999": want at most 1000000 tokens`},
		"no time":              {header + "yesterday,1,1\n", `line 2: arrival_seconds "yesterday": want seconds, or a date with time such as`},
		"negative time":        {header + "-1,1,1\n", `line 2: arrival_seconds "-1": want seconds from 0 to 9e+09`},
		"NaN time":             {header + "NaN,1,1\n", `line 2: arrival_seconds "NaN": want seconds`},
		"milliseconds":         {header + "1764355200100,1,1\n", `line 2: arrival_seconds "1764355200100": want seconds from 0 to 9e+09`},
		"a date out of range":  {header + "0001-01-01 00:00:00,1,1\n", "want a date after 1970 and before 2255"},
		"seconds, then dates": {header + "0,1,1\n2023-11-16 18:17:03,1,1\n",
			`line 3: arrival_seconds "2023-11-16 18:17:03" is a date without an offset from UTC, the first row has a number`},
		"some with an offset": {header + "2023-11-16 18:17:03Z,1,1\n2023-11-16 18:17:03,1,1\n", "line 3: "},
		"a value less":        {header + "0,1,1\n1,1\n2,x,1\n", `line 3: want 3 values, as the header has, found 2; line 4: input_tokens "x"`},
		"an open quote":       {header + "0,1,\"1\n", "line 2: CSV: "},
		"a missing column": {"arrival_seconds,input_tokens\n0,1\n",
			`line 1: no column "output_tokens" beside "arrival_seconds", "input_tokens": want arrival_seconds,input_tokens,output_tokens (the`},
		"unknown columns": {"a,b,c\n0,1,1\n",
			`line 1: columns "a", "b", "c" are of no known format: want arrival_seconds,input_tokens,output_tokens (the project's own) or TIME`},
		"a column twice": {"timestamp,timestamp,input_tokens,output_tokens\n0,0,1,1\n", `line 1: columns "timestamp", "timestamp" are the same: keep one`},
		"no header":      {"0,1,1\n", "of no known format"},
		"only a header":  {header, "there is no row below the header"},
		"an empty file":  {"", "the file is empty: want arrival_seconds,"},
		"only a mark":    {"\ufeff\r\n", "the file is empty"},
		"UTF-16":         {"\xff\xfea\x00", "the file is in UTF-16: want UTF-8"},
		"a JSON array":   {`[{"timestamp": 0}]`, "line 1: the file is a JSON array: want one object on each line"},
		"other JSON":     {`{"time": 0, "in": 1}` + "\n", `line 1: fields "in", "time" are of no known format`},
		"CSV's fields in JSON": {`{"arrival_seconds": 0, "input_tokens": 1, "output_tokens": 1}` + "\n",
			"a JSON object on each line with timestamp,input_length,output_length (Mooncake)"},
		"broken JSON": {`{"timestamp": 0, "input_length": 1, "output_length": 1}` + "\n{\n", `line 2: "{": want a JSON object`},
		"a missing field": {`{"timestamp": 0, "input_length": 1, "output_length": 1}` + "\n\n" +
			`{"timestamp": 0, "input_length": 1}` + "\n", `line 3: no "output_length"`},
		"null": {`{"timestamp": 0, "input_length": 1, "output_length": 1}` + "\n" + `{"timestamp": null, "input_length": 1, "output_length": 1}` + "\n",
			`line 2: no "timestamp"`},
		"a JSON date":      {`{"timestamp": "2024", "input_length": 1, "output_length": 1}` + "\n", "want milliseconds, or a date"},
		"gzip that is cut": {string(compressed(t, []byte(header+"0,1,1\n"))[:12]), "unexpected EOF"},
		"binary":           {"\x7fELF\x02\x01\x01\x00\n", "of no known format"},
		"a long value":     {header + "0," + strings.Repeat("9", 1000) + ",1\n", `line 2: input_tokens "` + strings.Repeat("9", 40) + `"...: want at most`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read("t.csv", strings.NewReader(test.text), Options{})
			require.ErrorContains(t, err, test.message)
			require.ErrorContains(t, err, "trace t.csv: ")
			assert.NotContains(t, err.Error(), "\n", "one line")
			assert.Less(t, len(err.Error()), 600)
		})
	}
	t.Run("many bad rows", func(t *testing.T) {
		_, err := Read("t", strings.NewReader(header+strings.Repeat("x,1,1\n", 100)), Options{})
		assert.Equal(t, maxProblems, strings.Count(err.Error(), "line "), "the first few are enough")
		assert.ErrorContains(t, err, "further rows were not read")
	})
	t.Run("no file", func(t *testing.T) {
		_, err := Open("does-not-exist.csv", Options{})
		require.ErrorContains(t, err, "does-not-exist.csv")
		_, err = Open(t.TempDir(), Options{})
		require.ErrorContains(t, err, "is a directory")
	})
}

// endless repeats a text forever and counts what is read.
type endless struct {
	head, text string
	read       int
}

func (e *endless) Read(to []byte) (int, error) {
	n := 0
	for n < len(to) {
		if e.head == "" {
			e.head = e.text
		}
		copied := copy(to[n:], e.head)
		e.head, n = e.head[copied:], n+copied
	}
	e.read += n
	return n, nil
}

// No file makes the reader read, and keep, without end.
func TestInputIsBounded(t *testing.T) {
	const mooncake = `{"timestamp": 0, "input_length": 1, "output_length": 1}` + "\n"
	small := limits{line: 10_000, requests: 1000}
	for name, test := range map[string]struct {
		from    endless
		message string
	}{
		"a header without end":        {endless{text: "arrival_seconds,"}, "line 1: longer than 10000 bytes"},
		"a row without end":           {endless{head: header + "0,1,1\n", text: "1"}, "line 3: longer than 10000 bytes"},
		"a quote without end":         {endless{head: header + "0,1,\"", text: "1\n"}, "line 2: longer than 10000 bytes"},
		"an object without end":       {endless{head: mooncake + `{"hash_ids": [`, text: "1,"}, "line 2: longer than 10000 bytes"},
		"a first object without end":  {endless{head: `{"hash_ids": [`, text: "1,"}, "line 1: longer than 10000 bytes"},
		"rows without end":            {endless{head: header, text: "1,1,1\n"}, "more than 1000 requests: choose a smaller part"},
		"objects without end":         {endless{text: mooncake}, "more than 1000 requests: choose a smaller part"},
		"bad rows without end":        {endless{head: header, text: "x,1,1\n"}, "further rows were not read"},
		"zeros":                       {endless{text: "\x00"}, "line 1: longer than 10000 bytes"},
		"rows of other widths":        {endless{head: header, text: "1\n"}, "further rows were not read"},
		"compressed rows without end": {endless{head: header, text: "1,1,1\n"}, "more than 1000 requests"},
	} {
		t.Run(name, func(t *testing.T) {
			from := io.Reader(&test.from)
			if strings.HasPrefix(name, "compressed") {
				from = bytes.NewReader(compressed(t, []byte(header+strings.Repeat("1,1,1\n", 100_000))))
			}
			_, err := read("t", from, Options{}, small)
			require.ErrorContains(t, err, test.message)
			assert.Less(t, test.from.read, 200_000)
		})
	}
}

// A part of a file that is larger than what may be kept is read, from its end as well.
func TestPartOfALargeFile(t *testing.T) {
	var text strings.Builder
	text.WriteString(header)
	for second := range 5000 {
		text.WriteString(time.Unix(int64(second), 0).UTC().Format(time.DateTime) + ",1,1\n")
	}
	small := limits{line: 10_000, requests: 1000}
	for _, start := range []time.Duration{0, 2000 * time.Second, 4900 * time.Second} {
		trace, err := read("t", strings.NewReader(text.String()), Options{Start: start, Length: 100 * time.Second}, small)
		require.NoError(t, err)
		assert.Equal(t, 100, trace.Requests())
		assert.Equal(t, 99*time.Second, slices.Collect(trace.Arrivals())[99].At)
	}
	_, err := read("t", strings.NewReader(text.String()), Options{Start: time.Second}, small)
	require.ErrorContains(t, err, "choose a smaller part")
	_, err = read("t", strings.NewReader(text.String()+"1969-01-01 00:00:00,1,1\n"), Options{Start: 4900 * time.Second}, small)
	require.ErrorContains(t, err, "after 1970")
	reversed := strings.Split(strings.TrimSpace(text.String()), "\n")
	slices.Reverse(reversed[1:])
	_, err = read("t", strings.NewReader(strings.Join(reversed, "\n")), Options{Start: 4900 * time.Second, Length: time.Minute}, small)
	require.ErrorContains(t, err, "sort the rows by time")
}

func TestPartsOfATrace(t *testing.T) {
	text := header + "0,10,1\n10,200,2\n20,30,300\n30,40,4\n"
	for name, test := range map[string]struct {
		options Options
		want    []Request
		length  time.Duration
		text    string
	}{
		"all": {Options{}, []Request{{0, 10, 1}, {10 * time.Second, 200, 2}, {20 * time.Second, 30, 300}, {30 * time.Second, 40, 4}}, 30 * time.Second,
			"trace t, 4 requests in 30s"},
		"twice": {Options{Speed: 2}, []Request{{0, 10, 1}, {5 * time.Second, 200, 2}, {10 * time.Second, 30, 300}, {15 * time.Second, 40, 4}},
			15 * time.Second, "trace t, 4 requests in 15s, 2x its speed"},
		"a part": {Options{Start: 10 * time.Second, Length: 20 * time.Second}, []Request{{0, 200, 2}, {10 * time.Second, 30, 300}}, 20 * time.Second,
			"trace t, 2 requests in 20s, from 10s on"},
		"fast part": {Options{Start: 5 * time.Second, Length: 10 * time.Second, Speed: 5}, []Request{{time.Second, 200, 2}}, 2 * time.Second,
			"trace t, 1 requests in 2s, 5x its speed, from 5s on"},
		"with a cap": {Options{MaxInput: 50, MaxOutput: 3, Start: 10 * time.Second},
			[]Request{{0, 50, 2}, {10 * time.Second, 30, 3}, {20 * time.Second, 40, 3}}, 20 * time.Second,
			"trace t, 3 requests in 20s, from 10s on, 3 with fewer tokens than recorded"},
		"longer part": {Options{Start: 30 * time.Second, Length: time.Minute}, []Request{{0, 40, 4}}, time.Minute, "trace t, 1 requests in 1m0s, from 30s on"},
	} {
		t.Run(name, func(t *testing.T) {
			trace, err := Read("t", strings.NewReader(text), test.options)
			require.NoError(t, err)
			assert.Equal(t, test.want, slices.Collect(trace.Arrivals()))
			assert.Equal(t, test.length, trace.Length())
			assert.Equal(t, test.text, trace.String())
		})
	}
	for message, o := range map[string]Options{
		"no request between 1m0s and its end: it lasts 30s": {Start: time.Minute},
		"no request between 1s and 2s: it lasts 30s":        {Start: time.Second, Length: time.Second},
		"-speed -1: want a factor from 0.001 to 1e+06":      {Speed: -1},
		"-speed NaN":  {Speed: math.NaN()},
		"-speed +Inf": {Speed: math.Inf(1)},
		"-trace-start -1s: want a time from 0 to":             {Start: -1 * time.Second},
		"-trace-length 2562047h47m16.854775807s: want a time": {Length: math.MaxInt64},
		"-scale 0.0001: want a factor from 0.001 to 100":      {Scale: 0.0001},
		"-scale 101: want a factor from 0.001 to 100":         {Scale: 101},
		"-scale NaN": {Scale: math.NaN()},
		"-scale 0.001: none of 4 requests is left: give a larger": {Scale: 0.001},
		"-max-input-tokens -1: want a number from 0 on":           {MaxInput: -1},
		"-max-tokens -1: want a number from 0 on":                 {MaxOutput: -1},
		"-speed 0.001: the trace would last longer than 438000h0": {Speed: 0.001, Length: 49 * 365 * 24 * time.Hour},
	} {
		_, err := Read("t", strings.NewReader(text), o)
		require.ErrorContains(t, err, message)
	}
}

func TestFlags(t *testing.T) {
	var o Options
	flags := flag.NewFlagSet("t", flag.ContinueOnError)
	o.Register(flags)
	assert.Equal(t, Options{Speed: 1, Scale: 1}, o)
	require.NoError(t, flags.Parse([]string{"-speed", "2", "-trace-start", "1m", "-trace-length", "2m", "-scale", "0.5", "-max-input-tokens", "9"}))
	assert.Equal(t, Options{Speed: 2, Scale: 0.5, Start: time.Minute, Length: 2 * time.Minute, MaxInput: 9}, o)
	for _, bad := range []string{"0", "-1", "NaN", "x", "101"} {
		flags.SetOutput(io.Discard)
		require.ErrorContains(t, flags.Parse([]string{"-scale", bad}), "for flag -scale: want a factor from 0.001 to 100")
	}
	require.ErrorContains(t, flags.Parse([]string{"-speed", "0"}), "for flag -speed: want a factor from 0.001 to 1e+06")
}

// The file matches the formula; UPDATE_GOLDEN=1 rewrites it.
func TestBurstIsWhatItsFormulaSays(t *testing.T) {
	var made bytes.Buffer
	require.NoError(t, WriteBurst(&made))
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		require.NoError(t, os.WriteFile("testdata/burst.csv", made.Bytes(), 0o644))
		return
	}
	assert.Equal(t, made.String(), string(burst))
	trace, err := Open("", Options{})
	require.NoError(t, err)
	assert.Greater(t, trace.Rate(95*time.Second), 7.0)
	assert.Less(t, trace.Rate(5*time.Second), 3.0)
	assert.InDelta(t, 0.6*240+9.4*35*math.Sqrt(math.Pi), trace.Requests(), 120)
}
