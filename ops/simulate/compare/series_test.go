package compare

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate"
)

func TestRecord(t *testing.T) {
	one, two := settings(), settings()
	two.Replicas = 2
	replay := &Replay{Load: every}
	candidates := []Candidate{{Name: NameConfigured, Settings: one}, {Name: "static-1", Settings: one}, {Name: NameStaticBest, Settings: two}}
	require.NoError(t, replay.Record(context.Background(), candidates, []string{NameConfigured, NameStaticBest}))
	assert.Nil(t, candidates[1].Series, "not asked for")
	for i, replicas := range map[int]int{0: 1, 2: 2} {
		got := candidates[i].Series
		require.NotNil(t, got, candidates[i].Name)
		assert.Equal(t, 2.0, got.Seconds, "ten minutes are 300 intervals")
		assert.Equal(t, []simulate.Replicas{{Wanted: replicas, Ready: replicas}}, got.Replicas)
		requests := 0
		for _, p := range got.Points {
			assert.Equal(t, 2.0, p.Offered)
			assert.Equal(t, p.Requests, p.Answered)
			assert.LessOrEqual(t, p.P50, p.P95)
			requests += p.Requests
		}
		assert.Equal(t, 1200, requests)
	}
	last := len(candidates[0].Series.Points) - 1
	assert.Greater(t, candidates[0].Series.Points[last].P95, 1.0, "one replica is just too few")
	assert.Less(t, candidates[2].Series.Points[last].P95, 1.0)

	document, err := json.Marshal(candidates[0])
	require.NoError(t, err)
	assert.NotContains(t, string(document), "eries")
}

func TestRecordReturnsErrors(t *testing.T) {
	broken := settings()
	broken.Replicas = 0
	replay, names := &Replay{Load: every}, []string{NameConfigured}
	candidates := []Candidate{{Name: NameConfigured, Settings: broken}}
	assert.ErrorContains(t, replay.Record(context.Background(), candidates, names), "configured: ")
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(stop)
	candidates[0].Settings = settings()
	assert.ErrorIs(t, replay.Record(ctx, candidates, names), stop)
	assert.Nil(t, candidates[0].Series)
}
