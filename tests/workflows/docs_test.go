package workflows

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGuideNamesEverythingThatHasToBeFilledIn(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository(t), "docs/ci.md"))
	require.NoError(t, err)
	guide := string(content)
	for file := range load(t) {
		assert.Contains(t, guide, "`"+file+"`")
		workflow, err := os.ReadFile(filepath.Join(repository(t), Folder, file))
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`\b(?:vars|secrets)\.(\w+)`).FindAllStringSubmatch(string(workflow), -1) {
			assert.Regexp(t, "(?m)^\\|.*`"+match[1]+"`", guide, "%s of %s is in no table", match[1], file)
		}
	}
	scripts, err := filepath.Glob(filepath.Join(repository(t), ".ci/*"))
	require.NoError(t, err)
	for _, script := range scripts {
		if name := filepath.Base(script); name != "environment" {
			assert.Contains(t, guide, ".ci/"+name)
		}
	}
	// The other way round: every documented setting is read by a workflow or a script.
	var read string
	for _, pattern := range []string{Folder + "/*", ".ci/*"} {
		files, err := filepath.Glob(filepath.Join(repository(t), pattern))
		require.NoError(t, err)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			read += string(content)
		}
	}
	for _, match := range regexp.MustCompile("(?m)^\\|.*?`([A-Z]+_[A-Z_]+)`").FindAllStringSubmatch(guide, -1) {
		assert.Contains(t, read, match[1], "nothing reads it")
	}
}

func TestGuidesPoliciesAreJSON(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository(t), "docs/ci.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(content, -1)
	require.Len(t, blocks, 2)
	for _, block := range blocks {
		assert.True(t, json.Valid(block[1]), string(block[1]))
	}
}

// The page of provider versions is about the pinned versions, and a raised version makes its rows wrong.
func TestProviderVersionsAreThoseOfTheProgram(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(repository(t), "docs/provider-versions.md"))
	require.NoError(t, err)
	module, err := os.ReadFile(filepath.Join(repository(t), "go.mod"))
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| [^|]+ \\| `(github.com/pulumi/[^`]+)` \\| (v[0-9.]+) \\|").FindAllStringSubmatch(string(page), -1)
	require.Len(t, rows, 5)
	for _, row := range rows {
		assert.Contains(t, string(module), "\n\t"+row[1]+" "+row[2]+"\n")
	}
}
