package tools

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEditModule(t *testing.T) {
	source, target := t.TempDir(), t.TempDir()
	write(t, filepath.Join(source, "a", "first.go"), "one two two three\n")
	write(t, filepath.Join(source, "a", "first_test.go"), "test\n")
	write(t, filepath.Join(source, "a", "testdata", "data.go"), "test\n")
	write(t, filepath.Join(source, "second.go"), "gone\n")
	write(t, filepath.Join(source, "go.mod"), "module x\n")
	require.NoError(t, editModule([]Edit{
		{File: "a/first.go", Old: `(t)wo`, New: "${1}2"},
		{File: "a/first.go", Old: `one `},
		{File: "second.go"},
	}, source, target))
	assertOnly(t, target, "a", "go.mod")
	assertOnly(t, filepath.Join(target, "a"), "first.go")
	assert.Equal(t, "t2 t2 three\n", read(t, filepath.Join(target, "a", "first.go")))
	assert.Equal(t, "one two two three\n", read(t, filepath.Join(source, "a", "first.go")), "a copy was edited")

	err := editModule([]Edit{{File: "second.go", Old: "here"}}, source, target)
	require.ErrorContains(t, err, `edit of second.go: "here" is not in it`)
	require.ErrorIs(t, editModule([]Edit{{File: "third.go", Old: "here"}}, source, target), os.ErrNotExist)
	require.ErrorIs(t, editModule([]Edit{{File: "third.go"}}, source, target), os.ErrNotExist)
}

func TestReplaceModule(t *testing.T) {
	source, target := t.TempDir(), t.TempDir()
	write(t, filepath.Join(source, "go.mod"), "module x\n\ngo 1.25\n\nrequire example.invalid/y v1.2.3\n")
	write(t, filepath.Join(source, "go.sum"), "sums\n")
	file, err := replaceModule(source, "example.invalid/y", "/edited", target)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(target, "go.mod"), file)
	assert.Contains(t, read(t, file), "replace example.invalid/y => /edited\n")
	assert.Equal(t, "sums\n", read(t, filepath.Join(target, "go.sum")))
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(content)
}
