package preflight

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

// recorded reads a recording of the real CLI.
func recorded(t *testing.T, name string) *plan.Plan {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../preview/testdata", name+".json"))
	require.NoError(t, err)
	p, err := plan.Parse(content)
	require.NoError(t, err)
	return p
}

// refusing has every program and no answer.
type refusing struct{ calls int }

func (*refusing) Has(string) bool { return true }

func (r *refusing) Run(context.Context, string, ...string) ([]byte, error) {
	r.calls++
	return nil, errors.New("no answer")
}

// An update that creates neither a cluster nor nodes asks for nothing.
func TestNothingToCheck(t *testing.T) {
	for _, name := range []string{
		"gke.noop", "gke.destroy", "gke.failed", "eks.noop", "eks.destroy", "eks.failed",
		"aks.noop", "aks.destroy", "aks.failed", "local.create", "local.change", "local.replace",
	} {
		r := &refusing{}
		assert.Nil(t, Run(t.Context(), recorded(t, name), r, io.Discard), name)
		assert.Zero(t, r.calls, name)
	}
}

// The recorded previews have the inputs that the checks read.
func TestRecordedPreviews(t *testing.T) {
	for cloud, account := range map[string]*fake{"gke": gkeAccount(t), "eks": eksAccount(t), "aks": aksAccount(t)} {
		result := check(t, recorded(t, cloud+".create"), account.with(map[string]string{
			"billing projects describe": `{"billingEnabled": true}`,
		}))
		assert.Equal(t, cloud, result.Cloud)
		for _, name := range []string{"machine-types", "names-free"} {
			assert.Contains(t, result.names(), name, cloud)
		}
		assert.Empty(t, result.problems(), cloud)
		assert.Greater(t, result.Count(Passed), 6, cloud)
	}
	// The recorded change enlarges the GPU pool.
	for cloud, account := range map[string]*fake{"gke": gkeAccount(t), "eks": eksAccount(t), "aks": aksAccount(t)} {
		result := check(t, recorded(t, cloud+".change"), account)
		assert.Contains(t, result.names(), "machine-types", cloud)
		assert.NotContains(t, result.names(), "names-free", cloud)
	}
	replaced := check(t, recorded(t, "gke.replace"), gkeAccount(t))
	assert.Equal(t, []string{"cpu-quota", "gpu-quota", "machine-types", "services"}, replaced.names())
}

func TestProgramIsMissing(t *testing.T) {
	result := Run(t.Context(), planOf(nil, gkeSteps(t)...), &fake{t: t}, io.Discard)
	assert.Equal(t, []Check{{Name: "login", Asked: "gcloud", Outcome: Unknown, Found: "gcloud is not on the PATH: install it and log in"}}, result.Checks)
}

func TestOrder(t *testing.T) {
	result := check(t, planOf(nil, gkeSteps(t)...), gkeAccount(t).with(map[string]string{
		"billing projects": `{"billingEnabled": false}`, "project-info": "error: HTTP 500",
		"services list": strings.ReplaceAll(gkeServices, "artifactregistry", "other"),
	}))
	var outcomes []string
	for _, c := range result.Checks {
		outcomes = append(outcomes, string(c.Outcome))
	}
	assert.Regexp(t, `^(failed )+(warning )+(unknown )+(passed ?)+$`, strings.Join(outcomes, " "))
}

// script puts a program on the PATH.
func script(t *testing.T, name, content string) {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+content), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

func TestExec(t *testing.T) {
	script(t, "fakecloud", `case $1 in
	ok) echo "$2 $CLOUDSDK_CORE_DISABLE_PROMPTS"; echo noise >&2 ;;
	stdin) cat; echo end ;;
	slow) exec sleep 60 ;;
	*) echo "ERROR: denied" >&2; exit 3 ;;
esac
`)
	assert.True(t, Exec{}.Has("fakecloud"))
	assert.False(t, Exec{}.Has("fakecloud-2"))
	got, err := Exec{}.Run(t.Context(), "fakecloud", "ok", "a b")
	require.NoError(t, err)
	assert.Equal(t, "a b 1\n", string(got), "only standard output, and no questions")
	got, err = Exec{}.Run(t.Context(), "fakecloud", "stdin")
	require.NoError(t, err)
	assert.Equal(t, "end\n", string(got), "nobody to answer")
	_, err = Exec{}.Run(t.Context(), "fakecloud", "other")
	var exit *ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, ExitError{Program: "fakecloud", Code: 3, Stderr: "ERROR: denied\n"}, *exit)
	_, err = Exec{}.Run(t.Context(), "fakecloud-2")
	require.Error(t, err)
	require.False(t, errors.As(err, &exit))

	limited, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = Exec{}.Run(limited, "fakecloud", "slow")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(start), 20*time.Second)
	c := newCLI(cloud{program: "fakecloud"}, Exec{})
	assert.EqualError(t, c.explain(err, []string{"vm", "list", "--all"}), "`fakecloud vm list` took more than 1m30s")
	long := &ExitError{Stderr: "first line\n" + strings.Repeat("x", 300)}
	assert.Len(t, c.explain(long, []string{"vm"}).Error(), len("`fakecloud vm` failed: ")+messageLength+len("..."))
}

func TestNumber(t *testing.T) {
	for text, want := range map[string]number{"4": 4, `"4"`: 4, "72.0": 72, "null": 0, `""`: 0} {
		var n number
		require.NoError(t, n.UnmarshalJSON([]byte(text)))
		assert.Equal(t, want, n, text)
	}
	var n number
	assert.Error(t, n.UnmarshalJSON([]byte(`"many"`)))
}
