package cost

import (
	"cmp"
	"fmt"

	"vllm-autoscaling/components"
	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/providers"
)

// server is a Deployment with its autoscaler.
type server struct {
	// low and high are the autoscaler's numbers of replicas.
	low, high int
	// gpus is the number of GPUs of a replica; 0 without a Deployment in the preview.
	gpus int
	// own is the value of the label of the server's own pool; "" on the pool that servers share.
	own string
	// spare is the number of nodes that are kept for further replicas, of a Deployment without an autoscaler.
	spare int
}

// serversOf returns the servers with an autoscaler, and the Deployments of spare nodes.
func serversOf(resources []plan.Resource) []server {
	deployments := map[string]plan.Resource{}
	for _, r := range resources {
		if r.Type == typeDeployment {
			deployments[cmp.Or(r.Text("metadata.name"), r.Name)] = r
		}
	}
	var all []server
	for _, r := range resources {
		if r.Type != typeHPA {
			continue
		}
		low, _ := r.Number("spec.minReplicas")
		high, _ := r.Number("spec.maxReplicas")
		s := server{low: max(1, int(low)), high: int(high)}
		if deployment, found := deployments[cmp.Or(r.Text("spec.scaleTargetRef.name"), r.Name)]; found {
			s.gpus = gpus(deployment)
			s.own = poolOf(deployment)
		}
		all = append(all, s)
	}
	for _, deployment := range deployments {
		if deployment.Text(`metadata.labels["`+components.SpareComponentLabel+`"]`) == components.SpareComponent {
			nodes, _ := deployment.Number("spec.replicas")
			all = append(all, server{spare: int(nodes), own: poolOf(deployment)})
		}
	}
	return all
}

// poolOf returns the value of the label of the nodes that the pods of a Deployment run on, where they are those of a server's own pool.
func poolOf(deployment plan.Resource) string {
	return deployment.Text(`spec.template.spec.nodeSelector["` + providers.PoolLabel + `"]`)
}

// gpus returns how many GPUs a pod of a Deployment requests.
func gpus(r plan.Resource) int {
	total := 0
	for i := range r.List("spec.template.spec.containers") {
		n, _ := r.Number(fmt.Sprintf(`spec.template.spec.containers[%d].resources.limits["%s"]`, i, gpuResourceName))
		total += int(n)
	}
	return total
}

// fit limits the nodes of a GPU pool to what the replicas on it need, and the spare nodes. Without servers with GPUs and autoscalers in the preview,
// and for replicas that no node could run, the pool's own limits apply.
func (i Item) fit(all []server) Item {
	perNode := i.gpusPerNode()
	low, high := map[int]int{}, map[int]int{}
	known, spare := false, 0
	for _, s := range all {
		if s.own == i.own {
			spare += s.spare
		}
		if s.gpus == 0 || s.high == 0 {
			continue
		}
		known = true
		if s.own != i.own {
			continue
		}
		if perNode < s.gpus {
			return i
		}
		low[s.gpus] += s.low
		high[s.gpus] += s.high
	}
	if !known {
		return i
	}
	nodes := func(replicas map[int]int) int {
		needed := spare
		for gpus, n := range replicas {
			perNode := perNode / gpus
			needed += (n + perNode - 1) / perNode
		}
		return min(i.Limit, max(i.Min, needed))
	}
	i.Min, i.Max = nodes(low), nodes(high)
	return i
}

// ownPool returns the value of the label of a server's own pool, given the path of the nodes' labels; "" for any other pool.
func ownPool(r plan.Resource, labels string) string {
	return r.Text(labels + `["` + providers.PoolLabel + `"]`)
}
