package main

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"vllm-autoscaling/ops/load"
)

// judge returns the share of the requests that kept the objective, and how late they were sent in the 99th percentile, in seconds.
// A request that was not answered has missed the objective.
func judge(records []load.Record, objective time.Duration) (attainment, late float64) {
	if len(records) == 0 {
		return 0, 0
	}
	met := 0
	var delays []time.Duration
	for _, r := range records {
		if first, ok := r.TTFT(); ok && first <= objective && r.Outcome == load.OK {
			met++
		}
		if r.Outcome != load.Dropped {
			delays = append(delays, r.Sent-r.Arrived)
		}
	}
	slices.Sort(delays)
	if n := len(delays); n > 0 {
		late = delays[min(n-1, n*99/100)].Seconds()
	}
	return float64(met) / float64(len(records)), late
}

// watchMachine follows the load average until the returned function is called, which returns the highest.
func watchMachine(ctx context.Context) (stop func() float64) {
	ctx, cancel := context.WithCancel(ctx)
	highest := 0.0
	var done sync.WaitGroup
	done.Go(func() {
		for {
			highest = max(highest, loadAverage())
			if sleep(ctx, 10*time.Second) != nil {
				return
			}
		}
	})
	return func() float64 {
		cancel()
		done.Wait()
		return highest
	}
}

// loadAverage returns the load average of the last minute, 0 where the system has none.
func loadAverage() float64 {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), " ")
	value, _ := strconv.ParseFloat(first, 64)
	return value
}
