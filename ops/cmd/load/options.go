package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/report"
)

// options are what the command line decides.
type options struct {
	root  string // the Pulumi project's folder
	stack string
	url   string

	schedule    load.Schedule // nil for a closed load
	concurrency int
	length      time.Duration // of a closed load

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

// shape is the load in words.
func (o options) shape() string {
	if o.schedule != nil {
		return fmt.Sprint(o.schedule)
	}
	return fmt.Sprintf("%s for %s (closed loop)", load.Shape{Concurrency: o.concurrency}, o.length)
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

  -trace FILE        replay: CSV with arrival_seconds,input_tokens,output_tokens, or Azure's
                     TIMESTAMP,ContextTokens,GeneratedTokens; "burst" is the project's own (default)
  -rate R -for D     R requests per second for D
  -steps R:D,R:D     one rate after the other, such as 2:1m,10:2m,2:1m
  -ramp FROM:TO:D    from one rate to another
  -concurrency N -for D   N requests kept in flight: makes servers busy, measures no user's wait

Flags:
`

func parse(args []string, env func(string) string, out io.Writer) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() { fmt.Fprint(out, usage); flags.PrintDefaults() }
	flags.StringVar(&o.stack, "stack", env("STACK"), "stack whose server is loaded, and whose autoscaler is watched")
	flags.StringVar(&o.url, "url", "", "address to load instead of every ready pod, such as http://localhost:8000; without -stack nothing else is looked at")
	rate := flags.Float64("rate", 0, "requests per second, for -for")
	length := flags.Duration("for", 2*time.Minute, "how long -rate or -concurrency lasts")
	steps := flags.String("steps", "", "rates with their times, such as 2:1m,10:2m,2:1m")
	ramp := flags.String("ramp", "", "from:to:time, such as 0:20:5m")
	trace := flags.String("trace", "", `CSV file to replay, or "burst"; the default when no other load is given`)
	flags.IntVar(&o.concurrency, "concurrency", 0, "requests kept in flight, for -for")
	var t load.TraceOptions
	flags.Float64Var(&t.Speed, "speed", 1, "how many times faster than it was the trace is replayed")
	flags.DurationVar(&t.Start, "trace-start", 0, "where in the trace to begin, in its own time")
	flags.DurationVar(&t.Length, "trace-length", 0, "how much of the trace to replay, in its own time; 0 for all")
	flags.IntVar(&t.MaxInput, "max-input-tokens", 0, "cap on a trace's input tokens; 0 for none")
	poisson := flags.Bool("poisson", false, "space arrivals of -rate, -steps and -ramp by chance, as independent users do")
	seed := flags.Uint64("seed", 1, "seed of -poisson")
	flags.StringVar(&o.model, "model", "", "model to ask for; default: what the server says it serves")
	flags.StringVar(&o.apiKeyFrom, "api-key-env", "VLLM_API_KEY", "environment variable with the API key; where it is not set the stack's Secret is read")
	flags.IntVar(&o.input, "input-tokens", 100, "length of a prompt, about, where no trace says it")
	flags.IntVar(&o.output, "output-tokens", 150, "length of an answer, exactly, where no trace says it")
	flags.IntVar(&o.tokenBound, "max-tokens", 1024, "cap on the output tokens of any request, traces included")
	flags.IntVar(&o.maxInFlight, "max-in-flight", 512, "requests in flight above which arrivals are counted as not sent")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "for one request, from its arrival")
	flags.DurationVar(&o.after, "after", 0, "how long to go on watching the autoscaler after the load")
	flags.DurationVar(&o.objective.TTFT, "slo-ttft", 2*time.Second, "time to the first token that is good")
	flags.Float64Var(&o.objective.Ratio, "slo-ratio", 0, "share of requests that has to be good, such as 0.95: the command fails below it")
	flags.StringVar(&o.report, "report", "", "folder of the report; default load-report in the project's folder")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("argument %q not understood; see -help", flags.Arg(0))
	}
	if o.stack == "" && o.url == "" {
		return o, errors.New("nothing to load: name a stack (make load STACK=<stack>) or an address (-url)")
	}
	if o.url != "" {
		at, err := url.Parse(o.url)
		if err != nil || (at.Scheme != "http" && at.Scheme != "https") || at.Host == "" {
			return o, fmt.Errorf("-url %q is no address such as http://localhost:8000", o.url)
		}
		if at.User != nil { // not quoted: the address is printed, and stands in the report
			return o, errors.New("-url has a user or a password in it: leave them out, and give the server's key in the environment variable of -api-key-env")
		}
		o.url = strings.TrimSuffix(strings.TrimRight(o.url, "/"), "/v1")
	}
	if err := o.bounds(); err != nil {
		return o, err
	}
	t.MaxOutput = o.tokenBound
	given := 0
	for _, one := range []bool{*rate != 0, *steps != "", *ramp != "", *trace != "", o.concurrency != 0} {
		if one {
			given++
		}
	}
	if given > 1 {
		return o, errors.New("more than one load: give one of -rate, -steps, -ramp, -trace and -concurrency")
	}
	var err error
	switch {
	case o.concurrency != 0:
		o.length = *length
		if o.concurrency < 0 || o.length <= 0 {
			return o, errors.New("-concurrency and -for are above 0")
		}
		if o.concurrency > o.maxInFlight {
			return o, fmt.Errorf("-concurrency %d is above -max-in-flight %d: raise that, too", o.concurrency, o.maxInFlight)
		}
	case *rate != 0 || *steps != "" || *ramp != "":
		profile := load.Constant(*rate, *length)
		if *steps != "" {
			profile, err = parseSteps(*steps)
		} else if *ramp != "" {
			profile, err = parseRamp(*ramp)
		}
		if err != nil {
			return o, err
		}
		profile.Poisson, profile.Seed = *poisson, *seed
		if err := profile.Validate(); err != nil {
			return o, err
		}
		o.schedule = profile
	default:
		if o.schedule, err = openTrace(*trace, t); err != nil {
			return o, err
		}
	}
	if o.root, err = project.Root(); err != nil && o.stack != "" {
		return o, err
	}
	if o.report == "" {
		o.report = filepath.Join(o.root, "load-report")
	}
	o.apiKey = env(o.apiKeyFrom)
	o.settings = map[string]any{}
	flags.VisitAll(func(f *flag.Flag) { o.settings[f.Name] = f.Value.String() })
	o.settings["load"] = o.shape()
	return o, nil
}

func (o options) bounds() error {
	for name, value := range map[string]int{
		"input-tokens": o.input, "output-tokens": o.output, "max-tokens": o.tokenBound, "max-in-flight": o.maxInFlight,
	} {
		if value < 1 {
			return fmt.Errorf("-%s %d: give at least 1", name, value)
		}
	}
	if o.timeout <= 0 || o.after < 0 || o.objective.TTFT < 0 {
		return errors.New("-timeout is above 0, -after and -slo-ttft are not below")
	}
	if !(o.objective.Ratio >= 0 && o.objective.Ratio <= 1) { // NaN is refused, too
		return fmt.Errorf("-slo-ratio %g is not between 0 and 1", o.objective.Ratio)
	}
	if o.objective.Ratio > 0 && o.objective.TTFT == 0 {
		return errors.New("-slo-ratio without a time: give -slo-ttft above 0")
	}
	return nil
}

func openTrace(file string, o load.TraceOptions) (load.Schedule, error) {
	if file == "" || file == load.BurstName {
		return load.Burst(o)
	}
	return load.OpenTrace(file, o)
}

func parseSteps(text string) (load.Profile, error) {
	var p load.Profile
	for part := range strings.SplitSeq(text, ",") {
		rate, length, ok := strings.Cut(strings.TrimSpace(part), ":")
		value, err := strconv.ParseFloat(rate, 64)
		duration, err2 := time.ParseDuration(length)
		if !ok || err != nil || err2 != nil {
			return p, fmt.Errorf("-steps: %q is no rate with its time, such as 10:2m", part)
		}
		p.Segments = append(p.Segments, load.Segment{From: value, To: value, Length: duration})
	}
	return p, nil
}

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
	return load.Profile{}, fmt.Errorf("-ramp: %q is not from:to:time, such as 0:20:5m", text)
}
