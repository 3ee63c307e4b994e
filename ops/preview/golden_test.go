package preview

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

// recordings lists the outputs of the real CLI in the lab; `make record-previews` writes them.
func recordings(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "make record-previews")
	return files
}

// read reads a recording such as gke.create.
func read(t *testing.T, name string) *plan.Plan {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	p, err := plan.Parse(content)
	require.NoError(t, err)
	return p
}

// mode returns the mode of a recording, from its name.
func mode(name string) Mode {
	switch {
	case strings.Contains(name, "drift"):
		return Drift
	case strings.HasSuffix(name, ".destroy"):
		return Destroy
	}
	return Update
}

// TestGoldenReports compares the comment for each recording with testdata/<recording>.md.
// UPDATE_GOLDEN=1 rewrites them; read the difference before you commit it.
func TestGoldenReports(t *testing.T) {
	for _, file := range recordings(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			stack, _, _ := strings.Cut(name, ".")
			report := New(read(t, name), Options{Stack: stack, Mode: mode(name)})
			compare(t, name+".md", report.Markdown(0))
		})
	}
}

// compare compares a text with a file of testdata, or writes it.
func compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "UPDATE_GOLDEN=1 writes it")
	assert.Equal(t, string(want), got, "if this is meant: UPDATE_GOLDEN=1 go test ./preview -run Golden")
}

// The text for a terminal, of one recording: it is made of the same parts.
func TestGoldenText(t *testing.T) {
	compare(t, "eks.replace.txt", New(read(t, "eks.replace"), Options{}).Text())
	compare(t, "gke.failed.txt", New(read(t, "gke.failed"), Options{}).Text())
	compare(t, "aks.destroy.txt", New(read(t, "aks.destroy"), Options{}).Text())
}

// notInRecordings matches secrets, and traces of the machine that recorded.
var notInRecordings = map[string]*regexp.Regexp{
	"token of Hugging Face": regexp.MustCompile(`hf_`),
	"JSON web token":        regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.`),
	"certificate or key":    regexp.MustCompile(`-----BEGIN|LS0tLS1CRUdJTi`),
	"loopback address":      regexp.MustCompile(`127\.0\.0\.1|localhost`),
	"path of the machine":   regexp.MustCompile(`"/(root|Users|work|project|lab)[/"]|/tmp/[a-z]|/var/folders|/home/[a-uw-z]`),
	"encrypted value":       regexp.MustCompile(`"v1:[A-Za-z0-9+/=]{12,}:`),
	"position in a file":    regexp.MustCompile(`sourcePosition|stackTrace`),
}

func TestRecordingsHoldNothingSecret(t *testing.T) {
	for _, file := range recordings(t) {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for what, form := range notInRecordings {
			assert.Empty(t, form.FindString(string(content)), "%s in %s", what, file)
		}
	}
}

// Every stack that the project ships keeps every rule, in every recording of it.
func TestShippedStacksKeepThePolicy(t *testing.T) {
	seen := map[string]bool{}
	for _, file := range recordings(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		report := New(read(t, name), Options{Mode: mode(name)})
		if report.Policy == nil {
			continue
		}
		seen[report.Stack] = true
		assert.Empty(t, report.Policy.Violations, name)
		assert.Empty(t, report.PolicyError, name)
		assert.True(t, report.Complete, "%s: every resource is in the recording", name)
	}
	assert.Equal(t, map[string]bool{"local": true, "gke": true, "eks": true, "aks": true}, seen)
}
