package preflight

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"vllm-autoscaling/ops/preview/plan"
)

const (
	gkeProviderInputs = `{"project": "my-project", "region": "us-central1", "zone": "us-central1-a"}`
	gkeClusterInputs  = `{"name": "vllm-gke", "location": "us-central1-a", "project": "my-project", "network": "UNKNOWN", "subnetwork": "UNKNOWN",
		"ipAllocationPolicy": {"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"}, "releaseChannel": {"channel": "REGULAR"}}`
	gkeSystemInputs = `{"name": "system", "location": "us-central1-a", "autoscaling": {"totalMinNodeCount": 1, "totalMaxNodeCount": 3},
		"nodeConfig": {"machineType": "e2-standard-4", "gcfsConfig": {"enabled": true}}}`
	gkeGPUInputs = `{"name": "gpu", "location": "us-central1-a", "autoscaling": {"totalMinNodeCount": 0, "totalMaxNodeCount": 4},
		"nodeConfig": {"machineType": "g2-standard-4", "spot": false, "guestAccelerators": [{"type": "nvidia-l4", "count": 1}]}}`
)

// gkeSteps are the steps that create a stack on Google Cloud, as its recorded preview has them.
func gkeSteps(t *testing.T) []plan.Step {
	return []plan.Step{
		create(t, "pulumi:providers:gcp", "cluster", gkeProviderInputs),
		create(t, gkeNetwork, "cluster", `{"name": "vllm-gke"}`),
		create(t, gkeServiceAccount, "cluster-nodes", `{"accountId": "vllm-gke-nodes"}`),
		create(t, gkeGrant, "cluster-nodes-logging", `{"role": "roles/logging.logWriter"}`),
		create(t, gkeCluster, "cluster", gkeClusterInputs),
		create(t, gkePool, "cluster-system", gkeSystemInputs),
		create(t, gkePool, "cluster-gpu", gkeGPUInputs),
	}
}

// gkeServices has the form of serviceusage.services.list
// (https://cloud.google.com/service-usage/docs/reference/rest/v1/services/list).
const gkeServices = `[
	{"config": {"name": "compute.googleapis.com", "title": "Compute Engine API"}, "name": "projects/1/services/compute.googleapis.com", "state": "ENABLED"},
	{"config": {"name": "container.googleapis.com"}, "state": "ENABLED"}, {"config": {"name": "iam.googleapis.com"}, "state": "ENABLED"},
	{"config": {"name": "cloudresourcemanager.googleapis.com"}, "state": "ENABLED"}, {"config": {"name": "monitoring.googleapis.com"}, "state": "ENABLED"},
	{"config": {"name": "containerfilesystem.googleapis.com"}, "state": "ENABLED"}, {"config": {"name": "artifactregistry.googleapis.com"}, "state": "ENABLED"}]`

// gkeRegion has the form of compute.regions.get (https://cloud.google.com/compute/docs/reference/rest/v1/regions/get).
const gkeRegion = `{"name": "us-central1", "quotas": [
	{"metric": "CPUS", "limit": 72.0, "usage": 0.0}, {"metric": "NVIDIA_L4_GPUS", "limit": 4.0, "usage": 0.0},
	{"metric": "PREEMPTIBLE_NVIDIA_L4_GPUS", "limit": 0.0, "usage": 0.0}]}`

// gkeProject has the form of compute.projects.get (https://cloud.google.com/compute/docs/reference/rest/v1/projects/get).
const gkeProject = `{"name": "my-project", "quotas": [
	{"metric": "GPUS_ALL_REGIONS", "limit": 8.0, "usage": 1.0}, {"metric": "CPUS_ALL_REGIONS", "limit": 72.0, "usage": 0.0}]}`

// gkeMachines has the form of compute.machineTypes.list
// (https://cloud.google.com/compute/docs/reference/rest/v1/machineTypes/list).
const gkeMachines = `[
	{"name": "g2-standard-4", "zone": "us-central1-a", "guestCpus": 4, "memoryMb": 16384,
		"accelerators": [{"guestAcceleratorType": "nvidia-l4", "guestAcceleratorCount": 1}]},
	{"name": "g2-standard-4", "zone": "us-central1-b", "guestCpus": 4}, {"name": "e2-standard-4", "zone": "us-central1-a", "guestCpus": 4},
	{"name": "e2-standard-4", "zone": "us-central1-b", "guestCpus": 4}, {"name": "e2-standard-4", "zone": "us-central1-c", "guestCpus": 4}]`

// gkeAccelerators has the form of compute.acceleratorTypes.list
// (https://cloud.google.com/compute/docs/reference/rest/v1/acceleratorTypes/list).
const gkeAccelerators = `[
	{"name": "nvidia-l4", "zone": "https://www.googleapis.com/compute/v1/projects/my-project/zones/us-central1-a", "maximumCardsPerInstance": 8},
	{"name": "nvidia-l4", "zone": "https://www.googleapis.com/compute/v1/projects/my-project/zones/us-central1-b"}]`

// gkeServerConfig has the form of projects.locations.getServerConfig
// (https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations/getServerConfig).
const gkeServerConfig = `{"defaultClusterVersion": "1.34.1-gke.1", "validMasterVersions": ["1.34.1-gke.1", "1.33.5-gke.2"],
	"channels": [{"channel": "REGULAR", "defaultVersion": "1.34.1-gke.1", "validVersions": ["1.34.1-gke.1", "1.33.5-gke.2"]}]}`

// gkeSubnetwork has the form of compute.subnetworks.get
// (https://cloud.google.com/compute/docs/reference/rest/v1/subnetworks/get).
const gkeSubnetwork = `{"name": "nodes", "privateIpGoogleAccess": true, "secondaryIpRanges": [{"rangeName": "pods", "ipCidrRange": "10.4.0.0/14"},
	{"rangeName": "services", "ipCidrRange": "10.8.0.0/20"}]}`

// gkeNotFound is the message of gcloud for a resource that does not exist.
const gkeNotFound = "error: ERROR: (gcloud.compute.networks.describe) Could not fetch resource:\n - The resource " +
	"'projects/my-project/global/networks/shared' was not found\n"

// gkeAccount answers for a project that has everything.
func gkeAccount(t *testing.T) *fake {
	return (&fake{t: t, programs: []string{"gcloud", gkeAuthPlugin}}).with(map[string]string{
		"services list --enabled":                   gkeServices,
		"compute regions describe us-central1":      gkeRegion,
		"compute project-info describe":             gkeProject,
		"compute machine-types list":                gkeMachines,
		"compute accelerator-types list":            gkeAccelerators,
		"container get-server-config":               gkeServerConfig,
		"billing projects describe my-project":      `{"billingAccountName": "billingAccounts/0", "billingEnabled": true, "projectId": "my-project"}`,
		"container clusters list":                   `[]`,
		"compute networks list":                     `[{"name": "default"}]`,
		"iam service-accounts list":                 `[]`,
		"compute networks describe":                 `{"name": "shared"}`,
		"compute networks subnets describe nodes -": gkeSubnetwork,
	})
}

func TestGKEAccountWithEverything(t *testing.T) {
	account := gkeAccount(t)
	result := check(t, planOf(nil, gkeSteps(t)...), account)
	assert.Empty(t, result.problems())
	assert.Equal(t, "gke", result.Cloud)
	assert.Equal(t, []string{
		"billing", "cpu-quota", "gpu-quota", "kubeconfig-program", "kubernetes-version", "machine-types", "names-free", "services",
	}, result.names())
	for _, call := range account.calls {
		assert.Contains(t, call, " --format json")
		assert.Contains(t, call, "my-project", "the stack's project, not gcloud's")
		assert.NotRegexp(t, `create|delete|update|enable |set|add|remove`, strings.ReplaceAll(call, "subnets", ""), "only reading")
	}
	assert.Len(t, account.calls, len(unique(account.calls)), "the same question once")
}

func TestGKE(t *testing.T) {
	replaced := func(text, by string) func(*testing.T) []plan.Step {
		return func(t *testing.T) []plan.Step {
			steps := gkeSteps(t)
			for i := range steps {
				for typ, all := range map[string]string{gkeCluster: gkeClusterInputs, "cluster-gpu": gkeGPUInputs} {
					if steps[i].Type == typ || steps[i].Name == typ {
						steps[i].New.Inputs = inputs(t, strings.ReplaceAll(all, text, by))
					}
				}
			}
			return steps
		}
	}
	for name, test := range map[string]struct {
		steps   func(*testing.T) []plan.Step
		answers map[string]string
		check   string
		want    []string
	}{
		"API that is off": {
			answers: map[string]string{"services list": strings.ReplaceAll(gkeServices, "container.googleapis.com", "other.googleapis.com")},
			check:   "services",
			want: []string{"failed container.googleapis.com: not enabled in project my-project; " +
				"gcloud services enable container.googleapis.com --project my-project"},
		},
		"API of image streaming that is off": {
			answers: map[string]string{"services list": strings.ReplaceAll(gkeServices, "containerfilesystem", "other")},
			check:   "services",
			want: []string{"warning containerfilesystem.googleapis.com: not enabled: image streaming needs it, and images are pulled whole without it; " +
				"gcloud services enable containerfilesystem.googleapis.com --project my-project"},
		},
		"no GPUs": {
			answers: map[string]string{"regions describe": strings.ReplaceAll(gkeRegion, `"limit": 4.0`, `"limit": 0.0`)},
			check:   "gpu-quota",
			want: []string{"failed NVIDIA_L4_GPUS in us-central1: 0 GPUs of 0 free: the first nodes need 1, the pools at their maximum 4; " +
				"gcloud beta quotas preferences create --service=compute.googleapis.com --project=my-project " +
				"--quota-id=NVIDIA-L4-GPUS-per-project-region --dimensions=region=us-central1 --preferred-value=4"},
		},
		"fewer GPUs than the maximum": {
			answers: map[string]string{"regions describe": strings.ReplaceAll(gkeRegion, `"limit": 4.0, "usage": 0.0`, `"limit": 4.0, "usage": 2.0`)},
			check:   "gpu-quota",
			want: []string{"warning NVIDIA_L4_GPUS in us-central1: 2 GPUs of 4 free: enough to start, but the pools at their maximum need 4; " +
				"gcloud beta quotas preferences create --service=compute.googleapis.com --project=my-project " +
				"--quota-id=NVIDIA-L4-GPUS-per-project-region --dimensions=region=us-central1 --preferred-value=6"},
		},
		"no GPUs in all regions together": {
			answers: map[string]string{"project-info": strings.ReplaceAll(gkeProject, `"limit": 8.0, "usage": 1.0`, `"limit": 0.0, "usage": 0.0`)},
			check:   "gpu-quota",
			want: []string{"failed GPUS_ALL_REGIONS of project my-project: 0 GPUs of 0 free: the first nodes need 1, the pools at their maximum 4; " +
				"gcloud beta quotas preferences create --service=compute.googleapis.com --project=my-project " +
				"--quota-id=GPUS-ALL-REGIONS-per-project --preferred-value=4"},
		},
		"spot machines, with the quota on demand": {
			steps: replaced(`"spot": false`, `"spot": true`), check: "gpu-quota",
		},
		"spot machines, with a quota of their own that is too small": {
			steps: replaced(`"spot": false`, `"spot": true`), check: "gpu-quota",
			answers: map[string]string{"regions describe": strings.ReplaceAll(gkeRegion,
				`"PREEMPTIBLE_NVIDIA_L4_GPUS", "limit": 0.0`, `"PREEMPTIBLE_NVIDIA_L4_GPUS", "limit": 1.0`)},
			want: []string{"warning PREEMPTIBLE_NVIDIA_L4_GPUS in us-central1: 1 GPUs of 1 free: enough to start, but the pools at their maximum need 4; " +
				"gcloud beta quotas preferences create --service=compute.googleapis.com --project=my-project " +
				"--quota-id=PREEMPTIBLE-NVIDIA-L4-GPUS-per-project-region --dimensions=region=us-central1 --preferred-value=4"},
		},
		"one pool on spot machines and one on demand": {
			steps: func(t *testing.T) []plan.Step {
				return append(gkeSteps(t), create(t, gkePool, "cluster-gpu-chat", strings.ReplaceAll(gkeGPUInputs, `"spot": false`, `"spot": true`)))
			},
			answers: map[string]string{"regions describe": strings.ReplaceAll(gkeRegion,
				`"PREEMPTIBLE_NVIDIA_L4_GPUS", "limit": 0.0`, `"PREEMPTIBLE_NVIDIA_L4_GPUS", "limit": 3.0`)},
			check: "gpu-quota",
			want: []string{"warning PREEMPTIBLE_NVIDIA_L4_GPUS in us-central1: 3 GPUs of 3 free: enough to start, but the pools at their maximum need 4; " +
				"gcloud beta quotas preferences create --service=compute.googleapis.com --project=my-project " +
				"--quota-id=PREEMPTIBLE-NVIDIA-L4-GPUS-per-project-region --dimensions=region=us-central1 --preferred-value=4",
				"warning GPUS_ALL_REGIONS of project my-project: 7 GPUs of 8 free: enough to start, but the pools at their maximum need 8; " +
					"gcloud beta quotas preferences create --service=compute.googleapis.com --project=my-project " +
					"--quota-id=GPUS-ALL-REGIONS-per-project --preferred-value=9"},
		},
		"GPU whose quota gcloud does not list": {
			steps: replaced(`"nvidia-l4"`, `"nvidia-h200-141gb"`), check: "gpu-quota",
			want: []string{"unknown quota of nvidia-h200-141gb: gcloud compute lists none for this GPU: see GPUS_PER_GPU_FAMILY on the console's page of quotas"},
		},
		"few CPUs": {
			answers: map[string]string{"regions describe": strings.ReplaceAll(gkeRegion, `"CPUS", "limit": 72.0`, `"CPUS", "limit": 8.0`)},
			check:   "cpu-quota",
			want: []string{"warning CPUS in us-central1: 8 CPUs of 8 free: enough to start, but the pools at their maximum need 12; " +
				"gcloud beta quotas preferences create --service=compute.googleapis.com --project=my-project " +
				"--quota-id=CPUS-per-project-region --dimensions=region=us-central1 --preferred-value=12"},
		},
		"machine type in other zones": {
			answers: map[string]string{"machine-types list": strings.ReplaceAll(gkeMachines,
				`"g2-standard-4", "zone": "us-central1-a"`, `"g2-standard-4", "zone": "us-central1-c"`)},
			check: "machine-types",
			want: []string{"failed machine type g2-standard-4 in us-central1-a: us-central1-a does not have it; us-central1-b, us-central1-c does; " +
				"choose zones of `gcloud compute machine-types list --filter=name=g2-standard-4 --project my-project`"},
		},
		"GPU nowhere in the region": {
			answers: map[string]string{"accelerator-types list": `[]`}, check: "machine-types",
			want: []string{"failed accelerator nvidia-l4 in us-central1-a: no zone of the region has it; " +
				"choose zones of `gcloud compute accelerator-types list --filter=name=nvidia-l4 --project my-project`"},
		},
		"regional pool without zones": {
			steps: replaced(`"us-central1-a"`, `"us-central1"`), check: "machine-types",
			want: []string{
				"warning machine type g2-standard-4 in us-central1: only us-central1-a, us-central1-b has it, and GKE chooses the zones of the pool; name them in " +
					"the pool's zones, under nodePools",
				"warning accelerator nvidia-l4 in us-central1: only us-central1-a, us-central1-b has it, and GKE chooses the zones of the pool; name them in the " +
					"pool's zones, under nodePools",
			},
		},
		"pool's zones": {
			steps: replaced(`"location": "us-central1-a"`, `"location": "us-central1", "nodeLocations": ["us-central1-a", "us-central1-b"]`), check: "machine-types",
		},
		"channel that the location lacks": {
			steps: replaced("REGULAR", "RAPID"), check: "kubernetes-version",
			want: []string{"failed channel RAPID in us-central1-a: the location does not have this channel; " +
				"choose one of `gcloud container get-server-config --location us-central1-a --project my-project`"},
		},
		"version that is not offered": {
			steps: replaced(`"releaseChannel"`, `"minMasterVersion": "1.31", "releaseChannel"`), check: "kubernetes-version",
			want: []string{"failed version 1.31 of channel REGULAR in us-central1-a: not offered for new clusters; " +
				"choose one of `gcloud container get-server-config --location us-central1-a --project my-project`"},
		},
		"version of which the beginning is given": {
			steps: replaced(`"releaseChannel"`, `"minMasterVersion": "1.33", "releaseChannel"`), check: "kubernetes-version",
		},
		"network that does not exist": {
			steps:   replaced(`"network": "UNKNOWN", "subnetwork": "UNKNOWN"`, `"network": "shared", "subnetwork": "nodes"`),
			answers: map[string]string{"compute networks describe": gkeNotFound}, check: "names-exist",
			want: []string{"failed network shared: does not exist; set gke.network to one of `gcloud compute networks list --project my-project`"},
		},
		"subnetwork without a range, and without access to Google": {
			steps: replaced(`"network": "UNKNOWN", "subnetwork": "UNKNOWN"`, `"network": "shared", "subnetwork": "nodes"`), check: "names-exist",
			answers: map[string]string{"subnets describe nodes -": `{"name": "nodes", "secondaryIpRanges": [{"rangeName": "pods"}]}`},
			want: []string{
				"failed secondary range services of subnetwork nodes in us-central1: does not exist; set gke.podsRange and gke.servicesRange to two of: pods",
				"warning subnetwork nodes in us-central1: Private Google Access is off: nodes reach Google's APIs and registry only through the NAT; " +
					"gcloud compute networks subnets update nodes --region us-central1 --project my-project --enable-private-ip-google-access",
			},
		},
		"names that are taken": {
			answers: map[string]string{
				"container clusters list": `[{"name": "vllm-gke", "status": "RUNNING"}]`, "compute networks list": `[{"name": "vllm-gke"}]`,
				"iam service-accounts list": `[{"email": "vllm-gke-nodes@my-project.iam.gserviceaccount.com"}]`,
			},
			check: "names-free",
			want: []string{
				"failed cluster vllm-gke: there is one already, which the stack does not own; set another cluster.name, or attach to it with cluster.existing: " +
					"`gcloud container clusters describe vllm-gke --project my-project --location us-central1-a`",
				"failed network vllm-gke: there is one already, which the stack does not own; " +
					"`gcloud compute networks delete vllm-gke --project my-project` if nothing uses it, or set another cluster.name",
				"failed service account vllm-gke-nodes@my-project.iam.gserviceaccount.com: there is one already, which the stack does not own; " +
					"`gcloud iam service-accounts delete vllm-gke-nodes@my-project.iam.gserviceaccount.com --project my-project` if nothing uses it, or set another " +
					"cluster.name",
			},
		},
		"no billing account": {
			answers: map[string]string{"billing projects": `{"billingEnabled": false}`}, check: "billing",
			want: []string{"failed billing of project my-project: off: machines and clusters cannot be created; " +
				"gcloud billing projects link my-project --billing-account ACCOUNT"},
		},
		"may not read billing": {
			answers: map[string]string{"billing projects": "error: ERROR: (gcloud.billing.projects.describe) PERMISSION_DENIED: The caller does not have " +
				"permission"}, check: "billing",
			want: []string{"unknown billing of project my-project: the login may not run `gcloud billing projects describe my-project`: docs/preflight.md lists " +
				"the permissions"},
		},
		"API of the question that is off": {
			answers: map[string]string{"billing projects": "error: ERROR: (gcloud) PERMISSION_DENIED: Cloud Billing API has not been used in project 1 before or " +
				"it is disabled. SERVICE_DISABLED"},
			check: "billing",
			want: []string{"unknown billing of project my-project: `gcloud billing projects describe my-project` needs a service that is not enabled in the " +
				"account"},
		},
		"answer of another form": {
			answers: map[string]string{"billing projects": `not JSON`}, check: "billing",
			want: []string{"unknown billing of project my-project: `gcloud billing projects describe my-project` printed no JSON of the form that is known here"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			steps := gkeSteps(t)
			if test.steps != nil {
				steps = test.steps(t)
			}
			result := check(t, planOf(nil, steps...), gkeAccount(t).with(test.answers))
			assert.Equal(t, test.want, result.lines(test.check))
			assert.Contains(t, result.names(), test.check)
		})
	}
}

// Without a login every question has the same answer, and none is a failure.
func TestGKEWithoutLogin(t *testing.T) {
	account := &fake{t: t, programs: []string{"gcloud"}}
	account = account.with(map[string]string{"gcloud": "error: ERROR: (gcloud.services.list) You do not currently have an active account selected.\nPlease " +
		"run:\n\n  $ gcloud auth login\n"})
	result := check(t, planOf(nil, gkeSteps(t)...), account)
	assert.Equal(t, []Unanswered{{
		Names:  []string{"services", "machine-types", "gpu-quota", "cpu-quota", "billing", "kubernetes-version", "names-free"},
		Reason: "gcloud is not logged in: run `gcloud auth login`",
	}}, result.Unanswered())
	assert.Equal(t, []string{"failed " + gkeAuthPlugin + ": not on the PATH: the update could not log in to the cluster that it creates; gcloud components " +
		"install " + gkeAuthPlugin},
		result.lines("kubeconfig-program"), "this needs no login")
	assert.Equal(t, 1, result.Count(Failed))
}

// A pool that becomes larger needs only what is more; the usage of the region includes its nodes.
func TestGKEPoolGrows(t *testing.T) {
	larger := strings.ReplaceAll(gkeGPUInputs, `"totalMaxNodeCount": 4`, `"totalMaxNodeCount": 6`)
	steps := []plan.Step{same(gkeSteps(t)[0]), same(gkeSteps(t)[4]), changed(t, plan.OpUpdate, gkePool, "cluster-gpu", gkeGPUInputs, larger)}
	result := check(t, planOf(nil, steps...), gkeAccount(t).with(map[string]string{
		"regions describe": strings.ReplaceAll(gkeRegion, `"limit": 4.0, "usage": 0.0`, `"limit": 5.0, "usage": 4.0`),
	}))
	assert.Equal(t, []string{"warning NVIDIA_L4_GPUS in us-central1: limit 5 GPUs: enough to start, but the pools at their maximum need 6; " +
		"gcloud beta quotas preferences create --service=compute.googleapis.com --project=my-project " +
		"--quota-id=NVIDIA-L4-GPUS-per-project-region --dimensions=region=us-central1 --preferred-value=6"}, result.lines("gpu-quota"))
	assert.Equal(t, []string{"cpu-quota", "gpu-quota", "machine-types", "services"}, result.names(), "the cluster is there")
}
