package workflows

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakePreview stands in for bin/preview: its plan is always the same, the preflight's answers differ in every run.
const fakePreview = `#!/bin/sh
preflight=on
while [ $# -gt 0 ]; do
	case $1 in
	--out) out=$2 ;;
	--plan-out) plan=$2 ;;
	--preflight) preflight=$2 ;;
	esac
	shift
done
cat bin/plan >"$out"
[ "$preflight" = off ] || { date +%s%N; echo $$; } >>"$out"
[ -z "$plan" ] || cat bin/plan >"$plan"
exit 4
`

// TestApprovedPlanHasNoPreflight checks that the digest which is approved stands for the plan only: a quota that somebody else uses
// meanwhile must not stop a deployment, and another plan must.
func TestApprovedPlanHasNoPreflight(t *testing.T) {
	repo := newCheckout(t)
	tools, calls := fakePulumi(t)
	require.NoError(t, os.WriteFile(filepath.Join(tools, "go"), []byte("#!/bin/sh\n"), 0o755))
	repo.write("ops/.keep", "")
	repo.write("bin/preview", fakePreview)
	repo.write("bin/plan", "1 to create\n")
	require.NoError(t, os.Chmod(filepath.Join(repo.dir, "bin/preview"), 0o755))
	environment := map[string]string{"STACK": "gke", "PULUMI_BACKEND_URL": "gs://bucket", "PATH": tools + ":" + os.Getenv("PATH")}

	first, second := repo.script("preview", environment), repo.script("preview", environment)
	require.NoError(t, first.err, first.stderr)
	require.NoError(t, second.err, second.stderr)
	assert.NotEqual(t, first.stdout, second.stdout, "the preflight is in the summary")
	assert.Regexp(t, `^[0-9a-f]{64}$`, first.outputs["digest"])
	assert.Equal(t, first.outputs, second.outputs)

	environment["APPROVED"] = first.outputs["digest"]
	up := repo.script("up", environment)
	require.NoError(t, up.err, up.stderr)
	require.Len(t, calls(), 1)
	assert.True(t, strings.HasPrefix(calls()[0], "up --yes --skip-preview "), calls()[0])

	repo.write("bin/plan", "2 to create\n")
	other := repo.script("up", environment)
	require.Error(t, other.err)
	assert.Contains(t, other.stderr, "not the plan that was approved")
	assert.Len(t, calls(), 1, "nothing is done")
}
