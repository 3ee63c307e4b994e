package preview

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

// step is a step of a resource below the component "cluster", in JSON.
type step struct {
	op, typ, name string
	old, new      string // Inputs; "" for no state.
	diff          string
	reasons       string
}

// preview makes a plan of steps as the CLI prints them.
func preview(t *testing.T, config string, steps ...step) *plan.Plan {
	t.Helper()
	const stackURN = "urn:pulumi:prod::p::pulumi:pulumi:Stack::p-prod"
	state := func(s step, urn, inputs string) string {
		if inputs == "" {
			return "null"
		}
		return fmt.Sprintf(`{"urn":%q,"type":%q,"custom":true,"parent":"urn:pulumi:prod::p::p:providers:GKECluster::cluster","inputs":%s}`, urn, s.typ, inputs)
	}
	all := []string{fmt.Sprintf(`{"op":"same","urn":%q,"detailedDiff":null}`, stackURN)}
	for _, s := range steps {
		urn := fmt.Sprintf("urn:pulumi:prod::p::p:providers:GKECluster$%s::%s", s.typ, s.name)
		diff, reasons := s.diff, s.reasons
		if diff == "" {
			diff = "null"
		}
		if reasons == "" {
			reasons = "null"
		}
		all = append(all, fmt.Sprintf(`{"op":%q,"urn":%q,"oldState":%s,"newState":%s,"detailedDiff":%s,"replaceReasons":%s}`,
			s.op, urn, state(s, urn, s.old), state(s, urn, s.new), diff, reasons))
	}
	if config == "" {
		config = "{}"
	}
	p, err := plan.Parse([]byte(fmt.Sprintf(`{"config":%s,"steps":[%s]}`, config, strings.Join(all, ","))))
	require.NoError(t, err)
	return p
}

func TestDangersComeFirst(t *testing.T) {
	for typ, what := range map[string]string{
		"gcp:container/nodePool:NodePool":                        nodePool,
		"aws:eks/nodeGroup:NodeGroup":                            nodePool,
		"azure-native:containerservice/v20240901:AgentPool":      nodePool,
		"gcp:container/cluster:Cluster":                          cluster,
		"aws:eks/cluster:Cluster":                                cluster,
		"azure-native:containerservice/v20240901:ManagedCluster": cluster,
		"azure-native:resources:ResourceGroup":                   group,
		"kubernetes:core/v1:Namespace":                           namespace,
		"kubernetes:core/v1:PersistentVolumeClaim":               data,
		"aws:kms/key:Key":                                        keys,
		"kubernetes:core/v1:ConfigMap":                           "",
		"kubernetes:apps/v1:Deployment":                          "",
		"aws:iam/role:Role":                                      "",
		"kubernetes:cluster.example.com/v1:Cluster":              "",
		"aws:autoscaling/tag:Tag":                                "",
		"kubernetes:storage.k8s.io/v1:StorageClass":              "",
		"kubernetes:monitoring.coreos.com/v1:ServiceMonitor":     "",
		"kubernetes:rbac.authorization.k8s.io/v1:ClusterRole":    "",
		"azure-native:authorization:ManagementLockByScope":       "",
		"kubernetes:autoscaling/v2:HorizontalPodAutoscaler":      "",
		"vllm-autoscaling:providers:GKECluster":                  "",
		"pulumi:providers:kubernetes":                            "",
		"gcp:compute/network:Network":                            "",
		"kubernetes:policy/v1:PodDisruptionBudget":               "",
		"aws:ec2/launchTemplate:LaunchTemplate":                  "",
		"kubernetes:helm.sh/v3:Release":                          "",
		"kubernetes:apps/v1:StatefulSet":                         "",
		"kubernetes:networking.k8s.io/v1:NetworkPolicy":          "",
	} {
		for _, op := range []string{plan.OpDelete, plan.OpReplace} {
			s := step{op: op, typ: typ, name: "it", old: `{"a":1}`}
			if op == plan.OpReplace {
				s.new, s.reasons = `{"a":2}`, `["a"]`
			}
			report := New(preview(t, "", s), Options{})
			if what == "" {
				assert.Empty(t, report.Dangers, "%s %s", op, typ)
				continue
			}
			require.Len(t, report.Dangers, 1, "%s %s", op, typ)
			assert.Equal(t, what, report.Dangers[0].What, typ)
			text := report.Markdown(0)
			assert.Contains(t, text, "> [!WARNING]")
			assert.Less(t, strings.Index(text, "> [!WARNING]"), strings.Index(text, "### "), "before every other part")
			if op == plan.OpReplace {
				assert.Contains(t, text, "forced by `a`: `1` → `2`")
			}
		}
		for _, op := range []string{plan.OpCreate, plan.OpUpdate} {
			assert.Empty(t, New(preview(t, "", step{op: op, typ: typ, name: "it", old: `{"a":1}`, new: `{"a":2}`}), Options{}).Dangers, "%s %s", op, typ)
		}
	}
	chart := step{op: plan.OpDelete, typ: "kubernetes:helm.sh/v3:Release", name: "kps",
		old: `{"values":{"prometheus":{"storageSpec":{"volumeClaimTemplate":{"spec":{}}}}}}`}
	assert.Equal(t, data, New(preview(t, "", chart), Options{}).Dangers[0].What)
	chart.old = `{"values":{"grafana":{"persistence":{"enabled":true}}}}`
	assert.Equal(t, data, New(preview(t, "", chart), Options{}).Dangers[0].What)
	chart.old = `{"values":{"grafana":{"persistence":{"enabled":false}}}}`
	assert.Empty(t, New(preview(t, "", chart), Options{}).Dangers)
}

// Without a detailed diff the inputs are compared, and the top-level reason names what forces it.
func TestPropertiesWithoutDetailedDiff(t *testing.T) {
	report := New(preview(t, "", step{
		op: plan.OpReplace, typ: "aws:eks/nodeGroup:NodeGroup", name: "gpu", reasons: `["config"]`,
		old: `{"config":{"spot":false,"same":1,"a.b":"x"},"gone":[1],"n":4}`, new: `{"config":{"spot":true,"same":1,"a.b":"y"},"added":"new","n":6}`,
	}), Options{})
	require.Len(t, report.Groups, 1)
	assert.Equal(t, []Property{
		{Path: `config["a.b"]`, Kind: "update", Old: "x", New: "y", Forces: true},
		{Path: "config.spot", Kind: "update", Old: "false", New: "true", Forces: true},
		{Path: "added", Kind: "add", Old: nothing, New: "new"},
		{Path: "gone", Kind: "delete", Old: "[1]", New: nothing},
		{Path: "n", Kind: "update", Old: "4", New: "6"},
	}, report.Groups[0].Changes[0].Properties)
}

const secret = "hunter2-of-the-team"

// A value that the CLI did not mask, because nobody marked it as secret, is not shown by its name.
// The numbers of nodes that AKS' node autoscaler has reached must not make another plan of the one that was approved.
func TestNumbersOfNodesAreLeftOut(t *testing.T) {
	const pool, cluster = "azure-native:containerservice/v20240901:AgentPool", "azure-native:containerservice/v20240901:ManagedCluster"
	changed := func(paths ...string) string {
		var all []string
		for _, path := range paths {
			all = append(all, fmt.Sprintf(`%q:{"kind":"update","inputDiff":true}`, path))
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	text := func(count int) string {
		return New(preview(t, "", step{
			op: "update", typ: pool, name: "gpu", diff: changed("count", "maxCount"),
			old: `{"count":1,"minCount":0,"maxCount":4}`, new: fmt.Sprintf(`{"count":%d,"minCount":0,"maxCount":6}`, count),
		}, step{
			op: "update", typ: cluster, name: "c", diff: changed("agentPoolProfiles[0].count", "sku.tier"),
			old: `{"agentPoolProfiles":[{"count":1,"minCount":1,"maxCount":3}],"sku":{"tier":"Free"}}`,
			new: fmt.Sprintf(`{"agentPoolProfiles":[{"count":%d,"minCount":1,"maxCount":3}],"sku":{"tier":"Standard"}}`, count),
		}), Options{}).Markdown(0)
	}
	assert.Equal(t, text(1), text(3))
	assert.Contains(t, text(3), "maxCount")
	assert.Contains(t, text(3), "sku.tier")
	assert.NotContains(t, text(3), "`count`")
}

func TestSecretsAreMasked(t *testing.T) {
	for path, inputs := range map[string][2]string{
		"password":                 {`{"password":"old"}`, `{"password":"` + secret + `"}`},
		"spec.adminPassword":       {`{"spec":{"adminPassword":"old"}}`, `{"spec":{"adminPassword":"` + secret + `"}}`},
		"kubeconfig":               {`{"kubeconfig":"old"}`, `{"kubeconfig":"` + secret + `"}`},
		"env.HF_TOKEN":             {`{"env":{"HF_TOKEN":"old"}}`, `{"env":{"HF_TOKEN":"` + secret + `"}}`},
		`a["api-key"]`:             {`{"a":{"api-key":"old"}}`, `{"a":{"api-key":"` + secret + `"}}`},
		"list of tokens":           {`{"tokens":"x","token":["old"]}`, `{"tokens":"x","token":["` + secret + `"]}`},
		"object with a secret":     {`{"values":"x"}`, `{"values":{"grafana":{"clientSecret":"` + secret + `"},"list":[{"privateKey":"` + secret + `"}]}}`},
		"key in PEM in some value": {`{"note":"x"}`, `{"note":"-----BEGIN RSA PRIVATE KEY-----\n` + secret + `\n-----END RSA PRIVATE KEY-----"}`},
	} {
		report := New(preview(t, "", step{op: plan.OpUpdate, typ: "aws:x/y:Z", name: "it", old: inputs[0], new: inputs[1]}), Options{})
		for _, text := range []string{report.Markdown(0), report.Text(), asJSON(t, report)} {
			assert.NotContains(t, text, secret, path)
			assert.Contains(t, text, hidden, path)
		}
	}
	kube := New(preview(t, "", step{op: plan.OpUpdate, typ: "kubernetes:core/v1:Secret", name: "it",
		old: `{"data":{"a":"old"},"stringData":{"b":"old"}}`, new: `{"data":{"a":"` + secret + `"},"stringData":{"b":"` + secret + `"}}`}), Options{})
	assert.NotContains(t, kube.Markdown(0), secret)

	token := "hf_" + strings.Repeat("aB3", 8)
	said := New(nil, Options{Stack: "prod", Failure: "error: " + token + " was refused", Diff: "+ token: AKIA" + strings.Repeat("A", 16)})
	assert.NotContains(t, said.Markdown(0), token)
	assert.NotContains(t, said.Text(), "AKIAAAAA")
}

// Names of secrets, switches and numbers are not secret.
func TestNamesOfSecretsAreShown(t *testing.T) {
	report := New(preview(t, "", step{
		op: plan.OpUpdate, typ: "kubernetes:apps/v1:Deployment", name: "vllm",
		old: `{"secretName":"a","automountServiceAccountToken":false,"secretKeyRef":{"name":"x"}}`,
		new: `{"secretName":"b","automountServiceAccountToken":true,"secretKeyRef":{"name":"y"}}`,
	}), Options{})
	text := report.Markdown(0)
	assert.Contains(t, text, "`secretName`: `a` → `b`")
	assert.Contains(t, text, "`automountServiceAccountToken`: `false` → `true`")
	assert.Contains(t, text, "`secretKeyRef.name`: `x` → `y`")
	assert.NotContains(t, text, hidden)
}

func TestUnknownValues(t *testing.T) {
	report := New(preview(t, "", step{
		op: plan.OpUpdate, typ: "aws:x/y:Z", name: "it", old: `{"a":"x","b":["x"]}`, new: `{"a":"` + plan.Unknown + `","b":["` + plan.Unknown + `"]}`,
	}), Options{})
	assert.NotContains(t, report.Markdown(0), plan.Unknown)
	assert.Contains(t, report.Markdown(0), "`a`: `x` → `"+unknown+"`")
}

// The content of a value has no effect on the comment around it.
func TestMarkupInValues(t *testing.T) {
	report := New(preview(t, "", step{
		op: plan.OpUpdate, typ: "aws:x/y:Z", name: "it", old: `{"a":"x"}`, new: "{\"a\":\"`` ` @everyone\\n</details> | <b>\"}",
	}), Options{})
	text := report.Markdown(0)
	assert.Contains(t, text, "``` `` ` @everyone </details> | <b> ```")
	report.Failed, report.Errors = true, []string{"```\n</details>\n````"}
	assert.Contains(t, report.Markdown(0), "`````\n```\n</details>\n````\n`````\n")
	assert.Equal(t, `\*a\* &lt;b&gt; @`+"\u200b"+`c`, escaped("*a* <b>\n@c"))
}

// many is a preview with more changes than fit into a comment.
func many(t *testing.T, n int) *Report {
	t.Helper()
	steps := []step{{op: plan.OpDelete, typ: "kubernetes:core/v1:Namespace", name: "vllm", old: `{}`}}
	for i := range n {
		steps = append(steps, step{
			op: plan.OpUpdate, typ: "aws:x/y:Z", name: fmt.Sprintf("resource-%04d", i),
			old: `{"value":"` + strings.Repeat("a", 100) + `"}`, new: `{"value":"` + strings.Repeat("b", 100) + `"}`,
		})
	}
	return New(preview(t, "", steps...), Options{Diff: strings.Repeat("+ a line of the diff\n", 10000)})
}

func TestSizeIsBounded(t *testing.T) {
	for _, n := range []int{0, 1, 150, 230, 240, 400, 3000} {
		report := many(t, n)
		for _, limit := range []int{CommentLimit, 5000, 2000} {
			text := report.Markdown(limit)
			assert.LessOrEqual(t, len(text), limit, "%d changes", n)
			assert.Contains(t, text, report.Marker())
			assert.Contains(t, text, "**delete** namespace `vllm`", "what is lost is never cut")
			assert.Equal(t, strings.Count(text, "<details"), strings.Count(text, "</details>"), "%d changes in %d bytes: every part is closed", n, limit)
			assert.Zero(t, strings.Count(text, "```")%2, "every block is closed")
			assert.Contains(t, text, "a comment has a limit", "%d: what is cut is said", n)
		}
	}
	text := many(t, 3000).Markdown(0)
	left := 0
	_, rest, found := strings.Cut(text, "\n_")
	require.True(t, found)
	_, err := fmt.Sscanf(rest, "%d changes are left out", &left)
	require.NoError(t, err, rest[:100])
	assert.Equal(t, 3001, left+strings.Count(text, "\n- update")+strings.Count(text, "\n- delete"), "shown and left out are all")

	whole := many(t, 3000).Markdown(10_000_000)
	assert.NotContains(t, whole, "left out")
	assert.Contains(t, whole, "resource-2999")
	assert.Contains(t, many(t, 3000).Text(), "resource-2999", "the text for a terminal has no limit")
}

func TestEmptyReports(t *testing.T) {
	nothingAtAll := New(nil, Options{Stack: "prod", Failure: "error: no stack named 'prod' found"})
	assert.True(t, nothingAtAll.Failed)
	text := nothingAtAll.Markdown(0)
	assert.Contains(t, text, "<!-- vllm-autoscaling preview: prod -->")
	assert.Contains(t, text, "Preview of stack prod failed")
	assert.Contains(t, text, "no stack named 'prod' found")
	assert.Equal(t, "<!-- vllm-autoscaling drift: prod -->", New(nil, Options{Stack: "prod", Mode: Drift}).Marker())
}

// bin/preview --mode destroy --json-file accepts any recording, also one of a stack that does not exist yet.
func TestDestroyOfNothingThatCosts(t *testing.T) {
	report := New(read(t, "gke.create"), Options{Mode: Destroy})
	require.Nil(t, report.Before)
	assert.NotContains(t, report.Markdown(0), "Saves")
	assert.NotContains(t, report.Text(), "Cost")
}

func TestIncompletePreviewsSaySo(t *testing.T) {
	p := read(t, "gke.change")
	unchanged := New(p, Options{}).Counts[plan.OpSame]
	require.Positive(t, unchanged)
	var changed []plan.Step
	for _, s := range p.Steps {
		if s.Op != plan.OpSame {
			changed = append(changed, s)
		}
	}
	p.Steps = changed
	report := New(p, Options{})
	assert.False(t, report.Complete)
	assert.Contains(t, report.Markdown(0), "--show-sames")
	assert.Contains(t, report.Text(), "--show-sames")
	assert.Equal(t, unchanged, report.Counts[plan.OpSame], "the CLI's own number")
}

// The stack's configuration in the preview decides which rules apply.
func TestSettingsOfTheStack(t *testing.T) {
	cluster := step{op: plan.OpSame, typ: "gcp:container/cluster:Cluster", name: "cluster",
		old: `{}`, new: `{"privateClusterConfig":{"enablePrivateNodes":true},"masterAuthorizedNetworksConfig":{"cidrBlocks":[{"cidrBlock":"0.0.0.0/0"}]}}`}
	pool := step{op: plan.OpUpdate, typ: "gcp:container/nodePool:NodePool", name: "gpu",
		old: `{"networkConfig":{"enablePrivateNodes":true},"nodeConfig":{"machineType":"g2-standard-4"},"autoscaling":{"totalMaxNodeCount":4}}`,
		new: `{"networkConfig":{"enablePrivateNodes":true},"nodeConfig":{"machineType":"g2-standard-4"},"autoscaling":{"totalMaxNodeCount":40}}`}
	report := New(preview(t, `{"p:production":"true","p:policy":"{\"spendCeiling\":20}"}`, cluster, pool), Options{})
	var broken []string
	for _, v := range report.Policy.Violations {
		broken = append(broken, v.Rule)
	}
	assert.Equal(t, []string{"api-server-not-open", "deletion-protection", "spend-ceiling"}, broken)
	text := report.Markdown(0)
	assert.Contains(t, text, "**3 rules are broken**")
	assert.Contains(t, text, "of a ceiling of 20.00")
	assert.Contains(t, text, "| **change** | | **0.00** | **+25.45** |", "36 nodes more")

	report = New(preview(t, `{"p:policy":"{\"spendCeiling\":30,\"exceptions\":{\"api-server-not-open/*\":\"a demo\"}}"}`, cluster, pool), Options{})
	assert.Empty(t, report.Policy.Violations)
	assert.Contains(t, report.Markdown(0), "allowed: a demo")

	report = New(preview(t, `{"p:policy":"{\"exceptions\":{\"nonsense\":\"x\"}}"}`, cluster), Options{})
	assert.Nil(t, report.Policy)
	assert.Contains(t, report.Markdown(0), "**Not checked:**")
	assert.Contains(t, report.Text(), "not checked")

	report = New(preview(t, `{"p:policy":"{\"prices\":{\"g2-standard-4\":0.5}}"}`, pool), Options{Prices: map[string]float64{"g2-standard-4": 0.25}})
	assert.InDelta(t, 10, report.After.Max, 1e-9, "the command line wins over the stack")
}

func asJSON(t *testing.T, report *Report) string {
	t.Helper()
	content, err := json.Marshal(report)
	require.NoError(t, err)
	return string(content)
}
