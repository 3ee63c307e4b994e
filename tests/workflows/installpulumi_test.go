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
	for _, tool := range strings.Fields("bash sh awk sed cp mkdir touch tar gzip curl cut mktemp rm dirname head wc sort grep tee tr") {
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
		// linux-amd64 is what GitHub's runners are.
		for _, system := range []string{pluginSystem, "linux-amd64"} {
			p.files["/plugins/pulumi-resource-"+plugin+"-v"+v+"-"+system+".tar.gz"] = []byte("archive of " + plugin + " for " + system)
		}
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

	pins := filepath.Join(repo.dir, ".ci/checksums.sha256")
	require.NoError(t, os.RemoveAll(pins), "those of this repository")
	plugin := func(name string) string {
		return "pulumi-resource-" + name + "-v" + plugins[name] + "-" + pluginSystem + ".tar.gz"
	}
	// refused checks that nothing is installed, and returns the message.
	refused := func(t *testing.T, got ran) string {
		t.Helper()
		require.Error(t, got.err)
		assert.NoFileExists(t, filepath.Join(home, ".pulumi/bin/pulumi"))
		assert.Empty(t, calls())
		return got.stderr
	}

	t.Run("nothing is pinned", func(t *testing.T) {
		require.NoFileExists(t, pins)
		message := refused(t, repo.script("install-pulumi", env("gke")))
		assert.Contains(t, message, ".ci/checksums.sha256 is missing, so nothing is installed")
		assert.Contains(t, message, "Run .ci/install-pulumi --pin on a machine that you trust")
		assert.Equal(t, 1, strings.Count(message, "\n"), "one message: %s", message)
	})
	t.Run("a plugin is not pinned", func(t *testing.T) {
		repo.write(".ci/checksums.sha256", sum(release.archive)+"  "+name+"\n"+sum([]byte("x"))+"  "+plugin("kubernetes")+"\n")
		message := refused(t, repo.script("install-pulumi", env("gke")))
		assert.Contains(t, message, ".ci/checksums.sha256 does not name "+plugin("gcp"))
		assert.Contains(t, message, "--pin")
	})
	t.Run("a release that cannot be downloaded is not pinned", func(t *testing.T) {
		require.NoError(t, os.Remove(pins))
		e := env("")
		e["PULUMI_RELEASES"] = server.URL + "/nowhere"
		got := repo.script("install-pulumi", e, "--pin")
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, "cannot download "+server.URL+"/nowhere/sdk/pulumi-")
		assert.NoFileExists(t, pins)
	})
	t.Run("pinned from what is published", func(t *testing.T) {
		got := repo.script("install-pulumi", env(""), "--pin", pluginSystem)
		require.NoError(t, got.err, got.stderr)
		assert.Contains(t, got.stdout, "the CLI, from "+server.URL+"/sdk/pulumi-", "where it is from")
		assert.Contains(t, got.stdout, "plugins, each as it is at "+server.URL+"/plugins now")
		content, err := os.ReadFile(pins)
		require.NoError(t, err)
		assert.Contains(t, string(content), sum(release.archive)+"  "+name+"\n")
		for name, v := range plugins {
			for _, system := range []string{pluginSystem, "linux-amd64"} {
				file := "pulumi-resource-" + name + "-v" + v + "-" + system + ".tar.gz"
				line := sum(files["/plugins/"+file]) + "  " + file + "\n"
				assert.Contains(t, string(content), line)
				assert.Contains(t, got.stdout, line)
			}
		}
		assert.Empty(t, calls(), "nothing is installed")
	})
	t.Run("an archive that is not the pinned one", func(t *testing.T) {
		good := files["/sdk/"+name]
		files["/sdk/"+name] = append([]byte("x"), good...)
		message := refused(t, repo.script("install-pulumi", env("gke")))
		files["/sdk/"+name] = good
		assert.Contains(t, message, "not "+sum(release.archive)+": it is not installed")
	})
	t.Run("a release that is not there", func(t *testing.T) {
		e := env("gke")
		e["PULUMI_RELEASES"] = server.URL + "/nowhere"
		assert.Contains(t, refused(t, repo.script("install-pulumi", e)), "cannot download "+server.URL+"/nowhere/sdk/"+name)
	})
	t.Run("a release that has changed since it was pinned", func(t *testing.T) {
		before, err := os.ReadFile(pins)
		require.NoError(t, err)
		good := files["/plugins/"+plugin("gcp")]
		files["/plugins/"+plugin("gcp")] = []byte("somebody else's")
		got := repo.script("install-pulumi", env(""), "--pin")
		files["/plugins/"+plugin("gcp")] = good
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, plugin("gcp")+" is pinned with the checksum "+sum(good)+", and what is published now has "+sum([]byte("somebody else's")))
		after, err := os.ReadFile(pins)
		require.NoError(t, err)
		assert.Equal(t, string(before), string(after))
	})
	installed := func(name string) string {
		return "plugin install resource " + name + " v" + plugins[name] + " --checksum " + sum(files["/plugins/"+plugin(name)]) + "\n"
	}
	t.Run("the CLI and the plugins of the stack's cloud", func(t *testing.T) {
		got := repo.script("install-pulumi", env("gke"))
		require.NoError(t, got.err, got.stderr)
		assert.Equal(t, "version\n"+installed("kubernetes")+installed("gcp"), calls())
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
	for stack, name := range map[string]string{"eks": "aws", "aks": "azure-native"} {
		t.Run("another cloud: "+stack, func(t *testing.T) {
			got := repo.script("install-pulumi", env(stack))
			require.NoError(t, got.err, got.stderr)
			assert.Contains(t, calls(), installed(name))
		})
	}
}

// A repository that has pinned its archives has those of the versions that go.mod requires: raising a version without
// pinning it stops every job that installs it.
func TestPinsAreOfTheProgramsVersions(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository(t), ".ci/checksums.sha256"))
	if os.IsNotExist(err) {
		t.Skip("nothing is pinned yet: the file is written by .ci/install-pulumi --pin")
	}
	require.NoError(t, err)
	release := publish(t, newCheckout(t), "linux-x64", "linux-amd64")
	assert.Contains(t, string(content), "  "+release.name+"\n", "run .ci/install-pulumi --pin")
	for name, version := range release.plugins {
		assert.Contains(t, string(content), "  pulumi-resource-"+name+"-v"+version+"-linux-amd64.tar.gz\n", "run .ci/install-pulumi --pin")
	}
}
