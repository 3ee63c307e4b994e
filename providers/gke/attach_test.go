package gke

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi-gcp/sdk/v7/go/gcp/container"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
)

type object = map[string]any

// existingCluster is a cluster as the provider's look-up returns it, with everything that is needed.
func existingCluster() object {
	return object{
		"id": "projects/my-project/locations/us-central1/clusters/theirs", "name": "theirs", "endpoint": "198.51.100.4",
		"masterAuths":     []any{object{"clusterCaCertificate": "Q0E="}},
		"enableAutopilot": false, "masterVersion": "1.33.4-gke.1036000", "networkingMode": "VPC_NATIVE", "datapathProvider": "ADVANCED_DATAPATH",
		"monitoringConfigs":       []any{object{"enableComponents": []any{"SYSTEM_COMPONENTS", "DCGM"}, "managedPrometheuses": []any{object{"enabled": true}}}},
		"workloadIdentityConfigs": []any{object{"workloadPool": "my-project.svc.id.goog"}},
		"nodePools":               []any{object{"name": "default-pool", "nodeConfigs": []any{object{}}}},
	}
}

// gpuPoolOf is a pool of GPU nodes; driver "" means none that GKE manages.
func gpuPoolOf(name, accelerator string, count float64, driver string, taints ...object) object {
	gpu := object{"type": accelerator, "count": count}
	if driver != "" {
		gpu["gpuDriverInstallationConfigs"] = []any{object{"gpuDriverVersion": driver}}
	}
	list := []any{}
	for _, taint := range taints {
		list = append(list, taint)
	}
	return object{"name": name, "nodeConfigs": []any{object{"guestAccelerators": []any{gpu}, "taints": list}}}
}

func attachTo(args *Args, cluster object) (*recorder, *providers.Cluster, error) {
	r := &recorder{existing: resource.NewPropertyMapFromMap(cluster)}
	args.Existing, args.APIAccessCIDRs = "theirs", nil
	made, err := r.run(args)
	return r, made, err
}

func TestAttachAddsTheGPUPoolOnly(t *testing.T) {
	r, cluster, err := attachTo(validArgs(), existingCluster())
	require.NoError(t, err)
	require.Len(t, r.Calls, 1)
	assert.Equal(t, "gcp:container/getCluster:getCluster", r.Calls[0].Token)
	assert.Equal(t, object{"name": "theirs", "location": "us-central1", "project": "my-project"}, r.Calls[0].Args.Mappable())
	assert.Contains(t, r.Calls[0].Provider, cloudToken+"::gke")
	for _, one := range r.Registered {
		assert.NotEqual(t, clusterToken, one.Type)
		assert.NotContains(t, one.Type, "gcp:compute/")
	}
	pool := r.One(t, poolToken)
	assert.Equal(t, "serving-gpu", pool.Field("name"), "theirs may have a pool called gpu")
	assert.Equal(t, "theirs", pool.Field("cluster"))
	assert.True(t, pool.DependsOn(memberToken, "gke-nodes-artifactregistry.reader"))
	kube := r.One(t, kubeToken)
	assert.True(t, kube.DependsOn(poolToken, "gke-gpu"))
	assert.Equal(t, "projects/my-project/locations/us-central1/clusters/theirs", kube.Field("clusterIdentifier"))
	require.True(t, kube.Inputs["kubeconfig"].IsSecret())
	checkKubeconfig(t, kube.Inputs["kubeconfig"].SecretValue().Element.StringValue(), "gke_my-project_us-central1_theirs", "198.51.100.4")
	assert.Equal(t, "theirs", cluster.Name)
	assert.Equal(t, "nvidia-l4", cluster.GPU.NodeSelector["cloud.google.com/gke-accelerator"])
	assert.Len(t, cluster.Ready, 1)
}

func TestAttachToGPUNodesThatAreThere(t *testing.T) {
	dedicated := object{"key": "team", "value": "ml", "effect": "NO_EXECUTE"}
	gpuTaint := object{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}
	for name, c := range map[string]struct {
		choice, want string
		pools        []any
	}{
		"the only kind": {"", "nvidia-l4", []any{gpuPoolOf("a", "nvidia-l4", 1, "LATEST", gpuTaint, dedicated),
			gpuPoolOf("b", "nvidia-l4", 1, "DEFAULT", dedicated)}},
		"the chosen kind": {"nvidia-h100-80gb", "nvidia-h100-80gb", []any{gpuPoolOf("a", "nvidia-l4", 1, "LATEST"),
			gpuPoolOf("b", "nvidia-h100-80gb", 8, "DEFAULT", dedicated)}},
		"with a driver": {"", "nvidia-l4", []any{gpuPoolOf("a", "nvidia-l4", 1, "LATEST", dedicated),
			gpuPoolOf("b", "nvidia-tesla-t4", 1, "INSTALLATION_DISABLED")}},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.GPUPool, args.ExistingAccelerator = nil, c.choice
			cluster := existingCluster()
			cluster["nodePools"] = append(cluster["nodePools"].([]any), c.pools...)
			r, made, err := attachTo(args, cluster)
			require.NoError(t, err)
			assert.Equal(t, []string{cloudToken + " gke", kubeToken + " gke", componentType + " gke"}, r.Names(), "nothing to create in the cloud")
			assert.Equal(t, map[string]string{"cloud.google.com/gke-accelerator": c.want}, made.GPU.NodeSelector)
			assert.Equal(t, []providers.Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"},
				{Key: "team", Operator: "Equal", Value: "ml", Effect: "NoExecute"}}, made.GPU.Tolerations)
			assert.Empty(t, made.Ready)
		})
	}
}

func TestAttachRefusesAClusterThatLacksSomething(t *testing.T) {
	with := func(change func(object)) object {
		cluster := existingCluster()
		change(cluster)
		return cluster
	}
	pools := func(pools ...any) object { return with(func(c object) { c["nodePools"] = pools }) }
	for name, c := range map[string]struct {
		cluster object
		own     bool // Use the cluster's own GPU nodes.
		perPod  int
		want    []string
	}{
		"Autopilot": {with(func(c object) { c["enableAutopilot"] = true }), false, 1, []string{`"theirs"`, "Autopilot cluster", "Standard"}},
		"DCGM off": {with(func(c object) {
			c["monitoringConfigs"] = []any{object{"enableComponents": []any{"SYSTEM_COMPONENTS", "APISERVER"}}}
		}), false, 1,
			[]string{"component DCGM is off", "gcloud container clusters update theirs --project my-project --location us-central1 " +
				"--monitoring=DCGM,SYSTEM,API_SERVER"}},
		"no monitoring": {with(func(c object) { delete(c, "monitoringConfigs") }), false, 1, []string{"SYSTEM_COMPONENTS and DCGM is off",
			"--monitoring=SYSTEM,DCGM"}},
		"old":          {with(func(c object) { c["masterVersion"] = "1.29.8-gke.1211000" }), false, 1, []string{"1.29.8-gke.1211000", "1.30.1-gke.1204000"}},
		"no identity":  {with(func(c object) { delete(c, "workloadIdentityConfigs") }), false, 1, []string{"--workload-pool=my-project.svc.id.goog"}},
		"route based":  {with(func(c object) { c["networkingMode"] = "ROUTES" }), false, 1, []string{"ROUTES", "VPC-native"}},
		"not up yet":   {with(func(c object) { c["endpoint"] = "" }), false, 1, []string{"no endpoint"}},
		"several":      {with(func(c object) { c["networkingMode"] = "ROUTES"; delete(c, "monitoringConfigs") }), false, 1, []string{"ROUTES", "DCGM"}},
		"no GPU nodes": {existingCluster(), true, 1, []string{"no node pool with at least 1 GPUs", "nodePools.gpu"}},
		"too few GPUs": {pools(gpuPoolOf("a", "nvidia-l4", 1, "LATEST")), true, 2, []string{"no node pool with at least 2 GPUs"}},
		"no driver":    {pools(gpuPoolOf("a", "nvidia-l4", 1, "")), true, 1, []string{"driver", "node pool a", "gpu-driver-version=default"}},
		"driver off":   {pools(gpuPoolOf("a", "nvidia-l4", 1, "INSTALLATION_DISABLED")), true, 1, []string{"driver", "node pool a"}},
		"two kinds": {pools(gpuPoolOf("a", "nvidia-l4", 1, "LATEST"), gpuPoolOf("b", "nvidia-a100-80gb", 1, "LATEST")), true, 1,
			[]string{"gke.existingAccelerator", "nvidia-a100-80gb, nvidia-l4"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.GPUsPerReplica = c.perPod
			if c.own {
				args.GPUPool = nil
			}
			r, _, err := attachTo(args, c.cluster)
			require.Error(t, err)
			for _, want := range c.want {
				assert.ErrorContains(t, err, want)
			}
			for _, one := range r.Registered {
				assert.False(t, strings.HasPrefix(one.Type, "gcp:") || one.Type == kubeToken, "%s was registered", one.Type)
			}
		})
	}
}

func TestNetworkPolicyWarning(t *testing.T) {
	calico := func(enabled bool) []container.GetClusterNetworkPolicy {
		return []container.GetClusterNetworkPolicy{{Enabled: enabled}}
	}
	for name, c := range map[string]struct {
		datapath string
		policies []container.GetClusterNetworkPolicy
		warns    bool
	}{
		"Dataplane V2":   {"ADVANCED_DATAPATH", nil, false},
		"Calico":         {"LEGACY_DATAPATH", calico(true), false},
		"neither":        {"LEGACY_DATAPATH", calico(false), true},
		"nothing stated": {"", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			args := validArgs()
			args.Existing = "theirs"
			warning := args.networkPolicyWarning(&container.LookupClusterResult{DatapathProvider: c.datapath, NetworkPolicies: c.policies})
			if !c.warns {
				assert.Empty(t, warning)
				return
			}
			assert.Contains(t, warning, `"theirs" enforces no NetworkPolicies`)
			assert.Contains(t, warning, "gcloud container clusters update theirs --project my-project --location us-central1 --update-addons=NetworkPolicy=ENABLED")
		})
	}
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{
		"1.30.1-gke.1204000": true, "1.30.1-gke.1203999": false, "1.30.10-gke.1": true, "1.31.0-gke.1": true,
		"1.29.15-gke.9999999": false, "2.0": true, "1.30": true, "": true, "unknown": true,
	} {
		assert.Equal(t, want, atLeast(version, minManagedDCGM), version)
	}
}
