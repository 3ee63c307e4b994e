// Command profile measures how fast one ready replica of a deployed stack is, and writes a file that command simulate takes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/simulate/deployment"
	"vllm-autoscaling/ops/simulate/profile"
	"vllm-autoscaling/ops/simulate/profile/calibrate"
	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/config/speed"
)

func main() {
	// client-go logs every connection that ends while a port-forward writes to it.
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

// run measures a replica, fits its constants and writes the file.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args, os.Getenv, stdout)
	if err != nil {
		return err
	}
	source, err := project.StackSource(o.root, o.stack)
	if err != nil {
		return err
	}
	whole, err := config.Read(source)
	if err != nil {
		return err
	}
	c, err := project.Server(whole, o.serverName)
	if err != nil {
		return fmt.Errorf("stack %s: %w", o.stack, err)
	}
	limits, cache, err := deployment.Limits(c)
	if err != nil {
		return err
	}
	server, stop, err := o.server(ctx, stdout)
	if err != nil {
		return err
	}
	defer stop()
	maxModelLen, err := checkModel(ctx, server, c.Model.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "profile: measuring %s with model %s for %s\n", server.Name, c.Model.ID, o.length)
	result, err := calibrate.Run(ctx, calibrate.Options{
		Target: server.Target, Model: c.Model.ID, APIKey: server.apiKey, Length: o.length, Seed: uint64(time.Now().UnixNano()),
		Plan: calibrate.Plan(limits, cache, min(c.Model.MaxModelLen, maxModelLen)),
		Log:  func(format string, args ...any) { fmt.Fprintf(stdout, "  "+format+"\n", args...) },
	})
	if err != nil {
		return err
	}
	file, err := fileOf(c, result, limits, cache)
	if err != nil {
		return err
	}
	if err := file.Write(o.file); err != nil {
		return err
	}
	describe(stdout, file)
	target := o.stack
	if o.serverName != "" {
		target += " SERVER=" + o.serverName
	}
	fmt.Fprintf(stdout, "profile: written to %s; use it with make simulate STACK=%s SIM_FLAGS=\"-profile %s\"\n", o.file, target, o.file)
	return nil
}

// fileOf fits the constants and returns the file.
func fileOf(c *config.Config, result calibrate.Result, limits replica.Limits, cache speed.Cache) (profile.File, error) {
	fit, err := profile.Of(result.Points, limits, cache)
	if err != nil {
		return profile.File{}, fmt.Errorf("%w (-length)", err)
	}
	return profile.File{
		Schema: profile.Schema, MeasuredAt: time.Now().UTC().Truncate(time.Second), Stack: c.Stack, Subject: deployment.Subject(c),
		Server: profile.Server{
			Image: c.VLLM.Image, DType: c.Model.DType, MaxModelLen: c.Model.MaxModelLen, MaxNumSeqs: c.Model.MaxNumSeqs,
			MaxNumBatchedTokens: c.BatchedTokens(), ExtraArgs: c.Model.ExtraArgs,
		},
		RoundTripSeconds: result.RoundTrip.Seconds(), Fit: fit,
	}, nil
}

// describe prints the constants and how good the fit is.
func describe(out io.Writer, f profile.File) {
	c := f.Constants
	fmt.Fprintf(out, "\n%-34s %10s\n", "constant", "")
	row := func(name, format string, value float64) { fmt.Fprintf(out, "%-34s "+format+"\n", name, value) }
	row("fixed time of a pass", "%7.2f ms", 1e3*c.FixedSeconds)
	row("reading the weights", "%7.2f ms", 1e3*c.WeightsSeconds)
	row("reading a GB of the KV cache", "%7.2f ms", 1e3*1e9*c.SecondsPerCacheByte)
	row("computing 1000 tokens", "%7.2f ms", 1e3*1e3*c.SecondsPerToken)
	row("a request, outside of passes", "%7.2f ms", 1e3*c.RequestSeconds)
	row("the network, taken off", "%7.2f ms", 1e3*f.RoundTripSeconds)
	if f.FixedInWeights {
		fmt.Fprintln(out, "The measured times do not tell the fixed time of a pass from reading the weights: the second one is their sum.")
	}
	worst := f.Worst()
	fmt.Fprintf(out, "\nerror of the fit over %d points: %.1f %% on average, at most %.1f %% (%s: measured %.1f ms, predicted %.1f ms)\n",
		len(f.Points), 100*f.Error.Mean, 100*f.Error.Max, worst, 1e3*worst.Seconds, 1e3*worst.PredictedSeconds)
	if f.Error.Mean > profile.Bound {
		fmt.Fprintf(out, "warning: more than %.0f %% on average: the replica does not behave as modelled, or something else used it or the network; measure again\n",
			100*profile.Bound)
	}
}

// server is the replica that is measured.
type server struct {
	load.Target
	apiKey string
}
