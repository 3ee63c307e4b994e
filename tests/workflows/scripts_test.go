package workflows

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
			assert.True(t, strings.HasPrefix(string(content), "#!/usr/bin/env bash\n# "), "%s begins with its purpose", file)
			assert.Contains(t, string(content), "\nset -euo pipefail\n", file)
		}
	}
}

func TestDriftNeverGoesUnseen(t *testing.T) {
	tests := map[string]struct {
		status int // of the command preview
		call   string
		fails  bool
	}{
		"clean":   {status: 0, call: "close --marker drift: gke --label drift --body bin/drift-gke.md"},
		"drifted": {status: 4, call: "issue --marker drift: gke --label drift --title Stack gke has drifted --body bin/drift-gke.md"},
		// As with a field that another field manager owns.
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
