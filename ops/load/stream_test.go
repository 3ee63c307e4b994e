package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/trace"
)

// pause is a step of a played answer in which the server waits.
const pause = "(pause)"

// pauseLength is long enough to tell whether an event before or after a pause was the first token.
const pauseLength = 60 * time.Millisecond

// data returns an event.
func data(json string) string { return "data: " + json + "\n\n" }

// chunk returns an event as vLLM sends it; finish is the JSON of its finish reason.
func chunk(delta, finish string) string {
	return data(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":` + delta +
		`,"logprobs":null,"finish_reason":` + finish + `}]}`)
}

// Events as vLLM sends them.
var (
	role      = chunk(`{"role":"assistant","content":""}`, "null")
	content   = chunk(`{"content":"a"}`, "null")
	emptyText = chunk(`{"content":""}`, "null")
	reasoning = chunk(`{"reasoning":"a"}`, "null")
	// The name in older versions; some send both.
	reasoningContent = chunk(`{"reasoning_content":"a","content":null}`, "null")
	reasoningBoth    = chunk(`{"reasoning":"a","reasoning_content":"a"}`, "null")
	toolCall         = chunk(`{"tool_calls":[{"id":"call-1","type":"function","index":0,"function":{"name":"f","arguments":""}}]}`, "null")
	toolArguments    = chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}`, "null")
	noToolCall       = chunk(`{"role":"assistant","content":null,"tool_calls":[]}`, "null")
	finish           = chunk(`{"content":""}`, `"length"`)
	finishWithText   = chunk(`{"content":"a"}`, `"stop"`)
	aborted          = chunk(`{"content":""}`, `"abort"`)
	usage            = data(`{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":11,"total_tokens":14,"completion_tokens":3}}`)
	ping             = ": ping\n\n"
	done             = data("[DONE]")
)

// play serves an answer in steps.
func play(t *testing.T, contentType string, steps ...string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(http.StatusOK)
		for _, step := range steps {
			if step == pause {
				time.Sleep(pauseLength)
				continue
			}
			_, _ = io.WriteString(w, step)
			w.(http.Flusher).Flush()
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// one sends one request to an address and returns its record and the messages of failures.
func one(t *testing.T, url string, o Options) (Record, map[string]string) {
	t.Helper()
	o.Targets = ByURL(func(context.Context) ([]string, error) { return []string{url}, nil })
	g := start(t, o)
	require.NoError(t, g.Play(t.Context(), Constant(10, 100*time.Millisecond)))
	require.NoError(t, g.Drain(t.Context()))
	accounted(t, g)
	records := g.Records()
	require.Len(t, records, 1)
	return records[0], g.Messages()
}

func TestFirstTokenOfAStream(t *testing.T) {
	const before, after, never = "before the pause", "after the pause", "never"
	for name, test := range map[string]struct {
		steps []string
		first string
		gaps  int64
	}{
		"text":                      {[]string{role, content, pause, content, content, finish, usage, done}, before, 2},
		"role first":                {[]string{role, pause, content, finish, usage, done}, after, 0},
		"reasoning":                 {[]string{role, reasoning, pause, reasoning, content, finish, usage, done}, before, 2},
		"reasoning, old name":       {[]string{role, reasoningContent, pause, content, finish, usage, done}, before, 1},
		"reasoning, both names":     {[]string{role, reasoningBoth, pause, content, finish, usage, done}, before, 1},
		"reasoning only":            {[]string{role, pause, reasoning, reasoning, finish, usage, done}, after, 1},
		"a tool call":               {[]string{role, toolCall, pause, toolArguments, toolArguments, finish, usage, done}, before, 2},
		"no tool call":              {[]string{noToolCall, pause, content, finish, usage, done}, after, 0},
		"keep-alive comments":       {[]string{ping, ":\n\n", role, ping, pause, ping, content, ping, finish, ping, usage, done}, after, 0},
		"a comment inside an event": {[]string{role, pause, ": ping\n" + content, finish, usage, done}, after, 0},
		"tokens without text":       {[]string{role, emptyText, pause, content, finish, usage, done}, after, 0},
		"text with the finish":      {[]string{role, pause, finishWithText, usage, done}, after, 0},
		"no text at all":            {[]string{role, pause, finish, usage, done}, never, 0},
		"CRLF, other fields": {[]string{"retry: 5\r\nid: 1\r\nevent: message\r\n" +
			strings.ReplaceAll(content, "\n", "\r\n"), pause, finish, usage, done}, before, 0},
		"an event in two parts":      {[]string{role, content[:30], pause, content[30:], finish, usage, done}, after, 0},
		"data in two lines":          {[]string{role, pause, strings.Replace(content, `"choices"`, "\ndata: \"choices\"", 1), finish, usage, done}, after, 0},
		"no blank line after [DONE]": {[]string{role, pause, content, finish, usage, strings.TrimSpace(done)}, after, 0},
		"no [DONE]":                  {[]string{role, pause, content, finish, usage}, after, 0},
		"usage with each event": {[]string{role, pause, strings.Replace(content, `"choices"`,
			`"usage":{"prompt_tokens":11,"total_tokens":12,"completion_tokens":1},"choices"`, 1),
			finish, usage, done}, after, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := play(t, "text/event-stream; charset=utf-8", test.steps...)
			g := start(t, Options{Stream: true, Targets: ByURL(func(context.Context) ([]string, error) { return []string{server}, nil })})
			require.NoError(t, g.Play(t.Context(), Constant(10, 100*time.Millisecond)))
			require.NoError(t, g.Drain(t.Context()))
			r := g.Records()[0]
			require.Equal(t, OK, r.Outcome, g.Stats().LastError)
			assert.True(t, r.Counted)
			assert.Equal(t, []int64{11, 3}, []int64{r.InputTokens, r.OutputTokens}, "the usage")
			assert.Equal(t, test.gaps, g.Gaps().TotalCount(), "between the tokens")
			first, known := r.TTFT()
			assert.Equal(t, test.first != never, known)
			// A half: a busy client notes the first token late, and the pause looks shorter.
			switch test.first {
			case before:
				assert.Greater(t, r.Latency()-first, pauseLength/2)
			case after:
				assert.Greater(t, first, pauseLength/2)
			}
		})
	}
	t.Run("no usage", func(t *testing.T) {
		r, _ := one(t, play(t, "text/event-stream", role, content, finish, done), Options{Stream: true})
		assert.Equal(t, OK, r.Outcome)
		assert.False(t, r.Counted, "not 0 tokens, but none that are known")
	})
	t.Run("an answer that is not streamed", func(t *testing.T) {
		r, _ := one(t, play(t, "application/json",
			`{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"a"}}],"usage":{"prompt_tokens":2,"completion_tokens":1}}`), Options{})
		assert.Equal(t, OK, r.Outcome)
		_, known := r.TTFT()
		assert.False(t, known)
		assert.True(t, r.Counted)
	})
}

func TestAnswersThatAreNone(t *testing.T) {
	const stream = "text/event-stream"
	for name, test := range map[string]struct {
		contentType   string
		steps         []string
		kind, message string
	}{
		"vLLM's error": {stream, []string{role, content,
			data(`{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","param":null,"code":500}}`), done},
			"error event 500", "EngineCore encountered an issue."},
		"as the first event": {stream, []string{data(`{"error": {"message": "TimeoutError", "type": "GatewayTimeout", "code": 504}}`), done},
			"error event 504", "TimeoutError"},
		"older vLLM's error": {stream, []string{role,
			data(`{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}`), done},
			"error event 400", "too long"},
		"with both marks":  {stream, []string{data(`{"error":{"object":"error","message":"no","type":"BadRequestError","code":400}}`)}, "error event 400", "no"},
		"after the finish": {stream, []string{role, content, finish, data(`{"error":{"message":"late","code":500}}`), done}, "error event 500", "late"},
		"a code in words": {stream, []string{data(`{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`)},
			"error event rate_limit_exceeded", "slow down"},
		"a type but no code":  {stream, []string{data(`{"error":{"message":"slow down","type":"overloaded","code":null}}`)}, "error event overloaded", "slow down"},
		"a text":              {stream, []string{data(`{"error":"upstream gone"}`)}, "error event", "upstream gone"},
		"an event named so":   {stream, []string{"event: error\ndata: {\"message\":\"gone\",\"code\":502}\n\n"}, "error event 502", "gone"},
		"a named plain text":  {stream, []string{"event: error\ndata: upstream gone\n\n"}, "error event", "upstream gone"},
		"without a last line": {stream, []string{`data: {"error":{"message":"gone","code":500}}`}, "error event 500", "gone"},
		"a strange code": {stream, []string{data(`{"error":{"message":"x","code":"a b\n<` + strings.Repeat("c", 100) + `"}}`)},
			"error event ab" + strings.Repeat("c", 38), "x"},
		"a long message": {stream, []string{data(`{"error":{"message":"` + strings.Repeat("x ", 1000) + `","code":500}}`)},
			"error event 500", strings.Repeat("x ", 100) + "..."},
		"the key":          {stream, []string{data(`{"error":{"message":"bad key the-key","code":401}}`)}, "error event 401", "bad key [API key]"},
		"JSON, status 200": {"application/json", []string{`{"error":{"message":"busy","code":429}}`}, "error event 429", "busy"},

		"an answer in JSON": {"application/json", []string{`{"choices":[{"index":0,"finish_reason":"stop"}]}`}, KindStream,
			"it is JSON instead of a stream of events"},
		"a page":        {"text/html", []string{"<html>\nSign in\n</html>\n"}, KindStream, "it ended without a finish reason"},
		"truncated":     {stream, []string{role, content}, KindStream, "it ended without a finish reason"},
		"only [DONE]":   {stream, []string{done}, KindStream, "it ended without a finish reason"},
		"nothing":       {stream, nil, KindStream, "it ended without a finish reason"},
		"half an event": {stream, []string{role, content[:40]}, KindStream, "an event that is no part of an answer: unexpected end of JSON input"},
		"no JSON": {stream, []string{role, data("oops")}, KindStream,
			"an event that is no part of an answer: invalid character 'o' looking for beginning of value"},
		"aborted":            {stream, []string{role, content, aborted, usage, done}, KindStream, `its finish reason is "abort"`},
		"a line without end": {stream, []string{role, "data: ", strings.Repeat("x", 3*maxEvent)}, KindStream, "an event longer than 1048576 bytes"},
		"an event of lines": {stream, []string{role, strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 2*maxEvent/1000)}, KindStream,
			"an event longer than 1048576 bytes"},
		"a comment that ends": {stream, []string{": ping\n\n"}, KindStream, "it ended without a finish reason"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, messages := one(t, play(t, test.contentType, test.steps...), Options{Stream: true, APIKey: "the-key"})
			assert.Equal(t, Failed, r.Outcome)
			assert.Equal(t, test.kind, r.Kind)
			assert.Equal(t, test.message, messages[r.Kind])
		})
	}
	t.Run("an answer without end that is not streamed", func(t *testing.T) {
		r, messages := one(t, play(t, "application/json", `{"choices":["`, strings.Repeat("x", maxAnswer)), Options{})
		assert.Equal(t, KindStream, r.Kind)
		assert.Equal(t, "it is longer than 16777216 bytes", messages[r.Kind])
	})
}

func TestFailuresHaveTheServersWords(t *testing.T) {
	for name, test := range map[string]struct {
		handler       http.HandlerFunc
		kind, message string
	}{
		"vLLM's body": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"BadRequestError","param":null,"code":400}}`)
		}, "HTTP 400", "This model's maximum context length is 8192 tokens."},
		"older vLLM's body": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"object":"error","message":"The model does not exist.","type":"NotFoundError","code":404}`)
		}, "HTTP 404", "The model does not exist."},
		"FastAPI's body": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"detail":"Not Found"}`)
		}, "HTTP 404", "Not Found"},
		"a text": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no healthy\n upstream", http.StatusServiceUnavailable)
		}, "HTTP 503", "no healthy upstream"},
		"no body": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, "HTTP 429", ""},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.example/start?token=secret", http.StatusFound)
		}, "HTTP 302", "redirected to https://login.example/start, which is not followed: load that address"},
		"a body without end": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		}, "HTTP 500", strings.Repeat("x", maxMessage) + "..."},
		"a connection that is reset": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, role+content)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, KindConnection, "unexpected EOF"},
		"a deadline in the stream": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, role+content)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, KindTimeout, "the answer did not end in time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.handler)
			t.Cleanup(server.Close)
			r, messages := one(t, server.URL, Options{Stream: true, Timeout: 500 * time.Millisecond})
			assert.Equal(t, Failed, r.Outcome)
			assert.Equal(t, test.kind, r.Kind)
			assert.Equal(t, test.message, messages[r.Kind])
			_, known := r.TTFT()
			assert.Equal(t, test.kind == KindConnection || test.kind == KindTimeout, known, "its first token came")
		})
	}
}

// A connection is used again after an answer was read to its end.
func TestConnectionsAreReused(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, role+content+finish+usage+done)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	g := start(t, Options{Stream: true, Targets: ByURL(func(context.Context) ([]string, error) { return []string{server.URL}, nil })})
	for range 5 {
		require.NoError(t, g.Play(t.Context(), Constant(20, 50*time.Millisecond)))
		require.NoError(t, g.Drain(t.Context()))
	}
	require.Equal(t, 5, accounted(t, g).OK, g.Stats().LastError)
	assert.EqualValues(t, 1, connections.Load())
}

// A server that keeps the connection open after the end of an answer delays nothing.
func TestAnswerEndsWithDone(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, role+content+finish+usage+done)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	r, _ := one(t, server.URL, Options{Stream: true, Timeout: time.Minute})
	assert.Equal(t, OK, r.Outcome)
	assert.Less(t, r.Latency(), 30*time.Second)
}

// The longest prompt is sent in little memory.
func TestLongPromptsAreNotHeldInMemory(t *testing.T) {
	received := make(chan int64, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		assert.Equal(t, r.ContentLength, n)
		received <- n
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, role+content+finish+usage+done)
	}))
	t.Cleanup(server.Close)
	g := start(t, Options{Stream: true, InputTokens: trace.MaxTokens,
		Targets: ByURL(func(context.Context) ([]string, error) { return []string{server.URL}, nil })})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, g.Play(t.Context(), Constant(10, 100*time.Millisecond)))
	require.NoError(t, g.Drain(t.Context()))
	runtime.ReadMemStats(&after)
	require.Equal(t, 1, accounted(t, g).OK, g.Stats().LastError)
	assert.Greater(t, <-received, int64(4*trace.MaxTokens), "bytes")
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

func TestEvents(t *testing.T) {
	text := "event: a\ndata: 1\n\n: comment\n\ndata\n\ndata:2\r\ndata:  3\r\n\r\nother: x\ndata: 4"
	for name, from := range map[string]io.Reader{
		"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text)),
	} {
		t.Run(name, func(t *testing.T) {
			events := newEvents(from)
			for _, want := range []event{{"a", []byte("1")}, {"", []byte("2\n 3")}, {"", []byte("4")}} {
				got, err := events.next()
				require.NoError(t, err)
				assert.Equal(t, want, got)
			}
			_, err := events.next()
			assert.Equal(t, io.EOF, err)
		})
	}
	_, err := newEvents(iotest.ErrReader(io.ErrUnexpectedEOF)).next()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = newEvents(bytes.NewReader(make([]byte, 2*maxEvent))).next()
	require.ErrorIs(t, err, errTooLong)
}
