package simulate

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/replica"
)

func clients(users int, think float64) *Clients {
	return &Clients{Users: users, Think: think, Length: 3600, Tokens: func(r *rand.Rand) (int, int) { return 100 + r.IntN(200), 50 + r.IntN(100) }}
}

// The mean number of users that think or wait is the throughput times the mean time of thinking and waiting.
func TestLittlesLaw(t *testing.T) {
	for _, test := range []struct {
		replicas, users int
		think           float64
	}{{1, 4, 0}, {1, 40, 5}, {3, 60, 10}} {
		s := settings(test.replicas)
		s.Clients = clients(test.users, test.think)
		r, err := newRun(&s)
		require.NoError(t, err)
		l := r.newLoop()
		waited, answers, finished := 0.0, 0, r.fleet.finished
		r.fleet.finished = func(q *replica.Request) {
			waited += q.Finish - q.Arrival
			answers++
			finished(q)
		}
		r.runLoop(l)
		throughput, wait := float64(answers)/s.Clients.Length, waited/float64(answers)
		assert.InEpsilon(t, test.users, throughput*(wait+test.think), 0.03, "%+v", test)
	}
}

func TestMoreReplicasAnswerMoreOfTheUsersRequests(t *testing.T) {
	requests := map[int]int{}
	for _, replicas := range []int{1, 2, 8} {
		s := settings(replicas)
		s.Clients = clients(40, 1)
		got, err := Run(s, nil)
		require.NoError(t, err)
		requests[replicas] = got.Requests
		assert.Equal(t, got.Requests, got.FirstToken.Count(), "what is sent is answered")
		assert.InDelta(t, 1, got.Hours, 1e-9)
	}
	assert.Greater(t, float64(requests[2]), 1.5*float64(requests[1]))
	assert.Greater(t, requests[8], requests[2])
}

func TestUsersTryAgain(t *testing.T) {
	s := scaled(1, 8)
	s.Replicas, s.Drain = 3, 0
	s.Clients = clients(12, 5)
	lost, err := Run(s, nil)
	require.NoError(t, err)
	assert.Positive(t, lost.Lost)
	assert.Equal(t, lost.Requests, lost.FirstToken.Count()+lost.Lost)
	assert.Greater(t, lost.Requests, 12*100, "users whose requests are lost go on")

	s = settings(1)
	s.Nodes.Reclaim, s.Nodes.Notice = 300, 0
	s.Clients = clients(12, 0)
	refused, err := Run(s, nil)
	require.NoError(t, err)
	assert.Positive(t, refused.Refused)
	assert.Less(t, refused.Refused, 12*3600, "a user tries again after a second")
	assert.Equal(t, refused.Requests, refused.FirstToken.Count()+refused.Lost+refused.Refused)
}

func TestLoadOrClients(t *testing.T) {
	_, err := Run(settings(1), nil)
	require.ErrorContains(t, err, "either a load or clients")
	s := settings(1)
	s.Clients = clients(1, 1)
	_, err = Run(s, steady(1, 0, 1, 1))
	require.ErrorContains(t, err, "either a load or clients")
	s.Clients.Users = 0
	_, err = Run(s, nil)
	require.ErrorContains(t, err, "clients need users")
}
