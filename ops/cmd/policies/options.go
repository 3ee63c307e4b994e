package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/policies"
	"vllm-autoscaling/ops/simulate/report"
)

// options are the flags.
type options struct {
	bench     policies.Bench
	all, json bool
	png       string
}

func parse(args []string, output io.Writer) (*options, error) {
	o := &options{bench: policies.Bench{Objective: compare.Objective{TTFT: 2, Ratio: 0.95}}}
	b := &o.bench
	var subjects, loads []string
	var traces []policies.Load
	flags := flag.NewFlagSet("policies", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.Func("trace", "file of a further load; repeatable", func(file string) error {
		_, err := os.Stat(file)
		traces = append(traces, policies.GivenTrace(file))
		return err
	})
	list := func(into *[]string) func(string) error {
		return func(text string) error {
			*into = strings.Split(text, ",")
			return nil
		}
	}
	flags.Func("subjects", "`names` of the models and machines, separated by commas (default: all)", list(&subjects))
	flags.Func("loads", "`names` of the synthetic loads, separated by commas, or none (default: all)", list(&loads))
	flags.Func("objective", "what requests should keep, such as ttft=2s,itl=100ms,ratio=0.99 (default ttft=2s,ratio=0.95)", b.Objective.Parse)
	flags.Float64Var(&b.Replicas, "replicas", 6, "how many replicas each load needs on average with the defaults of 202218d")
	flags.Func("variant", "further candidate: the defaults with assignments `KEY=VALUE`, separated by spaces; repeatable", func(text string) error {
		b.Variants = append(b.Variants, strings.Fields(text))
		return nil
	})
	flags.BoolVar(&b.Presets, "presets", true, "compare with the scaling policies that other projects publish")
	flags.IntVar(&b.Candidates, "candidates", 60, "how many configurations each search runs; 0 for no search")
	flags.BoolVar(&b.Oracle, "oracle", true, "compare with replicas that are asked for before they are needed")
	flags.Uint64Var(&b.Seed, "seed", 1, "draws what is random")
	flags.BoolVar(&o.all, "all", false, "print a line for each candidate of each combination")
	flags.BoolVar(&o.json, "json", false, "print one JSON document")
	flags.StringVar(&o.png, "png", "", "write the picture to this file")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case !(b.Replicas > 0 && b.Replicas < policies.MostReplicas):
		return nil, fmt.Errorf("-replicas %g: want a number above 0 and below %d, the limit of the replicas", b.Replicas, policies.MostReplicas)
	case b.Candidates < 0:
		return nil, fmt.Errorf("-candidates %d: want a number from 0 on", b.Candidates)
	}
	var errs [2]error
	b.Subjects, errs[0] = only("-subjects", policies.Subjects(), subjects, func(s policies.Subject) string { return s.Name })
	if !slices.Equal(loads, []string{"none"}) {
		b.Loads, errs[1] = only("-loads", policies.Loads(), loads, func(l policies.Load) string { return l.Name })
	}
	b.Loads = append(b.Loads, traces...)
	if len(b.Loads) == 0 && errs[1] == nil {
		errs[1] = errors.New("-loads none: give a file with -trace")
	}
	files := report.Files{PNG: o.png}
	return o, errors.Join(errs[0], errs[1], files.Check())
}

// only returns those of a list that have the names, or all for no names.
func only[T any](flag string, all []T, names []string, name func(T) string) ([]T, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []T
	for _, wanted := range names {
		at := slices.IndexFunc(all, func(t T) bool { return name(t) == wanted })
		if at < 0 {
			var known []string
			for _, t := range all {
				known = append(known, name(t))
			}
			return nil, fmt.Errorf("%s: %q is not one of %s", flag, wanted, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[at])
	}
	return chosen, nil
}
