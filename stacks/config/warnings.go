package config

import (
	"fmt"
	"strings"
	"time"

	"vllm-autoscaling/stacks/config/sizing"
)

const (
	// hpaPeriod is the HPA's sync period: kube-controller-manager's --horizontal-pod-autoscaler-sync-period, which managed
	// clouds leave at its default.
	hpaPeriod = 15 * time.Second
	// nodeStart and serverStart are the shortest published times until a GPU node is usable (3 to 8
	// minutes) and from there until vLLM answers with a small model; loadRate is a fast disk.
	nodeStart, serverStart = 3 * time.Minute, time.Minute
	loadRateGiB            = 1.0
	// downloadRateGiB is the rate of a slow download from Hugging Face, in GiB per second.
	downloadRateGiB = 0.1
)

// warnOfScaling warns of scaling settings that do not fit together, or do not fit the time that a replica takes to start.
func (c *Config) warnOfScaling(r *report) {
	interval, relist := c.Monitoring.SignalInterval, c.Autoscaling.RelistInterval
	c.warnOfSignals(r)
	if c.ownPrometheusAdapter() && relist < 2*interval {
		r.warn("autoscaling.relistInterval", relist,
			fmt.Sprintf("less than two of monitoring.signalInterval (%s): one late scrape, and the adapter forgets the metric until the next relist", interval),
			fmt.Sprintf("set it to %s or more", 2*interval))
	}
	if interval > hpaPeriod {
		r.warn("monitoring.signalInterval", interval,
			fmt.Sprintf("the HPA looks every %s, so it decides more than once on the same sample, and up to %s late", hpaPeriod,
				2*interval+hpaPeriod),
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

// warnOfStarts warns of too little time for a replica to start or to shut down.
func (c *Config) warnOfStarts(r *report) {
	if files := c.downloadGiB(); files > 0 && c.Model.fromHub() {
		need := (serverStart + seconds(files/downloadRateGiB) + seconds(files/loadRateGiB)).Round(time.Minute)
		if c.VLLM.StartupBudget < need {
			r.warn("vllm.startupBudget", c.VLLM.StartupBudget,
				fmt.Sprintf("the %.0f GiB of %s take about %s to download at 100 MB/s and to load; "+
					"a replica that is not ready in time is killed and starts over", files, c.Model.ID, need),
				fmt.Sprintf("set it to %s or more", need))
		}
	}
	notice, drain := c.cloud().SpotNotice, c.VLLM.PreStop+c.VLLM.ShutdownTimeout
	if c.createsGPUPool() && c.NodePools.GPU.Spot && drain > notice {
		r.warn("nodePools.gpu.spot", true,
			fmt.Sprintf("when the cloud takes a machine back its pods have %s, so requests that take longer are cut off, "+
				"whatever vllm.preStop (%s) and vllm.shutdownTimeout (%s) allow",
				notice, c.VLLM.PreStop, c.VLLM.ShutdownTimeout),
			"see that clients retry, and lower both to what fits if requests are short")
	}
}

// warnOfAccess warns of a server that no client reaches, or that everybody does.
func (c *Config) warnOfAccess(r *report) {
	v := c.VLLM
	if len(v.ClientNamespaces) == 0 && len(v.ClientCIDRs) == 0 && !c.Exposed() {
		r.warn("vllm.clientNamespaces", "",
			fmt.Sprintf("no client is named, so only pods of namespace %s may call the API, where the cluster enforces network policies", c.Namespaces.Serving),
			fmt.Sprintf(`name the namespaces of your clients ("*" is every one), or %s if these suffice; `+
				"name networks outside the cluster, such as those of a load balancer, in vllm.clientCidrs", c.Namespaces.Serving))
	}
	for _, cidr := range v.ClientCIDRs {
		if strings.HasSuffix(cidr, "/0") && !c.APIKey.Given() {
			r.warn("vllm.clientCidrs", cidr, "everybody who has a route to the server may use its GPUs: it asks for no key",
				"pulumi config set --secret "+r.full("apiKey")+", or name the networks of your clients")
		}
	}
}

// shortestStart returns the shortest time in which a new replica becomes ready.
func (c *Config) shortestStart() time.Duration {
	if c.GPU.Mode != GPUNvidia {
		return 0
	}
	start := serverStart
	if files := c.filesGiB(); c.Model.Source == SourceBucket {
		start += seconds(files * sizing.GiB / 1e9 / streamRate)
	} else {
		start += seconds(files / loadRateGiB)
	}
	if perNode, _ := c.replicasPerNode(); c.createsGPUPool() && perNode > 0 && c.NodePools.GPU.MinNodes*perNode < c.Autoscaling.MaxReplicas {
		start += nodeStart
	}
	return start.Round(time.Second)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
