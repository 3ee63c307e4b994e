package trace

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// generated is a file of that many rows, one in each 50 ms, which is not in memory.
type generated struct {
	rows, row int
	text      []byte
	// observe is called now and then.
	observe func()
}

func (g *generated) Read(to []byte) (int, error) {
	n := copy(to, g.text)
	g.text = g.text[n:]
	if n > 0 {
		return n, nil
	}
	if g.row == g.rows {
		return 0, io.EOF
	}
	g.observe()
	if g.row == 0 {
		g.text = append(g.text, header...)
	}
	for range min(10_000, g.rows-g.row) {
		g.text = strconv.AppendFloat(g.text, float64(g.row)*0.05, 'f', 2, 64)
		g.text = append(g.text, ",500,100\n"...)
		g.row++
	}
	return g.Read(to)
}

// A long trace takes no more memory than a short one, neither when it is read nor when it is played.
func TestLargeTracesAreNotHeldInMemory(t *testing.T) {
	const rows, most = 1_200_000, 10 << 20 // the requests alone would take 29 MB
	heap := func() uint64 {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		return now.HeapAlloc
	}
	runtime.GC()
	before, peak := heap(), uint64(0)
	open := func() io.Reader {
		return &generated{rows: rows, observe: func() { peak = max(peak, heap()) }}
	}
	trace, err := readOrdered("t", open, Options{}, limits{line: 1000, requests: 1000, held: 1000})
	require.NoError(t, err)
	assert.Equal(t, rows, trace.Requests())
	played := 0
	for r := range trace.Arrivals() {
		if played%10_000 == 0 {
			require.Equal(t, time.Duration(played)*50*time.Millisecond, r.At)
		}
		played++
	}
	require.NoError(t, trace.Err())
	assert.Equal(t, rows, played)
	assert.Less(t, peak, before+most)
	t.Logf("%d requests, at most %.1f MB", rows, float64(peak-before)/1e6)
	assert.InDelta(t, 20, trace.Rate(10*time.Hour), 1)
}

// ordered returns a reader of the same text each time.
func ordered(text string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(text) }
}

// What is read from the file each time is what would be held.
func TestStreamedIsWhatIsHeld(t *testing.T) {
	var text strings.Builder
	text.WriteString(header)
	for i := range 500 {
		text.WriteString(strconv.Itoa(1000+i/2) + "," + strconv.Itoa(i) + ",7\n")
	}
	for name, o := range map[string]Options{
		"all":           {},
		"a part":        {Start: 30 * time.Second, Length: time.Minute},
		"to the end":    {Start: 30 * time.Second},
		"fast, caps":    {Speed: 3, MaxInput: 100, MaxOutput: 5},
		"fewer":         {Scale: 0.3, Seed: 4},
		"more":          {Scale: 2.4, Seed: 4},
		"more, in part": {Scale: 3, Seed: 4, Start: 30 * time.Second, Length: time.Minute, Speed: 2},
	} {
		t.Run(name, func(t *testing.T) {
			held, err := Read("t", strings.NewReader(text.String()), o)
			require.NoError(t, err)
			streamed, err := readOrdered("t", ordered(text.String()), o, limits{line: 1000, requests: 10, held: 10})
			require.NoError(t, err)
			for range 2 { // it can be played again
				assert.Equal(t, slices.Collect(held.Arrivals()), slices.Collect(streamed.Arrivals()))
			}
			assert.Equal(t, held.String(), streamed.String())
			assert.Equal(t, held.Length(), streamed.Length())
			assert.Equal(t, held.Rate(20*time.Second), streamed.Rate(20*time.Second))
			for range streamed.Arrivals() {
				break // the reader may stop early
			}
			require.NoError(t, streamed.Err())
		})
	}
}

func TestFirstPassChecksEveryRow(t *testing.T) {
	small := limits{line: 1000, requests: 10, held: 10}
	rows := header + strings.Repeat("1,1,1\n", 50)
	_, err := readOrdered("t", ordered(rows+"2,x,1\n"), Options{}, small)
	require.ErrorContains(t, err, `trace t: line 52: input_tokens "x": want a whole number`)
	_, err = readOrdered("t", ordered(rows+"2,x,1\n"), Options{Length: time.Millisecond}, small)
	require.ErrorContains(t, err, "line 52", "outside of the part as well")
	_, err = readOrdered("t", ordered(rows+"0,1,1\n"), Options{}, small)
	require.ErrorIs(t, err, errUnordered)
}

func TestFiles(t *testing.T) {
	small := limits{line: 1000, requests: 100, held: 10}
	const row = "5,1,1\n"
	inOrder, open := strings.Repeat(row, 50), func(t *testing.T, content string) *os.File {
		t.Helper()
		name := filepath.Join(t.TempDir(), "trace.csv")
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
		f, err := os.Open(name)
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	for name, test := range map[string]struct {
		content string
		last    Request
	}{
		"in order":     {header + inOrder + "6,9,9\n", Request{time.Second, 9, 9}},
		"out of order": {header + inOrder + "4,9,9\n", Request{time.Second, 1, 1}},
		"few rows":     {header + row + "6,9,9\n", Request{time.Second, 9, 9}},
		"gzip":         {string(compressed(t, []byte(header+inOrder+"6,9,9\n"))), Request{time.Second, 9, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			trace, err := openFile(open(t, test.content), Options{}, small)
			require.NoError(t, err)
			all := slices.Collect(trace.Arrivals())
			assert.Len(t, all, trace.Requests())
			assert.Equal(t, test.last, all[len(all)-1])
			require.NoError(t, trace.Err())
		})
	}
	t.Run("too many out of order", func(t *testing.T) {
		_, err := openFile(open(t, header+"6,1,1\n"+strings.Repeat(row, 101)), Options{}, small)
		require.ErrorContains(t, err, "more than 100 requests: choose a smaller part")
	})
	t.Run("appended to while it is played", func(t *testing.T) {
		f := open(t, header+inOrder)
		trace, err := openFile(f, Options{}, small)
		require.NoError(t, err)
		appended, err := os.OpenFile(f.Name(), os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = appended.WriteString("not,a,row\n")
		require.NoError(t, err)
		require.NoError(t, appended.Close())
		assert.Len(t, slices.Collect(trace.Arrivals()), 50)
		require.NoError(t, trace.Err())
	})
	t.Run("changed while it is played", func(t *testing.T) {
		f := open(t, header+inOrder)
		trace, err := openFile(f, Options{}, small)
		require.NoError(t, err)
		changed := bytes.Replace([]byte(header+inOrder), []byte("5,1,1\n5"), []byte("5,x,1\n5"), 1)
		require.NoError(t, os.WriteFile(f.Name(), changed, 0o600))
		assert.Len(t, slices.Collect(trace.Arrivals()), 49)
		require.ErrorContains(t, trace.Err(), `trace trace.csv: read again while it is played: line 2: input_tokens "x"`)
	})
}
