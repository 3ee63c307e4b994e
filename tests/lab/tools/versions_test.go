package tools

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVersionsAgree checks that the modules agree on versions: two versions of k8s.io/api or of its dependencies would both be
// compiled, which adds minutes to a first build.
func TestVersionsAgree(t *testing.T) {
	module, err := ModuleRoot()
	require.NoError(t, err)
	all, err := differences(module)
	require.NoError(t, err)
	assert.Empty(t, all, "make versions raises the lower ones")

	want, err := versions(filepath.Join(module, "lab", "tools", upstream, "go.mod"))
	require.NoError(t, err)
	for folder, exceptions := range alignedModules {
		got, err := versions(filepath.Join(module, folder, "go.mod"))
		require.NoError(t, err)
		for _, path := range exceptions {
			assert.NotEqualf(t, want[path], got[path], "%s: %s need not be an exception any more", folder, path)
		}
	}
}

func TestDifferences(t *testing.T) {
	module := filepath.Join(t.TempDir(), "tests")
	const head = "module x\n\ngo 1.25\n\n"
	for folder, content := range map[string]string{
		"lab/tools/upstream": "require (\n\texample.invalid/a v1.2.3\n\texample.invalid/b v1.0.0\n\texample.invalid/r v1.5.0\n" +
			"\tgithub.com/prometheus/client_golang v1.3.0\n)\n\nreplace example.invalid/r => example.invalid/r v1.4.0\n",
		"..":                            "require example.invalid/a v1.2.0\n",
		".":                             "require (\n\texample.invalid/b v1.0.1\n\texample.invalid/only v1.0.0\n\tgithub.com/prometheus/client_golang v1.2.0\n)\n",
		"lab/tools/prometheus-operator": "require example.invalid/r v1.4.9\n",
		"../ops":                        "",
		"lab/tools/pulumi-language-go":  "",
	} {
		write(t, filepath.Join(module, folder, "go.mod"), head+content)
	}
	all, err := differences(module)
	require.NoError(t, err)
	assert.Equal(t, []difference{
		{folder: filepath.Join("lab", "tools", "upstream"), path: "example.invalid/b", lower: "v1.0.0", higher: "v1.0.1"},
		{folder: "..", path: "example.invalid/a", lower: "v1.2.0", higher: "v1.2.3"},
		{folder: "lab/tools/prometheus-operator", path: "example.invalid/r", lower: "v1.4.9", higher: "v1.5.0"},
	}, all, "a replaced module's own version counts")
	assert.Equal(t, "../go.mod: example.invalid/a is v1.2.0, elsewhere v1.2.3", all[1].String())
}
