package lab

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/tests/lab/tools"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// trivialProject writes a Pulumi program without resources, with the versions that the real one pins.
func trivialProject(t *testing.T) string {
	t.Helper()
	module, err := tools.ModuleRoot()
	require.NoError(t, err)
	dir := t.TempDir()
	for from, to := range map[string]string{
		filepath.Join(module, "..", "go.mod"): "go.mod",
		filepath.Join(module, "..", "go.sum"): "go.sum",
		"testdata/program/Pulumi.yaml":        "Pulumi.yaml",
		"testdata/program/main.go.txt":        "main.go",
	} {
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, to), content, 0o644))
	}
	return dir
}

// files lists a folder's files.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestStackRunsTheRealCLI(t *testing.T) {
	programs, err := tools.Build(t.Context(), os.Stderr)
	require.NoError(t, err)
	// A CLI that hangs must not block the whole test run.
	bounded, end := context.WithTimeout(t.Context(), 5*time.Minute)
	defer end()
	project := trivialProject(t)
	before := files(t, project)
	var output buffer
	options := StackOptions{
		Name: "local", ProjectDir: project, Output: &output,
		Config:  map[string]any{"sizes": map[string]any{"gpus": 3}},
		Secrets: map[string]string{"token": "hf_very_secret"},
	}
	home := t.TempDir()
	newTestStack := func() *Stack {
		s, err := newStack(home, programs, options)
		require.NoError(t, err)
		require.NoError(t, s.create(bounded, options))
		return s
	}
	s := newTestStack()

	require.NoError(t, s.Preview(bounded, false))
	assert.Contains(t, output.String(), "$ pulumi preview --stack local")
	assert.NotContains(t, output.String(), "from $PATH", "plugins are the lab's own")
	require.NoError(t, s.Up(bounded))
	require.NoError(t, s.Preview(bounded, true), "a second look finds nothing to do")

	outputs, err := s.Outputs(bounded, false)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"gpus": 3.0, "token": "[secret]"}, outputs)
	outputs, err = s.Outputs(bounded, true)
	require.NoError(t, err)
	assert.Equal(t, "hf_very_secret", outputs["token"])

	state, err := s.Export(bounded)
	require.NoError(t, err)
	assert.NotContains(t, state, "hf_very_secret")
	config, err := os.ReadFile(s.ConfigFile())
	require.NoError(t, err)
	assert.NotContains(t, string(config), "hf_very_secret")
	assert.Equal(t, before, files(t, project), "nothing is written to the project")

	t.Run("an error contains the cause", func(t *testing.T) {
		require.NoError(t, s.SetConfig(map[string]any{"sizes": map[string]any{"gpus": 3}, "fail": true}))
		err := s.Up(bounded)
		var failed *CommandError
		require.ErrorAs(t, err, &failed)
		assert.Contains(t, err.Error(), "asked to fail")
		assert.Contains(t, err.Error(), "pulumi up --stack local")
		assert.NotEqual(t, 0, failed.Code)
	})

	t.Run("a change where none was expected is an error", func(t *testing.T) {
		require.NoError(t, s.SetConfig(map[string]any{"sizes": map[string]any{"gpus": 4}}))
		require.ErrorContains(t, s.Preview(bounded, true), "no changes were expected")
	})

	locks := filepath.Join(home, "state", ".pulumi", "locks") // the CLI locks the state while it works
	t.Run("killed half-way, it continues after a cancel", func(t *testing.T) { continuesAfterCancel(bounded, t, s, newTestStack, locks) })
	t.Run("a canceled caller interrupts it", func(t *testing.T) { interruptedByCaller(bounded, t, s, &output) })

	require.NoError(t, s.SetConfig(map[string]any{"sizes": map[string]any{"gpus": 5}}))
	require.NoError(t, s.Destroy(bounded))
	assert.Equal(t, before, files(t, project), "nothing is written to the project")
}

// continuesAfterCancel kills an up of a stack and continues it with a new one.
func continuesAfterCancel(bounded context.Context, t *testing.T, s *Stack, newTestStack func() *Stack, locks string) {
	require.NoError(t, s.SetConfig(map[string]any{"sizes": map[string]any{"gpus": 5}, "sleep": "60s"}))
	up, err := s.StartUp(bounded, "--skip-preview")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return hasFile(locks) }, 30*time.Second, 20*time.Millisecond, "no lock below %s", locks)
	require.NoError(t, up.Kill())
	s = newTestStack() // as in a new run
	require.NoError(t, s.SetConfig(map[string]any{"sizes": map[string]any{"gpus": 5}}))
	require.ErrorContains(t, s.Up(bounded, "--skip-preview"), "lock")
	require.NoError(t, s.Cancel(bounded))
	require.NoError(t, s.Up(bounded, "--skip-preview"))
	outputs, err := s.Outputs(bounded, false)
	require.NoError(t, err)
	assert.Equal(t, 5.0, outputs["gpus"])
}

// interruptedByCaller checks that the end of the context interrupts an up, which unlocks the state. The CLI handles an
// interrupt only after it has locked the state, so the test waits until the program runs.
func interruptedByCaller(bounded context.Context, t *testing.T, s *Stack, output *buffer) {
	require.NoError(t, s.SetConfig(map[string]any{"sizes": map[string]any{"gpus": 5}, "sleep": "600s"}))
	ctx, cancel := context.WithCancel(bounded)
	defer cancel()
	go func() {
		for !strings.Contains(output.String(), "sleeping 600s") && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
	}()
	started := time.Now()
	require.ErrorIs(t, s.Up(ctx, "--skip-preview"), context.Canceled)
	assert.Less(t, time.Since(started), 90*time.Second)
}

// hasFile reports whether there is any file below the folder.
func hasFile(dir string) bool {
	found := false
	_ = filepath.WalkDir(dir, func(_ string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = true
		}
		return nil
	})
	return found
}

func TestStackRefusesAFolderThatIsNoProject(t *testing.T) {
	_, err := newStack(t.TempDir(), tools.Tools{}, StackOptions{Name: "local", ProjectDir: t.TempDir()})
	require.ErrorContains(t, err, "not a Pulumi project")
}

func TestConfigLiesOverTheProjectsOwn(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Pulumi.local.yaml")
	base, err := projectConfig(file)
	require.NoError(t, err)
	assert.Empty(t, base, "a stack without a file")
	require.NoError(t, os.WriteFile(file, []byte(`
encryptionsalt: another
config:
  pulumi:disable-default-providers: ["*"]
  trivial:token: {secure: unreadable}
  trivial:sizes: {gpus: 1, cpu: 2, nested: {key: {secure: unreadable}, kept: true}}
`), 0o644))
	base, err = projectConfig(file)
	require.NoError(t, err)
	s := &Stack{project: "trivial", base: base, configFile: filepath.Join(dir, "out.yaml")}
	require.NoError(t, os.WriteFile(s.configFile, []byte("encryptionsalt: mine\nconfig:\n  trivial:apiKey: {secure: readable}\n  trivial:old: 1\n"), 0o600))
	type sizes struct {
		GPUs int `json:"gpus"`
	}
	for range 2 { // the second time changes nothing
		require.NoError(t, s.SetConfig(map[string]any{"sizes": sizes{GPUs: 3}, "other:key": "x"}))
		content, err := os.ReadFile(s.configFile)
		require.NoError(t, err)
		assert.YAMLEq(t, `
encryptionsalt: mine
config:
  pulumi:disable-default-providers: ["*"]
  trivial:apiKey: {secure: readable}
  trivial:sizes: {gpus: 3, cpu: 2, nested: {kept: true}}
  other:key: x
`, string(content))
	}
}

func TestStackEnvironmentLeavesTheUserOut(t *testing.T) {
	got := stackEnvironment([]string{"HOME=/home/me", "PULUMI_ACCESS_TOKEN=x", "KUBECONFIG=/home/me/.kube/config", "PATH=/bin", "HELM_NAMESPACE=x"})
	assert.Equal(t, []string{"HOME=/home/me"}, got)
}
