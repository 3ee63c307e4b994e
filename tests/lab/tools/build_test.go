package tools

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testBuilder builds from a source tree of its own, with one module in lab/tools/greet.
func testBuilder(t *testing.T, source string) (*builder, *bytes.Buffer) {
	t.Helper()
	module := t.TempDir()
	folder := filepath.Join(module, "lab", "tools", "greet")
	write(t, filepath.Join(folder, "go.mod"), "module greet\n\ngo 1.25\n\nrequire example.invalid/upstream v1.2.3\n")
	write(t, filepath.Join(folder, "go.sum"), "")
	write(t, filepath.Join(folder, "main.go"), source)
	var log bytes.Buffer
	return &builder{cache: t.TempDir(), module: module, log: &log, env: buildEnvironment(os.Environ(), 0)}, &log
}

func write(t *testing.T, file, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
}

var greet = Tool{Name: "greet", Module: "example.invalid/upstream", Folder: "greet", Package: ".", Set: []string{"main.name=lab"}}

func TestCompile(t *testing.T) {
	b, log := testBuilder(t, "package main\n\nvar name string\n\nfunc main() { println(\"hello \" + name) }\n")
	j, err := b.job(greet, "go1.0")
	require.NoError(t, err)
	assert.Equal(t, "v1.2.3", j.version)
	require.NoError(t, b.compile(t.Context(), "tools: [1/1] greet v1.2.3", j))
	out, err := exec.Command(j.target).CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, "hello lab\n", string(out), "the linker has set the variable")
	assert.Regexp(t, `^tools: \[1/1\] greet v1\.2\.3 building \.\.\. \d+ s\n$`, log.String())
	assertOnly(t, b.cache, filepath.Base(filepath.Dir(j.target)))
}

func TestCompileFailsCleanly(t *testing.T) {
	b, log := testBuilder(t, "package main\n\nfunc main() { undefinedThing() }\n")
	j, err := b.job(greet, "go1.0")
	require.NoError(t, err)
	err = b.compile(t.Context(), "tools: [1/1] greet v1.2.3", j)
	require.ErrorContains(t, err, "build greet v1.2.3")
	require.ErrorContains(t, err, "undefined: undefinedThing")
	assert.Contains(t, log.String(), "failed after")
	assertOnly(t, b.cache)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.compile(ctx, "", j), context.Canceled)
	assertOnly(t, b.cache)
}

func assertOnly(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	assert.Equal(t, want, got)
}

func TestTargetChangesWithWhatGoesIn(t *testing.T) {
	b, _ := testBuilder(t, "package main\n")
	seen := map[string]string{}
	check := func(what string, tool Tool, goVersion string) {
		j, err := b.job(tool, goVersion)
		require.NoError(t, err)
		assert.Emptyf(t, seen[j.target], "%s gives the same file as %s", what, seen[j.target])
		seen[j.target] = what
	}
	check("the first", greet, "go1.0")
	check("another Go", greet, "go1.1")
	changed := greet
	changed.Tags = "small"
	check("other tags", changed, "go1.0")
	changed = greet
	changed.Set = []string{"main.name=other"}
	check("other variables", changed, "go1.0")
	write(t, filepath.Join(b.module, "lab", "tools", "greet", "go.sum"), "example.invalid/upstream v1.2.3 h1:x=\n")
	check("another checksum", greet, "go1.0")

	missing := greet
	missing.Module = "example.invalid/other"
	_, err := b.job(missing, "go1.0")
	require.ErrorContains(t, err, "does not require example.invalid/other")
}

func TestEveryProgramIsPinned(t *testing.T) {
	module, err := ModuleRoot()
	require.NoError(t, err)
	b := &builder{cache: "cache", module: module}
	names := map[string]bool{}
	for _, tool := range Catalogue() {
		j, err := b.job(tool, "go1.0")
		require.NoError(t, err)
		assert.False(t, names[tool.Name], "%s is listed twice", tool.Name)
		names[tool.Name] = true
		if tool.Package == "." {
			assert.FileExists(t, filepath.Join(module, "lab", "tools", tool.Folder, "main.go"))
			continue
		}
		imports, err := os.ReadFile(filepath.Join(module, "lab", "tools", tool.Folder, "tools.go"))
		require.NoError(t, err)
		assert.Contains(t, string(imports), `"`+tool.Package+`"`, "go mod tidy keeps what it needs")
		switch tool.Name {
		case Pulumi:
			assert.Equal(t, PulumiVersion, j.version)
		case KubeAPIServer, KubeControllerManager, KubeScheduler:
			assert.Equal(t, kubernetesVersion, j.version)
		}
	}
	program, err := os.ReadFile(filepath.Join(module, "..", "go.mod"))
	require.NoError(t, err)
	assert.Contains(t, string(program), "pulumi-kubernetes/sdk/v4 "+KubernetesProviderVersion+"\n")
}

func TestModuleRoot(t *testing.T) {
	want, err := ModuleRoot()
	require.NoError(t, err)
	for _, from := range []string{filepath.Join(want, ".."), want, filepath.Join(want, "lab")} {
		t.Chdir(from)
		got, err := ModuleRoot()
		require.NoError(t, err)
		assert.Equal(t, want, got, "from %s", from)
	}
	t.Chdir(t.TempDir())
	_, err = ModuleRoot()
	require.ErrorContains(t, err, "run from the repository")
}

func TestBuildEnvironment(t *testing.T) {
	user := []string{"HOME=/home/me", "GOFLAGS=-race", "GOWORK=/x", "GOOS=plan9", "GOGC=50", "GOPROXY=https://proxy.example"}
	little := buildEnvironment(user, 4<<30)
	assert.Contains(t, little, "GOGC=50")
	assert.NotContains(t, little, "GOGC=400")
	plenty := buildEnvironment(user, 32<<30)
	assert.Contains(t, plenty, "GOGC=400")
	assert.NotContains(t, plenty, "GOGC=50")
	for _, env := range [][]string{little, plenty} {
		joined := strings.Join(env, "\n")
		assert.Contains(t, joined, "GOPROXY=https://proxy.example")
		assert.Contains(t, joined, "GOFLAGS=-trimpath -buildvcs=false")
		assert.Contains(t, joined, "CGO_ENABLED=0")
		assert.NotContains(t, joined, "-race")
		assert.NotContains(t, joined, "plan9")
	}
}

func TestOnlyOneRunBuilds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	var log bytes.Buffer
	unlock, err := lock(t.Context(), file, &log)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = lock(ctx, file, &log)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, log.String(), "waiting for another run")
	unlock()
	unlock, err = lock(t.Context(), file, &log)
	require.NoError(t, err)
	unlock()
}

func program(t *testing.T, file, script string) string {
	t.Helper()
	write(t, file, "#!/bin/sh\n"+script+"\n")
	require.NoError(t, os.Chmod(file, 0o755))
	return file
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

func TestPutBeside(t *testing.T) {
	cache := t.TempDir()
	first := program(t, filepath.Join(cache, "a", "guest"), `echo "first $# $1"`)
	second := program(t, filepath.Join(cache, "b", "guest"), `echo "second $# $1"`)
	host := program(t, filepath.Join(cache, "c", "host"), "")
	script := filepath.Join(cache, "c", "guest")
	for _, run := range []struct{ guest, flag, says string }{
		{first, "", "first 1 engine\n"},
		{first, "-binary=/a b", "first 2 -binary=/a b\n"},
		{second, "", "second 1 engine\n"},
	} {
		built := Tools{paths: map[string]string{"host": host, "guest": run.guest}}
		require.NoError(t, putBeside(&built, "host", "guest"))
		assert.Equal(t, script, built.Path("guest"))
		assertOnly(t, filepath.Join(cache, "c"), "guest", "host")

		t.Setenv(LanguageHostFlag, run.flag)
		out, err := exec.CommandContext(t.Context(), script, "engine").Output()
		require.NoError(t, err)
		assert.Equal(t, run.says, string(out))
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

func TestPathOfAnUnknownProgram(t *testing.T) {
	assert.Panics(t, func() { Tools{paths: map[string]string{Etcd: "x"}}.Path("ectd") })
	assert.True(t, Tools{}.Empty())
}
