package components

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	kappsv1 "k8s.io/api/apps/v1"
	kcorev1 "k8s.io/api/core/v1"
	knetworkingv1 "k8s.io/api/networking/v1"
	kpolicyv1 "k8s.io/api/policy/v1"
	kmetav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"

	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/components/dashboards"
	"vllm-autoscaling/components/telemetry"
)

// longestServer is a name as long as the configuration allows.
const longestServer = "a-server-of-20-chars"

func TestServerResource(t *testing.T) {
	assert.Equal(t, "autoscaler", ServerResource("autoscaler", VLLMName), "as in a stack of one")
	assert.Equal(t, "autoscaler-chat", ServerResource("autoscaler", "chat"))
}

// runServers registers servers beside each other, each with everything that it may have, and what shows and watches them.
func runServers(t *testing.T, names ...string) *record {
	t.Helper()
	pipeline := pipelinesUnderTest()["prometheus-operator"]
	return run(t, func(ctx *pulumi.Context, provider pulumi.ResourceOption) error {
		var observed []telemetry.Settings
		var alerting []alerts.Settings
		backend := pipeline.backend(t, enabled(t, signalSettings()), nil)
		for _, name := range names {
			args := vllmArgs()
			args.Name = name
			args.APIKey, args.HuggingFaceToken = pulumi.String("key"), pulumi.String("token")
			args.CompileCache, args.PrePull = CompileCache{OnNodes: true, Size: "1Gi"}, true
			if _, err := NewVLLM(ctx, name, args, provider); err != nil {
				return err
			}
			scaler := autoscalerArgs(t)
			scaler.DeploymentName = name
			if _, err := backend.Scale(ctx, scaler, provider); err != nil {
				return err
			}
			s := alertSettings(t)
			s.Deployment, s.Autoscaler = name, name
			for _, other := range names {
				if other != name {
					s.Others = append(s.Others, other)
				}
			}
			observed, alerting = append(observed, s.Settings), append(alerting, s)
		}
		if _, err := NewDashboards(ctx, "dashboards", &DashboardsArgs{Namespace: "monitoring", Servers: observed}, provider); err != nil {
			return err
		}
		_, err := NewAlerts(ctx, "alerts", &AlertsArgs{Namespace: "monitoring", Servers: alerting}, provider)
		return err
	})
}

// objects returns the registered objects of Kubernetes by kind, namespace and name, and fails where two have the same.
func objects(t *testing.T, r *record) map[string]registration {
	t.Helper()
	all := map[string]registration{}
	for _, reg := range r.registrations {
		if !strings.HasPrefix(reg.Type, "kubernetes:") {
			continue
		}
		metadata := path(t, plain(reg), "metadata").(map[string]any)
		object := fmt.Sprint(reg.Type, " ", metadata["namespace"], "/", metadata["name"]) // Volumes have no namespace.
		require.NotContains(t, all, object, "two objects of one name")
		all[object] = reg
	}
	return all
}

// ofServer returns the name of the same object of another server than vllm.
func ofServer(object, other string) string {
	const prefix = " vllm/" + nodePodPrefix
	return strings.NewReplacer(prefix, prefix, " vllm/vllm", " vllm/"+other, "prepull-vllm", "prepull-"+other, "cache-vllm-vllm", "cache-"+other+"-vllm",
		"<nil>/vllm-vllm", "<nil>/vllm-"+other).Replace(object)
}

func TestServersHaveObjectsOfTheirOwn(t *testing.T) {
	alone := objects(t, runServers(t, VLLMName))
	beside := objects(t, runServers(t, VLLMName, "chat", longestServer))
	shared := 0
	for object, reg := range alone {
		require.Contains(t, beside, object, "a further server renames nothing")
		if strings.Contains(object, "monitoring/") {
			shared++ // It shows and watches all servers.
			continue
		}
		assert.Equal(t, plain(reg), plain(beside[object]), "%s does not depend on the other servers", object)
		for _, other := range []string{"chat", longestServer} {
			assert.Contains(t, beside, ofServer(object, other))
		}
	}
	// The alerts, two dashboards of the server and that of the GPUs; two more dashboards for each further server.
	assert.Equal(t, 4, shared)
	assert.Len(t, beside, 3*(len(alone)-shared)+shared+2*2)
	urns := map[string]bool{}
	for _, reg := range runServers(t, VLLMName, "chat").registrations {
		urn := reg.Type + "::" + reg.Name
		assert.False(t, urns[urn], "%s twice", urn)
		urns[urn] = true
	}
}

// Every selector selects the pods of its own server: an HPA whose pods another one counts is refused as ambiguous, and a Service
// would send the requests of one model to the other.
func TestSelectorsOfServersAreDisjoint(t *testing.T) {
	r := runServers(t, "chat", "chat-x")
	pods := map[string]klabels.Set{}
	for _, name := range []string{"chat", "chat-x"} {
		pods[name] = decode[kappsv1.Deployment](t, r.get(t, deploymentType, name)).Spec.Template.Labels
	}
	for name := range pods {
		deployment := decode[kappsv1.Deployment](t, r.get(t, deploymentType, name))
		selectors := map[string]*kmetav1.LabelSelector{
			"Deployment":          deployment.Spec.Selector,
			"Service":             {MatchLabels: decode[kcorev1.Service](t, r.get(t, serviceType, name)).Spec.Selector},
			"PodDisruptionBudget": decode[kpolicyv1.PodDisruptionBudget](t, r.get(t, budgetType, name)).Spec.Selector,
		}
		policy := decode[knetworkingv1.NetworkPolicy](t, r.get(t, networkPolicyType, name)).Spec.PodSelector
		selectors["NetworkPolicy"] = &policy
		for _, constraint := range deployment.Spec.Template.Spec.TopologySpreadConstraints {
			selectors["spread over "+constraint.TopologyKey] = constraint.LabelSelector
		}
		for what, selector := range selectors {
			parsed, err := kmetav1.LabelSelectorAsSelector(selector)
			require.NoError(t, err)
			for other, labels := range pods {
				assert.Equal(t, other == name, parsed.Matches(labels), "%s of %s and the pods of %s", what, name, other)
			}
		}
		// The ServiceMonitor selects the Service, by the same labels.
		monitored := path(t, plain(r.get(t, serviceMonitorType, name)), "spec", "selector", "matchLabels").(map[string]any)
		service := decode[kcorev1.Service](t, r.get(t, serviceType, name)).Labels
		for label, value := range monitored {
			assert.Equal(t, value, service[label], label)
		}
		assert.Equal(t, name, monitored[nameLabel])
	}
}

// Names and identifiers of dashboards are unique and short enough for Grafana; those of a server called vllm are those of a stack of
// one, because people have bookmarks of them.
func TestDashboardsOfServers(t *testing.T) {
	identifiers := func(names ...string) map[string]string {
		var settings []telemetry.Settings
		for _, name := range names {
			s := telemetrySettings(t)
			s.Deployment, s.Autoscaler = name, name
			for _, other := range names {
				if other != name {
					s.Others = append(s.Others, other)
				}
			}
			settings = append(settings, s)
		}
		built, err := dashboards.All(settings...)
		require.NoError(t, err)
		byName, seen, titles := map[string]string{}, map[string]bool{}, map[string]bool{}
		for _, d := range built {
			var model struct{ UID, Title string }
			require.NoError(t, json.Unmarshal(d.JSON, &model))
			assert.Regexp(t, `^[a-zA-Z0-9_-]{8,40}$`, model.UID, "what Grafana stores")
			assert.False(t, seen[model.UID], "%s twice", model.UID)
			assert.False(t, titles[model.Title], "%s twice", model.Title)
			seen[model.UID], titles[model.Title] = true, true
			assert.NotContains(t, byName, d.Name)
			byName[d.Name] = model.UID
		}
		require.Len(t, byName, len(built))
		return byName
	}
	alone := identifiers(VLLMName)
	// Two names that differ only in the end, which the identifier does not have room for.
	beside := identifiers(VLLMName, "chat", longestServer, longestServer[:len(longestServer)-1]+"z")
	assert.Len(t, beside, 4*2+1)
	maps.DeleteFunc(beside, func(name, _ string) bool { return alone[name] == "" })
	assert.Equal(t, alone, beside)
}
