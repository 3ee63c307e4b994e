package tools

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func program(t *testing.T, file, script string) string {
	t.Helper()
	write(t, file, "#!/bin/sh\n"+script+"\n")
	require.NoError(t, os.Chmod(file, 0o755))
	return file
}

func TestInstalledToolsOfTheRightVersionAreUsed(t *testing.T) {
	for name, c := range map[string]struct {
		tool    Tool
		version string // of the module
		prints  string
		used    bool
	}{
		"another patch of Kubernetes":   {kubernetes(KubeAPIServer, 0), "v1.34.1", "Kubernetes v1.34.9", true},
		"another minor of Kubernetes":   {kubernetes(KubeAPIServer, 0), "v1.34.1", "Kubernetes v1.33.1", false},
		"a prerelease of Kubernetes":    {kubernetes(KubeAPIServer, 0), "v1.34.1", "Kubernetes v1.34.0-rc.1", false},
		"etcd":                          {catalogued(Etcd), "v3.6.5", "etcd Version: 3.6.4\nGit SHA: abc\nGo Version: go1.24.7", true},
		"kwok":                          {catalogued(Kwok), "v0.7.0", "kwok version v0.7.0 go1.24 (linux/amd64)", true},
		"another patch of kwok":         {catalogued(Kwok), "v0.7.0", "kwok version v0.7.1 go1.24 (linux/amd64)", false},
		"Prometheus":                    {catalogued(Prometheus), "v0.313.3", "prometheus, version 3.13.3 (branch: HEAD, revision: x)", true},
		"another Prometheus":            {catalogued(Prometheus), "v0.313.3", "prometheus, version 3.5.0 (branch: HEAD, revision: x)", false},
		"a Prometheus without versions": {catalogued(Prometheus), "v0.313.3", "prometheus, version  (branch: , revision: unknown)", false},
		"no program that has a version": {catalogued(InferenceSim), "v0.10.2", "v0.10.2", false},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := testBuilder(t, "")
			dir := t.TempDir()
			want := program(t, filepath.Join(dir, c.tool.Name), "echo '"+c.prints+"'")
			for _, variable := range []string{"PATH", "KUBEBUILDER_ASSETS"} {
				t.Run(variable, func(t *testing.T) {
					t.Setenv("KUBEBUILDER_ASSETS", "")
					t.Setenv("PATH", t.TempDir())
					t.Setenv(variable, filepath.Dir(want))
					got := b.installedTool(t.Context(), job{Tool: c.tool, version: c.version})
					if c.used {
						assert.Equal(t, want, got)
					} else {
						assert.Empty(t, got)
					}
				})
			}
		})
	}
}

func TestInstalledToolsThatFailAreNotUsed(t *testing.T) {
	b, _ := testBuilder(t, "")
	dir := t.TempDir()
	program(t, filepath.Join(dir, Etcd), "echo 'etcd Version: 3.6.5'; exit 1")
	t.Setenv("PATH", dir)
	assert.Empty(t, b.installedTool(t.Context(), job{Tool: catalogued(Etcd), version: "v3.6.5"}))
}

// catalogued returns the tool of the catalogue.
func catalogued(name string) Tool {
	for _, tool := range Catalogue() {
		if tool.Name == name {
			return tool
		}
	}
	panic(name)
}

func TestPulumiOnPath(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		host    bool
		used    bool
	}{
		"the right one":             {version: PulumiVersion, host: true, used: true},
		"another version":           {version: "v3.1.0", host: true},
		"without its language host": {version: PulumiVersion},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := testBuilder(t, "")
			dir := t.TempDir()
			cli := program(t, filepath.Join(dir, Pulumi), "echo "+c.version)
			want := map[string]string{Pulumi: cli, PulumiLanguageGo: filepath.Join(dir, PulumiLanguageGo)}
			if c.host {
				program(t, want[PulumiLanguageGo], "")
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			got := b.installedPulumi(t.Context())
			if c.used {
				assert.Equal(t, want, got)
			} else {
				assert.Empty(t, got)
			}
		})
	}
}

func TestKubernetesProvider(t *testing.T) {
	b, _ := testBuilder(t, "")
	t.Setenv("LAB_KUBERNETES_PROVIDER", filepath.Join(t.TempDir(), "nothing"))
	_, _, err := b.provider(t.Context())
	require.ErrorContains(t, err, "LAB_KUBERNETES_PROVIDER")

	named := program(t, filepath.Join(t.TempDir(), "mine"), "")
	t.Setenv("LAB_KUBERNETES_PROVIDER", named)
	path, isReal, err := b.provider(t.Context())
	require.NoError(t, err)
	assert.Equal(t, named, path)
	assert.True(t, isReal)

	t.Setenv("LAB_KUBERNETES_PROVIDER", "")
	home := t.TempDir()
	t.Setenv("PULUMI_HOME", home)
	assert.Empty(t, installedProvider())
	program(t, filepath.Join(home, "plugins", "resource-kubernetes-v4.29.0", KubernetesProvider), "")
	assert.Empty(t, installedProvider(), "another minor version")
	published := program(t, filepath.Join(home, "plugins", "resource-kubernetes-v4.30.1", KubernetesProvider), "")
	path, isReal, err = b.provider(t.Context())
	require.NoError(t, err)
	assert.Equal(t, published, path)
	assert.True(t, isReal)
}
