package policy

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
	"vllm-autoscaling/stacks/config"
)

// Azure's types have the API's version in them.
const (
	aksClusterV = "azure-native:containerservice/v20240901:ManagedCluster"
	aksPoolV    = "azure-native:containerservice/v20240901:AgentPool"
	aksLockV    = "azure-native:authorization:ManagementLockByScope"
	deployment  = "kubernetes:apps/v1:Deployment"
)

// planned returns a planned resource with inputs in JSON.
func planned(t *testing.T, typ, inputs string) plan.Resource {
	t.Helper()
	r := plan.Resource{URN: "urn:pulumi:s::p::" + typ + "::it", Type: typ, Name: "it"}
	require.NoError(t, json.Unmarshal([]byte(inputs), &r.Inputs), inputs)
	return r
}

// pod is a Deployment whose container has more than what every container needs.
func pod(container, spec string) string {
	return `{"spec":{"template":{"spec":{` + spec + `"containers":[{"image":"vllm/vllm-openai:v0.20.0"` + container + `}]}}}}`
}

const (
	resources = `,"resources":{"requests":{"cpu":"1","memory":"1Gi"},"limits":{"memory":"1Gi"}}`
	safe      = `,"securityContext":{"allowPrivilegeEscalation":false}`
)

// Every rule with a planned resource that breaks it and a similar one that does not.
func TestRules(t *testing.T) {
	for name, test := range map[string]struct {
		rule, typ    string
		wrong, right string
		// property is the path of the violation, message a part of its text.
		property, message string
	}{
		"GKE cluster with public nodes": {
			"no-public-nodes", gkeCluster, `{"privateClusterConfig":{"enablePrivateNodes":false},"masterAuthorizedNetworksConfig":{}}`,
			`{"privateClusterConfig":{"enablePrivateNodes":true},"masterAuthorizedNetworksConfig":{}}`, "privateClusterConfig.enablePrivateNodes", "public addresses",
		},
		"GKE cluster that does not say": {
			"no-public-nodes", gkeCluster, `{"masterAuthorizedNetworksConfig":{}}`,
			`{"enableAutopilot":true,"masterAuthorizedNetworksConfig":{}}`, "privateClusterConfig.enablePrivateNodes", "not true",
		},
		"GKE pool with public nodes": {
			"no-public-nodes", gkePool, `{"networkConfig":{"enablePrivateNodes":false}}`, `{"networkConfig":{"enablePrivateNodes":true}}`,
			"networkConfig.enablePrivateNodes", "public addresses",
		},
		"GKE pool of somebody else's cluster that does not say": {
			"no-public-nodes", gkePool, `{}`, `{"networkConfig":{"enablePrivateNodes":true}}`, "networkConfig.enablePrivateNodes", "not true",
		},
		"subnet that gives addresses": {
			"no-public-nodes", subnet, `{"mapPublicIpOnLaunch":true}`, `{"mapPublicIpOnLaunch":false}`, "mapPublicIpOnLaunch", "public addresses",
		},
		"launch template that gives addresses": {
			"no-public-nodes", launchTemplate, `{"blockDeviceMappings":[{"ebs":{"encrypted":"true"}}],"networkInterfaces":[{"associatePublicIpAddress":"true"}]}`,
			`{"blockDeviceMappings":[{"ebs":{"encrypted":"true"}}],"networkInterfaces":[{"associatePublicIpAddress":"false"}]}`,
			"networkInterfaces[0].associatePublicIpAddress", "public",
		},
		"AKS pool with public nodes": {
			"no-public-nodes", aksPoolV, `{"enableNodePublicIP":true}`, `{"enableNodePublicIP":false}`, "enableNodePublicIP", "public addresses",
		},
		"AKS system pool with public nodes": {
			"no-public-nodes", aksClusterV, `{"agentPoolProfiles":[{},{"enableNodePublicIP":true}],"apiServerAccessProfile":{"authorizedIPRanges":["198.51.100.0/24"]}}`,
			`{"agentPoolProfiles":[{},{}],"apiServerAccessProfile":{"authorizedIPRanges":["198.51.100.0/24"]}}`, "agentPoolProfiles[1].enableNodePublicIP", "public",
		},
		"GKE open to the world": {
			"api-server-not-open", gkeCluster,
			`{"privateClusterConfig":{"enablePrivateNodes":true},` +
				`"masterAuthorizedNetworksConfig":{"cidrBlocks":[{"cidrBlock":"198.51.100.0/24"},{"cidrBlock":"0.0.0.0/0"}]}}`,
			`{"privateClusterConfig":{"enablePrivateNodes":true},"masterAuthorizedNetworksConfig":{"cidrBlocks":[{"cidrBlock":"198.51.100.0/24"}]}}`,
			"masterAuthorizedNetworksConfig.cidrBlocks", "0.0.0.0/0",
		},
		"GKE without authorized networks": {
			"api-server-not-open", gkeCluster,
			`{"privateClusterConfig":{"enablePrivateNodes":true}}`,
			`{"privateClusterConfig":{"enablePrivateNodes":true,"enablePrivateEndpoint":true}}`, "masterAuthorizedNetworksConfig.cidrBlocks", "no network named",
		},
		"half of the internet": {
			"api-server-not-open", gkeCluster,
			`{"privateClusterConfig":{"enablePrivateNodes":true},"masterAuthorizedNetworksConfig":{"cidrBlocks":[{"cidrBlock":"128.0.0.0/1"}]}}`,
			`{"privateClusterConfig":{"enablePrivateNodes":true},"masterAuthorizedNetworksConfig":{"cidrBlocks":[]}}`,
			"masterAuthorizedNetworksConfig.cidrBlocks", "128.0.0.0/1",
		},
		"EKS open to the world": {
			"api-server-not-open", eksCluster,
			`{"encryptionConfig":{"resources":["secrets"]},"vpcConfig":{"endpointPublicAccess":true,"publicAccessCidrs":["0.0.0.0/0"]}}`,
			`{"encryptionConfig":{"resources":["secrets"]},"vpcConfig":{"endpointPublicAccess":true,"publicAccessCidrs":["198.51.100.7/32"]}}`,
			"vpcConfig.publicAccessCidrs", "0.0.0.0/0",
		},
		"EKS that does not say": {
			"api-server-not-open", eksCluster,
			`{"encryptionConfig":{"resources":["secrets"]},"vpcConfig":{}}`,
			`{"encryptionConfig":{"resources":["secrets"]},"vpcConfig":{"endpointPublicAccess":false}}`, "vpcConfig.publicAccessCidrs", "no network named",
		},
		"AKS open to the world": {
			"api-server-not-open", aksClusterV, `{"apiServerAccessProfile":{"authorizedIPRanges":["::/0"]}}`,
			`{"apiServerAccessProfile":{"enablePrivateCluster":true}}`, "apiServerAccessProfile.authorizedIPRanges", "::/0",
		},
		"AKS that does not say": {
			"api-server-not-open", aksClusterV, `{}`, `{"apiServerAccessProfile":{"authorizedIPRanges":["198.51.100.7/32"]}}`,
			"apiServerAccessProfile.authorizedIPRanges", "no network named",
		},
		"disk of a node not encrypted": {
			"disks-encrypted", launchTemplate, `{"blockDeviceMappings":[{"ebs":{"encrypted":"true"}},{"ebs":{"encrypted":"false"}}]}`,
			`{"blockDeviceMappings":[{"ebs":{"encrypted":"true"}},{"ebs":{"encrypted":true}}]}`, "blockDeviceMappings[1].ebs.encrypted", "not encrypted",
		},
		"disk of a node left to the account": {
			"disks-encrypted", launchTemplate, `{}`, `{"blockDeviceMappings":[{"ebs":{"encrypted":"true"}}]}`, "blockDeviceMappings", "none",
		},
		"node group without launch template": {
			"disks-encrypted", eksPool, `{"instanceTypes":["g6.xlarge"]}`, `{"instanceTypes":["g6.xlarge"],"launchTemplate":{"id":"lt-1"}}`, "launchTemplate", "none",
		},
		"secrets without a key": {
			"disks-encrypted", eksCluster, `{"vpcConfig":{"endpointPublicAccess":false}}`,
			`{"vpcConfig":{"endpointPublicAccess":false},"encryptionConfig":{"resources":["secrets"]}}`, "encryptionConfig", "etcd",
		},
		"volumes not encrypted": {
			"disks-encrypted", storageClass, `{"provisioner":"ebs.csi.aws.com","parameters":{"type":"gp3"}}`,
			`{"provisioner":"ebs.csi.aws.com","parameters":{"encrypted":"true"}}`, "parameters.encrypted", "not encrypted",
		},
		"privileged container": {
			"no-privileged-containers", deployment, pod(resources+`,"securityContext":{"allowPrivilegeEscalation":false,"privileged":true}`, ""),
			pod(resources+safe, ""),
			"spec.template.spec.containers[0].securityContext.privileged", "rights of its node",
		},
		"privilege escalation": {
			"no-privileged-containers", deployment, pod(resources, ""), pod(resources+safe, ""),
			"spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation", "more rights",
		},
		"capability": {
			"no-privileged-containers", deployment, pod(resources+`,"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"add":["SYS_ADMIN"]}}`, ""),
			pod(resources+`,"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"add":["NET_BIND_SERVICE"]}}`, ""),
			"spec.template.spec.containers[0].securityContext.capabilities.add[0]", "SYS_ADMIN",
		},
		"network of the node": {
			"no-privileged-containers", deployment, pod(resources+safe, `"hostNetwork":true,`), pod(resources+safe, `"hostNetwork":false,`),
			"spec.template.spec.hostNetwork", "shares it",
		},
		"files of the node": {
			"no-privileged-containers", deployment, pod(resources+safe, `"volumes":[{"hostPath":{"path":"/"}}],`), pod(resources+safe, `"volumes":[{"emptyDir":{}}],`),
			"spec.template.spec.volumes[0].hostPath", "files of its node",
		},
		"files of the node beside the program's own": {
			"no-privileged-containers", deployment,
			pod(resources+safe, `"volumes":[{"hostPath":{"path":"/var/lib/vllm-autoscaling/compile-cache/.."}}],`),
			pod(resources+safe, `"volumes":[{"hostPath":{"path":"/var/lib/vllm-autoscaling/compile-cache"}}],`),
			"spec.template.spec.volumes[0].hostPath", "files of its node",
		},
		"init container": {
			"no-privileged-containers", deployment,
			pod(resources+safe, `"initContainers":[{"image":"a:1"`+resources+`,"securityContext":{"allowPrivilegeEscalation":false,"privileged":true}}],`),
			pod(resources+safe, `"initContainers":[{"image":"a:1"`+resources+safe+`}],`), "spec.template.spec.initContainers[0].securityContext.privileged", "rights",
		},
		"privileged by a chart's values": {
			"no-privileged-containers", release, `{"version":"1.2.3","values":{"a":{"b.c":{"securityContext":{"privileged":true}}}}}`,
			`{"version":"1.2.3","values":{"a":{"b.c":{"securityContext":{"privileged":false}}}}}`, `values.a["b.c"].securityContext.privileged`, "rights of its node",
		},
		"capability by a chart's values": {
			"no-privileged-containers", release, `{"version":"1.2.3","values":{"securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}}}`,
			`{"version":"1.2.3","values":{"securityContext":{"capabilities":{"drop":["ALL"]}}}}`, "values.securityContext.capabilities.add", "SYS_ADMIN",
		},
		"another capability than the device plugin needs": {
			"no-privileged-containers", release,
			`{"chart":"nvidia-device-plugin","version":"1.2.3","values":{"securityContext":{"capabilities":{"add":["SYS_ADMIN","NET_ADMIN"]}}}}`,
			`{"chart":"nvidia-device-plugin","version":"1.2.3","values":{"securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}}}`,
			"values.securityContext.capabilities.add", "NET_ADMIN",
		},
		"network of the node by a chart's values": {
			"no-privileged-containers", release, `{"version":"1.2.3","values":{"hostNetwork":true}}`, `{"version":"1.2.3","values":{"hostNetwork":false}}`,
			"values.hostNetwork", "shares",
		},
		"image latest": {
			"versions-pinned", deployment, strings.Replace(pod(resources+safe, ""), "v0.20.0", "latest", 1), pod(resources+safe, ""),
			"spec.template.spec.containers[0].image", "something else tomorrow",
		},
		"image without tag, with a port": {
			"versions-pinned", deployment, strings.Replace(pod(resources+safe, ""), "vllm/vllm-openai:v0.20.0", "registry:5000/vllm", 1),
			strings.Replace(pod(resources+safe, ""), "vllm/vllm-openai:v0.20.0", "registry:5000/vllm@sha256:"+strings.Repeat("a1", 32), 1),
			"spec.template.spec.containers[0].image", "no version",
		},
		"image by a word": {
			"versions-pinned", deployment, strings.Replace(pod(resources+safe, ""), "v0.20.0", "release", 1),
			strings.Replace(pod(resources+safe, ""), "v0.20.0", "release-1", 1),
			"spec.template.spec.containers[0].image", "is no version",
		},
		"chart without version": {
			"versions-pinned", release, `{"chart":"kube-prometheus-stack"}`, `{"chart":"./charts/kube-prometheus-stack"}`, "version", "newest chart",
		},
		"chart by a range": {"versions-pinned", release, `{"version":"^88.0.0"}`, `{"version":"88.5.3"}`, "version", "range"},
		"image tag in a chart's values": {"versions-pinned", release, `{"version":"1.0.0","values":{"image":{"tag":"latest"}}}`,
			`{"version":"1.0.0","values":{"image":{"tag":"1.2"}}}`, "values.image.tag", "tomorrow"},
		"image in a chart's values": {
			"versions-pinned", release, `{"version":"1.0.0","values":{"sidecar":[{"image":"quay.io/a/b"}]}}`,
			`{"version":"1.0.0","values":{"sidecar":[{"image":"quay.io/a/b:1"}]}}`,
			"values.sidecar[0].image", "no version",
		},
		"no CPU requested": {
			"limits-set", deployment, pod(safe+`,"resources":{"requests":{"memory":"1Gi"},"limits":{"memory":"1Gi"}}`, ""), pod(safe+resources, ""),
			"spec.template.spec.containers[0].resources.requests.cpu", "scheduler",
		},
		"no memory requested": {
			"limits-set", deployment, pod(safe+`,"resources":{"requests":{"cpu":1},"limits":{"memory":"1Gi"}}`, ""), pod(safe+resources, ""),
			"spec.template.spec.containers[0].resources.requests.memory", "scheduler",
		},
		"no limit of memory": {
			"limits-set", deployment, pod(safe+`,"resources":{"requests":{"cpu":1,"memory":"1Gi"}}`, ""), pod(safe+resources, ""),
			"spec.template.spec.containers[0].resources.limits.memory", "all memory of its node",
		},
		"no limits of a job": {
			"limits-set", "kubernetes:batch/v1:CronJob",
			`{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"image":"a:1"` + safe + `,"resources":{"requests":{"cpu":1,"memory":"1Gi"}}}]}}}}}}`,
			`{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"image":"a:1"` + safe + resources + `}]}}}}}}`,
			"spec.jobTemplate.spec.template.spec.containers[0].resources.limits.memory", "all memory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			result := Check([]plan.Resource{planned(t, test.typ, test.wrong)}, Settings{})
			require.Len(t, result.Violations, 1, "%+v", result.Violations)
			v := result.Violations[0]
			assert.Equal(t, test.rule, v.Rule)
			assert.Equal(t, Mandatory, v.Severity)
			assert.Equal(t, "it", v.Resource)
			assert.Equal(t, test.typ, v.Type)
			assert.Equal(t, test.property, v.Property)
			assert.Contains(t, v.Found, test.message)
			assert.NotEmpty(t, v.Fix)
			for _, part := range []string{test.rule, "it", test.property, v.Fix} {
				assert.Contains(t, v.String(), part)
			}
			assert.Equal(t, 1, result.Mandatory())

			result = Check([]plan.Resource{planned(t, test.typ, test.right)}, Settings{})
			assert.Empty(t, result.Violations)
		})
	}
}

// The pools of a private cluster are private unless they are set otherwise.
func TestPoolsFollowTheirCluster(t *testing.T) {
	cluster := planned(t, gkeCluster, `{"privateClusterConfig":{"enablePrivateNodes":true},"masterAuthorizedNetworksConfig":{}}`)
	assert.Empty(t, Check([]plan.Resource{cluster, planned(t, gkePool, `{}`)}, Settings{}).Violations)
	assert.Len(t, Check([]plan.Resource{cluster, planned(t, gkePool, `{"networkConfig":{"enablePrivateNodes":false}}`)}, Settings{}).Violations, 1)
}

func TestProductionIsProtected(t *testing.T) {
	gke := `{"privateClusterConfig":{"enablePrivateNodes":true},"masterAuthorizedNetworksConfig":{},"deletionProtection":%s}`
	eks := `{"encryptionConfig":{"resources":["secrets"]},"vpcConfig":{"endpointPublicAccess":false}}`
	aks := `{"apiServerAccessProfile":{"enablePrivateCluster":true},"agentPoolProfiles":[{"enableEncryptionAtHost":true}]}`
	protected := func(r plan.Resource) plan.Resource { r.Protected = true; return r }
	lock := planned(t, aksLockV, `{"level":"CanNotDelete"}`)
	for name, test := range map[string]struct {
		wrong, right []plan.Resource
	}{
		"gke": {
			[]plan.Resource{planned(t, gkeCluster, strings.Replace(gke, "%s", "false", 1))},
			[]plan.Resource{planned(t, gkeCluster, strings.Replace(gke, "%s", "true", 1))},
		},
		"eks":              {[]plan.Resource{planned(t, eksCluster, eks)}, []plan.Resource{protected(planned(t, eksCluster, eks))}},
		"aks":              {[]plan.Resource{planned(t, aksClusterV, aks), lock}, []plan.Resource{protected(planned(t, aksClusterV, aks)), lock}},
		"aks without lock": {[]plan.Resource{protected(planned(t, aksClusterV, aks))}, []plan.Resource{protected(planned(t, aksClusterV, aks)), lock}},
	} {
		t.Run(name, func(t *testing.T) {
			result := Check(test.wrong, Settings{Production: true})
			require.Len(t, result.Violations, 1)
			assert.Equal(t, "deletion-protection", result.Violations[0].Rule)
			assert.Contains(t, result.Violations[0].Fix, "cluster.deletionProtection")
			assert.Empty(t, Check(test.right, Settings{Production: true}).Violations)
			assert.Empty(t, Check(test.wrong, Settings{}).Violations, "a stack that is not marked production")
		})
	}
}

// For production on AKS, encryption at host is advisory, not mandatory.
func TestAdvice(t *testing.T) {
	result := Check([]plan.Resource{planned(t, aksPoolV, `{"enableEncryptionAtHost":false}`)}, Settings{Production: true})
	require.Len(t, result.Violations, 1)
	assert.Equal(t, Advisory, result.Violations[0].Severity)
	assert.Zero(t, result.Mandatory())
	assert.Empty(t, Check([]plan.Resource{planned(t, aksPoolV, `{"enableEncryptionAtHost":false}`)}, Settings{}).Violations)
}

func TestSpendCeiling(t *testing.T) {
	pool := planned(t, eksPool,
		`{"instanceTypes":["g6.xlarge"],"launchTemplate":{"id":"lt"},"amiType":"AL2023_x86_64_NVIDIA","scalingConfig":{"minSize":0,"maxSize":10}}`)
	system := planned(t, eksPool,
		`{"instanceTypes":["m6i.2xlarge"],"launchTemplate":{"id":"lt"},"scalingConfig":{"minSize":2,"maxSize":50}}`)
	all := []plan.Resource{system, pool}
	for name, test := range map[string]struct {
		settings Settings
		message  string // "" for no violation
	}{
		"no ceiling":            {Settings{}, ""},
		"just enough":           {Settings{SpendCeiling: 8.05}, ""},
		"too low":               {Settings{SpendCeiling: 8}, "8.05 USD/h, above the ceiling of 8.00"},
		"cheaper by contract":   {Settings{SpendCeiling: 6, Prices: map[string]float64{"g6.xlarge": 0.5}}, ""},
		"dearer than the table": {Settings{SpendCeiling: 9, Prices: map[string]float64{"g6.xlarge": 1}}, "10.00 USD/h"},
	} {
		t.Run(name, func(t *testing.T) {
			result := Check(all, test.settings)
			if test.message == "" {
				assert.Empty(t, result.Violations)
				return
			}
			require.Len(t, result.Violations, 1)
			assert.Equal(t, "spend-ceiling", result.Violations[0].Rule)
			assert.Contains(t, result.Violations[0].Found, test.message)
		})
	}
	own := planned(t, eksPool, `{"instanceTypes":["g6e.xlarge"],"launchTemplate":{"id":"lt"},"amiType":"AL2023_x86_64_NVIDIA",`+
		`"scalingConfig":{"minSize":0,"maxSize":2},"labels":{"vllm-autoscaling/pool":"chat"},"tags":{"vllm-autoscaling.pool":"gpu-chat"}}`)
	own.Name = "cluster-gpu-chat-a"
	both := Check(append(all, own), Settings{SpendCeiling: 8.05})
	require.Len(t, both.Violations, 1, "the pools count together")
	assert.Contains(t, both.Violations[0].Found, "cost 11.77 USD/h, above the ceiling of 8.05 ("+pool.Name+" 8.05, cluster-gpu-chat-a 3.72)")
	assert.Contains(t, both.Violations[0].Fix, "maxNodes of one of these pools")

	unknown := planned(t, eksPool,
		`{"instanceTypes":["p9.huge"],"launchTemplate":{"id":"lt"},"amiType":"AL2023_x86_64_NVIDIA","scalingConfig":{"minSize":0,"maxSize":1}}`)
	result := Check([]plan.Resource{unknown}, Settings{SpendCeiling: 1000})
	require.Len(t, result.Violations, 1, "a ceiling that cannot be checked is not kept")
	assert.Contains(t, result.Violations[0].Fix, "policy.prices.p9.huge")
}

func TestExceptions(t *testing.T) {
	open := planned(t, aksClusterV, `{}`)
	exception := Exception{Rule: "api-server-not-open", Resource: "it", Reason: "a demo"}
	result := Check([]plan.Resource{open}, Settings{Exceptions: []Exception{exception, {Rule: "limits-set", Resource: "gone", Reason: "old"}}})
	assert.Empty(t, result.Violations)
	require.Len(t, result.Allowed, 1)
	assert.Equal(t, "a demo", result.Allowed[0].Reason)
	assert.Equal(t, []Exception{{Rule: "limits-set", Resource: "gone", Reason: "old"}}, result.Unused)

	assert.Empty(t, Check([]plan.Resource{open}, Settings{Exceptions: []Exception{{Rule: "api-server-not-open", Resource: AnyResource, Reason: "x"}}}).Violations)
	for _, other := range []Exception{{Rule: "limits-set", Resource: "it"}, {Rule: "api-server-not-open", Resource: "another"}} {
		assert.Len(t, Check([]plan.Resource{open}, Settings{Exceptions: []Exception{other}}).Violations, 1, "%+v", other)
	}
}

func TestSettings(t *testing.T) {
	at := func(keys map[string]string) *plan.Plan {
		p := &plan.Plan{Project: "p", Config: map[string]string{}}
		for key, value := range keys {
			p.Config["p:"+key] = value
		}
		return p
	}
	none, err := SettingsOf(at(nil))
	require.NoError(t, err)
	assert.Equal(t, Settings{}, none)

	all, err := SettingsOf(at(map[string]string{
		"production": "true",
		"policy":     `{"spendCeiling":"12.5","exceptions":{"limits-set/a/b":" because ","spend-ceiling/*":"x"},"prices":{"g6.xlarge":0.5,"g5.xlarge":"0.7"}}`,
	}))
	require.NoError(t, err)
	assert.True(t, all.Production)
	assert.InDelta(t, 12.5, all.SpendCeiling, 0)
	assert.Equal(t, []Exception{{"limits-set", "a/b", "because"}, {"spend-ceiling", "*", "x"}}, all.Exceptions)
	assert.InDelta(t, 0.5, all.Prices["g6.xlarge"], 0)
	assert.InDelta(t, 0.7, all.Prices["g5.xlarge"], 0)

	for message, keys := range map[string]map[string]string{
		"must be true or false": {"production": "yes"},
		"policy":                {"policy": "{"},
		"no reason":             {"policy": `{"exceptions":{"limits-set/vllm":" "}}`},
		"no rule":               {"policy": `{"exceptions":{"limit-set/vllm":"x"}}`},
		"not rule/resource":     {"policy": `{"exceptions":{"limits-set":"x"}}`},
	} {
		_, err := SettingsOf(at(keys))
		assert.ErrorContains(t, err, message)
	}
}

// The program rejects exceptions of unknown rules, so its list must have all of them.
func TestTheProgramKnowsTheRules(t *testing.T) {
	var ids []string
	for _, rule := range Rules {
		ids = append(ids, rule.ID)
		assert.NotEmpty(t, rule.About, rule.ID)
	}
	assert.Equal(t, config.PolicyRules, ids)
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	assert.Equal(t, len(slices.Compact(sorted)), len(ids), "no ID twice")
}

// docs/policy.md lists every rule with its severity, and no other.
func TestDocumentation(t *testing.T) {
	content, err := os.ReadFile("../../docs/policy.md")
	require.NoError(t, err)
	var want, got []string
	for _, rule := range Rules {
		want = append(want, rule.ID+" "+string(rule.Severity))
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (mandatory|advisory) \\|").FindAllStringSubmatch(string(content), -1) {
		got = append(got, row[1]+" "+row[2])
	}
	assert.Equal(t, want, got)
}
