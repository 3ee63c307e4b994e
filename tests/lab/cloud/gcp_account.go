package cloud

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// gcpServices are the APIs of the simulated project.
var gcpServices = []string{"artifactregistry", "cloudresourcemanager", "compute", "container", "containerfilesystem", "iam", "logging", "monitoring"}

// gcpZoned is the filter of a list of what zones have.
var gcpZoned = regexp.MustCompile(`^name=\(?([a-z0-9 -]+)\)? AND zone~([a-z0-9-]+)-\[a-z\]\$$`)

// gcpAnswers are the answers of gcloud: a project that has everything, and what stacks have created in it.
var gcpAnswers = answers{
	"services list": func(*Cloud, question) (any, error) {
		list := []any{}
		for _, name := range gcpServices {
			list = append(list, map[string]any{"config": map[string]any{"name": name + ".googleapis.com"}, "state": "ENABLED"})
		}
		return list, nil
	},
	"billing projects describe": func(_ *Cloud, q question) (any, error) {
		return map[string]any{"billingEnabled": true, "projectId": q.operand()}, nil
	},
	"compute regions describe": func(_ *Cloud, q question) (any, error) {
		quotas := gcpQuotas("CPUS", "N2_CPUS", "N2D_CPUS", "C2_CPUS", "C3_CPUS")
		for _, gpu := range []string{"L4", "A100", "A100_80GB", "H100", "T4", "V100"} {
			quotas = append(quotas, gcpQuotas("NVIDIA_"+gpu+"_GPUS", "PREEMPTIBLE_NVIDIA_"+gpu+"_GPUS")...)
		}
		return map[string]any{"name": q.operand(), "quotas": quotas}, nil
	},
	"compute project-info describe": func(_ *Cloud, q question) (any, error) {
		return map[string]any{"name": q.flag("--project"), "quotas": gcpQuotas("GPUS_ALL_REGIONS", "CPUS_ALL_REGIONS")}, nil
	},
	"compute machine-types list": func(_ *Cloud, q question) (any, error) {
		return gcpInZones(q, func(name string) map[string]any {
			cpus, memory := gceMachineSize(name)
			return map[string]any{"guestCpus": cpus, "memoryMb": memory << 10}
		})
	},
	"compute accelerator-types list": func(_ *Cloud, q question) (any, error) {
		return gcpInZones(q, func(string) map[string]any { return map[string]any{"maximumCardsPerInstance": 8} })
	},
	"compute reservations describe": func(c *Cloud, q question) (any, error) {
		r, ok := c.reservations[q.operand()]
		if !ok || r.Zone != q.flag("--zone") {
			return nil, fmt.Errorf("(gcloud.compute.reservations.describe) Could not fetch resource:\n - The resource 'projects/%s/zones/%s/reservations/%s' "+
				"was not found", q.flag("--project"), q.flag("--zone"), q.operand())
		}
		return map[string]any{"name": q.operand(), "status": "READY", "specificReservationRequired": true, "specificReservation": map[string]any{
			"count": strconv.Itoa(r.Machines), "inUseCount": "0", "instanceProperties": map[string]any{"machineType": r.MachineType},
		}}, nil
	},
	"compute networks list": func(c *Cloud, _ question) (any, error) { return c.names(gcpNetwork, "name", "name"), nil },
	"compute networks describe": func(_ *Cloud, q question) (any, error) {
		return map[string]any{"name": q.operand()}, nil // The doubles take any network that is given.
	},
	"compute networks subnets describe": func(_ *Cloud, q question) (any, error) {
		ranges := []any{map[string]any{"rangeName": "pods"}, map[string]any{"rangeName": "services"}}
		return map[string]any{"name": q.operand(), "privateIpGoogleAccess": true, "secondaryIpRanges": ranges}, nil
	},
	"iam service-accounts list": func(c *Cloud, _ question) (any, error) { return c.names(gcpAccount, "email", "email"), nil },
	"container clusters list":   func(c *Cloud, _ question) (any, error) { return c.names(GKECluster, "name", "name"), nil },
	"container get-server-config": func(*Cloud, question) (any, error) {
		channels := []any{}
		for _, channel := range []string{"RAPID", "REGULAR", "STABLE"} {
			channels = append(channels, map[string]any{"channel": channel, "defaultVersion": gkeVersion, "validVersions": []string{gkeVersion}})
		}
		return map[string]any{"channels": channels, "validMasterVersions": []string{gkeVersion}}, nil
	},
}

func gcpQuotas(metrics ...string) []any {
	var quotas []any
	for _, metric := range metrics {
		quotas = append(quotas, map[string]any{"metric": metric, "limit": float64(plenty), "usage": 0.0})
	}
	return quotas
}

// gcpInZones returns an entry for each name and zone of a filter.
func gcpInZones(q question, entry func(name string) map[string]any) (any, error) {
	match := gcpZoned.FindStringSubmatch(q.flag("--filter"))
	if match == nil {
		return nil, fmt.Errorf("the lab does not evaluate the filter %q", q.flag("--filter"))
	}
	list := []any{}
	for name := range strings.FieldsSeq(match[1]) {
		for _, letter := range "abcf" {
			e := entry(name)
			e["name"], e["zone"] = name, googleCompute+"projects/p/zones/"+match[2]+"-"+string(letter)
			list = append(list, e)
		}
	}
	return list, nil
}
