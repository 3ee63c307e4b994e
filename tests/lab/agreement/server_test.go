package agreement

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/replica"
	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/tools"
)

func TestCheckServer(t *testing.T) {
	good := Server{MaxNumSeqs: 8, InterToken: 40 * time.Millisecond, FactorUnderLoad: 2}
	require.NoError(t, good.Check())
	for flag, change := range map[string]func(*Server){
		"-max-num-seqs":      func(s *Server) { s.MaxNumSeqs = 1 },
		"-inter-token":       func(s *Server) { s.InterToken = 0 },
		"-factor-under-load": func(s *Server) { s.FactorUnderLoad = 9 },
	} {
		s := good
		change(&s)
		assert.ErrorContains(t, s.Check(), flag)
	}
}

// burst is a number of requests that arrive at once at an idle server, more than it runs at a time.
const (
	burstRequests = 12
	burstTokens   = 20
)

// The server simulator and the model of package simulate give the first and the last tokens of a burst at the same times.
func TestTheSimulatorAndTheModelAreTheSameServer(t *testing.T) {
	s := Server{MaxNumSeqs: 8, InterToken: 40 * time.Millisecond, FactorUnderLoad: 2}
	model := s.Model()
	engine := replica.New(model.Profile, model.Limits, model.Cache)
	for range burstRequests {
		engine.Submit(&replica.Request{Input: 1, Output: burstTokens})
	}
	engine.Drain()
	var wantFirst, wantLast float64
	for _, r := range engine.Finished() {
		wantFirst += r.FirstToken / burstRequests
		wantLast += r.Finish / burstRequests
	}

	// A busy machine makes single bursts slower: one of them has to be as fast as the model.
	const attempts = 10
	near := func(got, want float64) bool { return math.Abs(got-want) <= 0.05*want }
	seen := fmt.Sprintf("first and last tokens after, on average: model %.3f s and %.3f s; simulator", wantFirst, wantLast)
	for range attempts {
		first, last := simulatorBurst(t, s)
		seen += fmt.Sprintf(" %.3f s and %.3f s;", first, last)
		if near(first, wantFirst) && near(last, wantLast) {
			t.Log(seen)
			return
		}
	}
	t.Errorf("no burst within 5 %%: %s", seen)
}

// simulatorBurst sends the burst to the simulator and returns the mean times of the first and of the last tokens.
func simulatorBurst(t *testing.T, s Server) (first, last float64) {
	t.Helper()
	built, err := tools.Build(t.Context(), os.Stderr, tools.InferenceSim)
	require.NoError(t, err)
	port, err := process.FreePort()
	require.NoError(t, err)
	url, latency := fmt.Sprintf("http://127.0.0.1:%d", port), s.Latency()
	ctx, cancel := context.WithCancel(t.Context())
	command := exec.CommandContext(ctx, built.Path(tools.InferenceSim), "--model=m", "--force-dummy-tokenizer",
		fmt.Sprintf("--port=%d", port), fmt.Sprintf("--max-num-seqs=%d", s.MaxNumSeqs),
		"--time-to-first-token="+latency.TimeToFirstToken.String(), "--inter-token-latency="+latency.InterToken.String(),
		fmt.Sprintf("--time-factor-under-load=%g", latency.FactorUnderLoad))
	require.NoError(t, command.Start())
	t.Cleanup(func() { cancel(); _ = command.Wait() })
	require.Eventually(t, func() bool {
		response, err := http.Get(url + "/health")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)

	var mu sync.Mutex
	var clients sync.WaitGroup
	begin := time.Now()
	for range burstRequests {
		clients.Go(func() {
			f, l, err := stream(url, begin)
			mu.Lock()
			defer mu.Unlock()
			assert.NoError(t, err)
			first += f.Seconds() / burstRequests
			last += l.Seconds() / burstRequests
		})
	}
	clients.Wait()
	return first, last
}

// stream sends a request and returns when its first and its last token came.
func stream(url string, begin time.Time) (first, last time.Duration, err error) {
	body := fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"hello"}],"max_tokens":%d,"ignore_eos":true,"stream":true}`, burstTokens)
	response, err := http.Post(url+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), `"content":"`) {
			continue
		}
		last = time.Since(begin)
		if first == 0 {
			first = last
		}
	}
	return first, last, lines.Err()
}
