package gke

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"

	"vllm-autoscaling/providers"
)

// minManagedDCGM is the first version whose GPU exporter GKE manages.
const minManagedDCGM = "1.30.1-gke.1204000"

// attached is what the pipeline needs to know about an existing cluster.
type attached struct {
	id, endpoint, caCertificate string
	// accelerator and tolerations belong to the cluster's own GPU nodes; empty with a pool of ours.
	accelerator string
	tolerations []providers.Toleration
}

// attach looks an existing cluster up and checks that the pipeline can run there. The look-up returns at once
// instead of as an output, so that a cluster that lacks something stops the program before any
// resource in the cloud is registered.
func (b *builder) attach() (*attached, error) {
	a := b.args
	found, err := container.LookupCluster(b.ctx, &container.LookupClusterArgs{
		Name: a.Existing, Location: &a.Location, Project: &a.Project,
	}, b.invokeOptions()...)
	if err != nil {
		return nil, fmt.Errorf("looking up GKE cluster %q in %s of project %s (`gcloud container clusters list --project %s` shows what there is): %w",
			a.Existing, a.Location, a.Project, a.Project, err)
	}
	out := &attached{id: found.Id, endpoint: found.Endpoint}
	if len(found.MasterAuths) > 0 {
		out.caCertificate = found.MasterAuths[0].ClusterCaCertificate
	}
	if err := a.checkExisting(found, out); err != nil {
		return nil, fmt.Errorf("cannot attach to GKE cluster %q: %w", a.Existing, err)
	}
	if warning := a.networkPolicyWarning(found); warning != "" {
		return out, b.ctx.Log.Warn(warning, nil)
	}
	return out, nil
}

// checkExisting reports everything that the cluster lacks, each with the setting to change.
func (a *Args) checkExisting(found *container.LookupClusterResult, out *attached) error {
	if found.EnableAutopilot {
		// Nothing else matters then.
		return errors.New("it is an Autopilot cluster, which denies what the pipeline needs (node-exporter's host paths, Services in kube-system, " +
			"GPU node pools of one's own): attach to a Standard cluster, or remove cluster.existing to have one created")
	}
	var p providers.Lacks
	if out.endpoint == "" || out.caCertificate == "" {
		p.Add("it has no endpoint or no CA certificate yet: wait until `gcloud container clusters describe` shows RUNNING")
	}
	update := a.updateCommand()
	if !atLeast(found.MasterVersion, minManagedDCGM) {
		p.Add("its version %s has no managed GPU exporter (at least %s): upgrade it", found.MasterVersion, minManagedDCGM)
	}
	var components []string
	if len(found.MonitoringConfigs) > 0 {
		components = found.MonitoringConfigs[0].EnableComponents
	}
	if missing := without(monitoringComponents, components); len(missing) > 0 {
		p.Add("its monitoring component %s is off, so that there are no GPU metrics: run `%s --monitoring=%s`",
			strings.Join(missing, " and "), update, strings.Join(gcloudComponents(slices.Concat(missing, components)), ","))
	}
	if a.MetricsReader != nil && !slices.ContainsFunc(found.MonitoringConfigs, managedCollection) {
		p.Add("its managed collection for Prometheus is off, so that nothing would collect the metrics: run `%s --enable-managed-prometheus`", update)
	}
	if a.GPUPool == nil {
		a.chooseExistingGPU(&p, found.NodePools, out)
		if a.MetricsReader == nil && !a.CreatesGPUPools() {
			return p.Err()
		}
	}
	if len(found.WorkloadIdentityConfigs) == 0 || found.WorkloadIdentityConfigs[0].WorkloadPool == "" {
		p.Add("its workload identity is off, without which pods use the nodes' credentials: run `%s --workload-pool=%s.svc.id.goog`",
			update, a.Project)
	}
	if a.CreatesGPUPools() && found.NetworkingMode == "ROUTES" {
		p.Add("its networking mode is ROUTES, which takes no nodes without a public address: attach to a VPC-native cluster")
	}
	return p.Err()
}

// updateCommand returns the beginning of gcloud's command that changes the existing cluster.
func (a *Args) updateCommand() string {
	return fmt.Sprintf("gcloud container clusters update %s --project %s --location %s", a.Existing, a.Project, a.Location)
}

// networkPolicyWarning returns the warning about a cluster on which NetworkPolicies have no effect, "" for one with Dataplane V2
// or Calico.
func (a *Args) networkPolicyWarning(found *container.LookupClusterResult) string {
	if found.DatapathProvider == dataplaneV2 ||
		slices.ContainsFunc(found.NetworkPolicies, func(policy container.GetClusterNetworkPolicy) bool { return policy.Enabled }) {
		return ""
	}
	return fmt.Sprintf("GKE cluster %q enforces no NetworkPolicies: every pod in it can call the server, whatever vllm.clientNamespaces allows. "+
		"Only a new cluster can get Dataplane V2; for Calico run `%s --update-addons=NetworkPolicy=ENABLED` and then `%[2]s --enable-network-policy`, "+
		"which recreates its nodes", a.Existing, a.updateCommand())
}

// managedCollection reports whether GKE runs its collectors.
func managedCollection(config container.GetClusterMonitoringConfig) bool {
	return slices.ContainsFunc(config.ManagedPrometheuses, func(m container.GetClusterMonitoringConfigManagedPrometheus) bool { return m.Enabled })
}

// chooseExistingGPU finds the GPU nodes that the cluster already has.
func (a *Args) chooseExistingGPU(p *providers.Lacks, pools []container.GetClusterNodePool, out *attached) {
	usable, driverless := map[string][]container.GetClusterNodePool{}, []string{}
	for _, pool := range pools {
		if len(pool.NodeConfigs) == 0 || len(pool.NodeConfigs[0].GuestAccelerators) == 0 || isOwn(pool) {
			continue
		}
		gpu := pool.NodeConfigs[0].GuestAccelerators[0]
		if a.ExistingAccelerator != "" && gpu.Type != a.ExistingAccelerator || gpu.Count < a.GPUsPerReplica {
			continue
		}
		if !hasManagedDriver(gpu) {
			driverless = append(driverless, pool.Name)
			continue
		}
		usable[gpu.Type] = append(usable[gpu.Type], pool)
	}
	kind := fmt.Sprintf("at least %d GPUs to a node", a.GPUsPerReplica)
	if a.ExistingAccelerator != "" {
		kind = fmt.Sprintf("accelerator %s and %s", a.ExistingAccelerator, kind)
	}
	types := slices.Sorted(maps.Keys(usable))
	switch {
	case len(types) == 1:
		out.accelerator = types[0]
		out.tolerations = tolerationsOf(usable[types[0]])
	case len(types) > 1:
		p.Add("it has several kinds of GPU nodes: set gke.existingAccelerator (one of: %s)", strings.Join(types, ", "))
	case len(driverless) > 0:
		p.Add("GKE does not manage the GPU driver of its node pool %s, without which it exports no GPU metrics: "+
			"recreate the pool with `--accelerator=type=TYPE,count=COUNT,gpu-driver-version=default`, or set nodePools.gpu to have one created",
			strings.Join(driverless, ", "))
	default:
		p.Add("it has no node pool with %s: set nodePools.gpu to have one created", kind)
	}
}

// isOwn reports whether a pool is one server's own, of this stack or another one.
func isOwn(pool container.GetClusterNodePool) bool {
	return slices.ContainsFunc(pool.NodeConfigs[0].Taints, func(t container.GetClusterNodePoolNodeConfigTaint) bool { return t.Key == providers.PoolLabel })
}

// hasManagedDriver reports whether GKE installs the driver of a pool's GPUs.
func hasManagedDriver(gpu container.GetClusterNodePoolNodeConfigGuestAccelerator) bool {
	return slices.ContainsFunc(gpu.GpuDriverInstallationConfigs,
		func(c container.GetClusterNodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfig) bool {
			return c.GpuDriverVersion == DriverDefault || c.GpuDriverVersion == DriverLatest
		})
}

// tolerationsOf lets pods onto pools whatever their taints are; they were chosen for that.
func tolerationsOf(pools []container.GetClusterNodePool) []providers.Toleration {
	effects := map[string]string{"NO_SCHEDULE": "NoSchedule", "PREFER_NO_SCHEDULE": "PreferNoSchedule", "NO_EXECUTE": "NoExecute"}
	var tolerations []providers.Toleration
	for _, pool := range pools {
		for _, taint := range pool.NodeConfigs[0].Taints {
			t := providers.Toleration{Key: taint.Key, Operator: "Equal", Value: taint.Value, Effect: effects[taint.Effect]}
			if taint.Key != gpuResource && !slices.Contains(tolerations, t) {
				tolerations = append(tolerations, t)
			}
		}
	}
	return tolerations
}

// without returns what of wanted is not in have.
func without(wanted, have []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(w string) bool { return slices.Contains(have, w) })
}

// gcloudComponents returns gcloud's names of monitoring components.
func gcloudComponents(components []string) []string {
	names := slices.Clone(components)
	for i, name := range names {
		switch name {
		case "SYSTEM_COMPONENTS":
			names[i] = "SYSTEM"
		case "APISERVER":
			names[i] = "API_SERVER"
		}
	}
	return names
}

var notDigits = func(r rune) bool { return r < '0' || r > '9' }

// atLeast compares GKE versions such as 1.30.1-gke.1204000. What cannot be read counts as new
// enough: a new notation must not lock anyone out.
func atLeast(version, least string) bool {
	have, want := strings.FieldsFunc(version, notDigits), strings.FieldsFunc(least, notDigits)
	for i := range min(len(have), len(want)) {
		h, errHave := strconv.Atoi(have[i])
		w, errWant := strconv.Atoi(want[i])
		if errHave != nil || errWant != nil || h != w {
			return errHave != nil || errWant != nil || h > w
		}
	}
	return true
}
