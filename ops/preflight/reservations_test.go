package preflight

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/ops/preview/plan"
)

// withInputs returns steps in which a resource has other inputs.
func withInputs(t *testing.T, steps []plan.Step, typ, name, text string) []plan.Step {
	for i := range steps {
		if steps[i].Type == typ && steps[i].Name == name {
			steps[i].New.Inputs = inputs(t, text)
		}
	}
	return steps
}

// gkeReservationAnswer has the form of compute.reservations.get
// (https://cloud.google.com/compute/docs/reference/rest/v1/reservations/get): numbers of 64 bits are strings.
const gkeReservationAnswer = `{"name": "inference", "status": "READY", "specificReservationRequired": true, "zone": "z", "specificReservation":
	{"count": "4", "inUseCount": "0", "instanceProperties": {"machineType": "g2-standard-4"}}}`

func TestReservationsOfGKE(t *testing.T) {
	const describe = "compute reservations describe inference --zone us-central1-a --project "
	for name, test := range map[string]struct {
		reservation, answer string
		want                []string
	}{
		"with room": {"inference", gkeReservationAnswer, nil},
		"one that another project shares, which leaves the machine type out": {"projects/other-project/reservations/inference",
			strings.Replace(gkeReservationAnswer, `, "instanceProperties": {"machineType": "g2-standard-4"}`, "", 1), nil},
		"not there": {"inference", gkeNotFound, []string{"failed reservation inference in us-central1-a: does not exist; " +
			"set gke.reservation or nodePools.gpu.zones to one of `gcloud compute reservations list --project my-project`"}},
		"for another machine": {"inference", strings.Replace(gkeReservationAnswer, "g2-standard-4", "g2-standard-8", 1),
			[]string{"failed reservation inference in us-central1-a: is for g2-standard-8, the pool has g2-standard-4; " +
				"set nodePools.gpu.machineType to g2-standard-8, or set gke.reservation or nodePools.gpu.zones to one of " +
				"`gcloud compute reservations list --project my-project`"}},
		"being made": {"inference", strings.Replace(gkeReservationAnswer, "READY", "CREATING", 1),
			[]string{"failed reservation inference in us-central1-a: is CREATING; wait until `gcloud compute reservations describe` shows READY"}},
		"for anybody": {"inference", strings.Replace(gkeReservationAnswer, "true", "false", 1),
			[]string{"warning reservation inference in us-central1-a: is not a specific one: machines of others can use it up; " +
				"create it again with --require-specific-reservation"}},
		"used up": {"inference", strings.Replace(gkeReservationAnswer, `"inUseCount": "0"`, `"inUseCount": "4"`, 1),
			[]string{"failed reservation inference in us-central1-a: 0 machines of 4 free: the first nodes need 1, the pools at their maximum 4; " +
				"gcloud compute reservations update inference --zone us-central1-a --project my-project --vm-count 8, or lower nodePools.gpu.maxNodes"}},
		"smaller than the pool": {"inference", strings.Replace(gkeReservationAnswer, `"count": "4"`, `"count": "2"`, 1),
			[]string{"warning reservation inference in us-central1-a: 2 machines of 2 free: enough to start, but the pools at their maximum need 4; " +
				"gcloud compute reservations update inference --zone us-central1-a --project my-project --vm-count 4, or lower nodePools.gpu.maxNodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			pool := strings.Replace(gkeGPUInputs, `"spot": false`, `"reservationAffinity": {"consumeReservationType": "SPECIFIC_RESERVATION",
				"key": "compute.googleapis.com/reservation-name", "values": ["`+test.reservation+`"]}`, 1)
			project, shared := "my-project", strings.Contains(test.reservation, "/")
			if shared {
				project = "other-project"
			}
			account := gkeAccount(t).with(map[string]string{
				describe + project: test.answer,
				// What the reservation has taken leaves no quota for others.
				"regions describe": strings.ReplaceAll(gkeRegion, `"limit": 4.0, "usage": 0.0`, `"limit": 4.0, "usage": 4.0`),
			})
			result := check(t, planOf(nil, withInputs(t, gkeSteps(t), gkePool, "cluster-gpu", pool)...), account)
			assert.Equal(t, test.want, result.lines("reservations"))
			assert.Equal(t, shared, len(result.lines("gpu-quota")) > 0, "a shared one takes the quota of both projects")
		})
	}
}

// eksReservationOf has the form of `aws ec2 describe-capacity-reservations`
// (https://docs.aws.amazon.com/cli/latest/reference/ec2/describe-capacity-reservations.html).
func eksReservationOf(kind, state, machine string, total, available string) string {
	return `{"CapacityReservations": [{"CapacityReservationId": "cr-0a", "ReservationType": "` + kind + `", "State": "` + state +
		`", "InstanceType": "` + machine + `", "AvailabilityZone": "us-east-1a", "TotalInstanceCount": ` + total + `, "AvailableInstanceCount": ` + available +
		`, "StartDate": "2026-12-01T11:30:00+00:00", "EndDate": "2026-12-08T11:30:00+00:00", "InstanceMatchCriteria": "targeted"}]}`
}

func TestReservationsOfEKS(t *testing.T) {
	const target = `{"capacityReservationSpecification": {"capacityReservationTarget": {"capacityReservationId": "cr-0a"}}`
	reservation, block := target+"}", target+`, "instanceType": "p5.48xlarge", "instanceMarketOptions": {"marketType": "capacity-block"}}`
	blockGroup := strings.NewReplacer("ON_DEMAND", "CAPACITY_BLOCK", `"instanceTypes": ["g6.xlarge"], `, "").Replace(eksGPUInputs)
	tagged := func(group string) string {
		return strings.Replace(group, "{", `{"tags": {"vllm-autoscaling.pool": "gpu"}, `, 1)
	}
	const lists = "set eks.capacityReservation or eks.capacityBlock to one of `aws ec2 describe-capacity-reservations --region us-east-1`"
	for name, test := range map[string]struct {
		template, group, answer string
		zones                   string
		want                    []string
	}{
		"with room": {reservation, eksGPUInputs, eksReservationOf("default", "active", "g6.xlarge", "4", "4"), "", nil},
		"a block":   {block, blockGroup, eksReservationOf("capacity-block", "active", "p5.48xlarge", "4", "4"), "", nil},
		"a group, not asked": {strings.NewReplacer("capacityReservationId", "capacityReservationResourceGroupArn", "cr-0a", "arn:aws:x").Replace(reservation),
			eksGPUInputs, "", "", nil},
		"not there": {reservation, eksGPUInputs, eksMissing("InvalidCapacityReservationId.NotFound", "DescribeCapacityReservations"), "",
			[]string{"failed reservation cr-0a in us-east-1: does not exist; " + lists}},
		"another machine": {reservation, eksGPUInputs, eksReservationOf("default", "active", "g6.2xlarge", "4", "4"), "",
			[]string{"failed reservation cr-0a in us-east-1: is for g6.2xlarge; set nodePools.gpu.machineType to g6.2xlarge"}},
		"another zone": {reservation, eksGPUInputs, eksReservationOf("default", "active", "g6.xlarge", "4", "4"), `{"gpu": {"zones": ["us-east-1b"]}}`,
			[]string{"failed reservation cr-0a in us-east-1: is in us-east-1a; set nodePools.gpu.zones, or eks.gpuSubnetIds, to that zone"}},
		"over": {reservation, eksGPUInputs, eksReservationOf("default", "expired", "g6.xlarge", "4", "4"), "",
			[]string{"failed reservation cr-0a in us-east-1: is expired; name an active one"}},
		"a block as one": {reservation, eksGPUInputs, eksReservationOf("capacity-block", "active", "g6.xlarge", "4", "4"), "",
			[]string{"failed reservation cr-0a in us-east-1: its type is capacity-block; name a Capacity Block in eks.capacityBlock, and any other reservation in " +
				"eks.capacityReservation"}},
		"one as a block": {block, blockGroup, eksReservationOf("default", "active", "p5.48xlarge", "4", "4"), "",
			[]string{"failed reservation cr-0a in us-east-1: its type is default; name a Capacity Block in eks.capacityBlock, and any other reservation in " +
				"eks.capacityReservation"}},
		"a block of next month": {block, blockGroup, eksReservationOf("capacity-block", "scheduled", "p5.48xlarge", "4", "0"), "",
			[]string{"warning reservation cr-0a in us-east-1: begins at 2026-12-01T11:30:00+00:00: no replica starts before; update at that time, or set " +
				"vllm.readyTimeout to 0s"}},
		"a smaller block": {block, blockGroup, eksReservationOf("capacity-block", "active", "p5.48xlarge", "2", "2"), "",
			[]string{"warning reservation cr-0a in us-east-1: has 2 machines and ends at 2026-12-08T11:30:00+00:00: the pool's maximum is 4; set " +
				"nodePools.gpu.maxNodes to 2"}},
		"used up": {reservation, eksGPUInputs, eksReservationOf("default", "active", "g6.xlarge", "4", "0"), "",
			[]string{"failed reservation cr-0a in us-east-1: 0 machines of 4 free: the first nodes need 1, the pools at their maximum 4; " +
				"aws ec2 modify-capacity-reservation --region us-east-1 --capacity-reservation-id cr-0a --instance-count 8, or lower nodePools.gpu.maxNodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			account := eksAccount(t).with(map[string]string{
				"describe-capacity-reservations --capacity-reservation-ids cr-0a": test.answer,
				"--quota-code L-DB2E81BA": eksQuota("0.0"), "--quota-code L-417A185B": eksQuota("0.0"),
				"ec2 describe-instance-types": strings.Replace(eksTypes, "g5.2xlarge", "p5.48xlarge", 1),
			})
			steps := withInputs(t, withInputs(t, eksSteps(t), eksLaunchTemplate, "cluster-gpu", test.template), eksPool, "cluster-gpu", tagged(test.group))
			keys := map[string]string{}
			if test.zones != "" {
				keys["nodePools"] = test.zones
			}
			result := check(t, planOf(keys, steps...), account)
			assert.Equal(t, test.want, result.lines("reservations"))
			assert.Empty(t, result.lines("gpu-quota"), "no quota is free: the reservation has taken it")
		})
	}
}

func TestReservationsOfAKS(t *testing.T) {
	// The form of `az capacity reservation list`, which prints the entries of
	// https://learn.microsoft.com/rest/api/compute/capacity-reservations/list-by-capacity-reservation-group.
	const answer = `[{"name": "a100", "location": "eastus", "sku": {"capacity": 4, "name": "Standard_NC24ads_A100_v4"}, "virtualMachinesAssociated": null},
		{"name": "other", "sku": {"capacity": 9, "name": "Standard_D4s_v5"}, "zones": ["1"]}]`
	const update = "az capacity reservation update --capacity-reservation-group gpus --resource-group r --subscription s --name RESERVATION --capacity "
	for name, test := range map[string]struct {
		answer string
		want   []string
	}{
		"with room": {answer, nil},
		"not there": {aksMissing, []string{"failed capacity reservation group gpus in r: does not exist; " +
			"set aks.capacityReservationGroupId to an id of `az capacity reservation group list`"}},
		"of other machines": {strings.Replace(answer, "NC24ads", "NC48ads", 1), []string{"failed capacity reservation group gpus in r: has no machines of " +
			"Standard_NC24ads_A100_v4; reserve some, or set aks.capacityReservationGroupId to another group"}},
		"used up": {strings.Replace(answer, "null}", `[{"id": "/a"}, {"id": "/b"}, {"id": "/c"}, {"id": "/d"}]}`, 1),
			[]string{"warning capacity reservation group gpus in r: 0 machines of 4 free: the first nodes need 1, the pools at their maximum 4; " +
				update + "8, or lower nodePools.gpu.maxNodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			pool := strings.Replace(aksPoolInputs, `"scaleSetPriority"`,
				`"capacityReservationGroupID": "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/capacityReservationGroups/gpus", "scaleSetPriority"`, 1)
			account := aksAccount(t).with(map[string]string{
				"capacity reservation list --capacity-reservation-group gpus --resource-group r --subscription s": test.answer,
				"vm list-usage": strings.Replace(aksUsages, `"limit": "96"`, `"limit": "0"`, 1),
			})
			result := check(t, planOf(nil, withInputs(t, aksSteps(t), aksPoolType, "cluster-gpu", pool)...), account)
			assert.Equal(t, test.want, result.lines("reservations"))
			assert.Empty(t, result.lines("vcpu-quota"), "the reservation has taken it")
		})
	}
}
