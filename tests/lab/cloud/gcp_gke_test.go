package cloud

import (
	"testing"
	"time"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// diffOf compares a resource with unchanged inputs, or with the given ones.
func diffOf(t *testing.T, c *Cloud, r *Resource, news map[string]any, ignored ...string) *pulumirpc.DiffResponse {
	t.Helper()
	if news == nil {
		news = r.Inputs
	}
	d, err := newProvider(t, c, "gcp", map[string]any{"project": "p"}).Diff(t.Context(), &pulumirpc.DiffRequest{Urn: urnOf(r.Token),
		OldInputs: properties(t, r.Inputs), News: properties(t, news), Olds: properties(t, r.Outputs), IgnoreChanges: ignored})
	require.NoError(t, err)
	return d
}

// TestPermanentDifference checks that values filled in by GKE are reported as a change unless they are ignored.
func TestPermanentDifference(t *testing.T) {
	for name, test := range map[string]struct {
		token    string
		inputs   map[string]any
		ignored  []string
		replaces []string
	}{
		"labels and kubelet": {GKENodePool, gkePoolOf("p", map[string]any{"machineType": "e2-standard-4"}),
			[]string{"nodeConfig.resourceLabels", "nodeConfig.kubeletConfig", "nodeConfig.linuxNodeConfig"}, nil},
		"labels that were given": {GKENodePool, gkePoolOf("p", map[string]any{"machineType": "e2-standard-4", "resourceLabels": map[string]any{"team": "ml"}}),
			[]string{"nodeConfig.resourceLabels", "nodeConfig.kubeletConfig", "nodeConfig.linuxNodeConfig"}, nil},
		"local SSDs": {GKENodePool, gkePoolOf("p", map[string]any{"machineType": "a3-highgpu-8g",
			"guestAccelerators": []any{map[string]any{"type": "nvidia-h100-80gb", "count": 8.0}}}),
			[]string{"nodeConfig.resourceLabels", "nodeConfig.kubeletConfig", "nodeConfig.linuxNodeConfig", "nodeConfig.ephemeralStorageLocalSsdConfig"},
			[]string{"nodeConfig"}},
		"subsetting": {GKECluster, with(gkeCluster, map[string]any{"name": "other"}), []string{"enableL4IlbSubsetting"}, []string{"enableL4IlbSubsetting"}},
		"subsetting as false": {GKECluster, with(gkeCluster, map[string]any{"name": "other", "enableL4IlbSubsetting": false}),
			[]string{"enableL4IlbSubsetting"}, []string{"enableL4IlbSubsetting"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			gkeScene(t, c)
			r := mustMake(t, c, test.token, test.inputs)
			d := diffOf(t, c, r, nil)
			assert.Equal(t, pulumirpc.DiffResponse_DIFF_SOME, d.GetChanges())
			assert.Equal(t, test.replaces, d.GetReplaces())
			assert.Len(t, d.GetDetailedDiff(), len(test.ignored))
			assert.Equal(t, pulumirpc.DiffResponse_DIFF_NONE, diffOf(t, c, r, nil, test.ignored...).GetChanges())
		})
	}
}

// TestSubsettingThatIsStated checks that a cluster whose input has what GKE reports is unchanged.
func TestSubsettingThatIsStated(t *testing.T) {
	c, _ := newTestCloud(t)
	cluster := mustMake(t, c, GKECluster, with(gkeCluster, map[string]any{"enableL4IlbSubsetting": true}))
	assert.Equal(t, pulumirpc.DiffResponse_DIFF_NONE, diffOf(t, c, cluster, nil).GetChanges())
}

func TestMachinesThatGoogleRefuses(t *testing.T) {
	gpu := func(machineType, accelerator string, count float64, more map[string]any) map[string]any {
		return with(map[string]any{"machineType": machineType, "guestAccelerators": []any{map[string]any{"type": accelerator, "count": count}}}, more)
	}
	for name, test := range map[string]struct {
		config  map[string]any
		message string
	}{
		"part of an H100 machine on demand": {gpu("a3-highgpu-1g", "nvidia-h100-80gb", 1, nil), "not available on demand"},
		"part of an H100 machine on spot":   {gpu("a3-highgpu-1g", "nvidia-h100-80gb", 1, map[string]any{"spot": true}), ""},
		"H200 on demand":                    {gpu("a3-ultragpu-8g", "nvidia-h200-141gb", 8, map[string]any{"diskType": "hyperdisk-balanced"}), "not available on demand"},
		"H200 with a Persistent Disk": {gpu("a3-ultragpu-8g", "nvidia-h200-141gb", 8, map[string]any{"spot": true, "diskType": "pd-balanced"}),
			"disk type pd-balanced is not compatible"},
		"H200":                      {gpu("a3-ultragpu-8g", "nvidia-h200-141gb", 8, map[string]any{"spot": true, "diskType": "hyperdisk-balanced"}), ""},
		"L4 with a Hyperdisk":       {gpu("g2-standard-4", "nvidia-l4", 1, map[string]any{"diskType": "hyperdisk-balanced"}), "not compatible"},
		"N4 with a Persistent Disk": {map[string]any{"machineType": "n4-standard-4", "diskType": "pd-balanced"}, "not compatible"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			gkeScene(t, c)
			_, err := c.Make(GKENodePool, settings, gkePoolOf("p", test.config))
			if test.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.message)
		})
	}
}

// createPool creates a GPU pool through the provider, as the engine does.
func createPool(t *testing.T, c *Cloud, first float64) error {
	t.Helper()
	inputs := with(gkePoolOf("gpu", map[string]any{"machineType": "g2-standard-4", "guestAccelerators": l4("DEFAULT")}), map[string]any{"initialNodeCount": first})
	_, err := newProvider(t, c, "gcp", map[string]any{"project": "p"}).Create(t.Context(), &pulumirpc.CreateRequest{Urn: urnOf(GKENodePool),
		Properties: properties(t, inputs)})
	return err
}

func TestGPUQuotaOfGKE(t *testing.T) {
	c, plane := newTestCloud(t)
	gkeScene(t, c)
	c.SetGKECapacity(GKECapacity{Quota: new(int)})
	err := createPool(t, c, 1)
	require.ErrorContains(t, err, `Insufficient regional quota to satisfy request: resource "NVIDIA_L4_GPUS"`)
	assert.Nil(t, c.Find(GKENodePool, "name", "gpu"), "there is no pool")
	p := newProvider(t, c, "gcp", map[string]any{"project": "p"})
	id := c.Find(GKECluster, "name", "c").ID + "/nodePools/gpu"
	_, err = p.Update(t.Context(), &pulumirpc.UpdateRequest{Urn: urnOf(GKENodePool), Id: id, Olds: properties(t, nil), News: properties(t, gkePoolOf("gpu", nil))})
	require.ErrorContains(t, err, "not found", "an update of what the state has fails")
	read, err := p.Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(GKENodePool), Id: id})
	require.NoError(t, err)
	assert.Empty(t, read.GetId(), "a refresh removes it from the state")

	require.NoError(t, createPool(t, c, 0), "an empty pool needs no quota")
	assert.Empty(t, plane.all())
}

func TestGPUStockOfGKE(t *testing.T) {
	c, plane := newTestCloud(t)
	gkeScene(t, c)
	c.SetGKECapacity(GKECapacity{OutOfStock: true})
	require.ErrorContains(t, createPool(t, c, 1), `NodePool gpu was created in the error state "RUNNING_WITH_ERROR"`)
	require.NotNil(t, c.Find(GKENodePool, "name", "gpu"), "the pool is there")
	assert.Empty(t, plane.all())
	c.SetGKECapacity(GKECapacity{})
	require.Eventually(t, func() bool { return len(plane.all()) == 1 }, 10*time.Second, 20*time.Millisecond, "the node comes when there is one")
}

func TestImageStreamingWithoutItsRole(t *testing.T) {
	for role, incidents := range map[string]int{"roles/artifactregistry.reader": 1, streamingRole: 0} {
		c, _ := newTestCloud(t)
		gkeScene(t, c)
		account := mustMake(t, c, gcpAccount, map[string]any{"accountId": "some-nodes"})
		mustMake(t, c, gcpIAMMember, map[string]any{"project": "p", "role": role, "member": account.Outputs["member"]})
		mustMake(t, c, GKENodePool, gkePoolOf("p", map[string]any{"machineType": "e2-standard-4", "serviceAccount": account.Outputs["email"],
			"gcfsConfig": map[string]any{"enabled": true}}))
		assert.Len(t, c.Incidents(), incidents, role)
	}
}

// TestMaintenanceOfGKE checks what the provider refuses: it accepts exclusions only beside a window.
func TestMaintenanceOfGKE(t *testing.T) {
	window := map[string]any{"startTime": "2026-01-03T02:00:00Z", "endTime": "2026-01-03T08:00:00Z", "recurrence": "FREQ=WEEKLY;BYDAY=SA,SU"}
	exclusion := func(start, scope string) []any {
		return []any{map[string]any{"exclusionName": "a", "startTime": start, "endTime": "2027-01-04T00:00:00Z", "exclusionOptions": map[string]any{"scope": scope}}}
	}
	for name, test := range map[string]struct {
		policy  map[string]any
		message string
	}{
		"window":           {map[string]any{"recurringWindow": window}, ""},
		"both":             {map[string]any{"recurringWindow": window, "maintenanceExclusions": exclusion("2026-12-18T00:00:00Z", "NO_UPGRADES")}, ""},
		"exclusion alone":  {map[string]any{"maintenanceExclusions": exclusion("2026-12-18T00:00:00Z", "NO_UPGRADES")}, "must be specified"},
		"scope":            {map[string]any{"recurringWindow": window, "maintenanceExclusions": exclusion("2026-12-18T00:00:00Z", "NONE")}, "NO_UPGRADES"},
		"date only":        {map[string]any{"recurringWindow": window, "maintenanceExclusions": exclusion("2026-12-18", "NO_UPGRADES")}, "RFC 3339"},
		"end before start": {map[string]any{"recurringWindow": with(window, map[string]any{"endTime": "2026-01-03T01:00:00Z"})}, "the earlier one first"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCloud(t)
			_, err := c.Make(GKECluster, settings, with(gkeCluster, map[string]any{"maintenancePolicy": test.policy}))
			if test.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.message)
		})
	}
}

// TestReadTellsTheSizeOfAPool checks that the number of nodes is an output that the node autoscaler changes.
func TestReadTellsTheSizeOfAPool(t *testing.T) {
	c, _ := newTestCloud(t)
	gkeScene(t, c)
	pool := mustMake(t, c, GKENodePool, gkePoolOf("p", map[string]any{"machineType": "e2-standard-4"}))
	assert.EqualValues(t, 1, pool.Outputs["nodeCount"])
	c.mu.Lock()
	c.pools[pool.ID].desired = 3
	c.mu.Unlock()
	read, err := newProvider(t, c, "gcp", map[string]any{"project": "p"}).Read(t.Context(), &pulumirpc.ReadRequest{Urn: urnOf(GKENodePool), Id: pool.ID})
	require.NoError(t, err)
	assert.EqualValues(t, 3, read.GetProperties().GetFields()["nodeCount"].GetNumberValue())
	assert.NotContains(t, read.GetInputs().GetFields(), "nodeCount")
}
