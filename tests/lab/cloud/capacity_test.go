package cloud

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReservationsOfGKE checks which reservation affinities GKE accepts.
func TestReservationsOfGKE(t *testing.T) {
	const nameKey = "compute.googleapis.com/reservation-name"
	specific := map[string]any{"consumeReservationType": "SPECIFIC_RESERVATION", "key": nameKey, "values": []any{"inference"}}
	h200 := func(affinity map[string]any, spot bool) map[string]any {
		return map[string]any{"machineType": "a3-ultragpu-8g", "diskType": "hyperdisk-balanced", "spot": spot, "reservationAffinity": affinity,
			"guestAccelerators": []any{map[string]any{"type": "nvidia-h200-141gb", "count": 8.0}}}
	}
	for name, test := range map[string]struct {
		config  map[string]any
		message string
	}{
		"a specific one": {h200(specific, false), ""},
		"none":           {with(h200(nil, false), map[string]any{"reservationAffinity": nil}), "not available on demand"},
		"with spot":      {h200(specific, true), "spot VMs cannot consume reservations"},
		"without a name": {h200(with(specific, map[string]any{"values": nil}), false), "needs the key"},
		"another key":    {h200(with(specific, map[string]any{"key": "name"}), false), "needs the key"},
		"any, by a name": {h200(with(specific, map[string]any{"consumeReservationType": "ANY_RESERVATION"}), false), "takes neither key nor values"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			gkeScene(t, c)
			_, err := c.Make(GKENodePool, settings, gkePoolOf("gpu", test.config))
			if test.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.message)
		})
	}
}

// TestCapacityOfEKS checks which launch templates EKS accepts for a kind of capacity.
func TestCapacityOfEKS(t *testing.T) {
	target := func(id string) map[string]any {
		return map[string]any{"capacityReservationTarget": map[string]any{"capacityReservationId": id}}
	}
	block := map[string]any{"name": "block", "instanceType": "p5.48xlarge", "capacityReservationSpecification": target("cr-0a"),
		"instanceMarketOptions": map[string]any{"marketType": "capacity-block"}}
	reservation := map[string]any{"name": "reservation", "capacityReservationSpecification": target("cr-0b")}
	oneZone := func(c *Cloud) map[string]any {
		return map[string]any{"subnetIds": subnetIDs(c)[:1], "instanceTypes": nil}
	}
	for name, test := range map[string]struct {
		template map[string]any
		kind     string
		group    func(*Cloud) map[string]any
		message  string
	}{
		"a block":                    {block, "CAPACITY_BLOCK", oneZone, ""},
		"a block without its market": {with(block, map[string]any{"instanceMarketOptions": nil}), "CAPACITY_BLOCK", oneZone, "market type capacity-block"},
		"a block without its id":     {with(block, map[string]any{"capacityReservationSpecification": nil}), "CAPACITY_BLOCK", oneZone, "a capacity reservation id"},
		"a block without its type":   {with(block, map[string]any{"instanceType": nil}), "CAPACITY_BLOCK", oneZone, "an instance type of Capacity Blocks"},
		"a block of another type":    {with(block, map[string]any{"instanceType": "g6.xlarge"}), "CAPACITY_BLOCK", oneZone, `not "g6.xlarge"`},
		"a block in two zones": {block, "CAPACITY_BLOCK", func(*Cloud) map[string]any { return map[string]any{"instanceTypes": nil} },
			"in the zone of the reservation only"},
		"types in two places": {block, "CAPACITY_BLOCK", func(c *Cloud) map[string]any {
			return with(oneZone(c), map[string]any{"instanceTypes": []any{"p5.48xlarge"}})
		}, "both the launch template"},
		"a block's market on demand":       {block, "ON_DEMAND", oneZone, "must not have instance market options"},
		"a reservation":                    {reservation, "ON_DEMAND", func(*Cloud) map[string]any { return nil }, ""},
		"a reservation with spot machines": {reservation, "SPOT", func(*Cloud) map[string]any { return nil }, "cannot target a capacity reservation"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			eksScene(t, c)
			template := mustMake(t, c, AWSTemplate, test.template)
			inputs := with(nodeGroup(c), map[string]any{"capacityType": test.kind, "launchTemplate": map[string]any{"id": template.ID, "version": "1"}})
			_, err := c.Make(EKSNodeGroup, settings, with(inputs, test.group(c)))
			if test.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.message)
		})
	}
}

// TestBlockHasTheGPUsOfItsTemplate checks that a group without instance types has the machines of its launch template.
func TestBlockHasTheGPUsOfItsTemplate(t *testing.T) {
	c, _ := newTestCloud(t)
	eksScene(t, c)
	template := mustMake(t, c, AWSTemplate, map[string]any{"name": "block", "instanceType": "p5.4xlarge",
		"capacityReservationSpecification": map[string]any{"capacityReservationTarget": map[string]any{"capacityReservationId": "cr-0a"}},
		"instanceMarketOptions":            map[string]any{"marketType": "capacity-block"}})
	group := mustMake(t, c, EKSNodeGroup, with(nodeGroup(c), map[string]any{"capacityType": "CAPACITY_BLOCK", "instanceTypes": nil,
		"subnetIds": subnetIDs(c)[:1], "launchTemplate": map[string]any{"id": template.ID, "version": "1"}}))
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Equal(t, "p5.4xlarge", c.pools[group.ID].machineType)
	assert.Equal(t, 1, c.pools[group.ID].gpuCount)
}

// TestCapacityOfAKS checks which agent pools AKS accepts with a capacity reservation group or a spot price.
func TestCapacityOfAKS(t *testing.T) {
	const group = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/capacityReservationGroups/gpus"
	own, theirs := map[string]any{"type": "SystemAssigned"}, map[string]any{"type": "UserAssigned", "userAssignedIdentities": []any{"/subscriptions/s"}}
	for name, test := range map[string]struct {
		identity, pool map[string]any
		message        string
	}{
		"a group":               {theirs, map[string]any{"capacityReservationGroupID": group}, ""},
		"a system's identity":   {own, map[string]any{"capacityReservationGroupID": group}, "a user-assigned identity"},
		"a name":                {theirs, map[string]any{"capacityReservationGroupID": "gpus"}, "is not the id"},
		"with spot":             {theirs, map[string]any{"capacityReservationGroupID": group, "scaleSetPriority": "Spot"}, "priority Spot cannot"},
		"a spot price":          {own, map[string]any{"spotMaxPrice": 1.5, "scaleSetPriority": "Spot"}, ""},
		"a price of no machine": {own, map[string]any{"spotMaxPrice": 1.5}, "only be set for pools of priority Spot"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			mustMake(t, c, AzureResourceGroup, map[string]any{"resourceGroupName": "g", "location": "westeurope"})
			mustMake(t, c, AKSCluster, with(aksInputs, map[string]any{"identity": test.identity}))
			_, err := c.Make(AKSAgentPool, settings, with(agentPool, test.pool))
			if test.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.message)
		})
	}
}

// TestReservationsOfTheAccount checks the answers of the clouds' CLIs.
func TestReservationsOfTheAccount(t *testing.T) {
	c, _ := newTestCloud(t)
	c.Reserve("inference", Reservation{MachineType: "g2-standard-4", Zone: "us-central1-a", Machines: 4})
	c.Reserve("cr-0a", Reservation{MachineType: "p5.48xlarge", Zone: "us-east-1a", Machines: 2, Block: true})
	for cloud, lines := range map[string][2][]string{
		"gcp": {{"compute", "reservations", "describe", "inference", "--zone", "us-central1-a", "--project", "p"},
			{"compute", "reservations", "describe", "inference", "--zone", "us-central1-b", "--project", "p"}},
		"aws": {{"ec2", "describe-capacity-reservations", "--capacity-reservation-ids", "cr-0a"},
			{"ec2", "describe-capacity-reservations", "--capacity-reservation-ids", "cr-0b"}},
		"azure-native": {{"capacity", "reservation", "list", "--capacity-reservation-group", "inference"},
			{"capacity", "reservation", "list", "--capacity-reservation-group", "other"}},
	} {
		c.mu.Lock()
		there, missing := c.ask(c.doubles[cloud], lines[0]), c.ask(c.doubles[cloud], lines[1])
		c.mu.Unlock()
		assert.True(t, json.Valid([]byte(there.Stdout)), "%s: %s", cloud, there.Stderr)
		assert.Equal(t, 1, missing.Code, cloud)
		assert.Contains(t, missing.Stderr+" ", "not", cloud)
	}
}
