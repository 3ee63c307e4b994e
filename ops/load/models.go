package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Model is a model that a server lists.
type Model struct {
	// ID is the name by which requests choose it.
	ID string `json:"id"`
	// Context is the longest prompt with its answer in tokens; 0 where the server does not list it.
	Context int `json:"max_model_len"`
}

// StatusError is the error of an answer with another status than 200.
type StatusError struct {
	// Code is the status, Text the status in words and the message of the answer.
	Code int
	Text string
}

func (e *StatusError) Error() string { return e.Text }

// Models returns the models that a server lists, at least one. Like a load it uses no proxy of the environment and follows no
// redirect, so that it is the server that will be loaded.
func Models(ctx context.Context, target Target, apiKey string) ([]Model, error) {
	return ModelsWith(ctx, &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, target, apiKey)
}

// ModelsWith is Models with a client, which must not follow redirects.
func ModelsWith(ctx context.Context, client *http.Client, target Target, apiKey string) ([]Model, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.URL+"/v1/models", nil)
	if err != nil {
		return nil, err
	}
	if apiKey != "" {
		request.Header.Set("Authorization", "Bearer "+apiKey)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the model of %s: %w", target.Name, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the model of %s: %w", target.Name, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the model of %s: %w", target.Name,
			&StatusError{Code: response.StatusCode, Text: response.Status + ": " + ErrorMessage(body, apiKey)})
	}
	var list struct {
		Data []Model `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil || len(list.Data) == 0 {
		return nil, fmt.Errorf("read the model of %s: no model in %s", target.Name, ErrorMessage(body, apiKey))
	}
	return list.Data, nil
}
