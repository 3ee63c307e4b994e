package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// aksMaintenanceKind describes the windows of a cluster's upgrades. They have one of three names; those of automatic
// upgrades last four hours or more.
func aksMaintenanceKind() *kind {
	names := []string{"default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"}
	check := func(in object) error {
		hours := in.number("maintenanceWindow.durationHours")
		if hours < 4 || hours > 24 {
			return azureError("InvalidParameter", fmt.Sprintf("durationHours %d must be between 4 and 24", hours))
		}
		return nil
	}
	return &kind{
		token: aksMaintenance, name: "configName", replace: []string{"resourceGroupName", "resourceName", "configName"},
		computed: []string{"name", "type", "systemData"},
		references: []reference{
			azureGroupReference,
			{path: "resourceName", token: AKSCluster, by: []string{"name"}, then: follows},
		},
		create: func(c *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			cluster := c.aksClusterOf(r)
			switch {
			case cluster == nil:
				return azureError("ResourceNotFound", fmt.Sprintf("The managed cluster %s was not found in group %s",
					in.text("resourceName"), in.text("resourceGroupName")))
			case !slices.Contains(names, in.text("configName")):
				return azureError("InvalidParameter", fmt.Sprintf("maintenance configuration %q is none of %s", in.text("configName"), strings.Join(names, ", ")))
			}
			r.ID, r.Region = cluster.ID+"/maintenanceConfigurations/"+in.text("configName"), cluster.Region
			r.Outputs["name"] = in.text("configName")
			return check(in)
		},
		update: func(_ *Cloud, r *Resource, _ object) error { return check(object(r.Inputs)) },
	}
}
