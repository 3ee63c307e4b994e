// Package verify walks the path of a deployed stack from the API server to the HPA, one stage after the
// other, measures each, and stops at the first that does not work: everything after it would fail for the
// same reason.
package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"vllm-autoscaling/ops/portforward"
	"vllm-autoscaling/stacks/outputs"
)

// Reach opens a way to a pod's port and returns a host:port of this machine that leads to it.
type Reach func(ctx context.Context, namespace, pod string, port int) (address string, closeIt func(), err error)

// Options say what to verify.
type Options struct {
	// Stack is its name, for the report.
	Stack string
	// Pipeline says where everything is.
	Pipeline outputs.Pipeline
	// Config reaches the API server.
	Config *rest.Config
	// Kubectl is how the user calls kubectl for this cluster, for the commands in the report; "" means "kubectl".
	Kubectl string
	// Reach is how pods are reached; nil means a port-forward through the API server.
	Reach Reach
	// Timeout bounds one walk; 0 means a minute.
	Timeout time.Duration
}

// Status is how a stage ended.
type Status string

// The statuses.
const (
	Passed  Status = "pass"
	Failed  Status = "fail"
	Skipped Status = "skipped"
	// NotVisible is a stage of which nothing can be measured in the cluster; it neither passes nor fails, and those
	// after it are walked.
	NotVisible Status = "n/a"
)

// Report is the result of one walk.
type Report struct {
	Stack string `json:"stack"`
	// Passed says that no stage failed: each passed, or could not be seen.
	Passed bool `json:"passed"`
	// Failed is the key of the stage that failed; "" for none.
	Failed string `json:"failed"`
	// Seconds is how long the walk took.
	Seconds float64  `json:"seconds"`
	Stages  []Result `json:"stages"`
	// Values are the signals as the custom metrics API gives them, as far as the walk came.
	Values []Value `json:"values"`
}

// Result is one stage of a report.
type Result struct {
	// Stage is its key, which never changes: see Stages.
	Stage  string `json:"stage"`
	Status Status `json:"status"`
	// Measured is what was seen, of a stage that passed or failed, or why nothing can be.
	Measured string `json:"measured,omitempty"`
	// Expected is what would have passed, of a stage that failed.
	Expected string `json:"expected,omitempty"`
	// Look is what to do next, of a stage that failed: words, or commands that begin with "$ ".
	Look []string `json:"look,omitempty"`
	// Needs is the stage whose failure is the reason that this one was skipped.
	Needs   string  `json:"needs,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Value is one signal of one pod.
type Value struct {
	Signal string  `json:"signal"`
	Pod    string  `json:"pod"`
	Value  float64 `json:"value"`
	Target float64 `json:"target"`
	Unit   string  `json:"unit"`
	// AgeSeconds is the age of the sample that the value comes from; absent before the stage "freshness",
	// and where the age cannot be seen.
	AgeSeconds *float64 `json:"ageSeconds,omitempty"`
}

// Stage is one step of the path.
type Stage struct {
	// Key names it in reports.
	Key string
	// Checks says what passes.
	Checks string
	check  func(*walk, context.Context) (measured string, err error)
}

// Stages lists the path in order.
func Stages() []Stage {
	return []Stage{
		{"api", "the API server answers", (*walk).api},
		{"pods", "the Deployment has pods and all are Ready", (*walk).servers},
		{"metrics", "each pod's /metrics has the series that the signals read", (*walk).metrics},
		{"prometheus", "Prometheus runs and answers", (*walk).prometheus},
		{"targets", "Prometheus scrapes each pod without an error and stores the series", (*walk).targets},
		{"gpu", "DCGM's utilisation is there for the GPUs of each pod", (*walk).gpus},
		{"rules", "each recording rule is healthy and has a sample for each pod", (*walk).rules},
		{"adapter", "the custom metrics API is registered and available", (*walk).adapter},
		{"custom-metrics", "the custom metrics API answers for each signal and pod, where there is a Prometheus with its value", (*walk).customMetrics},
		{"hpa", "exactly one HPA scales the Deployment, is active and has a value of each signal", (*walk).hpa},
		{"freshness", "each signal's newest sample is young", (*walk).freshness},
	}
}

// walk is what the stages hand on to those after them.
type walk struct {
	Options
	client  kubernetes.Interface
	pods    []corev1.Pod // ready, and going to stay
	prom    prometheusv1.API
	promURL string
	values  []Value
	close   []func()
	// ages are those of the custom metrics API's answers, by signal and pod; answered is when the last answer was sent.
	ages     map[string]map[string]time.Duration
	answered time.Time
}

// failure is why a stage did not pass.
type failure struct {
	measured, expected string
	look               []string
}

func (f *failure) Error() string { return f.measured }

// Run walks the path once. The error says that it could not begin; a stage that fails is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if len(o.Pipeline.Signals) == 0 || o.Pipeline.Serving.Deployment == "" {
		return nil, errors.New("the pipeline names no signal or no Deployment: was the stack deployed by this version?")
	}
	if o.Kubectl == "" {
		o.Kubectl = "kubectl"
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	config := rest.CopyConfig(o.Config)
	// One request at a time, but many of them: client-side throttling would only slow the walk down.
	config.QPS, config.Burst = 50, 100
	if o.Reach == nil {
		o.Reach = func(ctx context.Context, namespace, pod string, port int) (string, func(), error) {
			forward, err := portforward.Open(ctx, config, namespace, pod, port)
			if err != nil {
				return "", nil, err
			}
			return forward.Address, forward.Close, nil
		}
	}
	w := &walk{Options: o, ages: map[string]map[string]time.Duration{}}
	// A copy: port-forwards upgrade their connections and are none of its business.
	asked := rest.CopyConfig(config)
	asked.Wrap(func(next http.RoundTripper) http.RoundTripper { return dated{next, w} })
	client, err := kubernetes.NewForConfig(asked)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	w.client = client
	if w.Stack == "" { // of outputs from a file; the commands in the report need one
		w.Stack = "NAME"
	}
	defer func() {
		for _, closeIt := range w.close {
			closeIt()
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("no answer within %s", o.Timeout))
	defer cancel()

	report := &Report{Stack: o.Stack, Passed: true, Values: []Value{}}
	began := time.Now()
	for _, stage := range Stages() {
		if !report.Passed {
			report.Stages = append(report.Stages, Result{Stage: stage.Key, Status: Skipped, Needs: report.Failed})
			continue
		}
		started := time.Now()
		measured, err := stage.check(w, ctx)
		result := Result{Stage: stage.Key, Status: Passed, Measured: measured, Seconds: time.Since(started).Seconds()}
		var unseen *notVisible
		switch {
		case errors.As(err, &unseen):
			result.Status, result.Measured = NotVisible, unseen.measured
		case err != nil:
			result.fail(ctx, stage, err)
			report.Passed, report.Failed = false, stage.Key
		}
		report.Stages = append(report.Stages, result)
	}
	if w.values != nil {
		report.Values = w.values
	}
	report.Seconds = time.Since(began).Seconds()
	return report, nil
}

func (r *Result) fail(ctx context.Context, stage Stage, err error) {
	r.Status = Failed
	var known *failure
	if errors.As(err, &known) {
		r.Measured, r.Expected, r.Look = known.measured, known.expected, known.look
	} else {
		r.Measured = err.Error()
	}
	if cause := context.Cause(ctx); cause != nil {
		r.Measured = fmt.Sprintf("%v: %s", cause, r.Measured)
	}
	if r.Expected == "" {
		r.Expected = stage.Checks
	}
}

// http reads from addresses that Reach has given.
func (w *walk) http() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}
