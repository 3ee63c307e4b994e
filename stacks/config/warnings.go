package config

import (
	"fmt"
	"time"
)

const (
	// hpaPeriod is how often the HPA looks: kube-controller-manager's --horizontal-pod-autoscaler-sync-period,
	// which managed clouds leave at its default.
	hpaPeriod = 15 * time.Second
	// nodeStart and serverStart are the shortest published times until a GPU node is usable (3 to 8
	// minutes) and from there until vLLM answers with a small model; loadRate is a fast disk.
	nodeStart, serverStart = 3 * time.Minute, time.Minute
	loadRateGiB            = 1.0
	// downloadRateGiB is a slow download from Hugging Face, a second.
	downloadRateGiB = 0.1
)

// spotNotice is how long a pod on a spot machine has left when the machine is taken back: on GKE 15 of the
// 30 seconds go to ordinary pods.
var spotNotice = map[string]time.Duration{CloudGKE: 15 * time.Second, CloudEKS: 2 * time.Minute, CloudAKS: 30 * time.Second}

// warnOfScaling warns of signals that do not go together, or not with the times that things take.
func (c *Config) warnOfScaling(r *report) {
	interval, relist := c.Monitoring.SignalInterval, c.Autoscaling.RelistInterval
	c.warnOfSignals(r)
	if !c.ManagesMetrics() && relist < 2*interval {
		r.warn("autoscaling.relistInterval", relist,
			fmt.Sprintf("less than two of monitoring.signalInterval (%s): one late scrape, and the adapter forgets the metric until the next relist", interval),
			fmt.Sprintf("set it to %s or more", 2*interval))
	}
	if interval > hpaPeriod {
		r.warn("monitoring.signalInterval", interval,
			fmt.Sprintf("the HPA looks every %s, so it decides more than once on the same sample, and up to %s late", hpaPeriod, interval+hpaPeriod),
			fmt.Sprintf("set it to %s or less", hpaPeriod))
	}
	if start := c.shortestStart(); c.Autoscaling.ScaleDown.Stabilization < start {
		r.warn("autoscaling.scaleDown.stabilization", c.Autoscaling.ScaleDown.Stabilization,
			fmt.Sprintf("a new replica takes %s at least until it answers, so a pause in the load that is shorter than that "+
				"costs more in cold starts than the idle replicas", start),
			fmt.Sprintf("set it to %s or more", start))
	}
	if steps := c.Autoscaling.MaxReplicas - c.Autoscaling.MinReplicas; c.Autoscaling.ScaleUp.Stabilization > time.Minute && steps > 0 {
		r.warn("autoscaling.scaleUp.stabilization", c.Autoscaling.ScaleUp.Stabilization,
			fmt.Sprintf("replicas are added only after the load was high for all of it, and then take %s at least until they answer", c.shortestStart()),
			"30s or less filters single peaks out")
	}
}

// warnOfStarts warns of too little time for a replica to start or to end.
func (c *Config) warnOfStarts(r *report) {
	if files := c.downloadGiB(); files > 0 {
		need := (serverStart + seconds(files/downloadRateGiB) + seconds(files/loadRateGiB)).Round(time.Minute)
		if c.VLLM.StartupBudget < need {
			r.warn("vllm.startupBudget", c.VLLM.StartupBudget,
				fmt.Sprintf("the %.0f GiB of %s take about %s to download at 100 MB/s and to load; "+
					"a replica that is not ready in time is killed and starts over", files, c.Model.ID, need),
				fmt.Sprintf("set it to %s or more", need))
		}
	}
	notice, drain := spotNotice[c.Cloud], c.VLLM.PreStop+c.VLLM.ShutdownTimeout
	if c.createsGPUPool() && c.NodePools.GPU.Spot && drain > notice {
		r.warn("nodePools.gpu.spot", true,
			fmt.Sprintf("when the cloud takes a machine back its pods have %s, so requests that take longer are cut off, "+
				"whatever vllm.preStop (%s) and vllm.shutdownTimeout (%s) allow",
				notice, c.VLLM.PreStop, c.VLLM.ShutdownTimeout),
			"see that clients retry, and lower both to what fits if requests are short")
	}
}

// shortestStart returns how long a further replica takes at least until it answers.
func (c *Config) shortestStart() time.Duration {
	if c.GPU.Mode != GPUNvidia {
		return 0
	}
	start := serverStart + seconds(c.downloadGiB()/loadRateGiB)
	if perNode, _ := c.replicasPerNode(); c.createsGPUPool() && perNode > 0 && c.NodePools.GPU.MinNodes*perNode < c.Autoscaling.MaxReplicas {
		start += nodeStart
	}
	return start.Round(time.Second)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
