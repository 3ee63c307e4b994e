package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// gkeGPUMetrics are the names of GPU quotas by GKE's accelerator type; PREEMPTIBLE_ is put before those of spot machines.
// Newer GPUs have quotas that gcloud compute does not list.
var gkeGPUMetrics = map[string]string{
	"nvidia-l4": "NVIDIA_L4_GPUS", "nvidia-tesla-t4": "NVIDIA_T4_GPUS", "nvidia-tesla-v100": "NVIDIA_V100_GPUS",
	"nvidia-tesla-p4": "NVIDIA_P4_GPUS", "nvidia-tesla-p100": "NVIDIA_P100_GPUS",
	"nvidia-tesla-a100": "NVIDIA_A100_GPUS", "nvidia-a100-80gb": "NVIDIA_A100_80GB_GPUS", "nvidia-h100-80gb": "NVIDIA_H100_GPUS",
}

// gkeCPUMetrics are the names of CPU quotas by machine family (https://cloud.google.com/compute/resource-usage). A GPU family
// is limited by its GPUs.
var gkeCPUMetrics = map[string]string{
	"e2": "CPUS", "n1": "CPUS", "n2": "N2_CPUS", "n2d": "N2D_CPUS", "c2": "C2_CPUS", "c2d": "C2D_CPUS", "c3": "C3_CPUS", "t2d": "T2D_CPUS",
}

// gkePreemptible is the prefix of the quotas of spot machines.
const gkePreemptible = "PREEMPTIBLE_"

// gkeQuota is an entry of gcloud's quotas.
type gkeQuota struct {
	Metric string `json:"metric"`
	Limit  number `json:"limit"`
	Usage  number `json:"usage"`
}

// gkeQuotas are the quotas of a region, or of the whole project.
type gkeQuotas struct {
	Quotas []gkeQuota `json:"quotas"`
}

func (q gkeQuotas) find(metric string) (gkeQuota, bool) {
	i := slices.IndexFunc(q.Quotas, func(q gkeQuota) bool { return q.Metric == metric })
	if i < 0 {
		return gkeQuota{}, false
	}
	return q.Quotas[i], true
}

func (g *gkePlan) regional(ctx context.Context, c *cli) (gkeQuotas, error) {
	var q gkeQuotas
	err := c.read(ctx, &q, g.gcloud("compute", "regions", "describe", g.region)...)
	return q, err
}

func (g *gkePlan) global(ctx context.Context, c *cli) (gkeQuotas, error) {
	var q gkeQuotas
	err := c.read(ctx, &q, g.gcloud("compute", "project-info", "describe")...)
	return q, err
}

// raise returns the command that asks for a higher quota.
func (g *gkePlan) raise(metric, region string) func(int) string {
	id := strings.ReplaceAll(metric, "_", "-") + "-per-project"
	dimension := ""
	if region != "" {
		id += "-region"
		dimension = " --dimensions=region=" + region
	}
	return func(value int) string {
		return fmt.Sprintf("gcloud beta quotas preferences create --service=compute.googleapis.com --project=%s --quota-id=%s%s --preferred-value=%d",
			g.project, id, dimension, value)
	}
}

// gkeNodes returns how many nodes a pool needs at first, at least one, and at its maximum.
func gkeNodes(r planned) (first, most int) {
	most = count(r.Resource, "autoscaling.totalMaxNodeCount")
	return min(max(1, count(r.Resource, "autoscaling.totalMinNodeCount")), max(1, most)), most
}

// gkeGPU returns the accelerator of a pool and how many of it a node has; "" for a pool without.
func gkeGPU(r planned) (accelerator string, each int) {
	return known(r.Resource, "nodeConfig.guestAccelerators[0].type"), count(r.Resource, "nodeConfig.guestAccelerators[0].count")
}

// gpuKind is what a quota of a region counts: a GPU, on spot machines or on demand.
type gpuKind struct {
	accelerator string
	spot        bool
}

// gpuQuota compares the pools' GPUs with the region's quota and with that of all regions.
func (g *gkePlan) gpuQuota(ctx context.Context, c *cli) []Check {
	needs, total := map[gpuKind]*need{}, need{unit: "GPUs"}
	var kinds []gpuKind
	onDemand := false
	for _, pool := range g.pools {
		accelerator, each := gkeGPU(pool)
		if accelerator == "" {
			continue
		}
		first, most := gkeNodes(pool)
		kind := gpuKind{accelerator, pool.Bool("nodeConfig.spot")}
		if needs[kind] == nil {
			needs[kind] = &need{unit: "GPUs"}
			kinds = append(kinds, kind)
		}
		needs[kind].add(first*each, most*each, !pool.created())
		total.add(first*each, most*each, !pool.created())
		onDemand = onDemand || !kind.spot
	}
	if len(kinds) == 0 {
		return nil
	}
	quotas, err := g.regional(ctx, c)
	var checks []Check
	for _, kind := range kinds {
		checks = append(checks, g.acceleratorQuota(kind.accelerator, kind.spot, *needs[kind], quotas, err))
	}
	const all = "GPUS_ALL_REGIONS"
	asked := all + " of project " + g.project
	everywhere, err := g.global(ctx, c)
	quota, listed := everywhere.find(all)
	switch {
	case err != nil:
		checks = append(checks, unknown(asked, err))
	case !listed:
		checks = append(checks, unknown(asked, errors.New("gcloud lists no such quota")))
	default:
		check := total.against(asked, float64(quota.Limit), float64(quota.Usage), g.raise(all, ""))
		if check.Outcome == Failed && !onDemand {
			// Google's pages do not say whether spot machines count here.
			check.Outcome = Warning
		}
		checks = append(checks, check)
	}
	return checks
}

// acceleratorQuota compares a need with the region's quota of one accelerator.
func (g *gkePlan) acceleratorQuota(accelerator string, spot bool, n need, quotas gkeQuotas, err error) Check {
	metric := gkeGPUMetrics[accelerator]
	if metric == "" {
		return unknown("quota of "+accelerator, errors.New("gcloud compute lists none for this GPU: see GPUS_PER_GPU_FAMILY on the console's page of quotas"))
	}
	own := metric
	if spot {
		own = gkePreemptible + metric
		// Spot machines use the quota on demand as long as the project has none for them.
		if q, ok := quotas.find(own); err != nil || ok && q.Limit > 0 {
			metric = own
		}
	}
	asked := fmt.Sprintf("%s in %s", metric, g.region)
	quota, listed := quotas.find(metric)
	switch {
	case err != nil:
		return unknown(asked, err)
	case !listed:
		return unknown(asked, errors.New("gcloud compute lists no such quota: see the console's page of quotas"))
	}
	return n.against(asked, float64(quota.Limit), float64(quota.Usage), g.raise(own, g.region))
}

// gkeMachine is an entry of gcloud's list of machine types.
type gkeMachine struct {
	Name      string `json:"name"`
	Zone      string `json:"zone"`
	GuestCPUs int    `json:"guestCpus"`
}

// machines returns the pools' machine types in the region's zones.
func (g *gkePlan) machines(ctx context.Context, c *cli) ([]gkeMachine, error) {
	var names []string
	for _, pool := range g.pools {
		names = append(names, known(pool.Resource, "nodeConfig.machineType"))
	}
	var all []gkeMachine
	err := c.read(ctx, &all, g.gcloud("compute", "machine-types", "list",
		"--filter", fmt.Sprintf("name=(%s) AND zone~%s-[a-z]$", strings.Join(unique(names), " "), g.region))...)
	return all, err
}

// zones returns the zones that a pool has to use; none if GKE chooses them in the region.
func (g *gkePlan) zones(pool planned) []string {
	if zones := knownList(pool.Resource, "nodeLocations"); len(zones) > 0 {
		return zones
	}
	if g.location != g.region {
		return []string{g.location}
	}
	return nil
}

// machineTypes checks that the zones have the pools' machine types and accelerators.
func (g *gkePlan) machineTypes(ctx context.Context, c *cli) []Check {
	machines, err := g.machines(ctx, c)
	var checks []Check
	for _, pool := range g.pools {
		machineType := known(pool.Resource, "nodeConfig.machineType")
		var at []string
		for _, m := range machines {
			if m.Name == machineType {
				at = append(at, lastPart(m.Zone))
			}
		}
		checks = append(checks, g.offered("machine type "+machineType, pool, at, err,
			fmt.Sprintf("choose zones of `gcloud compute machine-types list --filter=name=%s --project %s`", machineType, g.project)))
		accelerator, _ := gkeGPU(pool)
		if accelerator == "" {
			continue
		}
		var accelerators []struct {
			Zone string `json:"zone"`
		}
		acceleratorErr := c.read(ctx, &accelerators, g.gcloud("compute", "accelerator-types", "list",
			"--filter", fmt.Sprintf("name=%s AND zone~%s-[a-z]$", accelerator, g.region))...)
		at = nil
		for _, a := range accelerators {
			at = append(at, lastPart(a.Zone))
		}
		checks = append(checks, g.offered("accelerator "+accelerator, pool, at, acceleratorErr,
			fmt.Sprintf("choose zones of `gcloud compute accelerator-types list --filter=name=%s --project %s`", accelerator, g.project)))
	}
	return slices.CompactFunc(checks, func(a, b Check) bool { return a == b })
}

// offered compares the zones that have something with those of a pool.
func (g *gkePlan) offered(what string, pool planned, at []string, err error, fix string) Check {
	zones := g.zones(pool)
	asked := fmt.Sprintf("%s in %s", what, strings.Join(zones, ", "))
	if len(zones) == 0 {
		asked = fmt.Sprintf("%s in %s", what, g.region)
	}
	if err != nil {
		return unknown(asked, err)
	}
	at = unique(at)
	without := slices.DeleteFunc(slices.Clone(zones), func(zone string) bool { return slices.Contains(at, zone) })
	switch {
	case len(at) == 0:
		return failed(asked, "no zone of the region has it", fix)
	case len(without) > 0:
		return failed(asked, fmt.Sprintf("%s does not have it; %s does", strings.Join(without, ", "), strings.Join(at, ", ")), fix)
	case len(zones) == 0 && len(at) < 3:
		return warning(asked, fmt.Sprintf("only %s has it, and GKE chooses the zones of the pool", strings.Join(at, ", ")), "name them in the pool's zones, "+
			"under nodePools")
	}
	return passed(asked, "offered")
}

// cpuQuota compares the pools' CPUs with the region's quota of each machine family and with that of all regions.
func (g *gkePlan) cpuQuota(ctx context.Context, c *cli) []Check {
	machines, err := g.machines(ctx, c)
	if err != nil {
		return []Check{unknown("CPUs of the pools' machine types", err)}
	}
	total, needs := need{unit: "CPUs"}, map[string]*need{}
	var metrics []string
	for _, pool := range g.pools {
		machineType := known(pool.Resource, "nodeConfig.machineType")
		i := slices.IndexFunc(machines, func(m gkeMachine) bool { return m.Name == machineType })
		if i < 0 {
			continue // The machine type is reported on its own.
		}
		first, most := gkeNodes(pool)
		cpus := machines[i].GuestCPUs
		total.add(first*cpus, most*cpus, !pool.created())
		family, _, _ := strings.Cut(machineType, "-")
		metric := gkeCPUMetrics[family]
		// Spot machines may have a quota of their own; the one on demand is then not theirs.
		if metric == "" || pool.Bool("nodeConfig.spot") {
			continue
		}
		if needs[metric] == nil {
			needs[metric] = &need{unit: "CPUs"}
			metrics = append(metrics, metric)
		}
		needs[metric].add(first*cpus, most*cpus, !pool.created())
	}
	var checks []Check
	regional, err := g.regional(ctx, c)
	for _, metric := range metrics {
		asked := fmt.Sprintf("%s in %s", metric, g.region)
		if quota, ok := regional.find(metric); err != nil {
			checks = append(checks, unknown(asked, err))
		} else if ok {
			checks = append(checks, needs[metric].against(asked, float64(quota.Limit), float64(quota.Usage), g.raise(metric, g.region)))
		}
	}
	const all = "CPUS_ALL_REGIONS"
	everywhere, err := g.global(ctx, c)
	if quota, ok := everywhere.find(all); err == nil && ok && total.all > 0 {
		checks = append(checks, total.against(all+" of project "+g.project, float64(quota.Limit), float64(quota.Usage), g.raise(all, "")))
	}
	return checks
}
