package deployment

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"vllm-autoscaling/components/telemetry"
	"vllm-autoscaling/ops/coldstart"
)

// waited is the shortest time without a node that is a wait for a new one: the scheduler takes seconds.
const waited = 10 * time.Second

// startsFile is what the reports of `make verify` and `make load` have in common, of one server or of several.
type startsFile struct {
	// Server is the one of several that the report is of; "" in any other.
	Server  string            `json:"server"`
	Starts  []coldstart.Start `json:"starts"`
	Servers []struct {
		Server string            `json:"server"`
		Starts []coldstart.Start `json:"starts"`
	} `json:"servers"`
}

// measured returns the phases with those of the file for a server where none is given. Of the time until a node is there, it is the
// longest, because a start on a node that was there has not waited; if none has, it stays without. So does the image, which only the first
// replica of a node pulls. Of the others, which every start has, it is the median.
func (s Start) measured(server string) (Start, error) {
	if s.File == "" {
		return s, nil
	}
	starts, err := readStarts(s.File, server)
	if err != nil {
		return s, fmt.Errorf("-cold-start %s: %w", s.File, err)
	}
	var nodes, images, servers, warmups []float64
	for _, start := range starts {
		nodes, images = append(nodes, start.Seconds[telemetry.PhaseNode]), append(images, start.Seconds[telemetry.PhaseImage])
		// Init containers, such as one that copies the weights, run at each start.
		servers = append(servers, start.Seconds[telemetry.PhaseInit]+start.Seconds[telemetry.PhaseServer])
		if start.Log != nil && start.Log.Warmup != nil {
			warmups = append(warmups, *start.Log.Warmup)
		}
	}
	// Without the log, the whole of the server's start counts as weights: the simulation adds the two.
	warmup := 0.0
	if len(warmups) > 0 {
		warmup = median(warmups)
	}
	set := func(phase **time.Duration, seconds float64) {
		if *phase == nil {
			d := time.Duration(seconds * float64(time.Second))
			*phase = &d
		}
	}
	if longest := slices.Max(nodes); longest >= waited.Seconds() {
		set(&s.Node, longest)
	}
	set(&s.Image, slices.Max(images))
	set(&s.Warmup, warmup)
	set(&s.Weights, max(0, median(servers)-warmup))
	return s, nil
}

// readStarts returns the starts of a server in a file, at least one.
func readStarts(file, server string) ([]coldstart.Start, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var read startsFile
	if err := json.Unmarshal(text, &read); err != nil {
		return nil, fmt.Errorf("it is no report of `verify --json` or of `make load`: %w", err)
	}
	starts := read.Starts
	if read.Server != "" && read.Server != server {
		starts = nil
	}
	for _, one := range read.Servers {
		if one.Server == server {
			starts = one.Starts
		}
	}
	if len(starts) == 0 {
		return nil, fmt.Errorf("it has no start of a replica of server %s: they were started again, or none was ready", server)
	}
	return starts, nil
}

// median returns the middle one of numbers, the upper one of two.
func median(numbers []float64) float64 { return slices.Sorted(slices.Values(numbers))[len(numbers)/2] }
