package cost

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

// TestReservedMachines checks which machines come from a reservation, and that they are counted at the price on demand.
func TestReservedMachines(t *testing.T) {
	const specification = `"capacityReservationSpecification":{"capacityReservationTarget":{"capacityReservationId":"cr-0a"}}`
	group := eksGPU(t, "g6.xlarge", 1, 1, `,"tags":{"vllm-autoscaling.pool":"gpu"}`)
	group.Name = "cluster-gpu-a"
	for name, test := range map[string]struct {
		resources         []plan.Resource
		reserved, prepaid bool
		each              float64
	}{
		"gke": {[]plan.Resource{resource(t, typeGKEPool, "gpu", `{"nodeConfig":{"machineType":"g2-standard-4",`+
			`"reservationAffinity":{"consumeReservationType":"SPECIFIC_RESERVATION"}},"autoscaling":{"totalMinNodeCount":1,"totalMaxNodeCount":1}}`)},
			true, false, 0.70683},
		"eks": {[]plan.Resource{resource(t, typeEKSTemplate, "cluster-gpu", "{"+specification+"}"), group}, true, false, 0.8048},
		"eks, the template of another pool": {[]plan.Resource{resource(t, typeEKSTemplate, "cluster-gpu-a", "{"+specification+"}"),
			group}, false, false, 0.8048},
		"eks, a Capacity Block": {[]plan.Resource{
			resource(t, typeEKSTemplate, "cluster-gpu", `{"instanceType":"p4d.24xlarge",`+specification+"}"),
			resource(t, typeEKSPool, "cluster-gpu-a", `{"tags":{"vllm-autoscaling.pool":"gpu"},"capacityType":"CAPACITY_BLOCK","amiType":"AL2023_x86_64_NVIDIA",`+
				`"scalingConfig":{"minSize":1,"maxSize":1}}`),
		}, false, true, 0},
		"aks": {[]plan.Resource{resource(t, "azure-native:containerservice/v20240901:AgentPool", "gpu",
			`{"vmSize":"Standard_NC24ads_A100_v4","minCount":1,"maxCount":1,"capacityReservationGroupID":"/subscriptions/s"}`)}, true, false, 3.673},
	} {
		t.Run(name, func(t *testing.T) {
			e := Of(test.resources, nil)
			require.Len(t, e.Items, 1)
			item := e.Items[0]
			assert.Equal(t, []bool{test.reserved, test.prepaid}, []bool{item.Reserved, item.Prepaid})
			if test.prepaid {
				assert.Equal(t, "p4d.24xlarge", item.Kind)
				assert.Positive(t, item.Each)
				return
			}
			assert.InDelta(t, test.each, item.Each, 1e-9)
		})
	}
}
