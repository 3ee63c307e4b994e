package workflows

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// TestGitLabExample checks that the example is valid YAML, that the scripts of its jobs exist, and that every job that changes a
// stack is started manually and cannot be interrupted.
func TestGitLabExample(t *testing.T) {
	root := repository(t)
	content, err := os.ReadFile(filepath.Join(root, ".ci/gitlab-ci.example.yml"))
	require.NoError(t, err)
	type job struct {
		Extends       string                `yaml:"extends"`
		Script        []string              `yaml:"script"`
		BeforeScript  []string              `yaml:"before_script"`
		ResourceGroup string                `yaml:"resource_group"`
		Interruptible *bool                 `yaml:"interruptible"`
		Variables     map[string]string     `yaml:"variables"`
		Environment   struct{ Name string } `yaml:"environment"`
		Artifacts     struct {
			Access string
			Paths  []string
		} `yaml:"artifacts"`
		Rules []struct {
			If, When string
		} `yaml:"rules"`
	}
	var nodes map[string]yaml.Node
	require.NoError(t, yaml.Unmarshal(content, &nodes))
	jobs := map[string]job{}
	for name, node := range nodes {
		if name == "stages" || name == "variables" || name == "default" {
			continue
		}
		var j job
		require.NoError(t, node.Decode(&j), name)
		jobs[name] = j
	}
	called := map[string]bool{}
	for name, j := range jobs {
		if j.Extends != "" {
			assert.Contains(t, jobs, j.Extends, name)
		}
		for _, line := range append(j.BeforeScript, j.Script...) {
			for _, script := range regexp.MustCompile(`\.ci/[a-z-]+`).FindAllString(line, -1) {
				assert.FileExists(t, filepath.Join(root, script), name)
				called[filepath.Base(script)] = true
			}
		}
	}
	for _, script := range strings.Fields("run build gitlab-login install-pulumi affected-stacks preview preview-comment up drift destroy-plan destroy") {
		assert.True(t, called[script], script)
	}
	for _, name := range []string{".up", ".destroy"} {
		j := jobs[name]
		assert.Equal(t, "stack-$STACK", j.ResourceGroup, name)
		require.NotNil(t, j.Interruptible, name)
		assert.False(t, *j.Interruptible, name)
		require.Len(t, j.Rules, 1, name)
		assert.Equal(t, "manual", j.Rules[0].When, name)
	}
	// Each identity is in an environment of its own, and all but that of merge requests are main's.
	for name, environment := range map[string]string{
		".preview": "preview-$STACK", ".plan": "drift-$STACK", ".drift": "drift-$STACK", ".up": "$STACK", ".destroy": "$STACK",
	} {
		assert.Equal(t, environment, jobs[name].Environment.Name, name)
		for _, rule := range jobs[name].Rules {
			if name == ".preview" {
				assert.Contains(t, rule.If, "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID", "no fork")
			} else {
				assert.True(t, strings.HasPrefix(rule.If, "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && "), "%s: %s", name, rule.If)
			}
		}
	}
	for name, j := range jobs {
		if len(j.Artifacts.Paths) > 0 {
			assert.Equal(t, []string{"bin/preview-*.md"}, j.Artifacts.Paths, name)
			assert.Equal(t, "developer", j.Artifacts.Access, "%s: in a public project everybody could read it", name)
		}
	}
	for _, kind := range []string{"preview", "plan", "up", "drift", "destroy"} {
		assert.Equal(t, "."+kind, jobs[kind+" gke"].Extends)
		assert.Equal(t, "gke", jobs[kind+" gke"].Variables["STACK"])
	}
}

func TestGitLabLogin(t *testing.T) {
	tools := t.TempDir()
	log := filepath.Join(tools, "calls")
	for _, name := range []string{"gcloud", "az"} {
		require.NoError(t, os.WriteFile(filepath.Join(tools, name), []byte("#!/bin/sh\necho "+name+" \"$*\" >>"+log+"\n"), 0o755))
	}
	source := func(env ...string) string {
		t.Helper()
		require.NoError(t, os.RemoveAll(log))
		command := exec.CommandContext(t.Context(), "bash", "-euc", ". "+filepath.Join(repository(t), ".ci/gitlab-login")+
			`; for v in GOOGLE_APPLICATION_CREDENTIALS AWS_ROLE_ARN ARM_OIDC_TOKEN; do echo "$v=${!v-}"; done; `+
			`[ -z "${AWS_WEB_IDENTITY_TOKEN_FILE-}" ] || cat "$AWS_WEB_IDENTITY_TOKEN_FILE"`)
		command.Dir = repository(t)
		command.Env = append([]string{"PATH=" + tools + ":" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}, env...)
		output, err := command.CombinedOutput()
		require.NoError(t, err, string(output))
		calls, _ := os.ReadFile(log)
		return string(output) + string(calls)
	}
	assert.Equal(t, "GOOGLE_APPLICATION_CREDENTIALS=\nAWS_ROLE_ARN=\nARM_OIDC_TOKEN=\n", source())
	got := source("GCP_WORKLOAD_IDENTITY_PROVIDER=projects/1/p", "GCP_SERVICE_ACCOUNT=reader@p", "GCP_ID_TOKEN=t1")
	assert.Contains(t, got, "gcp.json\n")
	assert.Contains(t, got, "gcloud iam workload-identity-pools create-cred-config projects/1/p --service-account=reader@p ")
	assert.NotContains(t, got, "t1", "no token in an argument")
	assert.Contains(t, source("AWS_ROLE=arn:r", "AWS_REGION=us-east-1", "AWS_ID_TOKEN=t2"), "AWS_ROLE_ARN=arn:r\nARM_OIDC_TOKEN=\nt2")
	got = source("AZURE_CLIENT_ID=c", "AZURE_TENANT_ID=t", "AZURE_SUBSCRIPTION_ID=s", "AZURE_ID_TOKEN=t3")
	assert.Contains(t, got, "ARM_OIDC_TOKEN=t3")
	assert.Contains(t, got, "az account set --subscription s")
	login, token := strings.Index(got, "az login "), strings.Index(got, "az account get-access-token --resource "+aksServers+" ")
	assert.True(t, 0 <= login && login < token, "the login's assertion ends before the API server is there: %s", got)
}
