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

	"vllm-autoscaling/ops/coldstart"
	"vllm-autoscaling/ops/portforward"
	"vllm-autoscaling/stacks/outputs"
)

// Reach connects to a pod's port and returns a host:port on this machine that leads to it.
type Reach func(ctx context.Context, namespace, pod string, port int) (address string, closeIt func(), err error)

// Options are the options of Run.
type Options struct {
	// Stack is the stack's name, for the report.
	Stack string
	// Server is the name of the server, for the report; "" in a stack of one.
	Server string
	// Pipeline has the names of the stack's objects.
	Pipeline outputs.Pipeline
	// Config is the connection to the API server.
	Config *rest.Config
	// Kubectl is the user's command for this cluster, used in the report's hints; "" means "kubectl".
	Kubectl string
	// Reach connects to pods; nil means a port-forward through the API server.
	Reach Reach
	// Timeout limits one run; 0 means a minute.
	Timeout time.Duration
}

// Status is the result of a stage.
type Status string

// The statuses.
const (
	Passed  Status = "pass"
	Failed  Status = "fail"
	Skipped Status = "skipped"
	// NotVisible is a stage for which nothing can be measured in the cluster; it neither passes nor fails, and later
	// stages run.
	NotVisible Status = "n/a"
)

// Report is the result of one run.
type Report struct {
	Stack string `json:"stack"`
	// Server is the name of the server in a stack with the key servers; "" in any other.
	Server string `json:"server,omitempty"`
	// Passed reports whether no stage failed: each passed or was not visible.
	Passed bool `json:"passed"`
	// Failed is the key of the stage that failed; "" for none.
	Failed string `json:"failed"`
	// Seconds is the duration of the run.
	Seconds float64  `json:"seconds"`
	Stages  []Result `json:"stages"`
	// Values are the signals in the custom metrics API, as far as the run got.
	Values []Value `json:"values"`
	// Starts are how long the ready pods took to start, the newest first, without those whose server was started again. Estimate is
	// that of the configuration, for a start on a new node.
	Starts   []coldstart.Start  `json:"starts,omitempty"`
	Estimate *outputs.ColdStart `json:"estimate,omitempty"`
}

// Result is one stage of a report.
type Result struct {
	// Stage is the key of the stage, which never changes: see Stages.
	Stage  string `json:"stage"`
	Status Status `json:"status"`
	// Measured is the measurement of a stage that passed or failed, or why nothing can be measured.
	Measured string `json:"measured,omitempty"`
	// Expected is what is required to pass, for a stage that failed.
	Expected string `json:"expected,omitempty"`
	// Look is what to do next, for a stage that failed: sentences, or commands that begin with "$ ".
	Look []string `json:"look,omitempty"`
	// Log are the last lines of containers that ended or are not ready, for a stage that failed because of them.
	Log []string `json:"log,omitempty"`
	// Warnings are what was seen beside: it did not make the stage fail.
	Warnings []string `json:"warnings,omitempty"`
	// Needs is the failed stage because of which this one was skipped.
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
	// AgeSeconds is the age of the value's sample; absent before the stage "freshness", and if the age is not visible.
	AgeSeconds *float64 `json:"ageSeconds,omitempty"`
}

// Stage is one step of the path.
type Stage struct {
	// Key identifies the stage in reports.
	Key string
	// Checks is what the stage requires to pass.
	Checks string
	// settles is true for a stage that reads what has to be scraped and recorded first, which takes a moment after a pod has
	// become ready.
	settles bool
	check   func(*walk, context.Context) (measured string, err error)
}

// Stages lists the stages in order.
func Stages() []Stage {
	return []Stage{
		{"api", "the API server answers", false, (*walk).api},
		{"pods", "the Deployment has pods and all are Ready", false, (*walk).servers},
		{"metrics", "each pod's /metrics has the series that the signals read", false, (*walk).metrics},
		{"prometheus", "Prometheus runs and answers", false, (*walk).prometheus},
		{"targets", "Prometheus scrapes each pod without an error and stores the series", true, (*walk).targets},
		{"gpu", "DCGM's utilisation is there for the GPUs of each pod", true, (*walk).gpus},
		{"rules", "each recording rule is healthy and has a sample for each pod, and nothing else writes the signals", true, (*walk).rules},
		{"adapter", "the custom metrics API is registered and available", false, (*walk).adapter},
		{"custom-metrics", "the custom metrics API answers for each signal and pod, where there is a Prometheus with its value", false, (*walk).customMetrics},
		{"hpa", "exactly one HPA scales the Deployment, is active and has a value of each signal", false, (*walk).hpa},
		{"freshness", "each signal's newest sample is young", false, (*walk).freshness},
	}
}

// walk is the state that stages pass on to later ones.
type walk struct {
	Options
	pipeline pipeline
	// neighbours are the pods of other servers.
	neighbours neighbours

	client  kubernetes.Interface
	pods    []corev1.Pod // ready and not terminating
	prom    prometheusv1.API
	promURL string
	values  []Value
	close   []func()
	// warnings are those of the stage that runs.
	warnings []string
	// settled is when the samples of every pod that has just become ready have to be there.
	settled time.Time
	// ages are the ages of the custom metrics API's values, by signal and pod; answered is when the last answer was
	// sent.
	ages     map[string]map[string]time.Duration
	answered time.Time
}

// failure is the error of a stage that did not pass.
type failure struct {
	measured, expected string
	look, log          []string
}

func (f *failure) Error() string { return f.measured }

// Run runs the stages once. It returns an error if it could not begin; a failed stage is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	w, err := newWalk(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, closeIt := range w.close {
			closeIt()
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, w.Timeout, fmt.Errorf("no answer within %s", w.Timeout))
	defer cancel()

	report := &Report{Stack: o.Stack, Server: o.Server, Passed: true, Values: []Value{}}
	began := time.Now()
	for _, stage := range stagesOf(w.Pipeline) {
		if !report.Passed {
			report.Stages = append(report.Stages, Result{Stage: stage.Key, Status: Skipped, Needs: report.Failed})
			continue
		}
		started := time.Now()
		measured, err := w.check(ctx, stage)
		result := Result{Stage: stage.Key, Status: Passed, Measured: measured, Warnings: w.warnings, Seconds: time.Since(started).Seconds()}
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
	report.Starts, report.Estimate = w.starts(ctx), w.Pipeline.ColdStart
	report.Seconds = time.Since(began).Seconds()
	return report, nil
}

// newWalk returns the state before the first stage, with the defaults of the options filled in.
func newWalk(o Options) (*walk, error) {
	if len(o.Pipeline.Signals) == 0 || o.Pipeline.Serving.Deployment == "" {
		return nil, errors.New("the pipeline names no signal or no Deployment: was the stack deployed by this version?")
	}
	row, err := pipelineOf(o.Pipeline.Metrics)
	if err != nil {
		return nil, err
	}
	neighbours, err := neighboursOf(o.Pipeline.Serving)
	if err != nil {
		return nil, err
	}
	if o.Kubectl == "" {
		o.Kubectl = "kubectl"
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Stack == "" { // outputs from a file; the commands in the report require a name
		o.Stack = "NAME"
	}
	config := rest.CopyConfig(o.Config)
	// One request at a time, but many of them: client-side throttling would only slow them down.
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
	w := &walk{Options: o, pipeline: row, neighbours: neighbours, ages: map[string]map[string]time.Duration{}}
	// A copy, because port-forwards upgrade their connections and must not be wrapped.
	wrapped := rest.CopyConfig(config)
	wrapped.Wrap(func(next http.RoundTripper) http.RoundTripper { return dated{next, w} })
	client, err := kubernetes.NewForConfig(wrapped)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	w.client = client
	return w, nil
}

// fail makes a result of a stage's error.
func (r *Result) fail(ctx context.Context, stage Stage, err error) {
	r.Status = Failed
	var known *failure
	if errors.As(err, &known) {
		r.Measured, r.Expected, r.Look, r.Log = known.measured, known.expected, known.look, known.log
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

// http returns a client for addresses of Reach.
func (w *walk) http() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}
