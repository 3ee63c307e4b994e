package eks

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// nodeConfigOf returns the NodeConfig of a launch template as nodeadm reads it, nil without user data.
func nodeConfigOf(t *testing.T, template map[string]any) map[string]any {
	t.Helper()
	encoded, ok := template["userData"].(string)
	if !ok {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	_, part, ok := strings.Cut(string(data), "Content-Type: application/node.eks.aws\n\n")
	require.True(t, ok, "%s", data)
	part, _, ok = strings.Cut(part, "\n--BOUNDARY--")
	require.True(t, ok, "%s", data)
	var config map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(part), &config))
	assert.Equal(t, "node.eks.aws/v1alpha1", config["apiVersion"])
	assert.Equal(t, "NodeConfig", config["kind"])
	return config["spec"].(map[string]any)
}

func TestNodeSettings(t *testing.T) {
	raid := map[string]any{"localStorage": map[string]any{"strategy": "RAID0"}}
	for name, test := range map[string]struct {
		local, fast      bool
		want             map[string]any
		throughput, iops any
	}{
		"none":              {false, false, nil, float64(gpuDiskThroughput), nil},
		"NVMe disks":        {true, false, map[string]any{"instance": raid}, float64(gpuDiskThroughput), nil},
		"parallel pull":     {false, true, map[string]any{"featureGates": map[string]any{"FastImagePull": true}}, 1000.0, 4000.0},
		"both, on the NVMe": {true, true, map[string]any{"instance": raid, "featureGates": map[string]any{"FastImagePull": true}}, float64(gpuDiskThroughput), nil},
	} {
		t.Run(name, func(t *testing.T) {
			args := created()
			args.LocalStorage, args.FastImagePull = test.local, test.fast
			r, _ := run(t, args)
			for _, template := range r.All(templateType) {
				fields := plain(template)
				if strings.HasSuffix(template.Args.Name, "system") {
					assert.Nil(t, nodeConfigOf(t, fields), "only GPU nodes")
					continue
				}
				assert.Equal(t, test.want, nodeConfigOf(t, fields))
				disk := fields["blockDeviceMappings"].([]any)[0].(map[string]any)["ebs"].(map[string]any)
				assert.Equal(t, test.throughput, disk["throughput"])
				assert.Equal(t, test.iops, disk["iops"])
			}
			want := "80Gi" // Of 100.
			if test.local {
				want = "185Gi" // Of the 232 of a g6.xlarge.
			}
			assert.Equal(t, want, asgTags(t, r, "llm-gpu-a")["resources/ephemeral-storage"])
		})
	}
}

func TestNodeSettingsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change    func(*Args)
		key, says string
	}{
		"a machine without disks": {func(a *Args) {
			a.LocalStorage, a.GPUPool.MachineType, a.GPUPool.Accelerator = true, "p3.2xlarge", "nvidia-v100"
		},
			"eks.localStorage", "p3.2xlarge has none"},
		"Bottlerocket":             {func(a *Args) { a.FastImagePull, a.AMIType = true, Bottlerocket }, "eks.fastImagePull", AL2023},
		"disks of another's nodes": {func(a *Args) { *a = *attached(); a.LocalStorage, a.GPUPool = true, nil }, "eks.localStorage", "a GPU pool that is created"},
	} {
		t.Run(name, func(t *testing.T) {
			args := created()
			test.change(args)
			var found []string
			for _, problem := range args.Validate() {
				if problem.Key == test.key {
					found = append(found, problem.Allowed)
				}
			}
			require.NotEmpty(t, found, "%v", args.Validate())
			assert.Contains(t, strings.Join(found, "\n"), test.says)
		})
	}
}

// TestInstanceStores checks that every listed type is one of the catalogue, and that what a node keeps on its own disks is counted.
func TestInstanceStores(t *testing.T) {
	for name, size := range instanceStoreGB {
		_, ok := machines.Find(name)
		assert.True(t, ok, name)
		assert.Positive(t, size, name)
	}
	assert.Equal(t, 232, localDisk(&Keys{LocalStorage: true}, "g6.xlarge"))
	assert.Zero(t, localDisk(&Keys{}, "g6.xlarge"))
	assert.Zero(t, localDisk(&Keys{LocalStorage: true}, "g99.large"))
	assert.True(t, hasInstanceStore("g99.large"), "whoever names it knows it")
}
