package workflows

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// releases serves a CLI and plugins, as get.pulumi.com does.
func releases(t *testing.T, files map[string][]byte) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(content) // An error means that the client has closed the connection.
	}))
	t.Cleanup(server.Close)
	return server
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

// TestInstallPulumi runs the script as on every system that has releases, whichever this one is.
func TestInstallPulumi(t *testing.T) {
	for _, system := range []struct{ kernel, machine, cli, plugin string }{
		{"Linux", "x86_64", "linux-x64", "linux-amd64"},
		{"Linux", "aarch64", "linux-arm64", "linux-arm64"},
		{"Darwin", "x86_64", "darwin-x64", "darwin-amd64"},
		{"Darwin", "arm64", "darwin-arm64", "darwin-arm64"},
	} {
		t.Run(system.kernel+" "+system.machine, func(t *testing.T) {
			installPulumi(t, installTools(t, system.kernel, system.machine), system.cli, system.plugin)
		})
	}
	t.Run("a system without releases", func(t *testing.T) {
		got := newCheckout(t).script("install-pulumi", map[string]string{"STACK": "gke", "PATH": installTools(t, "SunOS", "i86pc")})
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, "no release of Pulumi for SunOS i86pc")
	})
}

// installTools returns a folder with the programs that the script calls, without a CLI that this machine may have, and
// with a uname that prints the given system.
func installTools(t *testing.T, kernel, machine string) string {
	t.Helper()
	folder := t.TempDir()
	link := func(tool string) bool {
		path, err := exec.LookPath(tool)
		if err != nil {
			return false
		}
		require.NoError(t, os.Symlink(path, filepath.Join(folder, tool)))
		return true
	}
	for _, tool := range strings.Fields("bash sh awk sed cp mkdir touch tar gzip curl cut mktemp rm dirname head wc sort grep") {
		require.True(t, link(tool), "the script needs %s", tool)
	}
	require.True(t, link("sha256sum") || link("shasum"), "the script needs sha256sum or shasum")
	uname := fmt.Sprintf("#!/bin/sh\ncase $1 in\n-s) echo %s ;;\n-m) echo %s ;;\nesac\n", kernel, machine)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "uname"), []byte(uname), 0o755))
	return folder
}

// published is a release of the CLI, and the plugins, for one system.
type published struct {
	name    string // of the CLI's archive
	archive []byte
	plugins map[string]string // versions by plugin
	files   map[string][]byte // what a server of releases has, by path
}

// publish creates the releases of the versions that the checkout's go.mod requires.
func publish(t *testing.T, repo *checkout, cliSystem, pluginSystem string) published {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(repo.dir, "go.mod"))
	require.NoError(t, err)
	required := func(module string) string {
		match := regexp.MustCompile(`(?m)^\s` + regexp.QuoteMeta(module) + ` v(\S+)`).FindStringSubmatch(string(manifest))
		require.NotNil(t, match, module)
		return match[1]
	}
	version := required("github.com/pulumi/pulumi/sdk/v3")
	p := published{
		name:    "pulumi-v" + version + "-" + cliSystem + ".tar.gz",
		archive: archiveOfCLI(t, version),
		plugins: map[string]string{
			"kubernetes":   required("github.com/pulumi/pulumi-kubernetes/sdk/v4"),
			"gcp":          required("github.com/pulumi/pulumi-gcp/sdk/v7"),
			"aws":          required("github.com/pulumi/pulumi-aws/sdk/v6"),
			"azure-native": required("github.com/pulumi/pulumi-azure-native-sdk/v2"),
		},
	}
	checksums := strings.Repeat("0", 64) + "  pulumi-v" + version + "-freebsd-x64.tar.gz\n" + sum(p.archive) + "  " + p.name + "\n"
	p.files = map[string][]byte{
		"/sdk/" + p.name: p.archive,
		"/sdk/pulumi-" + version + "-checksums.txt": []byte(checksums),
	}
	for plugin, v := range p.plugins {
		p.files["/plugins/pulumi-resource-"+plugin+"-v"+v+"-"+pluginSystem+".tar.gz"] = []byte("archive of " + plugin)
	}
	return p
}

// archiveOfCLI packs a CLI that prints its version, and installs plugins by making their folder.
func archiveOfCLI(t *testing.T, version string) []byte {
	t.Helper()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	writer := tar.NewWriter(zipped)
	cli := "#!/bin/sh\necho \"$*\" >>\"$HOME/calls\"\ncase $1 in\nversion) echo v" + version + " ;;\n" +
		"plugin) d=$HOME/.pulumi/plugins/resource-$4-$5; mkdir -p $d; touch $d/pulumi-resource-$4 ;;\nesac\n"
	require.NoError(t, writer.WriteHeader(&tar.Header{Name: "pulumi/pulumi", Mode: 0o755, Size: int64(len(cli))}))
	_, err := writer.Write([]byte(cli))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	require.NoError(t, zipped.Close())
	return archive.Bytes()
}

func installPulumi(t *testing.T, tools, cliSystem, pluginSystem string) {
	repo := newCheckout(t)
	release := publish(t, repo, cliSystem, pluginSystem)
	name, plugins, files := release.name, release.plugins, release.files
	server := releases(t, files)
	paths := filepath.Join(t.TempDir(), "paths")
	home := filepath.Join(repo.dir, "home")
	env := func(stack string) map[string]string {
		return map[string]string{"STACK": stack, "PULUMI_RELEASES": server.URL, "PATH": tools, "GITHUB_PATH": paths}
	}
	calls := func() string {
		content, err := os.ReadFile(filepath.Join(home, "calls"))
		if err != nil {
			return ""
		}
		require.NoError(t, os.Remove(filepath.Join(home, "calls")))
		return string(content)
	}

	t.Run("an archive that is not the published one", func(t *testing.T) {
		good := files["/sdk/"+name]
		files["/sdk/"+name] = append([]byte("x"), good...)
		got := repo.script("install-pulumi", env("gke"))
		files["/sdk/"+name] = good
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, "it is not installed")
		assert.NoFileExists(t, filepath.Join(home, ".pulumi/bin/pulumi"))
	})
	t.Run("a pin that is not kept", func(t *testing.T) {
		repo.write(".ci/checksums.sha256", strings.Repeat("1", 64)+"  "+name+"\n")
		got := repo.script("install-pulumi", env("gke"))
		require.NoError(t, os.Remove(filepath.Join(repo.dir, ".ci/checksums.sha256")))
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, strings.Repeat("1", 64))
	})
	t.Run("a release that is not there", func(t *testing.T) {
		e := env("gke")
		e["PULUMI_RELEASES"] = server.URL + "/nowhere"
		got := repo.script("install-pulumi", e)
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, "cannot download "+server.URL+"/nowhere/sdk/"+name)
	})
	t.Run("the CLI and the plugins of the stack's cloud", func(t *testing.T) {
		got := repo.script("install-pulumi", env("gke"))
		require.NoError(t, got.err, got.stderr)
		assert.Equal(t, "version\nplugin install resource kubernetes v"+plugins["kubernetes"]+"\n"+
			"plugin install resource gcp v"+plugins["gcp"]+"\n", calls())
		content, err := os.ReadFile(paths)
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(home, ".pulumi/bin")+"\n", string(content))
	})
	t.Run("nothing twice", func(t *testing.T) {
		e := env("gke")
		e["PULUMI_RELEASES"] = "http://127.0.0.1:1"
		got := repo.script("install-pulumi", e)
		require.NoError(t, got.err, got.stderr)
		assert.Equal(t, "version\n", calls())
	})
	t.Run("pinned from what is published", func(t *testing.T) {
		got := repo.script("install-pulumi", env(""), "--pin")
		require.NoError(t, got.err, got.stderr)
		pins, err := os.ReadFile(filepath.Join(repo.dir, ".ci/checksums.sha256"))
		require.NoError(t, err)
		assert.Contains(t, string(pins), sum(release.archive)+"  "+name+"\n")
		for plugin, v := range plugins {
			assert.Contains(t, string(pins), sum([]byte("archive of "+plugin))+"  pulumi-resource-"+plugin+"-v"+v+"-"+pluginSystem+".tar.gz\n")
		}
		for stack, plugin := range map[string]string{"eks": "aws", "aks": "azure-native"} {
			got = repo.script("install-pulumi", env(stack))
			require.NoError(t, got.err, got.stderr)
			assert.Contains(t, calls(), "plugin install resource "+plugin+" v"+plugins[plugin]+" --checksum "+sum([]byte("archive of "+plugin))+"\n")
		}
	})
}
