package workflows

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAffectedStacks(t *testing.T) {
	const all = "gke eks aks"
	for _, c := range []struct {
		name    string
		changed []string
		stacks  string // CI_STACKS; all if empty
		want    string
	}{
		{name: "nothing", want: ""},
		{name: "documentation", changed: []string{"docs/gke.md", "README.md", "docs/demo.png"}, want: ""},
		{name: "commands", changed: []string{"ops/policy/rules.go", "ops/go.mod"}, want: ""},
		{name: "tests", changed: []string{"tests/lab/lab.go", "tests/go.mod", "providers/gke/gke_test.go", "components/testdata/x.json"}, want: ""},
		{name: "pipeline", changed: []string{".github/workflows/test.yml", ".ci/run", "Makefile", ".golangci.yaml", ".gitignore"}, want: ""},
		{name: "one cloud", changed: []string{"providers/gke/cluster.go"}, want: "gke"},
		{name: "two clouds", changed: []string{"providers/aks/a.go", "providers/eks/deep/b.go"}, want: "eks aks"},
		{name: "what all clouds share", changed: []string{"providers/cluster.go"}, want: all},
		{name: "accelerators", changed: []string{"providers/accelerators/table.go"}, want: all},
		{name: "kubeconfigs", changed: []string{"providers/kubeconfig/kubeconfig.go"}, want: all},
		{name: "tests' helpers", changed: []string{"providers/providertest/recorder.go"}, want: ""},
		{name: "existing clusters", changed: []string{"providers/existing/existing.go"}, want: ""},
		{name: "existing clusters, with such a stack", changed: []string{"providers/existing/existing.go"}, stacks: "gke local", want: "local"},
		{name: "one stack's configuration", changed: []string{"Pulumi.eks.yaml"}, want: "eks"},
		{name: "a stack that is not CI's", changed: []string{"Pulumi.local.yaml"}, want: ""},
		{name: "components", changed: []string{"components/vllm.go"}, want: all},
		{name: "stacks", changed: []string{"stacks/config.go", "docs/ci.md"}, want: all},
		{name: "modules", changed: []string{"go.mod"}, want: all},
		{name: "the project", changed: []string{"Pulumi.yaml"}, want: all},
		{name: "something new", changed: []string{"newfolder/file with blank.go"}, want: all},
		{name: "a stack of another name", changed: []string{"providers/gke/cluster.go"}, stacks: "eks staging", want: "staging"},
		{name: "fewer stacks", changed: []string{"main.go"}, stacks: "aks gke", want: "aks gke"},
		{name: "no stacks", changed: []string{"main.go"}, stacks: " ", want: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := newCheckout(t)
			repo.write("Pulumi.staging.yaml", "config:\n  vllm-autoscaling:cloud: gke # as production\n")
			base := repo.commit()
			for _, file := range c.changed {
				old, err := os.ReadFile(filepath.Join(repo.dir, file))
				if err != nil {
					old = nil
				}
				repo.write(file, string(old)+"# changed\n")
			}
			repo.commit()
			stacks := c.stacks
			if stacks == "" {
				stacks = all
			}
			got := repo.script("affected-stacks", map[string]string{"BASE": base, "CI_STACKS": stacks})
			require.NoError(t, got.err, got.stderr)
			names, clouds := matrix(t, got.stdout)
			assert.Equal(t, strings.Fields(c.want), names)
			assert.Equal(t, strings.TrimSpace(got.stdout), got.outputs["stacks"])
			assert.Equal(t, fmt.Sprint(len(names)), got.outputs["count"])
			if c.name == "a stack of another name" {
				assert.Equal(t, []string{"gke"}, clouds)
			}

			got = repo.script("affected-stacks", map[string]string{"BASE": base, "CI_STACKS": stacks, "ALL_IF_ANY": "1"})
			require.NoError(t, got.err, got.stderr)
			names, _ = matrix(t, got.stdout)
			if c.want == "" {
				assert.Empty(t, names)
			} else {
				assert.Equal(t, strings.Fields(stacks), names)
			}
		})
	}
}

func matrix(t *testing.T, text string) (stacks, clouds []string) {
	t.Helper()
	var list []struct{ Stack, Cloud string }
	require.NoError(t, json.Unmarshal([]byte(text), &list), text)
	stacks = []string{}
	for _, entry := range list {
		stacks, clouds = append(stacks, entry.Stack), append(clouds, entry.Cloud)
	}
	return stacks, clouds
}

func TestAffectedStacksOfMovesMergesAndUnknownBases(t *testing.T) {
	repo := newCheckout(t)
	repo.write("components/autoscaler.go", strings.Repeat("line\n", 50))
	base := repo.commit()
	env := func(base string) map[string]string { return map[string]string{"BASE": base, "CI_STACKS": "gke eks"} }
	expect := func(base, message string, want ...string) {
		t.Helper()
		got := repo.script("affected-stacks", env(base))
		require.NoError(t, got.err, got.stderr)
		names, _ := matrix(t, got.stdout)
		assert.Equal(t, want, names)
		assert.Contains(t, got.stderr, message)
	}

	// A file that is moved out of the program changes the program, wherever it is moved to.
	require.NoError(t, os.MkdirAll(filepath.Join(repo.dir, "docs"), 0o755))
	repo.git("mv", "components/autoscaler.go", "docs/autoscaler.md")
	repo.commit()
	expect(base, "", "gke", "eks")
	repo.git("reset", "--quiet", "--hard", base)

	// Commits merged into a pull request's branch are not its own changes.
	repo.git("checkout", "--quiet", "-b", "topic")
	repo.write("providers/gke/x.go", "x")
	repo.commit()
	repo.git("checkout", "--quiet", "main")
	repo.write("providers/eks/x.go", "x")
	repo.commit()
	repo.git("merge", "--quiet", "--no-ff", "--message=merge", "topic")
	expect("HEAD^1", "", "gke")

	expect("", "all stacks", "gke", "eks")
	expect(strings.Repeat("0", 40), "all stacks", "gke", "eks")
	expect("--output=/tmp/x", "all stacks", "gke", "eks")

	got := repo.script("affected-stacks", map[string]string{"BASE": base, "CI_STACKS": "gke prod"})
	require.Error(t, got.err)
	assert.Contains(t, got.stderr, "there is no Pulumi.prod.yaml; stacks here: aks eks gke local")
	got = repo.script("affected-stacks", map[string]string{"BASE": base, "CI_STACKS": "gke ../x"})
	require.Error(t, got.err)
}

// TestCloudsDoNotImportEachOther checks that no cloud imports another cloud's package, because the map from folders to stacks
// relies on that.
func TestCloudsDoNotImportEachOther(t *testing.T) {
	root := repository(t)
	for _, cloud := range []string{"gke", "eks", "aks", "existing"} {
		files, err := filepath.Glob(filepath.Join(root, "providers", cloud, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, other := range []string{"gke", "eks", "aks", "existing"} {
				if other != cloud {
					assert.NotContains(t, string(content), `"vllm-autoscaling/providers/`+other+`"`, file)
				}
			}
		}
	}
}
