package kubelet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"vllm-autoscaling/tests/lab/router"
)

// logOptions are what the lab supports of the parameters of a request for logs.
type logOptions struct {
	previous bool
	// tail is the number of last lines, below 0 for all.
	tail int
	// limit is the number of bytes, below 0 for all.
	limit int64
}

// unsupportedLogOptions are parameters that need times in the log, or a log that does not end.
var unsupportedLogOptions = []string{"follow", "sinceSeconds", "sinceTime", "timestamps", "stream"}

func readLogOptions(query url.Values) (options logOptions, err error) {
	options = logOptions{tail: -1, limit: -1}
	for _, name := range unsupportedLogOptions {
		if value := query.Get(name); value != "" && value != "false" && value != "All" {
			return options, fmt.Errorf("the lab's logs do not support %s=%s", name, value)
		}
	}
	if value := query.Get("previous"); value != "" {
		if options.previous, err = strconv.ParseBool(value); err != nil {
			return options, fmt.Errorf("previous: %w", err)
		}
	}
	if value := query.Get("tailLines"); value != "" {
		if options.tail, err = strconv.Atoi(value); err != nil || options.tail < 0 {
			return options, fmt.Errorf("tailLines %q is not a number of lines", value)
		}
	}
	if value := query.Get("limitBytes"); value != "" {
		if options.limit, err = strconv.ParseInt(value, 10, 64); err != nil || options.limit < 1 {
			return options, fmt.Errorf("limitBytes %q is not a number of bytes", value)
		}
	}
	return options, nil
}

func (s *Server) containerLogs(w http.ResponseWriter, r *http.Request) {
	options, err := readLogOptions(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	log, err := s.pods.Log(r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"), options.previous)
	if err != nil {
		status := http.StatusBadRequest // as a kubelet does for a container without a log
		if errors.Is(err, router.ErrNotFound) {
			status = http.StatusNotFound
		}
		http.Error(w, err.Error(), status)
		return
	}
	defer func() { _ = log.Close() }()
	content, err := io.ReadAll(log)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(options.apply(content))
}

// apply returns the last lines of a log, and of these the first bytes.
func (o logOptions) apply(content []byte) []byte {
	if o.tail >= 0 {
		content = lastLines(content, o.tail)
	}
	if o.limit >= 0 && int64(len(content)) > o.limit {
		content = content[:o.limit]
	}
	return content
}

func lastLines(content []byte, count int) []byte {
	at := len(content)
	if at > 0 && content[at-1] == '\n' {
		at--
	}
	if count == 0 {
		return nil
	}
	for range count {
		if at = bytes.LastIndexByte(content[:at], '\n'); at < 0 {
			return content
		}
	}
	return content[at+1:]
}
