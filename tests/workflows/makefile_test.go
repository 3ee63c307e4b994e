package workflows

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// modules are the folders of the repository's modules that have tests. The modules below tests/lab/tools only pin
// programs.
var modules = []string{".", "ops", "tests"}

// tested is a package with tests.
type tested struct {
	ImportPath                string
	TestGoFiles, XTestGoFiles []string
	TestImports, XTestImports []string
}

// listTested returns the packages of a module that have tests.
func listTested(t *testing.T, module string) []tested {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,TestGoFiles,XTestGoFiles,TestImports,XTestImports", "./...")
	command.Dir = filepath.Join(repository(t), module)
	output, err := command.Output()
	require.NoError(t, err)
	var all []tested
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p tested
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		if len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
			all = append(all, p)
		}
	}
}

// testsRun returns the packages that a target of the Makefile runs the tests of. It runs the lines with `go test` that
// `make -n` prints, with `go list` in the place of `go test`.
func testsRun(t *testing.T, target string) []string {
	t.Helper()
	const goTestLists = `go() {
	[ "$1" = test ] || { command go "$@"; return; }
	shift
	for argument; do
		shift
		case $argument in ./* | vllm-autoscaling*) set -- "$@" "$argument" ;; esac
	done
	[ $# -gt 0 ] || { echo "go test without packages" >&2; exit 1; }
	command go list "$@"
}
`
	dryRun := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-n", target)
	dryRun.Dir = repository(t)
	commands, err := dryRun.Output()
	require.NoError(t, err)
	var packages []string
	for line := range strings.Lines(string(commands)) {
		if !strings.Contains(line, "go test ") {
			continue
		}
		command := exec.CommandContext(t.Context(), "sh", "-ec", goTestLists+line)
		command.Dir = repository(t)
		var stderr strings.Builder
		command.Stderr = &stderr
		output, err := command.Output()
		require.NoError(t, err, "%s: %s", line, stderr.String())
		packages = append(packages, strings.Fields(string(output))...)
	}
	return packages
}

// TestMakeTestRunsEveryPackageOnce checks that `make test` runs the tests of every package exactly once, those that can start
// the lab in the part that builds its programs first.
func TestMakeTestRunsEveryPackageOnce(t *testing.T) {
	times := map[string]int{}
	for _, name := range testsRun(t, "test") {
		times[name]++
	}
	needsTools := map[string]bool{}
	for _, name := range testsRun(t, "test-lab") {
		needsTools[name] = true
	}
	count := 0
	for _, module := range modules {
		for _, p := range listTested(t, module) {
			count++
			assert.Equal(t, 1, times[p.ImportPath], "how often make test runs %s", p.ImportPath)
			for _, imported := range append(p.TestImports, p.XTestImports...) {
				if imported == "vllm-autoscaling/tests/lab" || imported == "vllm-autoscaling/tests/lab/tools" {
					assert.True(t, needsTools[p.ImportPath], "the tests of %s import %s, but are not run by make test-lab", p.ImportPath, imported)
				}
			}
		}
	}
	assert.Greater(t, count, 40)
	assert.True(t, needsTools["vllm-autoscaling/tests/e2e"])
	assert.Less(t, len(needsTools), count/3)
}

// TestNoTestFileIsLeftOut checks that every test file is in a listed package. The Makefile lists packages with go list, which
// leaves out files that a build constraint excludes and folders of other modules.
func TestNoTestFileIsLeftOut(t *testing.T) {
	root := repository(t)
	listed := map[string]bool{}
	for _, module := range modules {
		for _, p := range listTested(t, module) {
			folder := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "vllm-autoscaling"), "/")
			for _, file := range append(p.TestGoFiles, p.XTestGoFiles...) {
				listed[path.Join(folder, file)] = true
			}
		}
	}
	require.NoError(t, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".")) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(file, "_test.go") {
			relative, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			assert.True(t, listed[filepath.ToSlash(relative)], "go list does not name %s", relative)
		}
		return nil
	}))
}
