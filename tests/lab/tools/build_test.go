package tools

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path"
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
	write(t, filepath.Join(folder, "cmd", "greet", "main.go"), source)
	var log bytes.Buffer
	return &builder{cache: t.TempDir(), module: module, log: &log, env: buildEnvironment(os.Environ(), 0), progress: expect(1, 0)}, &log
}

func write(t *testing.T, file, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
}

var greet = Tool{Name: "greet", Module: "example.invalid/upstream", Folder: "greet", Package: "./cmd/greet", Set: []string{"main.name=lab"}}

func TestCompile(t *testing.T) {
	b, log := testBuilder(t, "package main\n\nvar name string\n\nfunc main() { println(\"hello \" + name) }\n")
	j, err := b.job(greet, "go1.0")
	require.NoError(t, err)
	assert.Equal(t, "v1.2.3", j.version)
	require.NoError(t, b.compile(t.Context(), []job{j}))
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
	err = b.compile(t.Context(), []job{j})
	require.ErrorContains(t, err, "build greet v1.2.3")
	require.ErrorContains(t, err, "undefined: undefinedThing")
	assert.Contains(t, log.String(), "failed after")
	assertOnly(t, b.cache)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.compile(ctx, []job{j}), context.Canceled)
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
	changed = greet
	changed.Edits = []Edit{{File: "main.go"}}
	check("an edit", changed, "go1.0")
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
		if tool.local() {
			assert.FileExists(t, filepath.Join(module, "lab", "tools", tool.Folder, tool.Package, "main.go"))
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

func TestPathOfAnUnknownProgram(t *testing.T) {
	built := Tools{paths: map[string]string{Etcd: "x"}}
	assert.Panics(t, func() { built.Path("ectd") })
	path, ok := built.Lookup(Etcd)
	assert.Equal(t, "x", path)
	assert.True(t, ok)
	_, ok = built.Lookup(ManagedOperator)
	assert.False(t, ok)
	assert.True(t, Tools{}.Empty())
}

func TestNeighboursOfOneModuleAreOneBuild(t *testing.T) {
	var groups []string
	var jobs []job
	for _, tool := range Catalogue() {
		jobs = append(jobs, job{Tool: tool, version: "v1.2.3"})
	}
	for _, batch := range batches(jobs) {
		groups = append(groups, describe(batch))
		for _, j := range batch {
			assert.Equal(t, batch[0].Set, j.Set)
			assert.Equal(t, batch[0].Folder, j.Folder)
			if len(batch) > 1 {
				assert.Equal(t, j.Name, path.Base(j.Package), "go build names the program")
				assert.Empty(t, j.Edits)
			}
		}
	}
	assert.Contains(t, groups, "kube-apiserver, kube-controller-manager, kube-scheduler v1.2.3")
	assert.Contains(t, groups, "etcd v1.2.3")
	assert.Empty(t, batches(nil))
}

func TestSeveralProgramsOfAModule(t *testing.T) {
	b, _ := testBuilder(t, "package main\n\nfunc main() { println(\"hello\") }\n")
	write(t, filepath.Join(b.folder(greet), "cmd", "leave", "main.go"), "package main\n\nfunc main() { println(\"bye\") }\n")
	first, err := b.job(greet, "go1.0")
	require.NoError(t, err)
	leave := greet
	leave.Name, leave.Package = "leave", "./cmd/leave"
	second, err := b.job(leave, "go1.0")
	require.NoError(t, err)
	require.NoError(t, b.compile(t.Context(), []job{first, second}))
	for j, want := range map[*job]string{&first: "hello\n", &second: "bye\n"} {
		out, err := exec.Command(j.target).CombinedOutput()
		require.NoError(t, err)
		assert.Equal(t, want, string(out))
	}
}

func TestOnlyNamedProgramsAreLookedFor(t *testing.T) {
	module, err := ModuleRoot()
	require.NoError(t, err)
	var log bytes.Buffer
	b := &builder{cache: t.TempDir(), module: module, log: &log, env: buildEnvironment(os.Environ(), 0)}
	t.Setenv("PATH", t.TempDir())
	result := Tools{paths: map[string]string{}}
	missing, err := b.find(t.Context(), &result, []string{Kwok, CloudDoubles}, "go1.0")
	require.NoError(t, err)
	require.Len(t, missing, 1)
	assert.Equal(t, map[string]string{Kwok: missing[0].target}, result.paths)
	_, err = b.find(t.Context(), &result, []string{Kwok, "kwak"}, "go1.0")
	require.ErrorContains(t, err, `no program "kwak"`)
}
