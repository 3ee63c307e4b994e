package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/report"
	"vllm-autoscaling/ops/trace"
	"vllm-autoscaling/ops/verify"
)

// options are the parsed command line.
type options struct {
	root  string // the Pulumi project's folder
	stack string
	// server is the name of one of several servers.
	server string
	url    string
	via    via

	schedule    load.Schedule // nil for a closed load
	concurrency int
	length      time.Duration // of a closed load
	closed      *trace.Closed // nil for one of -concurrency
	routing     load.Routing
	seed        uint64

	model       string
	apiKeyFrom  string // name of an environment variable
	apiKey      string
	input       int
	output      int
	tokenBound  int
	maxInFlight int
	timeout     time.Duration
	after       time.Duration
	objective   report.Objective
	report      string

	// settings are all flags with their values, for the report.
	settings map[string]any
}

// shape describes the load.
func (o options) shape() string {
	if o.schedule != nil {
		return fmt.Sprint(o.schedule)
	}
	if o.closed != nil {
		return o.closed.String()
	}
	return fmt.Sprintf("%s for %s (closed loop)", o.closedShape(), o.length)
}

// closedShape returns the closed load.
func (o options) closedShape() load.Shape {
	if o.closed != nil {
		return load.Shape{Concurrency: o.closed.Users, Think: o.closed.Think, Tokens: o.closed.Tokens}
	}
	return load.Shape{Concurrency: o.concurrency}
}

// routedBy describes how the pod of a request is chosen.
func (o options) routedBy() string {
	if o.url != "" {
		return "by the address"
	}
	if o.via == viaGateway {
		return "by the gateway"
	}
	return string(o.routing)
}

// duration of the load itself.
func (o options) duration() time.Duration {
	if o.schedule != nil {
		return o.schedule.Length()
	}
	return o.length
}

const usage = `Usage: make load STACK=<stack> [LOAD_FLAGS="..."], or load -stack <stack> [flags]

Loads the model server of a deployed stack and writes a report. The load is one of:

  -trace FILE        replay: CSV with arrival_seconds,input_tokens,output_tokens, or a trace of Azure, BurstGPT or
                     Mooncake as published; "burst" is the project's own (default). See docs/load.md
  -trace KIND:...    a synthetic load, such as poisson:rate=4,length=1h,input=500,output=150; also gamma, daily, ramp,
                     steps and closed (users who wait for their answers)
  -rate R -for D     R requests per second for D
  -steps R:D,R:D     one rate after the other, such as 2:1m,10:2m,2:1m
  -ramp FROM:TO:D    from one rate to another
  -concurrency N -for D   N requests kept in flight: keeps servers busy, does not measure how long users wait

Flags:
`

// loadFlags are the flags that choose the load; schedule and concurrency of the options come from them.
type loadFlags struct {
	rate    float64
	length  time.Duration
	steps   string
	ramp    string
	trace   string
	part    trace.Options
	poisson bool
}

// parse reads the command line. Its errors name the flag that is wrong and what is allowed.
func parse(args []string, env func(string) string, out io.Writer) (options, error) {
	o, l := options{}, loadFlags{}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() { fmt.Fprint(out, usage); flags.PrintDefaults() }
	flags.StringVar(&o.stack, "stack", env("STACK"), "stack whose server is loaded, and whose autoscaler is watched")
	flags.StringVar(&o.server, "server", "", "server to load, in a stack of several")
	flags.StringVar(&o.url, "url", "",
		"address to load instead of every ready pod, such as http://localhost:8000; without -stack nothing else is watched")
	flags.TextVar(&o.via, "via", viaPods,
		"way to the servers of the stack: pods, through a port-forward to each, or gateway, as clients outside the cluster (expose.hostname)")
	l.register(flags)
	flags.Uint64Var(&o.seed, "seed", 1, "draws what is random: -poisson, -scale, synthetic loads, -routing")
	flags.TextVar(&o.routing, "routing", load.Random, "how a request's pod is chosen: random, as a Service does, round-robin, or least (fewest in flight)")
	o.registerRequests(flags)
	flags.DurationVar(&o.after, "after", 0, "how long to keep watching the autoscaler after the load")
	flags.DurationVar(&o.objective.TTFT, "slo-ttft", 2*time.Second, "longest time to the first token that meets the objective")
	flags.Float64Var(&o.objective.Ratio, "slo-ratio", 0,
		"share of requests that must meet the objective, such as 0.95: the command fails below it")
	flags.StringVar(&o.report, "report", "", "folder of the report; default load-report in the project's folder")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("argument %q not understood; see -help", flags.Arg(0))
	}
	if err := o.checkTarget(); err != nil {
		return o, err
	}
	if err := o.bounds(); err != nil {
		return o, err
	}
	if err := o.chooseLoad(l, out); err != nil {
		return o, err
	}
	var err error
	if o.root, err = project.Root(); err != nil && o.stack != "" {
		return o, err
	}
	if o.report == "" {
		o.report = filepath.Join(o.root, "load-report")
	}
	o.apiKey = env(o.apiKeyFrom)
	o.settings = map[string]any{}
	flags.VisitAll(func(f *flag.Flag) { o.settings[f.Name] = f.Value.String() })
	o.settings["load"], o.settings["routing"] = o.shape(), o.routedBy()
	return o, nil
}

// register adds the flags that choose the load.
func (l *loadFlags) register(flags *flag.FlagSet) {
	flags.Float64Var(&l.rate, "rate", 0, "requests per second, for -for")
	flags.DurationVar(&l.length, "for", 2*time.Minute, "how long -rate or -concurrency lasts")
	flags.StringVar(&l.steps, "steps", "", "rates with their durations, such as 2:1m,10:2m,2:1m")
	flags.StringVar(&l.ramp, "ramp", "", "from:to:duration, such as 0:20:5m")
	flags.StringVar(&l.trace, "trace", "", `file to replay, synthetic load, or "burst"; the default if no other load is given`)
	l.part.Register(flags)
	flags.BoolVar(&l.poisson, "poisson", false, "space the arrivals of -rate, -steps and -ramp at random, as independent users do")
}

// registerRequests adds the flags that describe single requests.
func (o *options) registerRequests(flags *flag.FlagSet) {
	flags.IntVar(&o.concurrency, "concurrency", 0, "requests kept in flight, for -for")
	flags.StringVar(&o.model, "model", "", "model to request; default: the first that the server lists")
	flags.StringVar(&o.apiKeyFrom, "api-key-env", verify.APIKeyVariable,
		"environment variable with the API key; if it is not set, the stack's Secret is read")
	flags.IntVar(&o.input, "input-tokens", 100, "approximate length of a prompt, unless a trace gives it")
	flags.IntVar(&o.output, "output-tokens", 150, "exact length of an answer, unless a trace gives it")
	flags.IntVar(&o.tokenBound, "max-tokens", 1024, "cap on the output tokens of any request, traces included")
	flags.IntVar(&o.maxInFlight, "max-in-flight", 512, "requests in flight above which arrivals are counted as not sent")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "for one request, from its arrival")
}

// checkTarget checks that there is a server to load, and removes /v1 from the end of its address.
func (o *options) checkTarget() error {
	if o.stack == "" && o.url == "" {
		return errors.New("nothing to load: name a stack (make load STACK=<stack>) or an address (-url)")
	}
	if o.via == viaGateway && (o.stack == "" || o.url != "") {
		return errors.New("-via gateway is the way to the servers of a stack: give -stack, and no -url")
	}
	if o.server != "" && o.stack == "" {
		return errors.New("-server names a server of a stack: give -stack, too")
	}
	if o.url == "" {
		return nil
	}
	at, err := url.Parse(o.url)
	if err != nil || (at.Scheme != "http" && at.Scheme != "https") || at.Host == "" {
		return fmt.Errorf("-url %q is not an address such as http://localhost:8000", o.url)
	}
	if at.User != nil { // not quoted: the address is printed and is part of the report
		return errors.New("-url contains a user or a password: leave them out, and set the server's key in the environment variable of -api-key-env")
	}
	o.url = strings.TrimSuffix(strings.TrimRight(o.url, "/"), "/v1")
	return nil
}

// chooseLoad sets the schedule, or the concurrency and length of a closed load.
func (o *options) chooseLoad(l loadFlags, out io.Writer) (err error) {
	given := 0
	for _, one := range []bool{l.rate != 0, l.steps != "", l.ramp != "", l.trace != "", o.concurrency != 0} {
		if one {
			given++
		}
	}
	switch {
	case given > 1:
		return errors.New("more than one load: give one of -rate, -steps, -ramp, -trace and -concurrency")
	case o.concurrency != 0:
		o.length = l.length
		return o.checkClosedLoad()
	case l.rate != 0 || l.steps != "" || l.ramp != "":
		o.schedule, err = l.profile(o.seed)
	default:
		l.part.MaxOutput, l.part.Seed = o.tokenBound, o.seed
		return o.chooseTrace(l, out)
	}
	return err
}

// chooseTrace sets the trace, or the closed loop, that -trace names.
func (o *options) chooseTrace(l loadFlags, out io.Writer) (err error) {
	if !trace.IsClosed(l.trace) {
		o.schedule, err = l.openTrace(out)
		return err
	}
	closed, err := trace.ParseClosed(l.trace, l.part)
	if err != nil {
		return err
	}
	if closed.Users > o.maxInFlight {
		return fmt.Errorf("-trace %s: users are above -max-in-flight %d: raise that as well", l.trace, o.maxInFlight)
	}
	o.closed, o.length, o.seed = &closed, closed.Length, closed.Seed
	return nil
}

// checkClosedLoad checks the values of -concurrency and -for.
func (o *options) checkClosedLoad() error {
	if o.concurrency < 0 || o.length <= 0 {
		return errors.New("-concurrency and -for must be above 0")
	}
	if o.concurrency > o.maxInFlight {
		return fmt.Errorf("-concurrency %d is above -max-in-flight %d: raise both", o.concurrency, o.maxInFlight)
	}
	return nil
}

// profile returns the rates that -rate, -steps or -ramp describe.
func (l loadFlags) profile(seed uint64) (load.Schedule, error) {
	profile, err := load.Constant(l.rate, l.length), error(nil)
	if l.steps != "" {
		profile, err = parseSteps(l.steps)
	} else if l.ramp != "" {
		profile, err = parseRamp(l.ramp)
	}
	if err != nil {
		return nil, err
	}
	profile.Poisson, profile.Seed = l.poisson, seed
	return profile, profile.Validate()
}

// bounds checks the numbers that do not depend on the load.
func (o options) bounds() error {
	for name, value := range map[string]int{
		"input-tokens": o.input, "output-tokens": o.output, "max-tokens": o.tokenBound, "max-in-flight": o.maxInFlight,
	} {
		if value < 1 {
			return fmt.Errorf("-%s %d: give at least 1", name, value)
		}
		if value > trace.MaxTokens { // of requests in flight, too: there are not as many ports
			return fmt.Errorf("-%s %d: give at most %d", name, value, trace.MaxTokens)
		}
	}
	if o.timeout <= 0 || o.after < 0 || o.objective.TTFT < 0 {
		return errors.New("-timeout must be above 0, -after and -slo-ttft must not be negative")
	}
	if !(o.objective.Ratio >= 0 && o.objective.Ratio <= 1) { // NaN is rejected as well
		return fmt.Errorf("-slo-ratio %g is not between 0 and 1", o.objective.Ratio)
	}
	if o.objective.Ratio > 0 && o.objective.TTFT == 0 {
		return errors.New("-slo-ratio without a time: set -slo-ttft above 0")
	}
	return nil
}

// openTrace returns the trace of a file, or the built-in one.
func (l loadFlags) openTrace(out io.Writer) (load.Schedule, error) {
	const mebibyte = 1 << 20
	if file, err := os.Stat(l.trace); err == nil && file.Size() > 100*mebibyte { // takes seconds
		fmt.Fprintf(out, "load: reading %s, %d MiB\n", l.trace, file.Size()/mebibyte)
	}
	return trace.Open(l.trace, l.part)
}

// parseSteps reads rates with their durations, such as 2:1m,10:2m.
func parseSteps(text string) (load.Profile, error) {
	var p load.Profile
	for part := range strings.SplitSeq(text, ",") {
		rate, length, ok := strings.Cut(strings.TrimSpace(part), ":")
		value, err := strconv.ParseFloat(rate, 64)
		duration, err2 := time.ParseDuration(length)
		if !ok || err != nil || err2 != nil {
			return p, fmt.Errorf("-steps: %q is not a rate with its duration, such as 10:2m", part)
		}
		p.Segments = append(p.Segments, load.Segment{From: value, To: value, Length: duration})
	}
	return p, nil
}

// parseRamp reads from:to:duration.
func parseRamp(text string) (load.Profile, error) {
	parts := strings.Split(text, ":")
	if len(parts) == 3 {
		from, err := strconv.ParseFloat(parts[0], 64)
		to, err2 := strconv.ParseFloat(parts[1], 64)
		length, err3 := time.ParseDuration(parts[2])
		if errors.Join(err, err2, err3) == nil {
			return load.Ramp(from, to, length), nil
		}
	}
	return load.Profile{}, fmt.Errorf("-ramp: %q is not from:to:duration, such as 0:20:5m", text)
}
