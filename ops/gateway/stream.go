package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"vllm-autoscaling/ops/load"
)

// maxErrorBody is what is kept of an answer that reports an error, in bytes.
const maxErrorBody = 200

// Events are the times at which the parts of a streamed answer arrived, counted from the request.
type Events []time.Duration

// Spread is the time between the first and the last event.
func (e Events) Spread() time.Duration {
	if len(e) == 0 {
		return 0
	}
	return e[len(e)-1] - e[0]
}

// Stream requests a streamed answer of a number of tokens and returns when its events arrived.
func Stream(ctx context.Context, client *http.Client, at, apiKey, model string, tokens int) (Events, error) {
	body, err := json.Marshal(map[string]any{
		"model": model, "prompt": "Count to a hundred.", "max_tokens": tokens, "stream": true,
		"ignore_eos": true, // an extension of vLLM
	})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at+"/v1/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if apiKey != "" {
		request.Header.Set("Authorization", "Bearer "+apiKey)
	}
	sent := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
		return nil, &load.StatusError{Code: response.StatusCode, Text: response.Status + ": " + load.ErrorMessage(text, apiKey)}
	}
	return readEvents(response.Body, sent)
}

// readEvents reads the events of an answer up to its end mark.
func readEvents(body io.Reader, sent time.Time) (Events, error) {
	var events Events
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		if strings.TrimSpace(data) == "[DONE]" {
			return events, nil
		}
		events = append(events, time.Since(sent))
	}
	if err := lines.Err(); err != nil {
		return events, fmt.Errorf("the stream broke off after %d events: %w", len(events), err)
	}
	return events, fmt.Errorf("the stream ended after %d events without its end mark", len(events))
}
