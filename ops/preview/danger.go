package preview

import (
	"strings"

	"vllm-autoscaling/ops/preview/plan"
)

// Kinds of losses, worst first.
const (
	cluster   = "cluster"
	namespace = "namespace"
	data      = "volumes"
	nodePool  = "node pool"
	keys      = "encryption key"
	group     = "resource group"
)

var dangerWeight = map[string]int{group: 0, cluster: 1, namespace: 2, data: 3, keys: 4, nodePool: 5}

var losses = map[string]string{
	group:     "everything in it, the cluster among it",
	cluster:   "everything that runs in it, with its volumes",
	namespace: "every object in it, volume claims and their disks too",
	data:      "the data on them",
	nodePool:  "its nodes: every pod on them stops, and GPU nodes may not come back when the cloud has none left",
	keys:      "what was encrypted with it cannot be read any more",
}

// dangerous lists the types whose loss includes other things, by the name after the last colon.
var dangerous = map[string]map[string]string{
	"gcp": {"Cluster": cluster, "NodePool": nodePool, "Disk": data, "RegionDisk": data, "CryptoKey": keys, "Bucket": data},
	"aws": {
		"Cluster": cluster, "NodeGroup": nodePool, "Key": keys, "Volume": data, "FileSystem": data, "Bucket": data, "BucketV2": data,
	},
	"azure-native": {
		"ManagedCluster": cluster, "AgentPool": nodePool, "ResourceGroup": group, "Disk": data, "StorageAccount": data, "Key": keys,
	},
	"kubernetes": {"Namespace": namespace, "PersistentVolumeClaim": data, "PersistentVolume": data},
}

// danger reports whether a step loses more than the resource itself, and what.
func danger(s plan.Step, c Change) (Danger, bool) {
	if s.Op != plan.OpReplace && s.Op != plan.OpDelete {
		return Danger{}, false
	}
	what := kindOf(s)
	if what == "" {
		return Danger{}, false
	}
	d := Danger{What: what, Op: s.Op, Type: s.Type, Name: s.Name, Loses: losses[what]}
	for _, p := range c.Properties {
		if p.Forces {
			d.Causes = append(d.Causes, p)
		}
	}
	return d, true
}

func kindOf(s plan.Step) string {
	provider, _, _ := strings.Cut(s.Type, ":")
	name := s.Type[strings.LastIndex(s.Type, ":")+1:]
	if what := dangerous[provider][name]; what != "" {
		return what
	}
	if name == "Release" && provider == "kubernetes" && s.Old != nil && holdsVolume(s.Old.Inputs["values"]) {
		return data
	}
	return ""
}

// holdsVolume reports whether the values of a chart request a volume: it belongs to the chart's objects.
func holdsVolume(values any) bool {
	object, ok := values.(map[string]any)
	if !ok {
		return false
	}
	for key, value := range object {
		below, isObject := value.(map[string]any)
		switch {
		case key == "volumeClaimTemplate" && isObject && len(below) > 0:
			return true
		case key == "persistence" && isObject && below["enabled"] == true:
			return true
		case holdsVolume(value):
			return true
		}
	}
	return false
}
