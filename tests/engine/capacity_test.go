package engine

import (
	"errors"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
)

// refuseGKEPool returns the reason why GKE refuses a node pool's reservation.
func refuseGKEPool(_ *fakeCloud, in resource.PropertyMap) error {
	const affinity = "nodeConfig.reservationAffinity"
	spot, _ := at(in, "nodeConfig.spot")
	switch {
	case !has(in, affinity):
		return nil
	case text(in, affinity+".key") != "compute.googleapis.com/reservation-name" || firstText(in, affinity+".values") == "":
		return errors.New("SPECIFIC_RESERVATION needs the reservation's name")
	case spot.IsBool() && spot.BoolValue():
		return errors.New("spot VMs cannot consume reservations")
	}
	return nil
}

// refuseNodeGroup returns the reason why EKS refuses the launch template of a node group in a Capacity Block.
func refuseNodeGroup(c *fakeCloud, in resource.PropertyMap) error {
	template := c.inputs[resource.ID(text(in, "launchTemplate.id"))]
	block := text(in, "capacityType") == "CAPACITY_BLOCK"
	switch {
	case has(in, "instanceTypes") == has(template, "instanceType"):
		return errors.New("instance types are stated either in the node group or in its launch template")
	case block != (text(template, "instanceMarketOptions.marketType") == "capacity-block"):
		return errors.New("CAPACITY_BLOCK and the market type capacity-block of the launch template go together")
	case block && text(template, "capacityReservationSpecification.capacityReservationTarget.capacityReservationId") == "":
		return errors.New("CAPACITY_BLOCK needs the id of the block in the launch template")
	case text(in, "capacityType") == "SPOT" && has(template, "capacityReservationSpecification"):
		return errors.New("spot machines cannot target a reservation")
	}
	return nil
}

// refuseAgentPool returns the reason why AKS refuses an agent pool's capacity reservation group.
func refuseAgentPool(c *fakeCloud, in resource.PropertyMap) error {
	if !has(in, "capacityReservationGroupID") {
		return nil
	}
	if text(in, "scaleSetPriority") == "Spot" {
		return errors.New("spot pools have no capacity reservation group")
	}
	cluster := azureID(in) + "/providers/Microsoft.ContainerService/managedClusters/" + text(in, "resourceName")
	if identity := text(c.inputs[resource.ID(cluster)], "identity.type"); identity != "UserAssigned" {
		return errors.New("a capacity reservation group needs a user-assigned identity")
	}
	return nil
}

// firstText returns the text at a path, or the first one of a list there.
func firstText(properties resource.PropertyMap, path string) string {
	value, ok := at(properties, path)
	if ok && value.IsArray() && len(value.ArrayValue()) > 0 {
		value = value.ArrayValue()[0]
	}
	if !value.IsString() {
		return ""
	}
	return value.StringValue()
}

// TestReservedCapacity checks that GPU nodes come from the reservation that the stack names, that a second up changes nothing, and
// that a destroy leaves nothing.
func TestReservedCapacity(t *testing.T) {
	for name, test := range map[string]struct {
		cloud string
		keys  map[string]any
		// kind and resource are the registered object that names the reservation, at path.
		kind, resource, path string
		want                 string
	}{
		"gke": {"gke", map[string]any{"gke.reservation": "inference"}, "NodePool", "cluster-gpu", "nodeConfig.reservationAffinity.values", "inference"},
		"gke, H200 that are not sold on demand": {"gke", map[string]any{"gke.reservation": "projects/other-project/reservations/inference",
			"nodePools.gpu.machineType": "a3-ultragpu-8g"}, "NodePool", "cluster-gpu", "nodeConfig.reservationAffinity.values",
			"projects/other-project/reservations/inference"},
		"eks": {"eks", map[string]any{"eks.capacityReservation": "cr-0a", "nodePools.gpu.zones": []any{"us-east-1a"}},
			"LaunchTemplate", "cluster-gpu", "capacityReservationSpecification.capacityReservationTarget.capacityReservationId", "cr-0a"},
		"eks, a group": {"eks", map[string]any{"eks.capacityReservation": "arn:aws:resource-groups:us-east-1:123456789012:group/gpus"},
			"LaunchTemplate", "cluster-gpu", "capacityReservationSpecification.capacityReservationTarget.capacityReservationResourceGroupArn",
			"arn:aws:resource-groups:us-east-1:123456789012:group/gpus"},
		"eks, a Capacity Block": {"eks", map[string]any{"eks.capacityBlock": "cr-0b", "nodePools.gpu.zones": []any{"us-east-1a"},
			"nodePools.gpu.machineType": "p5.4xlarge"}, "LaunchTemplate", "cluster-gpu", "instanceType", "p5.4xlarge"},
		"aks": {"aks", map[string]any{"aks.userAssignedIdentityId": identity, "aks.capacityReservationGroupId": reservationGroup},
			"AgentPool", "cluster-gpu", "capacityReservationGroupID", reservationGroup},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCloudStack(t, test.cloud, test.keys)
			s.up()
			assert.Equal(t, test.want, firstText(s.find(test.kind, test.resource).Inputs, test.path))
			assert.Empty(t, s.up().changes())
			s.destroy()
			assert.Empty(t, s.cloud.remaining())
		})
	}
}

// TestUnusableCapacity checks that what a cloud could not give is refused while planning, with the key and the way out.
func TestUnusableCapacity(t *testing.T) {
	for name, test := range map[string]struct {
		cloud string
		keys  map[string]any
		says  []string
	}{
		"gke, flex-start":          {"gke", map[string]any{"gke.flexStart": true}, []string{"vllm-autoscaling:gke.flexStart", "has no setting for flex-start"}},
		"gke, queued provisioning": {"gke", map[string]any{"gke.queuedProvisioning": true}, []string{"gke.queuedProvisioning", "ProvisioningRequests"}},
		"gke, a half of a GPU": {"gke", map[string]any{"nodePools.gpu.machineType": "g4-standard-24"},
			[]string{"nodePools.gpu.machineType", "1/2 of nvidia-rtx-pro-6000, with 48 GiB", "g4-standard-48"}},
		"eks, an eighth of a GPU": {"eks", map[string]any{"nodePools.gpu.machineType": "g6f.large"}, []string{"1/8 of nvidia-l4, with 3 GiB", "g6.xlarge"}},
		"aks, a third of a GPU": {"aks", map[string]any{"nodePools.gpu.machineType": "Standard_NV12ads_A10_v5"},
			[]string{"1/3 of nvidia-a10, with 8 GiB", "Standard_NV36ads_A10_v5"}},
		"aks, described as a whole GPU": {"aks", map[string]any{"nodePools.gpu.machineType": "Standard_NV12ads_A10_v5",
			"nodePools.gpu.accelerator": "nvidia-a10", "nodePools.gpu.gpusPerNode": 1}, []string{"1/3 of nvidia-a10, with 8 GiB"}},
		"eks, a block with nodes": {"eks", map[string]any{"eks.capacityBlock": "cr-0b", "nodePools.gpu.zones": []any{"us-east-1a"},
			"nodePools.gpu.machineType": "p5.4xlarge", "nodePools.gpu.minNodes": 1},
			[]string{"nodePools.gpu.minNodes", "EKS upgrades a group of a block only without nodes"}},
		"aks, the cluster's own identity": {"aks", map[string]any{"aks.capacityReservationGroupId": reservationGroup},
			[]string{"aks.userAssignedIdentityId", "the role Contributor"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCloudStack(t, test.cloud, test.keys)
			refused := s.preview()
			for _, says := range test.says {
				assert.ErrorContains(t, refused.err, says)
			}
			assert.Empty(t, s.cloud.remaining())
		})
	}
}

// reservationGroup is a capacity reservation group of Azure.
const reservationGroup = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/capacityReservationGroups/c"
