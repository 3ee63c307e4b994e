package rollout

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// course is the state of the cluster over time.
type course struct {
	after time.Duration
	state State
	err   error
}

// follow waits for a rollout that takes a course, in simulated time. It returns the reported lines and the time that passed.
func follow(t *testing.T, limit time.Duration, steps ...course) (lines []string, took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err = Wait{
			Read: func(context.Context) (State, error) {
				now := steps[0]
				for _, step := range steps {
					if time.Since(start) >= step.after {
						now = step
					}
				}
				return now.state, now.err
			},
			Report: func(line string) error { lines = append(lines, line); return nil },
			Limit:  limit, Name: "Deployment vllm/vllm", Look: "kubectl describe pods",
		}.Run(t.Context())
		took = time.Since(start)
	})
	return lines, took, err
}

func of(d *appsv1.Deployment, pods ...corev1.Pod) State {
	return State{Deployment: d, ReplicaSets: sets(), Pods: pods, Container: server}
}

func TestWaitReportsThePhasesInOrder(t *testing.T) {
	starting := deployment(1, 1, 0)
	lines, took, err := follow(t, time.Hour,
		course{state: of(starting)},
		course{after: 10 * time.Second, state: of(starting, made("a", "new", unschedulable("no GPU")))},
		course{after: 90 * time.Second, state: of(starting, made("a", "new", waiting("ContainerCreating", "")))},
		course{after: 100 * time.Second, state: of(starting, made("a", "new", running(0, nil)))},
		course{after: 120 * time.Second, state: of(deployment(1, 1, 1), made("a", "new", ready))},
	)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"waiting for a pod: the controllers have not created it yet, 0s so far",
		"waiting for a node: no GPU (pod a), 10s so far",
		"waiting for a node: no GPU (pod a), 1m10s so far",
		"waiting for the image: preparing the pod on node gpu-1 (registry.example.com/vllm:v1) (pod a), 1m30s so far",
		"waiting for the weights: the server starts (pod a), 1m40s so far",
		"a replica of the current version is ready, 2m0s so far",
	}, lines)
	assert.Equal(t, 2*time.Minute, took)
}

func TestWaitForAReadyServerReportsNothing(t *testing.T) {
	lines, took, err := follow(t, time.Hour, course{state: of(deployment(3, 3, 2))})
	require.NoError(t, err)
	assert.Empty(t, lines)
	assert.Zero(t, took)
}

func TestWaitEndsAtItsLimitWithTheReason(t *testing.T) {
	_, took, err := follow(t, 5*time.Minute, course{state: of(deployment(1, 1, 0), made("a", "new", unschedulable("no GPU")))})
	require.Error(t, err)
	assert.Equal(t, 5*time.Minute, took)
	for _, part := range []string{"Deployment vllm/vllm: no replica is ready after 5m0s: waiting for a node: no GPU (pod a)",
		"`kubectl describe pods`", "docs/recovery.md#no-replica-becomes-ready", "`pulumi up` waits again"} {
		assert.ErrorContains(t, err, part)
	}
}

// A rollout replaces one replica at a time; each may take as long as the first.
func TestWaitGoesOnWhileReplicasAreReplaced(t *testing.T) {
	earlier, next := made("b", "old", ready), made("a", "new", running(0, nil))
	lines, took, err := follow(t, 5*time.Minute,
		course{state: of(deployment(3, 1, 2), earlier, next)},
		course{after: 4 * time.Minute, state: of(deployment(3, 2, 2), earlier, made("c", "new", ready), next)},
		course{after: 8 * time.Minute, state: of(deployment(5, 5, 2))}, // The autoscaler has asked for more meanwhile.
	)
	require.NoError(t, err)
	assert.Equal(t, 8*time.Minute, took)
	assert.Contains(t, lines[0], "waiting for the weights")

	_, took, err = follow(t, 5*time.Minute,
		course{state: of(deployment(2, 1, 1), earlier, next)},
		course{after: time.Minute, state: of(deployment(6, 5, 1), earlier, next)},
	)
	require.ErrorContains(t, err, "the rollout is not complete after 5m0s (1 ready replica serves on, 1 of an earlier version left): waiting for the weights")
	assert.Equal(t, 5*time.Minute, took, "more replicas are no progress")
}

func TestWaitEndsWhenThereIsNoHope(t *testing.T) {
	missing := made("a", "new", waiting("ImagePullBackOff", "manifest unknown"))
	starting := deployment(1, 1, 0)
	_, took, err := follow(t, time.Hour, course{state: of(starting, missing)})
	require.ErrorContains(t, err, "none can become ready without a change: waiting for the image: ImagePullBackOff: manifest unknown")
	assert.Equal(t, hopelessFor, took)

	_, _, err = follow(t, time.Hour,
		course{state: of(starting, missing)},
		course{after: 20 * time.Second, state: of(starting, made("a", "new", running(0, nil)))},
		course{after: 40 * time.Second, state: of(starting, missing)},
		course{after: 60 * time.Second, state: of(deployment(1, 1, 1))},
	)
	require.NoError(t, err, "each lasted less than half a minute")
}

// An update with a wrong flag: two replicas serve on beside the one that cannot start.
func TestWaitEndsWithTheServersLastLines(t *testing.T) {
	refused := crashed(2, corev1.ContainerStateTerminated{ExitCode: 2, Message: "error: unrecognized arguments: --colour"})
	surging := of(deployment(3, 1, 2), made("b", "old", ready), made("c", "old", ready), made("a", "new", refused))
	_, took, err := follow(t, time.Hour, course{state: surging})
	assert.Equal(t, hopelessFor, took)
	for _, part := range []string{
		"(2 ready replicas serve on, 2 of an earlier version left)", "exit code 2: error: unrecognized arguments: --colour (pod a)",
		"go back to the last one that worked", "\nThe last lines of the server:\n    error: unrecognized arguments: --colour",
	} {
		require.ErrorContains(t, err, part)
	}

	surging.Log = strings.Repeat("usage: vllm serve\n\n", endLines) + "token hf_abcdefghijklmnop\nerror: unrecognized arguments: --colour\n"
	_, _, err = follow(t, time.Hour, course{state: surging})
	require.ErrorContains(t, err, "usage: vllm serve\n    token [hidden]\n    error: unrecognized arguments: --colour")
	_, lines, _ := strings.Cut(err.Error(), "The last lines of the server:\n")
	assert.Len(t, strings.Split(lines, "\n"), endLines)
}

func TestWaitSurvivesAnAPIServerThatPauses(t *testing.T) {
	away := errors.New("connection refused")
	starting := of(deployment(1, 1, 0), made("a", "new", running(0, nil)))
	lines, _, err := follow(t, time.Hour,
		course{state: starting},
		course{after: 10 * time.Second, err: away},
		course{after: 2 * time.Minute, state: starting},
		course{after: 3 * time.Minute, state: of(deployment(1, 1, 1))},
	)
	require.NoError(t, err)
	assert.Contains(t, lines[1], "the API server does not answer, trying again: connection refused")

	_, took, err := follow(t, time.Hour, course{err: away})
	require.ErrorIs(t, err, away)
	assert.ErrorContains(t, err, "has not answered for 3m0s")
	assert.Equal(t, unreachableFor, took)
}

func TestWaitEndsWithItsReader(t *testing.T) {
	gone := errors.New("the engine is gone")
	err := Wait{
		Read:   func(context.Context) (State, error) { return of(deployment(1, 1, 0)), nil },
		Report: func(string) error { return gone }, Limit: time.Hour,
	}.Run(t.Context())
	assert.ErrorIs(t, err, gone)
}
