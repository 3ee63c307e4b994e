package workflows

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func guideText(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository(t), guide))
	require.NoError(t, err)
	return string(content)
}

// TestGuideLimitsEnvironmentsToMain runs the guide's commands for the environments with a gh that records them.
func TestGuideLimitsEnvironmentsToMain(t *testing.T) {
	block := regexp.MustCompile("(?s)```sh\n( *REPO=OWNER/REPO; STACK=gke; REVIEWER=.*?)```").FindStringSubmatch(guideText(t))
	require.NotNil(t, block)
	tools := t.TempDir()
	log := filepath.Join(tools, "calls")
	gh := "#!/bin/sh\necho \"$*\" >>" + log + "\n[ \"$6\" != - ] || cat >>" + log + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(tools, "gh"), []byte(gh), 0o755))
	command := exec.CommandContext(t.Context(), "bash", "-euc", block[1])
	command.Env = []string{"PATH=" + tools + ":" + os.Getenv("PATH")}
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	calls, err := os.ReadFile(log)
	require.NoError(t, err)

	type settings struct {
		Reviewers         []any
		PreventSelfReview bool             `json:"prevent_self_review"`
		Branches          *map[string]bool `json:"deployment_branch_policy"`
	}
	got := map[string]settings{}
	limited := []string{}
	lines := strings.Split(strings.TrimSpace(string(calls)), "\n")
	for i, line := range lines {
		if name, ok := strings.CutPrefix(line, "api --method PUT repos/OWNER/REPO/environments/"); ok {
			var s settings
			require.NoError(t, json.Unmarshal([]byte(lines[i+1]), &s), lines[i+1])
			got[strings.TrimSuffix(name, " --input -")] = s
		}
		if name, ok := strings.CutSuffix(line, "/deployment-branch-policies --field name=main --field type=branch"); ok {
			limited = append(limited, strings.TrimPrefix(name, "api --method POST repos/OWNER/REPO/environments/"))
		}
	}
	// Not "protected_branches", which admits every branch of a repository that protects none.
	main := &map[string]bool{"protected_branches": false, "custom_branch_policies": true}
	reviewers := []any{map[string]any{"type": "User", "id": 1234567.0}}
	assert.Equal(t, map[string]settings{
		"preview-gke": {Reviewers: reviewers, PreventSelfReview: true},
		"drift-gke":   {Branches: main},
		"gke":         {Reviewers: reviewers, PreventSelfReview: true, Branches: main},
	}, got)
	assert.Equal(t, []string{"drift-gke", "gke"}, limited)
}

// TestGuideTrustsOneEnvironmentEach checks that each identity trusts the subject of its own environment, on every cloud.
func TestGuideTrustsOneEnvironmentEach(t *testing.T) {
	text := guideText(t)
	loop := regexp.MustCompile(`(?s)for who in preview drift deploy; do\n.*?\n +case \$who in (deploy\) environment=\$STACK ;; \*\) environment=\$who-\$STACK) ;; esac\n`)
	assert.Len(t, loop.FindAllString(text, -1), 2, "Google Cloud and Azure")
	assert.Contains(t, text, `subject/repo:$REPO:environment:$environment"`)
	assert.Contains(t, text, `\"subject\": \"repo:$REPO:environment:$environment\"`)
	assert.Contains(t, text, `"StringEquals": {`)
	assert.Contains(t, text, `"token.actions.githubusercontent.com:sub": "repo:OWNER/REPO:environment:preview-eks"`)
	assert.NotRegexp(t, `repo:[^ ]*(:\*|/\*)`, text, "no subject with a wildcard on GitHub")
	for line := range strings.Lines(text) {
		if strings.Contains(line, "ref:*") {
			assert.Contains(t, line, "| merge requests |", "GitLab's subject of every branch is for merge requests only")
		}
	}
}

// TestReadersReadNoSecrets checks the roles that the guide gives to the identities that read.
func TestReadersReadNoSecrets(t *testing.T) {
	all, err := GuideRoles(repository(t))
	require.NoError(t, err)
	require.Len(t, all, 2)
	for name, rules := range all {
		for _, r := range rules {
			where := fmt.Sprintf("%s: %v", name, r)
			for _, resource := range r.Resources {
				assert.NotContains(t, []string{"secrets", "*", "pods/exec", "pods/log", "serviceaccounts/token"}, resource, where)
			}
			assert.NotContains(t, r.APIGroups, "*", where)
			assert.Subset(t, []string{"get", "list"}, r.Verbs, where)
			if slices.Contains(r.Verbs, "list") {
				assert.Equal(t, []string{"apiservices"}, r.Resources, "%s: everything else is read by its name", where)
			}
		}
	}
	text := guideText(t)
	assert.NotRegexp(t, `--resource='?\*`, text)
	for _, role := range []string{"roles/container.viewer", "roles/container.developer", "RBAC Reader", "roles/viewer"} {
		assert.NotContains(t, text, role, "more than the check reads")
	}
	assert.Contains(t, text, `\"NotDataActions\": [\"Microsoft.ContainerService/managedClusters/secrets/*\"]`)
	script, err := os.ReadFile(filepath.Join(repository(t), ".ci/drift"))
	require.NoError(t, err)
	assert.Contains(t, string(script), "--mode drift --without-secrets ", "otherwise it would need the permission to read Secrets")
}

// TestDriftReadsWhatTheStacksHave checks that the role of the nightly check covers every kind of object in the recorded stacks,
// except those that it leaves out.
func TestDriftReadsWhatTheStacksHave(t *testing.T) {
	readable := map[string]bool{}
	all, err := GuideRoles(repository(t))
	require.NoError(t, err)
	require.NotEmpty(t, all["vllm-drift"])
	for _, r := range all["vllm-drift"] {
		for _, group := range r.APIGroups {
			for _, resource := range r.Resources {
				readable[group+"/"+resource] = true
			}
		}
	}
	recordings, err := filepath.Glob(filepath.Join(repository(t), "ops/preview/testdata/*.noop.json"))
	require.NoError(t, err)
	require.NotEmpty(t, recordings)
	for _, file := range recordings {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`\$kubernetes:([a-z0-9.]+)/(?:[a-z0-9]+):([A-Za-z]+)::`).FindAllStringSubmatch(string(content), -1) {
			group, kind := match[1], match[2]
			if kind == "Secret" || group == "helm.sh" {
				continue
			}
			if group == "core" {
				group = ""
			}
			assert.True(t, readable[group+"/"+plural(kind)], "%s has a %s (%s/%s), which the role vllm-drift in docs/ci.md cannot read",
				filepath.Base(file), kind, group, plural(kind))
		}
	}
}

// plural returns the resource of a kind.
func plural(kind string) string {
	name := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(name, "y"):
		return strings.TrimSuffix(name, "y") + "ies"
	case strings.HasSuffix(name, "s"):
		return name + "es"
	}
	return name + "s"
}
