package workflows

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// checkout is a repository with this one's scripts, stack files and go.mod, and files that a change touches.
type checkout struct {
	t   *testing.T
	dir string
}

func newCheckout(t *testing.T) *checkout {
	t.Helper()
	c := &checkout{t: t, dir: t.TempDir()}
	root := repository(t)
	for _, pattern := range []string{".ci/*", "Pulumi.*yaml", "go.mod", "Makefile"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			info, err := os.Stat(file)
			require.NoError(t, err)
			relative, err := filepath.Rel(root, file)
			require.NoError(t, err)
			c.write(relative, string(content))
			require.NoError(t, os.Chmod(filepath.Join(c.dir, relative), info.Mode()))
		}
	}
	return c
}

func (c *checkout) write(file, content string) {
	c.t.Helper()
	path := filepath.Join(c.dir, file)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(c.t, os.WriteFile(path, []byte(content), 0o644))
}

// git runs git as nobody in particular, whatever the machine's configuration is.
func (c *checkout) git(args ...string) string {
	c.t.Helper()
	command := exec.CommandContext(c.t.Context(), "git", append([]string{"-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	command.Dir = c.dir
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	output, err := command.CombinedOutput()
	require.NoError(c.t, err, string(output))
	return strings.TrimSpace(string(output))
}

// commit stores everything and returns the commit.
func (c *checkout) commit() string {
	c.t.Helper()
	if _, err := os.Stat(filepath.Join(c.dir, ".git")); err != nil {
		c.git("init", "--quiet", "--initial-branch=main")
	}
	c.git("add", "--all")
	c.git("commit", "--quiet", "--allow-empty", "--message=change")
	return c.git("rev-parse", "HEAD")
}

// ran is what a script did.
type ran struct {
	stdout, stderr string
	outputs        map[string]string // GITHUB_OUTPUT
	err            error
}

// script runs a script with nothing in its environment but PATH, HOME and what is given.
func (c *checkout) script(name string, env map[string]string, args ...string) ran {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	outputs := filepath.Join(c.t.TempDir(), "outputs")
	command := exec.CommandContext(ctx, filepath.Join(c.dir, ".ci", name), args...)
	// From elsewhere: a script finds its repository by itself.
	command.Dir = os.TempDir()
	command.Env = []string{"HOME=" + filepath.Join(c.dir, "home"), "GITHUB_OUTPUT=" + outputs}
	if _, ok := env["PATH"]; !ok {
		command.Env = append(command.Env, "PATH="+os.Getenv("PATH"))
	}
	for key, value := range env {
		command.Env = append(command.Env, key+"="+value)
	}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	result := ran{outputs: map[string]string{}, err: command.Run()}
	result.stdout, result.stderr = stdout.String(), stderr.String()
	if content, err := os.ReadFile(outputs); err == nil {
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			result.outputs[key] = value
		}
	}
	return result
}

func TestScriptsAreBash(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(repository(t), ".ci/*"))
	require.NoError(t, err)
	for _, file := range files {
		if strings.Contains(filepath.Base(file), ".") {
			continue // data and examples
		}
		output, err := exec.CommandContext(t.Context(), "bash", "-n", file).CombinedOutput()
		assert.NoError(t, err, string(output))
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		if base := filepath.Base(file); base != "environment" && base != "gitlab-login" {
			assert.True(t, strings.HasPrefix(string(content), "#!/usr/bin/env bash\n# "), "%s says what it is for", file)
			assert.Contains(t, string(content), "\nset -euo pipefail\n", file)
		}
	}
}

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

	// A file that leaves the program is a change of the program, wherever it goes.
	require.NoError(t, os.MkdirAll(filepath.Join(repo.dir, "docs"), 0o755))
	repo.git("mv", "components/autoscaler.go", "docs/autoscaler.md")
	repo.commit()
	expect(base, "", "gke", "eks")
	repo.git("reset", "--quiet", "--hard", base)

	// What a pull request is merged with is not its own change.
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

// providers/gke is not imported by what other clouds run on, or the map from folders to stacks were wrong.
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

func TestDestroyIsConfirmedByName(t *testing.T) {
	repo := newCheckout(t)
	for _, c := range []struct {
		stack, confirm, stacks, message string
	}{
		{"gke", "gke", "gke eks", ""},
		{"gke", "gke", "", ""},
		{"gke", "eks", "gke eks", `the names typed are not the same: "gke" and "eks"; nothing is destroyed`},
		{"gke", "", "gke eks", "not the same"},
		{"gke", "gke ", "gke eks", "not the same"},
		{"gke", "GKE", "gke eks", "not the same"},
		{"", "", "gke eks", "name a stack"},
		{"aks", "aks", "gke eks", "not one of the stacks that CI looks after"},
		{"prod", "prod", "prod", "there is no Pulumi.prod.yaml"},
		{"gke;reboot", "gke;reboot", "", "name a stack"},
	} {
		env := map[string]string{"STACK": c.stack, "CONFIRM": c.confirm, "CI_STACKS": c.stacks}
		got := repo.script("confirm-destroy", env)
		if c.message == "" {
			require.NoError(t, got.err, got.stderr)
			assert.Equal(t, map[string]string{"stack": "gke", "cloud": "gke"}, got.outputs)
			continue
		}
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, c.message)
		assert.Empty(t, got.outputs)

		// The job that destroys looks once more, before it calls anything.
		pulumi, calls := fakePulumi(t)
		env["PATH"] = pulumi + ":" + os.Getenv("PATH")
		env["PULUMI_BACKEND_URL"] = "file:///tmp"
		got = repo.script("destroy", env)
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, c.message)
		assert.Empty(t, calls())
	}
}

// fakePulumi is a folder with a CLI that writes down how it was called, and what that was.
func fakePulumi(t *testing.T) (folder string, calls func() []string) {
	t.Helper()
	folder = t.TempDir()
	log := filepath.Join(folder, "calls")
	script := "#!/bin/sh\necho \"$*\" >>" + log + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "pulumi"), []byte(script), 0o755))
	return folder, func() []string {
		content, err := os.ReadFile(log)
		if err != nil {
			return nil
		}
		return strings.Split(strings.TrimSpace(string(content)), "\n")
	}
}

func TestStacksOfPulumiCloudAreTheOrganizations(t *testing.T) {
	repo := newCheckout(t)
	pulumi, calls := fakePulumi(t)
	for _, env := range []map[string]string{
		{"PULUMI_ACCESS_TOKEN": "x", "PULUMI_ORGANIZATION": "team"},
		{"PULUMI_BACKEND_URL": "gs://bucket", "PULUMI_ORGANIZATION": "team"},
		{"PULUMI_ACCESS_TOKEN": "x", "PULUMI_BACKEND_URL": ""},
	} {
		env["PATH"], env["STACK"], env["CONFIRM"] = pulumi+":"+os.Getenv("PATH"), "gke", "gke"
		got := repo.script("destroy", env)
		require.NoError(t, got.err, got.stderr)
	}
	assert.Equal(t, []string{
		"org set-default team",
		"destroy --yes --non-interactive --stack gke",
		"destroy --yes --non-interactive --stack gke",
		"destroy --yes --non-interactive --stack gke",
	}, calls())
	got := repo.script("destroy", map[string]string{"STACK": "gke", "CONFIRM": "gke"})
	require.Error(t, got.err)
	assert.Contains(t, got.stderr, "set the variable PULUMI_BACKEND_URL")
}

func TestDriftNeverGoesUnseen(t *testing.T) {
	tests := map[string]struct {
		status int // of the command preview
		call   string
		fails  bool
	}{
		"clean":   {status: 0, call: "close --marker drift: gke --label drift --body bin/drift-gke.md"},
		"drifted": {status: 4, call: "issue --marker drift: gke --label drift --title Stack gke has drifted --body bin/drift-gke.md"},
		// As it does when somebody else has taken a field over.
		"the check fails": {status: 1, fails: true,
			call: "issue --marker drift: gke --label drift --title The drift check of stack gke failed --body bin/drift-gke.md"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			repo := newCheckout(t)
			// Compiling the command is left out: bin/preview below stands in for it.
			tools := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(tools, "go"), []byte("#!/bin/sh\n"), 0o755))
			repo.write("ops/.keep", "")
			repo.write("bin/preview", fmt.Sprintf("#!/bin/sh\necho report >bin/drift-gke.md\nexit %d\n", test.status))
			repo.write(".ci/codehost", "#!/bin/sh\necho \"codehost: $*\"\n")
			for _, file := range []string{"bin/preview", ".ci/codehost"} {
				require.NoError(t, os.Chmod(filepath.Join(repo.dir, file), 0o755))
			}
			got := repo.script("drift", map[string]string{"STACK": "gke", "PULUMI_BACKEND_URL": "gs://bucket", "PATH": tools + ":" + os.Getenv("PATH")})
			assert.Equal(t, test.fails, got.err != nil, got.stderr)
			assert.Contains(t, got.stdout, "codehost: "+test.call+"\n")
		})
	}
}

func TestStackInitRefusesWhatCICouldNotUse(t *testing.T) {
	repo := newCheckout(t)
	const kms = "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k"
	for _, c := range []struct{ stack, backend, provider, message string }{
		{"gke", "gs://bucket", "", "PULUMI_SECRETS_PROVIDER is empty"},
		{"gke", "s3://bucket", "passphrase", "a passphrase would have to be stored in CI"},
		{"gke", "gs://bucket", "vault://x", "gcpkms://, awskms:// or azurekeyvault:// is needed"},
		{"gke", "ftp://bucket", kms, "gs://, s3:// or azblob:// is needed"},
		{"prod", "gs://bucket", kms, "there is no Pulumi.prod.yaml"},
		{"", "gs://bucket", kms, "name a stack"},
	} {
		pulumi, calls := fakePulumi(t)
		got := repo.script("stack-init", map[string]string{"PATH": pulumi + ":" + os.Getenv("PATH"), "PULUMI_BACKEND_URL": c.backend, "PULUMI_SECRETS_PROVIDER": c.provider}, c.stack)
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, c.message)
		assert.Empty(t, calls())
	}
	pulumi, calls := fakePulumi(t)
	for _, env := range []map[string]string{
		{"PULUMI_BACKEND_URL": "azblob://state?storage_account=a", "PULUMI_SECRETS_PROVIDER": "azurekeyvault://v.vault.azure.net/keys/k"},
		{"PULUMI_ORGANIZATION": "team"},
	} {
		env["PATH"] = pulumi + ":" + os.Getenv("PATH")
		got := repo.script("stack-init", env, "gke")
		require.NoError(t, got.err, got.stderr)
		assert.Contains(t, got.stdout, "Commit Pulumi.gke.yaml")
	}
	assert.Equal(t, []string{
		"stack init gke --non-interactive --no-select --secrets-provider azurekeyvault://v.vault.azure.net/keys/k",
		"stack init team/gke --non-interactive --no-select",
	}, calls())
}

// releases serves a CLI and plugins as get.pulumi.com does.
func releases(t *testing.T, files map[string][]byte) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(content) // the client has gone
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

// installTools is a folder with what the script calls, without a CLI that this machine may have, and with a uname that
// names this system.
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
	for _, tool := range []string{"bash", "sh", "awk", "sed", "cp", "mkdir", "touch", "tar", "gzip", "curl", "cut", "mktemp", "rm", "dirname", "head", "wc", "sort", "grep"} {
		require.True(t, link(tool), "the script needs %s", tool)
	}
	require.True(t, link("sha256sum") || link("shasum"), "the script needs sha256sum or shasum")
	uname := fmt.Sprintf("#!/bin/sh\ncase $1 in\n-s) echo %s ;;\n-m) echo %s ;;\nesac\n", kernel, machine)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "uname"), []byte(uname), 0o755))
	return folder
}

func installPulumi(t *testing.T, tools, cliSystem, pluginSystem string) {
	repo := newCheckout(t)
	manifest, err := os.ReadFile(filepath.Join(repo.dir, "go.mod"))
	require.NoError(t, err)
	required := func(module string) string {
		match := regexp.MustCompile(`(?m)^\s` + regexp.QuoteMeta(module) + ` v(\S+)`).FindStringSubmatch(string(manifest))
		require.NotNil(t, match, module)
		return match[1]
	}
	version := required("github.com/pulumi/pulumi/sdk/v3")

	// A CLI that knows its version and installs plugins by making their folder.
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	writer := tar.NewWriter(zipped)
	cli := "#!/bin/sh\necho \"$*\" >>\"$HOME/calls\"\ncase $1 in\nversion) echo v" + version + " ;;\n" +
		"plugin) d=$HOME/.pulumi/plugins/resource-$4-$5; mkdir -p $d; touch $d/pulumi-resource-$4 ;;\nesac\n"
	require.NoError(t, writer.WriteHeader(&tar.Header{Name: "pulumi/pulumi", Mode: 0o755, Size: int64(len(cli))}))
	_, err = writer.Write([]byte(cli))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	require.NoError(t, zipped.Close())

	name := "pulumi-v" + version + "-" + cliSystem + ".tar.gz"
	files := map[string][]byte{
		"/sdk/" + name: archive.Bytes(),
		"/sdk/pulumi-" + version + "-checksums.txt": []byte(strings.Repeat("0", 64) + "  pulumi-v" + version + "-freebsd-x64.tar.gz\n" + sum(archive.Bytes()) + "  " + name + "\n"),
	}
	plugins := map[string]string{
		"kubernetes": required("github.com/pulumi/pulumi-kubernetes/sdk/v4"), "gcp": required("github.com/pulumi/pulumi-gcp/sdk/v7"),
		"aws": required("github.com/pulumi/pulumi-aws/sdk/v6"), "azure-native": required("github.com/pulumi/pulumi-azure-native-sdk/v2"),
	}
	for plugin, v := range plugins {
		files["/plugins/pulumi-resource-"+plugin+"-v"+v+"-"+pluginSystem+".tar.gz"] = []byte("archive of " + plugin)
	}
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
		assert.Equal(t, "version\nplugin install resource kubernetes v"+plugins["kubernetes"]+"\nplugin install resource gcp v"+plugins["gcp"]+"\n", calls())
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
		assert.Contains(t, string(pins), sum(archive.Bytes())+"  "+name+"\n")
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

// The example is valid YAML whose jobs run scripts that are there, and nothing that changes a stack starts
// without a person or ends half-way.
func TestGitLabExample(t *testing.T) {
	root := repository(t)
	content, err := os.ReadFile(filepath.Join(root, ".ci/gitlab-ci.example.yml"))
	require.NoError(t, err)
	type job struct {
		Extends       string            `yaml:"extends"`
		Script        []string          `yaml:"script"`
		BeforeScript  []string          `yaml:"before_script"`
		ResourceGroup string            `yaml:"resource_group"`
		Interruptible *bool             `yaml:"interruptible"`
		Variables     map[string]string `yaml:"variables"`
		Rules         []struct {
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
	for _, script := range []string{"run", "build", "gitlab-login", "install-pulumi", "affected-stacks", "preview", "preview-comment", "up", "drift", "destroy-plan", "destroy"} {
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
			`; for v in GOOGLE_APPLICATION_CREDENTIALS AWS_ROLE_ARN ARM_OIDC_TOKEN; do echo "$v=${!v-}"; done; [ -z "${AWS_WEB_IDENTITY_TOKEN_FILE-}" ] || cat "$AWS_WEB_IDENTITY_TOKEN_FILE"`)
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
}
