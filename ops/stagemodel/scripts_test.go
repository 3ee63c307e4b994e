package stagemodel

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScriptsInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed; the scripts are Python")
	}
	command := exec.Command(python, "-m", "unittest", "-v", "stage_model_test", "stage_folders_test")
	command.Dir = "testdata"
	command.Env = append(command.Environ(), "PYTHONPATH=..", "PYTHONDONTWRITEBYTECODE=1")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	assert.Contains(t, string(output), "\nOK")
}
