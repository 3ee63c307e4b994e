package calibrate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// probes is how often the round trip is measured.
const probes = 9

// get sends a GET request and reads the answer.
func get(ctx context.Context, o Options, path string, read func(io.Reader) error) error {
	transport := o.Transport
	if transport == nil {
		// Without a proxy of the environment, like the load.
		own := &http.Transport{}
		defer own.CloseIdleConnections()
		transport = own
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.Target.URL+path, nil)
	if err != nil {
		return err
	}
	if o.APIKey != "" {
		request.Header.Set("Authorization", "Bearer "+o.APIKey)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("%s of %s: %w", path, o.Target.Name, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s of %s: %s", path, o.Target.Name, response.Status)
	}
	if err := read(response.Body); err != nil {
		return fmt.Errorf("%s of %s: %w", path, o.Target.Name, err)
	}
	return nil
}

// measureRoundTrip returns the median time of requests that the server answers at once, on one connection.
func measureRoundTrip(ctx context.Context, o Options) (time.Duration, error) {
	if o.Transport == nil {
		own := &http.Transport{}
		defer own.CloseIdleConnections()
		o.Transport = own
	}
	var times []time.Duration
	for i := range 1 + probes {
		begin := time.Now()
		err := get(ctx, o, "/health", func(body io.Reader) error { _, err := io.Copy(io.Discard, body); return err })
		if err != nil {
			return 0, err
		}
		if i > 0 { // The first one opens the connection.
			times = append(times, time.Since(begin))
		}
	}
	slices.Sort(times)
	return times[probes/2], nil
}

// checkIdle returns an error if the replica serves other requests.
func checkIdle(ctx context.Context, o Options) error {
	requests := 0.0
	err := get(ctx, o, "/metrics", func(body io.Reader) error {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(body)
		if err != nil {
			return err
		}
		for _, name := range []string{"vllm:num_requests_running", "vllm:num_requests_waiting"} {
			for _, metric := range families[name].GetMetric() {
				requests += metric.GetGauge().GetValue()
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if requests > 0 {
		return fmt.Errorf("%s serves %g requests of others: stop them, or nothing can be measured", o.Target.Name, requests)
	}
	return nil
}
