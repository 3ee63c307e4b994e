package cloud

import (
	"fmt"
	"strings"
)

// gcpInvokes returns Google Cloud's data sources by token.
func gcpInvokes() map[string]invoke {
	return map[string]invoke{"gcp:projects/getProject:getProject": func(_ *Cloud, _ Settings, args object) (object, error) {
		id, ok := strings.CutPrefix(args.text("filter"), "id:")
		if !ok {
			return nil, fmt.Errorf("filter %q is not simulated", args.text("filter"))
		}
		return object{"id": args.text("filter"), "filter": args.text("filter"), "projects": []any{map[string]any{
			"projectId": id, "number": projectNumber, "name": id, "lifecycleState": "ACTIVE",
		}}}, nil
	}, "gcp:container/getCluster:getCluster": func(c *Cloud, s Settings, args object) (object, error) {
		location := orElse(args.text("location"), s["region"])
		found := c.all(GKECluster, func(r *Resource) bool {
			return named(r, "name") == args.text("name") && r.Region == location && strings.HasPrefix(r.ID, "projects/"+orElse(args.text("project"), s["project"])+"/")
		})
		if len(found) == 0 {
			return nil, fmt.Errorf("projects/%s/locations/%s/clusters/%s not found", orElse(args.text("project"), s["project"]), location, args.text("name"))
		}
		r := found[0]
		out := object(r.Outputs)
		result := object{
			"id": r.ID, "name": out["name"], "location": out["location"], "project": out["project"], "endpoint": out["endpoint"],
			"masterVersion": out["masterVersion"], "network": out["network"], "subnetwork": out["subnetwork"], "selfLink": out["selfLink"],
			"enableAutopilot": out.flag("enableAutopilot"), "networkingMode": orElse(out.text("networkingMode"), "VPC_NATIVE"),
			"datapathProvider":        orElse(out.text("datapathProvider"), "LEGACY_DATAPATH"),
			"networkPolicies":         one(out["networkPolicy"]),
			"masterAuths":             one(out["masterAuth"]),
			"monitoringConfigs":       one(out["monitoringConfig"]),
			"workloadIdentityConfigs": one(out["workloadIdentityConfig"]),
			"releaseChannels":         one(out["releaseChannel"]),
		}
		var pools []any
		for _, p := range c.all(GKENodePool, func(p *Resource) bool { return strings.HasPrefix(p.ID, r.ID+"/") }) {
			config := object(object(p.Outputs).objectAt("nodeConfig"))
			var accelerators []any
			for _, gpu := range config.objects("guestAccelerators") {
				accelerators = append(accelerators, map[string]any{
					"type": gpu["type"], "count": gpu["count"], "gpuPartitionSize": "",
					"gpuDriverInstallationConfigs": one(gpu["gpuDriverInstallationConfig"]),
				})
			}
			pools = append(pools, map[string]any{"name": named(p, "name"), "nodeConfigs": []any{map[string]any{
				"machineType": config["machineType"], "labels": config["labels"], "taints": orEmpty(config["taints"]), "spot": config.flag("spot"),
				"guestAccelerators": orEmpty(accelerators),
			}}})
		}
		result["nodePools"] = orEmpty(pools)
		return result, nil
	}}
}
