package workflows

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The Makefile lists the packages whose tests `make test` runs; one that it forgets would never be tested.
func TestMakeTestRunsEveryPackage(t *testing.T) {
	root := repository(t)
	content, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	makefile := strings.ReplaceAll(string(content), "\\\n", " ")
	var patterns []string
	for _, target := range []string{"test-fast", "test-lab"} {
		variable := regexp.MustCompile(`(?m)^` + target + `:.*\n(?:\t.*\n)*?\tcd tests && go test .*\$\((\w+)\)$`).FindStringSubmatch(makefile)
		require.NotNil(t, variable, "%s runs the tests of a list of packages", target)
		list := regexp.MustCompile(`(?m)^` + variable[1] + ` := (.*)$`).FindStringSubmatch(makefile)
		require.NotNil(t, list, variable[1])
		patterns = append(patterns, strings.Fields(list[1])...)
	}
	listed := func(folder string) bool {
		for _, pattern := range patterns {
			below, all := strings.CutSuffix(strings.TrimPrefix(pattern, "./"), "/...")
			if folder == below || all && strings.HasPrefix(folder, below+"/") {
				return true
			}
		}
		return false
	}
	tested := map[string]bool{}
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "tests"), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, "_test.go") {
			folder, relErr := filepath.Rel(filepath.Join(root, "tests"), filepath.Dir(path))
			if relErr != nil {
				return relErr
			}
			tested[filepath.ToSlash(folder)] = true
		}
		return err
	}))
	require.Greater(t, len(tested), 20)
	for folder := range tested {
		assert.True(t, listed(folder), "tests/%s has tests, and is in no list of packages of the Makefile", folder)
	}
	for _, pattern := range patterns {
		folder := strings.TrimSuffix(strings.TrimPrefix(pattern, "./"), "/...")
		assert.DirExists(t, filepath.Join(root, "tests", folder), "the Makefile lists it")
	}
}
