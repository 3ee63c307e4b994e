package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/tests/configdocs"
)

// situation is the configuration that a change of one key requires: before it, and together with it.
type situation struct {
	before, with map[string]any
	attached     bool
}

// token is too short for the engine's log filter. For any other secret, each run adds a filter to all runs of the process,
// which slows down the following ones.
var token = secret("hf")

// onGPUs is for keys of a stack on an existing cluster that have an effect only with GPUs.
var onGPUs = map[string]any{"gpu.mode": "nvidia", "huggingFaceToken": token}

// sharedStateMetrics scrapes a kube-state-metrics of the cluster.
var sharedStateMetrics = map[string]any{"monitoring.kubeStateMetrics": "shared", "monitoring.kubeStateMetricsService.namespace": "theirs"}

// situations are those of the keys that require other settings, by key or by cloud and key.
var situations = map[string]situation{
	"huggingFaceToken":                     {before: onGPUs},
	"gpu.mode":                             {with: map[string]any{"huggingFaceToken": token}},
	"local gpu.perReplica":                 {before: onGPUs},
	"local gpu.memoryGiB":                  {before: onGPUs},
	"gpu.nodeSelector":                     {before: onGPUs},
	"gpu.tolerations":                      {before: onGPUs},
	"gpu.metrics":                          {before: onGPUs},
	"local charts.dcgmExporter.version":    {before: onGPUs},
	"local charts.dcgmExporter.repository": {before: onGPUs},
	"local charts.dcgmExporter.values":     {before: onGPUs},
	"monitoring.storageClass":              {before: map[string]any{"monitoring.storage": "20Gi"}},
	"gke autoscaling.adapterImage":         {before: map[string]any{"metrics": "google-managed"}},
	"gke metrics":                          {},
	"metrics":                              {with: map[string]any{"monitoring.prometheus.namespace": "observability", "monitoring.prometheus.service": "prometheus-operated"}},
	"autoscaling.adapter":                  {before: onPlatform(nil)},
	"monitoring.prometheus.namespace":      {before: onPlatform(map[string]any{"monitoring.prometheus.namespace": "first"})},
	"monitoring.prometheus.service":        {before: onPlatform(map[string]any{"monitoring.prometheus.service": "first"})},
	"monitoring.prometheus.port":           {before: onPlatform(nil)},
	"monitoring.prometheus.headers":        {before: onPlatform(nil)},
	"monitoring.prometheus.url":            {before: atURL(nil)},
	"monitoring.prometheus.secret":         {before: atURL(map[string]any{"monitoring.prometheus.secret": "first", "monitoring.prometheus.secretKeys": []any{"token"}})},
	"monitoring.prometheus.secretKeys":     {before: atURL(map[string]any{"monitoring.prometheus.secret": "first", "monitoring.prometheus.secretKeys": []any{"token"}})},
	"gke gke.network":                      {before: map[string]any{"gke.network": "first", "gke.subnetwork": "nodes"}},
	"gke gke.subnetwork":                   {before: map[string]any{"gke.network": "first", "gke.subnetwork": "first"}},
	"gke gke.podsRange": {before: map[string]any{"gke.network": "first", "gke.subnetwork": "nodes", "gke.podsRange": "first",
		"gke.servicesRange": "s"}},
	"gke gke.servicesRange": {before: map[string]any{"gke.network": "first", "gke.subnetwork": "nodes", "gke.podsRange": "p",
		"gke.servicesRange": "first"}},
	"gke.maintenanceWindow.start":      {before: maintenance},
	"gke.maintenanceWindow.end":        {before: maintenance},
	"gke.maintenanceWindow.recurrence": {before: maintenance},
	"gke.maintenanceExclusions":        {before: maintenance},
	"eks.nodeSecurityGroupIds":         {attached: true},
	"eks eks.subnetIds":                {before: map[string]any{"eks.zones": nil, "eks.subnetIds": []any{"subnet-01", "subnet-02"}}},
	"eks eks.gpuSubnetIds":             {before: map[string]any{"eks.zones": nil, "eks.subnetIds": []any{"subnet-0a", "subnet-0b"}}},
	"eks eks.region":                   {with: map[string]any{"eks.zones": []any{"eu-central-1a", "eu-central-1b"}}},
	"eks.capacityReservation":          {before: map[string]any{"nodePools.gpu.zones": []any{"us-east-1a"}}},
	"eks.capacityBlock":                {before: blockMachines},
	"aks.capacityReservationGroupId":   {before: map[string]any{"aks.userAssignedIdentityId": identity}},
	"aks.spotMaxPrice":                 {before: map[string]any{"nodePools.gpu.spot": true}},
	"cluster.apiAccessCidrs":           {before: map[string]any{"cluster.apiAccessCidrs": []any{"1.2.3.0/24"}}},
	"aks aks.privateCluster":           {with: map[string]any{"cluster.apiAccessCidrs": nil}},
	"aks aks.entra.enabled":            {with: map[string]any{"aks.entra.enableAzureRBAC": true}},
	"aks.entra.tenantID":               {before: entraGroups},
	"aks.entra.adminGroupObjectIDs":    {before: entra},
	"aks.entra.enableAzureRBAC":        {before: entraGroups},
	"aks.maintenanceWindow.start":      {before: window},
	"aks.maintenanceWindow.hours":      {before: window},
	"aks.maintenanceWindow.utcOffset":  {before: window},
	"aks.entra.disableLocalAccounts":   {before: entra},
	"aks.entra.login":                  {before: entra},
	"local autoscaling.spareNodes":     {before: onGPUs},
	"local model.quantization":         {before: onGPUs},
	"local model.kvCacheDType":         {before: onGPUs},
	"aks model.kvCacheDType":           {before: map[string]any{"nodePools.gpu.accelerator": "nvidia-h100-94gb"}},
	"model.parallel.tensor":            {before: twoEngines(twoGPUs), with: map[string]any{"model.parallel.data": nil}},
	"model.parallel.pipeline":          {before: twoGPUs},
	"model.parallel.data":              {before: twoGPUs},
	"local model.parallel.tensor":      {before: twoEngines(twoLocalGPUs), with: map[string]any{"model.parallel.data": nil}},
	"local model.parallel.pipeline":    {before: twoLocalGPUs},
	"local model.parallel.data":        {before: twoLocalGPUs},
	"model.lora.maxLoras":              {before: map[string]any{"model.lora.adapters": map[string]any{"a": "example/a", "b": "example/b", "c": "example/c"}}},
	"model.lora.maxRank":               {before: adapter},
	"local model.lora.maxRank": {before: map[string]any{"model.lora.adapters": map[string]any{"a": "example/a"}, "gpu.mode": "nvidia",
		"huggingFaceToken": token}},
	"model.source":                  {with: map[string]any{"model.claim.name": "models"}},
	"local model.source":            {before: onGPUs, with: map[string]any{"model.claim.name": "models"}},
	"gke model.bucket":              {before: fromBucket("gs://first-models/a", nil)},
	"eks model.bucket":              {before: fromBucket("s3://first-models/a", nil)},
	"aks model.bucket":              {before: fromBucket("az://firstmodels/weights/a", map[string]any{"aks.storageResourceGroup": "first"})},
	"local model.bucket":            {before: fromBucket("s3://first-models/a", onGPUs)},
	"aks.storageResourceGroup":      {before: fromBucket("az://firstmodels/weights/a", map[string]any{"aks.storageResourceGroup": "first"})},
	"model.claim.name":              {before: fromClaim},
	"model.claim.path":              {before: fromClaim},
	"local model.claim.name":        {before: localClaim},
	"local model.claim.path":        {before: localClaim},
	"model.image.reference":         {before: fromImage},
	"model.image.path":              {before: fromImage},
	"local model.image.reference":   {before: localImage},
	"local model.image.path":        {before: localImage},
	"vllm.prePull":                  {before: onGPUs},
	"vllm.cache.kind":               {before: onGPUs},
	"vllm.cache.size":               {before: caching(nil, "node", nil)},
	"vllm.cache.claim":              {before: caching(nil, "claim", map[string]any{"vllm.cache.claim": "first"})},
	"vllm.cache.storageClass":       {before: caching(nil, "claim", map[string]any{"vllm.cache.storageClass": "first"})},
	"local vllm.cache.size":         {before: caching(onGPUs, "node", nil)},
	"local vllm.cache.claim":        {before: caching(onGPUs, "claim", map[string]any{"vllm.cache.claim": "first"})},
	"local vllm.cache.storageClass": {before: caching(onGPUs, "claim", map[string]any{"vllm.cache.storageClass": "first"})},

	"model.size.weightsGiB":       {before: unknownModel},
	"model.size.kvBytesPerToken":  {before: unknownModel},
	"model.size.contextLength":    {before: unknownModel},
	"nodePools.gpu.create":        {attached: true},
	"gke.existingAccelerator":     {attached: true, before: map[string]any{"nodePools.gpu.create": false}},
	"eks.nodeAutoscalerInstalled": {attached: true},
	"eks.devicePluginInstalled":   {attached: true},
	"aks.devicePluginInstalled":   {attached: true},

	"autoscaling.signals.kvCacheUsage.target": {before: map[string]any{"autoscaling.signals.kvCacheUsage.enabled": true}},

	"monitoring.kubeStateMetrics":                  {with: map[string]any{"monitoring.kubeStateMetricsService.namespace": "theirs"}},
	"monitoring.kubeStateMetricsService.namespace": {before: sharedStateMetrics},
	"monitoring.kubeStateMetricsService.labels":    {before: sharedStateMetrics},
	"monitoring.kubeStateMetricsService.port":      {before: sharedStateMetrics},
}

// twoGPUs and twoLocalGPUs are replicas with two GPUs, on a cloud and on an existing cluster.
var (
	twoGPUs      = map[string]any{"gpu.perReplica": 2}
	twoLocalGPUs = map[string]any{"gpu.perReplica": 2, "gpu.mode": "nvidia", "huggingFaceToken": token}
)

// Sources of the weights, on a cloud and on an existing cluster.
var (
	fromClaim  = map[string]any{"model.source": "claim", "model.claim.name": "first"}
	localClaim = map[string]any{"model.source": "claim", "model.claim.name": "first", "gpu.mode": "nvidia"}
	fromImage  = map[string]any{"model.source": "image", "model.image.reference": "example.com/models:first"}
	localImage = map[string]any{"model.source": "image", "model.image.reference": "example.com/models:first", "gpu.mode": "nvidia"}
)

// fromBucket returns the situation of a model in a bucket, with more keys.
func fromBucket(uri string, more map[string]any) map[string]any {
	keys := map[string]any{"model.source": "bucket", "model.bucket": uri}
	maps.Copy(keys, more)
	return keys
}

// caching returns keys with a cache of a kind.
func caching(keys map[string]any, kind string, more map[string]any) map[string]any {
	all := map[string]any{"vllm.cache.kind": kind}
	maps.Copy(all, keys)
	maps.Copy(all, more)
	return all
}

// adapter is a LoRA adapter.
var adapter = map[string]any{"model.lora.adapters": map[string]any{"a": "example/a"}}

// unknownModel is a model outside of the program's table, with its size.
var unknownModel = map[string]any{
	"model.id": "example/model", "model.size.weightsGiB": 7, "model.size.kvBytesPerToken": 90000, "model.size.contextLength": 16384,
}

// maintenance is a maintenance window of GKE.
var maintenance = map[string]any{"gke.maintenanceWindow.start": "2026-01-03T00:00:00Z", "gke.maintenanceWindow.end": "2026-01-03T12:00:00Z",
	"gke.maintenanceWindow.recurrence": "FREQ=DAILY"}

// blockMachines are of the kind that AWS sells as Capacity Blocks.
var blockMachines = map[string]any{"nodePools.gpu.machineType": "p5.4xlarge", "nodePools.gpu.zones": []any{"us-east-1a"}}

// identity is a managed identity of Azure.
const identity = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"

var (
	entra       = map[string]any{"aks.entra.enabled": true, "aks.entra.enableAzureRBAC": true}
	entraGroups = map[string]any{"aks.entra.enabled": true, "aks.entra.adminGroupObjectIDs": []any{"00000000-0000-0000-0000-000000000005"}}
	window      = map[string]any{"aks.maintenanceWindow.day": "Saturday"}
)

// unmeasured are the keys whose effect cannot be measured, with the effect.
var unmeasured = map[string]string{
	// The doubles accept these; Google and AWS do not.
	"gke.nodesCidr":    "Google widens it in place, and refuses anything else while the cluster is there",
	"gke.podsCidr":     "Google refuses it while the cluster is there",
	"gke.servicesCidr": "Google refuses it while the cluster is there",
	"eks.vpcCidr":      "AWS refuses to move a cluster to another VPC: make another stack",

	"cloud":              "another cloud is another stack: `pulumi stack init`",
	"cluster.kubeconfig": "in place, as long as the server stays; another server: the cluster and everything in it anew",
	"cluster.context":    "in place, as long as the server stays; another server: the cluster and everything in it anew",
	"cluster.existing":   "another cluster is another stack: `pulumi stack init`",
	"servers":            "adds the objects of a server, or removes them; those of the others stay",
	"gke.autopilot":      "refused",
	"gke.flexStart":      "refused", "gke.queuedProvisioning": "refused",
	"gke gpu.memoryGiB": "follows from the accelerator", "eks gpu.memoryGiB": "follows from the accelerator", "aks gpu.memoryGiB": "follows from the accelerator",
	"gke gpu.mode": "refused", "eks gpu.mode": "refused", "aks gpu.mode": "refused",
	"nodePools.gpu.gpusPerNode": "follows from the machine type",

	"production": previewOnly, "policy.spendCeiling": previewOnly, "policy.exceptions": previewOnly, "policy.prices": previewOnly,
}

// previewOnly is the effect of a key that no component reads.
const previewOnly = "nothing that is deployed: only `make preview` reads it"

// TestEffects changes every key of a deployed stack, one at a time, on every cloud on which the key has an effect, and
// compares the plan with the effect on the reference page. With UPDATE_EFFECTS=1, as `make config-docs` runs it, it writes
// the measured effects. With -short, a key with the same effect on several clouds is changed on the first of them only.
func TestEffects(t *testing.T) {
	keys, err := configdocs.Load("../..")
	require.NoError(t, err)
	said, err := configdocs.MeasuredEffects()
	require.NoError(t, err)
	update := os.Getenv("UPDATE_EFFECTS") == "1"
	measured := configdocs.Effects{}
	for _, key := range configdocs.Leaves(keys) {
		measured[key.Name] = map[string]string{}
	}
	seen := map[string]bool{}
	for _, cloud := range config.Clouds {
		t.Run(cloud, func(t *testing.T) {
			deployed := map[string]*stack{}
			for _, key := range configdocs.Leaves(keys) {
				if !slices.Contains(key.Clouds, cloud) {
					continue
				}
				if what := key.Name + ": " + said[key.Name][cloud]; testing.Short() && !update {
					if seen[what] {
						continue
					}
					seen[what] = true
				}
				effect, ok := unmeasured[cloud+" "+key.Name]
				if !ok {
					effect, ok = unmeasured[key.Name]
				}
				if !ok {
					effect = effectOf(t, deployed, cloud, key)
				}
				measured[key.Name][cloud] = effect
				if !update {
					assert.Equal(t, said[key.Name][cloud], effect,
						"what docs/configuration.md says of a change of %s; if the change is meant, run make config-docs", key.Name)
				}
			}
		})
	}
	if update && !t.Failed() {
		content, err := json.MarshalIndent(measured, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join("..", "..", configdocs.EffectsPath), append(content, '\n'), 0o644))
		return
	}
	assert.Empty(t, said.Unknown(keys), "keys that are gone; run make config-docs")
}

// twoEngines returns a situation in which each of two GPUs has an engine of its own.
func twoEngines(gpus map[string]any) map[string]any {
	keys := maps.Clone(gpus)
	keys["model.parallel.tensor"], keys["model.parallel.data"] = 1, 2
	return keys
}

// effectOf changes a key of a stack that is deployed in the key's situation.
func effectOf(t *testing.T, deployed map[string]*stack, cloud string, key *configdocs.Key) string {
	t.Helper()
	at, ok := situations[cloud+" "+key.Name]
	if !ok {
		at = situations[key.Name]
	}
	if cloud != config.CloudLocal && !ok && reflect.DeepEqual(at.before, onGPUs) {
		at.before = nil
	}
	id := fmt.Sprint(at.attached, at.before)
	s := deployed[id]
	if s == nil {
		s = deployIn(t, cloud, at)
		deployed[id] = s
	}
	before := maps.Clone(s.keys)
	defer func() { s.keys = before }()
	var refusals []string
	for _, value := range configdocs.Candidates(key, cloud) {
		if plain, ok := value.(configdocs.Encrypted); ok {
			value = secret(plain)
		}
		if reflect.DeepEqual(value, before[key.Name]) || before[key.Name] == nil && reflect.DeepEqual(value, key.Default[cloud]) {
			continue
		}
		s.keys = maps.Clone(before)
		maps.Copy(s.keys, at.with)
		s.keys[key.Name] = value
		maps.DeleteFunc(s.keys, func(_ string, value any) bool { return value == nil })
		plan := s.preview()
		if plan.err == nil {
			return effect(plan.planned())
		}
		refusals = append(refusals, fmt.Sprintf("%v: %v", value, plan.err))
	}
	assert.Failf(t, "no value to change it to", "%s on %s: give the key an example, or a situation in effects_test.go; refused were\n%s",
		key.Name, cloud, strings.Join(refusals, "\n"))
	return ""
}

func deployIn(t *testing.T, cloud string, at situation) *stack {
	t.Helper()
	var s *stack
	switch {
	case cloud == config.CloudLocal:
		s = newStack(t, cloud, at.before)
	case at.attached:
		s = newAttachedStack(t, cloud, at.before).stack
	default:
		s = newCloudStack(t, cloud, at.before).stack
	}
	done := s.run(engine.Update, false)
	require.NoError(t, done.err, "%s, %+v", cloud, at)
	return s
}

// effect returns the text of a plan's effect, the gravest part first.
func effect(plan []string) string {
	on := map[string][]string{}
	for _, step := range plan {
		op, what, _ := strings.Cut(step, " ")
		on[op] = append(on[op], what)
	}
	replaces := func(object string) bool { return slices.Contains(on[string(deploy.OpReplace)], object) }
	// The clouds' clusters come first: a new cluster also has a new provider.
	if slices.ContainsFunc(clouds, func(c *cloudDouble) bool { return replaces(c.cluster) }) {
		return "**replaces the cluster** and everything in it"
	}
	if slices.ContainsFunc(clouds, func(c *cloudDouble) bool { return replaces(c.kubernetes) }) {
		return "**replaces everything in the cluster**"
	}
	var parts []string
	for _, c := range clouds {
		if replaces(c.systemPool) {
			parts = append(parts, "**replaces the system nodes**")
		}
		if replaces(c.gpuPool) {
			parts = append(parts, choose(c.newPoolFirst, "**replaces the GPU nodes**, new ones first",
				"**replaces the GPU nodes**: down until new ones are there"))
		}
	}
	// Its name is also the resource's, so that the new one is created beside the old one.
	if slices.ContainsFunc(on[string(deploy.OpCreate)], func(what string) bool { return strings.HasPrefix(what, "Namespace ") }) {
		return "**replaces the namespace** and everything in it"
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		for _, what := range on[string(deploy.OpReplace)] {
			parts = append(parts, "replaces "+what)
		}
		slices.Sort(parts)
	}
	if slices.Contains(on[string(deploy.OpUpdate)], "Deployment vllm") {
		parts = append(parts, "restarts the replicas one after the other")
	}
	if len(parts) > 0 {
		return strings.Join(slices.Compact(parts), "; ")
	}
	for _, step := range []struct{ op, words string }{
		{string(deploy.OpCreate), "adds "}, {string(deploy.OpDelete), "removes "}, {string(deploy.OpUpdate), "in place: "},
	} {
		if objects := on[step.op]; len(objects) > 0 {
			slices.Sort(objects)
			parts = append(parts, step.words+strings.Join(objects, ", "))
		}
	}
	if len(parts) == 0 {
		return "nothing there"
	}
	return strings.Join(parts, "; ")
}
