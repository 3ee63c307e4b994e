package tools

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

// TestVersionsAgree keeps what several programs import at one version: two versions of k8s.io/api or of a module below it
// would be compiled twice, which is minutes of a first build.
func TestVersionsAgree(t *testing.T) {
	module, err := ModuleRoot()
	require.NoError(t, err)
	want := versions(t, filepath.Join(module, "lab", "tools", upstream, "go.mod"))
	for folder, differ := range map[string][]string{
		"..": nil,
		".":  {"github.com/prometheus/client_golang"}, // kube-state-metrics needs more than its last release
		"lab/tools/prometheus-operator": {
			"github.com/prometheus-community/prom-label-proxy", "github.com/prometheus/alertmanager", "github.com/prometheus/prometheus",
			"sigs.k8s.io/controller-runtime",
		},
		"lab/tools/pulumi-language-go": {"github.com/pulumi/pulumi/sdk/v3"},
	} {
		for path, version := range versions(t, filepath.Join(module, folder, "go.mod")) {
			shared, ok := want[path]
			if !ok {
				continue
			}
			same := shared == version
			if slices.Contains(differ, path) {
				assert.Falsef(t, same, "%s: %s need not be an exception any more", folder, path)
				continue
			}
			assert.Equalf(t, shared, version, "%s: version of %s, other than that of %s: go get one of them in the lower one's module", folder, path, upstream)
		}
	}
}

// versions returns the version of every module in a go.mod file, with its replacements.
func versions(t *testing.T, file string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	parsed, err := modfile.Parse(file, content, nil)
	require.NoError(t, err)
	all := map[string]string{}
	for _, r := range parsed.Require {
		all[r.Mod.Path] = r.Mod.Version
	}
	for _, r := range parsed.Replace {
		if _, ok := all[r.Old.Path]; ok {
			all[r.Old.Path] = r.New.Version
		}
	}
	return all
}
