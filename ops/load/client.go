package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// Kinds of failed requests, in addition to "HTTP <status>".
const (
	KindTimeout    = "timeout"
	KindConnect    = "connection refused"
	KindConnection = "connection lost"
	KindStream     = "answer incomplete"
)

// client sends the requests of a generator; it is shared so that connections are reused.
type client struct {
	options Options
	http    *http.Client

	mu    sync.Mutex
	chats map[string]*openai.ChatCompletionService // by URL
}

func newClient(o Options) *client {
	transport := o.Transport
	if transport == nil {
		transport = &http.Transport{
			// A proxy of the environment is meant for the internet, not for a forwarded port.
			Proxy:               nil,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			MaxIdleConnsPerHost: o.MaxInFlight,
			IdleConnTimeout:     5 * time.Second,
			DisableCompression:  true,
		}
	}
	return &client{options: o, http: &http.Client{Transport: transport}, chats: map[string]*openai.ChatCompletionService{}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// chat returns the API of a server. It does not use openai.NewClient, which would read OPENAI_API_KEY and send the
// user's key for OpenAI to an unrelated server.
func (c *client) chat(url string) *openai.ChatCompletionService {
	c.mu.Lock()
	defer c.mu.Unlock()
	if chat := c.chats[url]; chat != nil {
		return chat
	}
	options := []option.RequestOption{
		option.WithBaseURL(url + "/v1/"), option.WithHTTPClient(c.http),
		// A silent retry would look like one slow request.
		option.WithMaxRetries(0),
	}
	if c.options.APIKey != "" {
		options = append(options, option.WithAPIKey(c.options.APIKey))
	}
	chat := openai.NewChatCompletionService(options...)
	c.chats[url] = &chat
	return &chat
}

// answer is the result of a request.
type answer struct {
	first         time.Time // zero without a token
	gaps          []time.Duration
	input, output int64
}

func (c *client) ask(ctx context.Context, target Target, id uint64, arrival Arrival) (answer, error) {
	params := openai.ChatCompletionNewParams{
		Model:     c.options.Model,
		Messages:  []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt(arrival.InputTokens, id))},
		MaxTokens: openai.Int(int64(arrival.OutputTokens)),
	}
	params.SetExtraFields(map[string]any{"ignore_eos": true}) // an extension of vLLM
	if c.options.Stream {
		return c.stream(ctx, target, params)
	}
	completion, err := c.chat(target.URL).New(ctx, params)
	if err != nil {
		return answer{}, err
	}
	if len(completion.Choices) == 0 {
		return answer{}, fmt.Errorf("%w: no choice in it", errIncomplete)
	}
	return answer{input: completion.Usage.PromptTokens, output: completion.Usage.CompletionTokens}, nil
}

var errIncomplete = errors.New("the answer ended early")

func (c *client) stream(ctx context.Context, target Target, params openai.ChatCompletionNewParams) (answer, error) {
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := c.chat(target.URL).NewStreaming(ctx, params)
	defer func() { _ = stream.Close() }()
	var a answer
	var last time.Time
	finished := false
	for stream.Next() {
		now := time.Now()
		chunk := stream.Current()
		if chunk.Usage.TotalTokens > 0 {
			a.input, a.output = chunk.Usage.PromptTokens, chunk.Usage.CompletionTokens
		}
		if len(chunk.Choices) == 0 {
			continue
		}
		finished = finished || chunk.Choices[0].FinishReason != ""
		// The first event has the role only; it is not a token.
		if chunk.Choices[0].Delta.Content == "" {
			continue
		}
		if a.first.IsZero() {
			a.first = now
		} else {
			a.gaps = append(a.gaps, now.Sub(last))
		}
		last = now
	}
	if err := stream.Err(); err != nil {
		return a, err
	}
	if !finished {
		return a, fmt.Errorf("%w: no finish reason", errIncomplete)
	}
	return a, nil
}

// kindOf classifies a failure for the report.
func kindOf(err error) string {
	var status *openai.Error
	var network net.Error
	var dial *net.OpError
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &network) && network.Timeout()):
		return KindTimeout
	case errors.As(err, &status):
		return fmt.Sprintf("HTTP %d", status.StatusCode)
	case errors.Is(err, errIncomplete) || errors.As(err, &syntax):
		return KindStream
	case errors.As(err, &dial) && dial.Op == "dial":
		return KindConnect
	default:
		return KindConnection
	}
}
