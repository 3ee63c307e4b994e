package agreement

import (
	"fmt"
	"math"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/hpa"
)

// The bounds within which a simulation agrees with the lab.
const (
	// MaxReplicaSeconds is the largest difference of the replica-seconds, as a share of the lab's.
	MaxReplicaSeconds = 0.05
	// MaxAttainment is the largest difference of the attainment.
	MaxAttainment = 0.03
)

// Comparison is a load on the lab beside its simulations.
type Comparison struct {
	Load     string `json:"load"`
	Requests int    `json:"requests"`
	Lab      Run    `json:"lab"`
	// Simulated is the simulation with the lab's routing and the lab's first round of the autoscaler.
	Simulated Run `json:"simulated"`
	// Others are simulations that draw both anew: what chance does to this load.
	Others []Run `json:"others"`
	// Rounds are when the lab's autoscaler wrote its status, and Start is how long nodes and servers took to start on the lab.
	Rounds []float64      `json:"rounds"`
	Start  simulate.Start `json:"start"`
	// Machine is the machine's load during the run on the lab.
	Machine Machine `json:"machine"`
}

// Machine is how busy the machine was during a run on the lab.
type Machine struct {
	// LoadAverage is the highest one of a minute; 0 where the system has none.
	LoadAverage float64 `json:"loadAverage"`
	// Late is how much later than scheduled requests were sent, in seconds, of the 99th percentile.
	Late float64 `json:"late"`
}

// SimulateAll adds the simulations of a load to its comparison: the one with the lab's seed, and others with the seeds that follow.
func SimulateAll(c *Comparison, s simulate.Settings, l *Load, seed uint64, others int) error {
	s.RoundTime = c.roundTime()
	aligned := s
	aligned.Seed, aligned.FirstRound = seed, c.firstRound()
	var err error
	if c.Simulated, err = Simulate(aligned, l); err != nil {
		return err
	}
	c.Others = nil
	for i := range others {
		s.Seed = seed + 1 + uint64(i)
		other, err := Simulate(s, l)
		if err != nil {
			return err
		}
		c.Others = append(c.Others, other)
	}
	return nil
}

// firstRound returns when the lab's autoscaler decided first, 0 where it was not seen. It writes its status only when something has
// changed, so that the first rounds may be missing.
func (c *Comparison) firstRound() float64 {
	if len(c.Rounds) == 0 {
		return 0
	}
	return math.Mod(c.Rounds[0], hpa.DefaultPeriod.Seconds())
}

// roundTime returns the mean time of a round of the lab's autoscaler: what is between the rounds beyond its period. Longer gaps
// have a round that changed nothing, shorter ones a second write in one round.
func (c *Comparison) roundTime() float64 {
	period := hpa.DefaultPeriod.Seconds()
	sum, n := 0.0, 0
	for i := 1; i < len(c.Rounds); i++ {
		if gap := c.Rounds[i] - c.Rounds[i-1]; gap >= period && gap < 1.5*period {
			sum += gap - period
			n++
		}
	}
	return sum / float64(max(1, n))
}

// span returns the least and the greatest value of the other simulations.
func (c *Comparison) span(of func(Run) float64) (least, greatest float64) {
	least, greatest = math.Inf(1), math.Inf(-1)
	for _, r := range c.Others {
		least, greatest = min(least, of(r)), max(greatest, of(r))
	}
	return least, greatest
}

// decisions returns the share of the decisions that the lab and a simulation have in common within a period of the
// autoscaler, counted in both directions; 1 without any.
func (c *Comparison) decisions(simulated Run) float64 {
	period := hpa.DefaultPeriod.Seconds()
	matched, all := c.Lab.Matched(simulated, period)
	back, allBack := simulated.Matched(c.Lab, period)
	if all+allBack == 0 {
		return 1
	}
	return float64(matched+back) / float64(all+allBack)
}

// Problems returns what is beyond the bounds.
func (c *Comparison) Problems() []string {
	var problems []string
	report := func(format string, args ...any) {
		problems = append(problems, c.Load+": "+fmt.Sprintf(format, args...))
	}
	if difference := c.Simulated.WantedSeconds()/c.Lab.WantedSeconds() - 1; !(math.Abs(difference) <= MaxReplicaSeconds) {
		report("replica-seconds differ by %+.1f %%, more than %g %%", 100*difference, 100*MaxReplicaSeconds)
	}
	if difference := c.Simulated.Attainment - c.Lab.Attainment; !(math.Abs(difference) <= MaxAttainment) {
		report("attainment differs by %+.1f points, more than %g", 100*difference, 100*MaxAttainment)
	}
	if share := c.decisions(c.Simulated); share < 1 {
		report("%.0f %% of the decisions are the same within %s", 100*share, hpa.DefaultPeriod)
	}
	return problems
}
