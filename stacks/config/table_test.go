package config

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/accelerators"
)

// TestTableIsComplete checks that every row has the values that the rules need of a cloud that creates nodes.
func TestTableIsComplete(t *testing.T) {
	for _, cloud := range clouds {
		assert.NotEmpty(t, cloud.Name)
		assert.NotEmpty(t, cloud.Title, cloud.Name)
		assert.NotNil(t, cloud.Validate, cloud.Name)
		assert.NotNil(t, cloud.New, cloud.Name)
		if !cloud.MakesNodes {
			continue
		}
		assert.Equal(t, reflect.Pointer, reflect.TypeOf(cloud.NewKeys()).Kind(), cloud.Name)
		assert.NotNil(t, cloud.Node.Reserved, cloud.Name)
		assert.Positive(t, cloud.Node.HiddenShare, cloud.Name)
		assert.Positive(t, cloud.SpotNotice, cloud.Name)
		assert.Positive(t, cloud.MaxName, cloud.Name)
		assert.NotNil(t, cloud.ValidName, cloud.Name)
		assert.Positive(t, cloud.GPUPool.DiskGiB, cloud.Name)
		assert.NotEmpty(t, cloud.Machines.With(cloud.DefaultAccelerator), cloud.Name)
	}
	_, ok := FindCloud("mars")
	assert.False(t, ok)
	assert.Equal(t, []string{CloudLocal, CloudGKE, CloudEKS, CloudAKS}, Clouds, "the order of the reference")
}

// TestMachinesOfClouds checks that every machine type is unique in its cloud and has a known accelerator, and that the smallest
// comes first: it is the default and the first that an error suggests.
func TestMachinesOfClouds(t *testing.T) {
	for _, cloud := range clouds {
		seen := map[string]bool{}
		for _, machine := range cloud.Machines.Machines {
			_, ok := accelerators.Find(machine.Accelerator)
			assert.True(t, ok, "%s of %s is not known", machine.Accelerator, cloud.Name)
			assert.False(t, seen[machine.Type], "%s is there twice", machine.Type)
			assert.Positive(t, machine.GPUs)
			assert.GreaterOrEqual(t, machine.CPUs, 2*machine.GPUs, machine.Type)
			assert.GreaterOrEqual(t, machine.MemoryGiB, 3.5*float64(machine.CPUs), machine.Type)
			seen[machine.Type] = true
		}
		for _, accelerator := range cloud.Machines.Accelerators() {
			with := cloud.Machines.With(accelerator.Name)
			assert.True(t, slices.IsSortedFunc(with, func(a, b accelerators.Machine) int { return a.GPUs - b.GPUs }), "%s of %s", accelerator.Name, cloud.Name)
		}
	}
	for _, want := range []struct {
		cloud string
		accelerators.Machine
	}{
		{CloudGKE, accelerators.Machine{Type: "g2-standard-4", Accelerator: "nvidia-l4", GPUs: 1, CPUs: 4, MemoryGiB: 16}},
		{CloudGKE, accelerators.Machine{Type: "a2-megagpu-16g", Accelerator: "nvidia-a100-40gb", GPUs: 16, CPUs: 96, MemoryGiB: 1360}},
		{CloudEKS, accelerators.Machine{Type: "g6.xlarge", Accelerator: "nvidia-l4", GPUs: 1, CPUs: 4, MemoryGiB: 16}},
		{CloudEKS, accelerators.Machine{Type: "g5.12xlarge", Accelerator: "nvidia-a10g", GPUs: 4, CPUs: 48, MemoryGiB: 192}},
		{CloudEKS, accelerators.Machine{Type: "g5.16xlarge", Accelerator: "nvidia-a10g", GPUs: 1, CPUs: 64, MemoryGiB: 256}},
		{CloudEKS, accelerators.Machine{Type: "g4dn.12xlarge", Accelerator: "nvidia-t4", GPUs: 4, CPUs: 48, MemoryGiB: 192}},
		{CloudEKS, accelerators.Machine{Type: "g6e.48xlarge", Accelerator: "nvidia-l40s", GPUs: 8, CPUs: 192, MemoryGiB: 1536}},
		{CloudEKS, accelerators.Machine{Type: "p5.4xlarge", Accelerator: "nvidia-h100-80gb", GPUs: 1, CPUs: 16, MemoryGiB: 256}},
		{CloudEKS, accelerators.Machine{Type: "p4d.24xlarge", Accelerator: "nvidia-a100-40gb", GPUs: 8, CPUs: 96, MemoryGiB: 1152}},
		{CloudAKS, accelerators.Machine{Type: "Standard_NC24ads_A100_v4", Accelerator: "nvidia-a100-80gb", GPUs: 1, CPUs: 24, MemoryGiB: 220}},
		{CloudAKS, accelerators.Machine{Type: "Standard_ND40rs_v2", Accelerator: "nvidia-v100-32gb", GPUs: 8, CPUs: 40, MemoryGiB: 672}},
	} {
		cloud, _ := FindCloud(want.cloud)
		found, ok := cloud.Machines.Find(want.Type)
		require.True(t, ok, want.Type)
		assert.Equal(t, want.Machine, found)
	}
	for name, types := range map[string][]string{
		CloudGKE: {"g6.xlarge", "e2-standard-4", ""}, CloudAKS: {"g2-standard-4", "Standard_D4s_v5", "Standard_NV6ads_A10_v5"}, "mars": {"g6.xlarge"},
		CloudEKS: {"G6.xlarge", "m6i.large", "g6.huge", "g6", "", "g5g.xlarge", "p4d.xlarge"},
	} {
		cloud, _ := FindCloud(name)
		for _, machineType := range types {
			_, ok := cloud.Machines.Find(machineType)
			assert.False(t, ok, "%s on %s", machineType, name)
		}
	}
	azure, _ := FindCloud(CloudAKS)
	found, ok := azure.Machines.Find("standard_nc24ads_a100_v4")
	require.True(t, ok, "Azure does not tell upper from lower case")
	assert.Equal(t, "Standard_NC24ads_A100_v4", found.Type)
	for name, smallest := range map[string]string{CloudGKE: "g2-standard-4", CloudEKS: "g6.xlarge", CloudAKS: "Standard_NC24ads_A100_v4"} {
		cloud, _ := FindCloud(name)
		assert.Equal(t, smallest, cloud.Machines.With(cloud.DefaultAccelerator)[0].Type)
	}
}

// marsKeys holds the keys of a fictional cloud.
type marsKeys struct {
	// Crater is where the cluster is.
	Crater string `key:"crater" pattern:"^[a-z]+$" example:"gale"`
	// Dome is a roof over it.
	Dome marsDome `key:"dome"`
}

type marsDome struct {
	// Panes is the number of its panes.
	Panes int `key:"panes" min:"3"`
}

// mars returns the row of a fictional cloud, which consists of nothing but a package and that row.
func mars(created *providers.Request) providers.Cloud {
	return providers.Cloud{
		Name: "mars", Title: "Mars Compute", NewKeys: func() any { return &marsKeys{} },
		Validate: func(r *providers.Request) (p providers.Problems) {
			keys := r.CloudKeys.(*marsKeys)
			p.Missing("mars.crater", keys.Crater, "a crater", "")
			if keys.Dome.Panes == 13 {
				p.Add("mars.dome.panes", keys.Dome.Panes, "no unlucky number with "+providers.KeyGPUPool, "count again")
			}
			return p
		},
		New: func(_ *pulumi.Context, name string, r *providers.Request) (*providers.Cluster, error) {
			*created = *r
			return &providers.Cluster{Name: name}, nil
		},
		MakesNodes: true, Machines: accelerators.Catalogue{Machines: accelerators.Carrying("nvidia-l4", 1, accelerators.Size("rover-1", 8, 64))},
		DefaultAccelerator: "nvidia-l4", SystemPool: providers.NodePool{MachineType: "buggy", MinNodes: 1, MaxNodes: 2, DiskGiB: 40},
		GPUPool:  providers.NodePool{DiskGiB: 90},
		Examples: map[string]string{"nodePools.gpu.machineType": "rover-1"},
		Node:     providers.NodeRoom{Reserved: func(int, float64) (float64, float64) { return 1, 2 }, HiddenShare: 0.5},
	}
}

// withCloud adds a row to the table for the duration of a test.
func withCloud(t *testing.T, row providers.Cloud) {
	t.Helper()
	table, names := clouds, Clouds
	set := func(to []providers.Cloud, as []string) { clouds, Clouds, fieldsOf = to, as, sync.Map{} }
	set(append(slices.Clone(clouds), row), append(slices.Clone(Clouds), row.Name))
	t.Cleanup(func() { set(table, names) })
}

// TestAFurtherCloudIsOneRow checks that a row is all that a new cloud needs: its keys are read, documented and refused on other
// clouds, and its rules and numbers apply.
func TestAFurtherCloudIsOneRow(t *testing.T) {
	var created providers.Request
	withCloud(t, mars(&created))
	least := map[string]any{"cloud": "mars", "huggingFaceToken": hidden("hf_token"), "mars.crater": "gale"}
	with := func(more map[string]any) map[string]any {
		keys := map[string]any{}
		for _, one := range []map[string]any{least, more} {
			for key, value := range one {
				keys[key] = value
			}
		}
		return keys
	}

	assert.True(t, slices.Contains(Keys(), "mars.dome.panes"))
	c := read(t, "mars", with(map[string]any{"mars.dome.panes": 5}))
	assert.Equal(t, &marsKeys{Crater: "gale", Dome: marsDome{Panes: 5}}, c.CloudKeys["mars"])
	assert.Equal(t, "rover-1", c.NodePools.GPU.MachineType, "its machines")
	assert.InDelta(t, 24, c.GPU.MemoryGiB, 0)
	cluster, err := c.NewCluster(nil)
	require.NoError(t, err)
	assert.Equal(t, "cluster", cluster.Name)
	assert.Equal(t, "rover-1", created.GPUPool.MachineType)

	for name, test := range map[string]struct {
		stack   string
		keys    map[string]any
		key     string
		allowed string
	}{
		"its rule":         {"mars", map[string]any{"cloud": "mars", "huggingFaceToken": hidden("hf_token")}, "mars.crater", "a crater"},
		"its rule, deeper": {"mars", with(map[string]any{"mars.dome.panes": 13}), "mars.dome.panes", "no unlucky number"},
		"its tags":         {"mars", with(map[string]any{"mars.crater": "Gale"}), "mars.crater", "^[a-z]+$"},
		"its numbers":      {"mars", with(map[string]any{"vllm.cpu": 8}), "vllm.cpu", "at most 7.0"},
		"its disk": {"mars", with(map[string]any{"model.id": "google/gemma-3-27b-it", "nodePools.gpu.diskGiB": 60}), "nodePools.gpu.diskGiB",
			"at least"},
		"no such key":           {"mars", with(map[string]any{"mars.carter": "x"}), "mars.carter", "only keys"},
		"its keys elsewhere":    {CloudLocal, map[string]any{"mars.crater": "gale"}, "mars", "only with cloud mars; this stack's cloud is local"},
		"a version":             {"mars", with(map[string]any{"cluster.kubernetesVersion": "1.34"}), "cluster.kubernetesVersion", "only with cloud eks, aks"},
		"node pools elsewhere":  {CloudLocal, map[string]any{"nodePools.gpu.maxNodes": 2}, "nodePools", "gke, eks, aks, mars"},
		"another cloud's there": {"mars", with(map[string]any{"eks.region": "us-east-1"}), "eks", "only with cloud eks"},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, test.stack, test.keys))
			i := slices.IndexFunc(refused.Problems, func(p Problem) bool { return p.Key == project+":"+test.key })
			require.GreaterOrEqual(t, i, 0, "%v", refused)
			assert.Contains(t, refused.Problems[i].Allowed, test.allowed)
		})
	}
	field, ok := fieldOf(reflect.TypeFor[SystemPool](), "machineType")
	require.True(t, ok)
	assert.True(t, strings.HasSuffix(field.Tag.Get("default"), " mars=buggy"), field.Tag)
	field, ok = fieldOf(reflect.TypeFor[Config](), "mars")
	require.True(t, ok)
	assert.Equal(t, "What only Mars Compute has.", field.Doc)
}
