package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// gcpContainerKinds lists the simulated resource types of Google Kubernetes Engine.
func gcpContainerKinds() []*kind {
	return []*kind{gkeClusterKind(), gkeNodePoolKind()}
}

func gkeClusterKind() *kind {
	return &kind{
		token: GKECluster, name: "name", slow: true,
		replace: []string{"name", "location", "project", "network", "subnetwork", "initialNodeCount", "nodeConfig", "nodePools",
			"ipAllocationPolicy", "networkingMode", "datapathProvider", "enableAutopilot", "enableShieldedNodes",
			"privateClusterConfig.enablePrivateNodes", "privateClusterConfig.masterIpv4CidrBlock"},
		// The provider's default of it is false, which it can only reach by a replacement where GKE reports true.
		drifts: []string{"enableL4IlbSubsetting"}, kept: []string{"enableL4IlbSubsetting"},
		computed: []string{"endpoint", "masterAuth", "masterVersion", "selfLink", "operation", "labelFingerprint"},
		validate: func(in object) []string {
			return slices.Concat(
				oneOf(in, "releaseChannel.channel", "UNSPECIFIED", "RAPID", "REGULAR", "STABLE"),
				oneOf(in, "datapathProvider", "DATAPATH_PROVIDER_UNSPECIFIED", "LEGACY_DATAPATH", "ADVANCED_DATAPATH"),
				oneOf(in, "networkingMode", "VPC_NATIVE", "ROUTES"),
				oneOf(in, "clusterAutoscaling.autoscalingProfile", "BALANCED", "OPTIMIZE_UTILIZATION"),
				eachOneOf(in, "monitoringConfig.enableComponents", "SYSTEM_COMPONENTS", "APISERVER", "SCHEDULER", "CONTROLLER_MANAGER",
					"STORAGE", "HPA", "POD", "DAEMONSET", "DEPLOYMENT", "STATEFULSET", "KUBELET", "CADVISOR", "DCGM", "WORKLOADS"),
				cidrs(in.texts("masterAuthorizedNetworksConfig.cidrBlocks.cidrBlock")), maintenance(in))
		},
		references: []reference{
			{path: "network", token: gcpNetwork, by: gcpLinks},
			{path: "subnetwork", token: gcpSubnetwork, by: gcpLinks},
			{path: "nodeConfig.serviceAccount", token: gcpAccount, by: []string{"email"}, then: stays},
		},
		create:       createGKECluster,
		settle:       func(ctx context.Context, c *Cloud, r *Resource) error { return c.settleGKECluster(ctx, r) },
		refuseDelete: refuseDeleteGKECluster,
		vanish:       func(ctx context.Context, c *Cloud, r *Resource) error { return c.closeGate(ctx, r.ID) },
	}
}

func createGKECluster(c *Cloud, r *Resource, s Settings) error {
	in := object(r.Inputs)
	project, location := orElse(in.text("project"), s["project"]), orElse(in.text("location"), orElse(s["zone"], s["region"]))
	if project == "" || location == "" {
		return errors.New("googleapi: Error 400: project and location are required")
	}
	if !in.flag("enableAutopilot") && in.number("initialNodeCount") < 1 && len(in.list("nodePools")) == 0 {
		return errors.New(`googleapi: Error 400: Cluster.initial_node_count must be greater than zero`)
	}
	if in.flag("privateClusterConfig.enablePrivateNodes") && in.text("networkingMode") == "ROUTES" {
		return errors.New("googleapi: Error 400: private nodes need a VPC-native cluster")
	}
	for _, name := range []string{"clusterSecondaryRangeName", "servicesSecondaryRangeName"} {
		wanted := in.text("ipAllocationPolicy." + name)
		subnet := c.findBy(gcpSubnetwork, []string{"selfLink", "name"}, in.text("subnetwork"))
		if wanted != "" && (subnet == nil || !slices.Contains(object(subnet.Inputs).texts("secondaryIpRanges.rangeName"), wanted)) {
			return fmt.Errorf("googleapi: Error 400: secondary range %q does not exist in the subnetwork", wanted)
		}
	}
	r.Region = location
	r.ID = fmt.Sprintf("projects/%s/locations/%s/clusters/%s", project, location, in.text("name"))
	if c.find(GKECluster, "", r.ID) != nil {
		return fmt.Errorf("googleapi: Error 409: Already exists: %s., alreadyExists", r.ID)
	}
	g, err := c.openGate(r.ID)
	if err != nil {
		return err
	}
	r.Outputs["project"], r.Outputs["location"] = project, location
	r.Outputs["selfLink"] = "https://container.googleapis.com/v1/" + r.ID
	// GKE's endpoint is an address without a scheme.
	r.Outputs["endpoint"] = g.address
	r.Outputs["masterAuth"] = map[string]any{"clusterCaCertificate": c.authority()}
	r.Outputs["masterVersion"] = orElse(in.text("minMasterVersion"), gkeVersion)
	// GKE switches it on by itself.
	r.Outputs["enableL4IlbSubsetting"] = true
	return nil
}

// settleGKECluster installs what GKE runs in a cluster.
func (c *Cloud) settleGKECluster(ctx context.Context, r *Resource) error {
	if err := c.installStorage(ctx, r); err != nil {
		return err
	}
	if object(r.Inputs).flag("monitoringConfig.managedPrometheus.enabled") && c.monitoring != nil {
		if err := c.installManagedCollection(ctx); err != nil {
			return err
		}
	}
	components := object(r.Inputs).texts("monitoringConfig.enableComponents")
	if slices.Contains(components, "DCGM") && slices.Contains(components, "SYSTEM_COMPONENTS") {
		return c.installManagedExporter(ctx)
	}
	return nil
}

func refuseDeleteGKECluster(_ *Cloud, r *Resource) error {
	in := object(r.Inputs)
	// The provider's default is true.
	if protection, given := in["deletionProtection"]; !given || protection == true {
		//nolint:staticcheck // the provider's words
		return errors.New("Cannot destroy cluster because deletion_protection is set to true. " +
			"Set it to false to proceed with cluster deletion")
	}
	return nil
}

// Unprotect removes the deletion protection of a GKE cluster.
func (c *Cloud) Unprotect(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.find(GKECluster, "", id)
	if r == nil {
		return fmt.Errorf("cloud: no cluster %s", id)
	}
	r.Inputs = maps.Clone(r.Inputs)
	r.Inputs["deletionProtection"] = false
	return nil
}

// maintenance lists what the provider, and GKE after it, refuse in a maintenance policy.
func maintenance(in object) []string {
	policy := object(in.objectAt("maintenancePolicy"))
	if len(policy) == 0 {
		return nil
	}
	var wrong []string
	window := object(policy.objectAt("recurringWindow"))
	if len(window) == 0 && !policy.has("dailyMaintenanceWindow") {
		wrong = append(wrong, "one of `maintenance_policy.0.daily_maintenance_window,maintenance_policy.0.recurring_window` must be specified")
	}
	spans := policy.objects("maintenanceExclusions")
	if len(window) > 0 {
		spans = append(spans, window)
	}
	for _, span := range spans {
		start, err := time.Parse(time.RFC3339, span.text("startTime"))
		end, errEnd := time.Parse(time.RFC3339, span.text("endTime"))
		if err != nil || errEnd != nil || !end.After(start) {
			wrong = append(wrong, fmt.Sprintf("maintenance from %q to %q: expected two times of RFC 3339, the earlier one first",
				span.text("startTime"), span.text("endTime")))
		}
	}
	if text := window.text("recurrence"); len(window) > 0 && !strings.HasPrefix(text, "FREQ=") {
		wrong = append(wrong, fmt.Sprintf("recurrence %q is no RFC 5545 RRULE", text))
	}
	for _, exclusion := range policy.objects("maintenanceExclusions") {
		wrong = append(wrong, oneOf(exclusion, "exclusionOptions.scope", "NO_UPGRADES", "NO_MINOR_UPGRADES", "NO_MINOR_OR_NODE_UPGRADES")...)
	}
	return wrong
}
