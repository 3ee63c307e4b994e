package policies

import (
	"path/filepath"
	"regexp"
	"strconv"

	"vllm-autoscaling/ops/trace"
)

// Load is a load whose rates can be set.
type Load struct {
	Name string
	// About is what the load stands for.
	About string
	// text is that of a synthetic load for a factor of 1, with its rates in braces; empty for a trace.
	text string
	// file is the trace; empty for a synthetic load.
	file string
}

// Loads returns the synthetic loads that defaults are judged on. Their seed is that of the comparison.
func Loads() []Load {
	return []Load{
		{Name: "day", About: "a service whose load is ten times as high at its peak as at its lowest",
			text: "daily:low={0.1},high={1},period=6h,input=600,output=200"},
		{Name: "chat", About: "conversations: prompts carry their history, and the load never falls far",
			text: "daily:low={0.3},high={1},period=4h,input=1200,output=300"},
		{Name: "bursts", About: "many requests at once, then none for a while: jobs, or agents that start others",
			text: "gamma:rate={1},cv=6,length=3h,input=1000,output=200"},
		{Name: "long-prompts", About: "classification or extraction: the GPU computes prompts and hardly decodes",
			text: "gamma:rate={1},cv=3,length=3h,input=2000,output=30"},
		{Name: "long-answers", About: "writing and reasoning: the GPU decodes and hardly computes prompts",
			text: "daily:low={0.2},high={1},period=4h,input=200,output=600"},
		{Name: "short", About: "completions and moderation: many small requests",
			text: "daily:low={0.2},high={1},period=2h,input=250,output=40"},
		{Name: "steps", About: "a load that changes at once: releases, batches, other regions that fail",
			text: "steps:rates={0.3}/{0.8}/{0.5}/{1.5}/{0.2}/{1},each=30m,input=800,output=150"},
		{Name: "ramp", About: "a load that only grows",
			text: "ramp:from={0.1},to={2},length=2h,input=600,output=200"},
		{Name: "retrieval", About: "prompts with documents, with a curve over the day",
			text: "daily:low={0.2},high={1},period=4h,input=4000,output=250"},
	}
}

// GivenTrace returns the load of a trace file.
func GivenTrace(file string) Load {
	return Load{Name: filepath.Base(file), About: "a trace", file: file}
}

// Given reports whether the load is a trace file, and not one of Loads.
func (l Load) Given() bool { return l.file != "" }

// rate matches a rate for a factor of 1.
var rate = regexp.MustCompile(`\{[0-9.]+\}`)

// at returns the load with its rates multiplied by a factor. A trace is scaled by playing a random share of its requests, or
// shifted copies together.
func (l Load) at(factor float64, seed uint64) (*trace.Trace, error) {
	if l.Given() {
		return trace.Open(l.file, trace.Options{Scale: factor, Seed: seed})
	}
	return trace.Open(rate.ReplaceAllStringFunc(l.text, func(braced string) string {
		value, _ := strconv.ParseFloat(braced[1:len(braced)-1], 64) // The pattern matches numbers only.
		return strconv.FormatFloat(value*factor, 'g', 4, 64)
	}), trace.Options{Seed: seed})
}
