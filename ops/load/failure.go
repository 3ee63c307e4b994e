package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"unicode"
)

// Kinds of failed requests, in addition to "HTTP <status>" and "error event <code>".
const (
	KindTimeout    = "timeout"
	KindConnect    = "connection refused"
	KindConnection = "connection lost"
	KindStream     = "answer incomplete"
)

// kindEvent begins the kind of an answer that the server ended with an error after the HTTP status 200; the server's code
// follows.
const kindEvent = "error event"

const (
	// maxErrorBody bounds what is read of an answer that reports an error, in bytes.
	maxErrorBody = 64 << 10
	// maxMessage and maxCode bound what is kept of it.
	maxMessage = 200
	maxCode    = 40
)

// failure is an answer that is none.
type failure struct{ kind, message string }

func (f *failure) Error() string {
	if f.message == "" {
		return f.kind
	}
	return f.kind + ": " + f.message
}

// incomplete returns the failure of an answer that ended early or cannot be read.
func incomplete(format string, args ...any) error {
	return &failure{kind: KindStream, message: fmt.Sprintf(format, args...)}
}

// serverError is an error in the words of a server.
type serverError struct {
	code    string // empty if there is none
	message string
}

// reportedError are the fields in which servers report an error:
//
//	{"error": {"message": "...", "type": "...", "code": 500}}    vLLM, OpenAI
//	{"error": "..."}                                             gateways
//	{"object": "error", "message": "...", "code": 400}           older vLLM
//	{"detail": "..."} or {"message": "..."}                      FastAPI, gateways
type reportedError struct {
	Error  json.RawMessage `json:"error"`
	Object string          `json:"object"`
	Detail json.RawMessage `json:"detail"`
	errorFields
}

// reported returns the error, if there is one. The forms without a mark are errors only where one is expected, such as in
// an answer with the status 404.
func (r reportedError) reported(expected bool) (serverError, bool) {
	switch {
	case len(r.Error) > 0 && !isNull(r.Error):
		var inner errorFields
		if json.Unmarshal(r.Error, &inner) != nil {
			return serverError{message: text(r.Error)}, true
		}
		return inner.serverError(), true
	case r.Object == "error":
		return r.serverError(), true
	case expected && len(r.Detail) > 0 && !isNull(r.Detail):
		return serverError{message: text(r.Detail)}, true
	}
	return r.serverError(), expected && len(r.Message) > 0
}

// errorFields are the fields of an error. Servers differ in their types.
type errorFields struct {
	Message json.RawMessage `json:"message"`
	Type    json.RawMessage `json:"type"`
	Code    json.RawMessage `json:"code"`
}

func (e errorFields) serverError() serverError {
	code := text(e.Code)
	if code == "" {
		code = text(e.Type)
	}
	return serverError{code: code, message: text(e.Message)}
}

// text returns a JSON string as it is, and anything else as JSON; nothing for null.
func text(raw json.RawMessage) string {
	var plain string
	if len(raw) == 0 || isNull(raw) {
		return ""
	}
	if json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	return string(raw)
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(bytes.TrimSpace(raw), []byte("null")) }

// eventFailure returns the failure of an error event. The code is a part of the kind, so that failures with one cause
// count together; the message, which may be different each time, is not.
func eventFailure(e serverError) error {
	code := strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-.", r)) {
			return r
		}
		return -1
	}, e.code)
	kind := strings.TrimSpace(kindEvent + " " + code[:min(maxCode, len(code))])
	return &failure{kind: kind, message: e.message}
}

// statusFailure returns the failure of an answer with another status than 200.
func statusFailure(response *http.Response) error {
	f := &failure{kind: fmt.Sprintf("HTTP %d", response.StatusCode)}
	if to, err := response.Location(); err == nil && response.StatusCode >= 300 && response.StatusCode < 400 {
		// Without the query, which may have a secret.
		f.message = fmt.Sprintf("redirected to %s://%s%s, which is not followed: load that address", to.Scheme, to.Host, to.Path)
		return f
	}
	// What was read before an error is all that can be told.
	raw, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	f.message = bodyMessage(raw)
	return f
}

// bodyMessage returns the message in the body of an answer with an error's status.
func bodyMessage(raw []byte) string {
	var body reportedError
	if json.Unmarshal(raw, &body) == nil {
		if e, ok := body.reported(true); ok {
			return e.message
		}
	}
	return string(raw)
}

// ErrorMessage returns the message in the body of an answer with an error's status, on one line that is not long, without
// the key.
func ErrorMessage(body []byte, key string) string { return shortened(bodyMessage(body), key) }

// classify returns the kind and the message of an error for the report.
func classify(err error) (kind, message string) {
	var f *failure
	var network net.Error
	var dial *net.OpError
	message = err.Error()
	switch {
	case errors.As(err, &f):
		return f.kind, f.message
	case errors.Is(err, context.DeadlineExceeded):
		return KindTimeout, "the answer did not end in time"
	case errors.As(err, &network) && network.Timeout():
		return KindTimeout, message
	case errors.As(err, &dial) && dial.Op == "dial":
		return KindConnect, message
	default:
		return KindConnection, message
	}
}

// shortened returns a message on one line, of at most maxMessage bytes, without the key.
func shortened(message, key string) string {
	if key != "" {
		message = strings.ReplaceAll(message, key, "[API key]")
	}
	message = strings.Join(strings.FieldsFunc(message, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	message = strings.ToValidUTF8(message, "?")
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "..."
	}
	return message
}
