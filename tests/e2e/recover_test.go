package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/ops/recover"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/lab/cloud"
)

// recoverProgram is the command, built once for all tests.
var recoverProgram = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "vllm-recover-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(folder, "recover")
	build := exec.CommandContext(environment.ctx, "go", "build", "-o", program, "./cmd/recover")
	build.Dir = filepath.Join(environment.root, "ops")
	if output, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(output)))
	}
	environment.cleanUp = append(environment.cleanUp, folder)
	return program, nil
})

// recoverCommand runs the command on a stack as its user, and returns its exit status and output.
func recoverCommand(t *testing.T, stack *deployment, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	program, err := recoverProgram()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(testContext(t), 4*time.Minute)
	defer cancel()
	args = append([]string{"--stack", stack.Name(), "--config-file", stack.ConfigFile(), "--backup", t.TempDir()}, args...)
	command := exec.CommandContext(ctx, program, args...)
	command.Dir, command.Env, command.WaitDelay = environment.root, stack.Environment(), killedDelay
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	t.Logf("recover %v: exit status %d\n%s%s", args, command.ProcessState.ExitCode(), out.String(), problems.String())
	return command.ProcessState.ExitCode(), out.String(), problems.String()
}

// recoverStack mends a stack after a kill and checks that nothing is left to mend. It returns what the command found first.
func recoverStack(t *testing.T, l *lab.Lab, stack *deployment) *recover.Plan {
	t.Helper()
	var orphans []cloud.Resource
	if l.Clouds() != nil {
		orphans = l.Clouds().Settled(testContext(t))
	}
	code, stdout, stderr := recoverCommand(t, stack, "--json")
	require.Equal(t, 1, code, "there is at least the lock: %s", stderr)
	plan := &recover.Plan{}
	require.NoError(t, json.Unmarshal([]byte(stdout), plan))
	do := []string{"--yes"}
	for _, f := range plan.Findings {
		if f.Action != recover.Ask {
			continue
		}
		// As somebody who looks into the cloud's console.
		if i := slices.IndexFunc(orphans, func(r cloud.Resource) bool { return r.URN == f.URN }); i >= 0 {
			do = append(do, "--id", f.URN+"="+importID(orphans[i]))
		} else {
			do = append(do, "--drop", f.URN)
		}
	}
	code, _, stderr = recoverCommand(t, stack, do...)
	require.Equal(t, 0, code, stderr)
	if l.Clouds() != nil {
		inState := map[string]bool{}
		for _, r := range stateResources(t, stack) {
			inState[r.Type()+" "+r.ID()] = true
		}
		for _, r := range l.Clouds().Settled(testContext(t)) {
			assert.True(t, inState[r.Token+" "+r.ID] || r.Token == cloud.Disk, "the state lacks %s %s", r.Token, r.ID)
		}
	}
	return plan
}

// importID returns the id by which the provider imports a resource of the cloud.
func importID(r cloud.Resource) string {
	if r.Token == "aws:eks/podIdentityAssociation:PodIdentityAssociation" {
		name, _ := r.Inputs["clusterName"].(string)
		return name + "," + r.ID
	}
	return r.ID
}

func stateResources(t *testing.T, stack *deployment) []recover.Resource {
	t.Helper()
	text, err := stack.Export(testContext(t))
	require.NoError(t, err)
	state, err := recover.ParseState([]byte(text))
	require.NoError(t, err)
	return state.Resources()
}

// kpsHistory returns the revisions of the release of kube-prometheus-stack.
func kpsHistory(t *testing.T, l *lab.Lab) recover.History {
	t.Helper()
	cluster, err := recover.Connect(testContext(t), recover.Resource{"inputs": map[string]any{"kubeconfig": l.Kubeconfig()}}, "")
	require.NoError(t, err)
	history, err := cluster.History(testContext(t), monitoring, "kps")
	require.NoError(t, err)
	return history
}

// releaseIs reports whether a revision of kube-prometheus-stack has a status.
func releaseIs(ctx context.Context, l *lab.Lab, status string) bool {
	list, err := l.Client().CoreV1().Secrets(monitoring).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=kps,status=" + status})
	return err == nil && len(list.Items) > 0
}

// killedUpgrade kills `pulumi up` in the upgrade of kube-prometheus-stack. After the recovery, the next up upgrades it: the kill
// must not be lost.
func killedUpgrade(t *testing.T, l *lab.Lab, stack *deployment, config map[string]any) {
	t.Helper()
	const attempts = 5
	retention := ""
	for attempt := 1; ; attempt++ {
		retention = fmt.Sprintf("%dd", 2+attempt)
		require.NoError(t, stack.SetConfig(merged(config, map[string]any{"monitoring": map[string]any{"retention": retention}})))
		killUpWhen(t, stack, "the upgrade was stored", func() bool { return releaseIs(testContext(t), l, "pending-upgrade") }, "--skip-preview")
		if releaseIs(testContext(t), l, "pending-upgrade") {
			break
		}
		// An upgrade that changes little takes a moment only: this one was over before the kill.
		require.Less(t, attempt, attempts, "every upgrade was over before the kill")
		recoverStack(t, l, stack)
	}
	require.NoError(t, stack.Cancel(testContext(t)))
	if err := stack.Up(testContext(t), "--skip-preview"); assert.Error(t, err, "the pending revision blocks every further one") {
		assert.ErrorContains(t, err, "another operation (install/upgrade/rollback) is in progress")
	}
	// A refresh reads what the cluster never got.
	require.NoError(t, stack.Refresh(testContext(t), "--skip-preview"))
	plan := recoverStack(t, l, stack)
	assert.Contains(t, actions(plan), recover.ClearRevision)
	code, stdout, _ := recoverCommand(t, stack)
	assert.Equal(t, 0, code, "nothing is to do any more: %s", stdout)
	require.NoError(t, stack.Up(testContext(t), "--skip-preview"))
	history := kpsHistory(t, l)
	last := history[len(history)-1]
	assert.Equal(t, "deployed", last.Info.Status)
	assert.Contains(t, values(t, last.Config), `"retention":"`+retention+`"`)
	require.NoError(t, stack.Preview(testContext(t), true))
}

func actions(plan *recover.Plan) []recover.Action {
	var all []recover.Action
	for _, f := range plan.Findings {
		all = append(all, f.Action)
	}
	return all
}

func values(t *testing.T, config map[string]any) string {
	t.Helper()
	text, err := json.Marshal(config)
	require.NoError(t, err)
	return string(text)
}

// cliKilledAlone kills the CLI in the first install of kube-prometheus-stack and leaves its plugin, which completes the install.
// The command waits for it and adopts the release.
func cliKilledAlone(t *testing.T, l *lab.Lab, stack *deployment) {
	t.Helper()
	ctx := testContext(t)
	up, err := stack.StartUp(ctx, "--skip-preview")
	require.NoError(t, err)
	defer func() { assert.NoError(t, up.Kill(), "end the plugin") }()
	for deadline := time.Now().Add(2 * time.Minute); !releaseIs(ctx, l, "pending-install"); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "the install has not begun: %s", up.Tail())
	}
	require.NoError(t, up.KillAlone())
	recoverStack(t, l, stack)
	assert.True(t, releaseIs(ctx, l, "deployed"), "the plugin has completed it")
	assert.True(t, slices.ContainsFunc(stackReleases(t, stack), func(r recover.Resource) bool { return r.ID() == monitoring+"/kps" }))
}

func stackReleases(t *testing.T, stack *deployment) []recover.Resource {
	t.Helper()
	return slices.DeleteFunc(stateResources(t, stack), func(r recover.Resource) bool { return r.Type() != "kubernetes:helm.sh/v3:Release" })
}
