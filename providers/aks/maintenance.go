package aks

import (
	"fmt"

	containerservice "github.com/pulumi/pulumi-azure-native-sdk/containerservice/v2/v20240901"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// newMaintenanceWindows registers the window of the automatic upgrades: that of the cluster (aks.upgradeChannel) and that of the
// nodes' images (aks.nodeOSUpgradeChannel). Azure knows them by fixed names.
func (b *builder) newMaintenanceWindows(plane *controlPlane) error {
	window := b.args.MaintenanceWindow
	if window.Day == "" {
		return nil
	}
	for name, configName := range map[string]string{
		b.name + "-upgrades":    "aksManagedAutoUpgradeSchedule",
		b.name + "-node-images": "aksManagedNodeOSUpgradeSchedule",
	} {
		_, err := containerservice.NewMaintenanceConfiguration(b.ctx, name, &containerservice.MaintenanceConfigurationArgs{
			ResourceGroupName: plane.resourceGroup,
			ResourceName:      plane.name,
			ConfigName:        pulumi.String(configName),
			MaintenanceWindow: containerservice.MaintenanceWindowArgs{
				Schedule: containerservice.ScheduleArgs{
					Weekly: containerservice.WeeklyScheduleArgs{DayOfWeek: pulumi.String(window.Day), IntervalWeeks: pulumi.Int(1)},
				},
				StartTime:     pulumi.String(window.Start),
				DurationHours: pulumi.Int(window.Hours),
				UtcOffset:     pulumi.String(window.UTCOffset),
			},
		}, b.options(pulumi.DeleteBeforeReplace(true))...)
		if err != nil {
			return fmt.Errorf("registering the maintenance window %s of AKS cluster %q: %w", configName, b.args.Name, err)
		}
	}
	return nil
}
