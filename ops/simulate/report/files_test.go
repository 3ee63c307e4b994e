package report

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	f := Files{HTML: filepath.Join(folder, "report.html"), PNG: filepath.Join(folder, "report.png"), Frontier: filepath.Join(folder, "frontier.png")}
	require.NoError(t, f.Check())
	require.NoError(t, os.WriteFile(f.PNG, []byte("old"), 0o600))
	r := sample()
	require.NoError(t, f.Write(r))
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, entries, 3, "no temporary file is left")
	heights := map[string]int{}
	for _, path := range []string{f.PNG, f.Frontier} {
		picture, err := os.ReadFile(path)
		require.NoError(t, err)
		decoded, err := png.DecodeConfig(bytes.NewReader(picture))
		require.NoError(t, err)
		heights[path] = decoded.Height
	}
	assert.Less(t, heights[f.Frontier], heights[f.PNG])
	page, err := os.ReadFile(f.HTML)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(page), "</html>\n"))
}

func TestFilesThatCannotBeWritten(t *testing.T) {
	folder := t.TempDir()
	missing := filepath.Join(folder, "missing", "x")
	same := filepath.Join(folder, "x")
	for want, f := range map[string]Files{
		"-html " + missing:         {HTML: missing},
		"-png " + missing:          {PNG: missing},
		"is a folder: name a file": {PNG: folder},
		"-html and -png are both":  {HTML: same, PNG: same},
		"-frontier " + missing:     {Frontier: missing},
		"missing is not a folder":  {HTML: missing, PNG: same},
	} {
		assert.ErrorContains(t, f.Check(), want)
	}
	require.NoError(t, (&Files{}).Check())
	assert.ErrorContains(t, (&Files{PNG: missing}).Write(sample()), "report: ", "the folder was removed in between")
}
