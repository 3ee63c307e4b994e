package providers

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

var (
	present    = map[string]string{"nvidia.com/gpu.present": "true"}
	gpuTaint   = Toleration{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}
	spotTaint  = Toleration{Key: "spot", Operator: "Equal", Value: "yes", Effect: "NoSchedule"}
	everyOwn   = Toleration{Key: PoolLabel, Operator: "Exists", Effect: "NoSchedule"}
	anyOwnPool = map[string]string{PoolLabel: ""}
)

// ownGPU returns how pods get GPUs of servers' own pools.
func ownGPU(names ...string) map[string]GPUScheduling {
	own := map[string]GPUScheduling{}
	for _, name := range names {
		own[name] = GPUScheduling{
			NodeSelector: map[string]string{"nvidia.com/gpu.present": "true", PoolLabel: name},
			Tolerations:  []Toleration{gpuTaint, {Key: PoolLabel, Operator: "Equal", Value: name, Effect: "NoSchedule"}},
		}
	}
	return own
}

func TestGPUNodes(t *testing.T) {
	withKind := map[string]string{"nvidia.com/gpu.present": "true", "kind": "l4"}
	for name, test := range map[string]struct {
		main map[string]string
		own  map[string]GPUScheduling
		want GPUNodes
	}{
		"the main pool alone": {withKind, nil, GPUNodes{NodeSelector: withKind, Tolerations: []Toleration{gpuTaint}}},
		"own pools, of all GPU nodes": {present, ownGPU("chat"),
			GPUNodes{NodeSelector: present, Tolerations: []Toleration{gpuTaint, everyOwn}}},
		"own pools, of some GPU nodes": {withKind, ownGPU("chat"), GPUNodes{
			NodeSelector: present, AnyOf: []map[string]string{{"kind": "l4"}, anyOwnPool}, Tolerations: []Toleration{gpuTaint, everyOwn},
		}},
		"nodes without the common label": {map[string]string{"kind": "l4"}, ownGPU("chat"), GPUNodes{
			NodeSelector: map[string]string{}, AnyOf: []map[string]string{{"kind": "l4"}, anyOwnPool}, Tolerations: []Toleration{gpuTaint, everyOwn},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Cluster{GPU: GPUScheduling{NodeSelector: test.main, Tolerations: []Toleration{gpuTaint}}, OwnGPU: test.own}
			assert.Equal(t, test.want, c.GPUNodes())
			assert.Equal(t, test.want, c.DevicePluginNodes())
			assert.Len(t, c.GPU.Tolerations, 1, "pods of the main pool tolerate no more")
		})
	}
}

// TestAFurtherPoolRestartsNothing checks that what runs on all GPU nodes has the same template with one own pool and with two.
func TestAFurtherPoolRestartsNothing(t *testing.T) {
	one := &Cluster{GPU: GPUScheduling{NodeSelector: present, Tolerations: []Toleration{gpuTaint}}, OwnGPU: ownGPU("chat")}
	two := &Cluster{GPU: one.GPU, OwnGPU: ownGPU("chat", "rank")}
	assert.Equal(t, one.GPUNodes(), two.GPUNodes())

	spot := two.OwnGPU["rank"]
	spot.Tolerations = append(spot.Tolerations, spotTaint)
	two.OwnGPU["rank"] = spot
	assert.Equal(t, []Toleration{gpuTaint, everyOwn, spotTaint}, two.GPUNodes().Tolerations, "a taint that only its nodes have")
}

func TestDevicePluginOfOwnPoolsAlone(t *testing.T) {
	c := &Cluster{GPU: GPUScheduling{NodeSelector: present, Tolerations: []Toleration{gpuTaint, spotTaint}}, OwnGPU: ownGPU("chat"), MainDevicePlugin: true}
	assert.Equal(t, GPUNodes{NodeSelector: present, AnyOf: []map[string]string{anyOwnPool}, Tolerations: []Toleration{gpuTaint, everyOwn}},
		c.DevicePluginNodes(), "a second plugin on the nodes of the main pool would interfere with theirs")
}
