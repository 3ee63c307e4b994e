package codehost

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/codehost/githubstub"
)

const bot = "github-actions[bot]"

// newGitHub returns a repository with pull request 7 and a client that does not really wait.
func newGitHub(t *testing.T) (*githubstub.Stub, *GitHub, *[]time.Duration) {
	t.Helper()
	stub := githubstub.New("team/inference", "secret", bot, 7)
	t.Cleanup(stub.Close)
	host, err := NewGitHub(GitHubOptions{API: stub.URL(), Repository: "team/inference", Token: "secret", Author: bot})
	require.NoError(t, err)
	var waits []time.Duration
	host.api.wait.sleep = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	return stub, host, &waits
}

func TestCommentIsCreatedOnceAndThenUpdated(t *testing.T) {
	stub, host, _ := newGitHub(t)
	stub.AddComment(7, "reviewer", "looks good")
	for _, step := range []struct{ marker, body, action string }{
		{"preview gke", "one", "created"},
		{"preview eks", "other stack", "created"},
		{"preview gke", "two", "updated"},
		{"preview gke", "two", "unchanged"},
		{"preview gke", "<!-- vllm-autoscaling preview gke -->\ntwo", "unchanged"},
	} {
		result, err := UpsertComment(t.Context(), host, 7, step.marker, step.body)
		require.NoError(t, err)
		assert.Equal(t, step.action, result.Action)
		assert.Contains(t, result.URL, "/pull/7#issuecomment-")
	}
	var bodies []string
	for _, c := range stub.Comments(7) {
		bodies = append(bodies, c.Body)
	}
	assert.Equal(t, []string{"looks good", "<!-- vllm-autoscaling preview gke -->\ntwo", "<!-- vllm-autoscaling preview eks -->\nother stack"}, bodies)
}

func TestCommentOnALaterPageIsFound(t *testing.T) {
	stub, host, _ := newGitHub(t)
	for i := range 250 {
		stub.AddComment(7, "reviewer", fmt.Sprint("remark ", i))
	}
	_, err := UpsertComment(t.Context(), host, 7, "preview gke", "one")
	require.NoError(t, err)
	result, err := UpsertComment(t.Context(), host, 7, "preview gke", "two")
	require.NoError(t, err)
	assert.Equal(t, "updated", result.Action)
	comments := stub.Comments(7)
	require.Len(t, comments, 251)
	assert.Contains(t, comments[250].Body, "two")
}

func TestCommentOfSomebodyElseIsLeftAlone(t *testing.T) {
	stub, host, _ := newGitHub(t)
	planted := "<!-- vllm-autoscaling preview gke -->\nnothing to see"
	stub.AddComment(7, "mallory", planted)
	result, err := UpsertComment(t.Context(), host, 7, "preview gke", "the truth")
	require.NoError(t, err)
	assert.Equal(t, "created", result.Action)
	comments := stub.Comments(7)
	assert.Equal(t, planted, comments[0].Body)
	assert.Equal(t, bot, comments[1].User.Login)
}

// Outside of workflows the token is a person's or an app's.
func TestOnlyOwnCommentsAreUpdatedWithAnyToken(t *testing.T) {
	const marker = "<!-- vllm-autoscaling preview gke -->"
	newHost := func(login, author string) (*githubstub.Stub, *GitHub) {
		stub := githubstub.New("team/inference", "secret", login, 7)
		t.Cleanup(stub.Close)
		host, err := NewGitHub(GitHubOptions{API: stub.URL(), Repository: "team/inference", Token: "secret", Author: author})
		require.NoError(t, err)
		stub.AddComment(7, "mallory", marker+"\nnothing to see")
		return stub, host
	}
	for name, c := range map[string]struct{ login, author string }{
		"a person's token":               {"ci-user", ""},
		"an app's token, with its login": {"deployer[bot]", "deployer[bot]"},
	} {
		t.Run(name, func(t *testing.T) {
			stub, host := newHost(c.login, c.author)
			for _, step := range []struct{ body, action string }{{"one", "created"}, {"two", "updated"}} {
				result, err := UpsertComment(t.Context(), host, 7, "preview gke", step.body)
				require.NoError(t, err)
				assert.Equal(t, step.action, result.Action)
			}
			comments := stub.Comments(7)
			require.Len(t, comments, 2)
			assert.Equal(t, marker+"\nnothing to see", comments[0].Body)
			assert.Equal(t, c.login, comments[1].User.Login)
		})
	}
	t.Run("an app's token, without its login", func(t *testing.T) {
		stub, host := newHost("deployer[bot]", "")
		_, err := UpsertComment(t.Context(), host, 7, "preview gke", "x")
		require.ErrorContains(t, err, "ask who GITHUB_TOKEN is: 403")
		assert.ErrorContains(t, err, "set COMMENT_AUTHOR")
		assert.Len(t, stub.Comments(7), 1, "nothing is written")
	})
}

func TestLongCommentIsCut(t *testing.T) {
	stub, host, _ := newGitHub(t)
	body := "# Summary\n\n<details><summary>diff</summary>\n\n```diff\n" + strings.Repeat("+ güter line\n", 9000) + "```\n</details>\n"
	_, err := UpsertComment(t.Context(), host, 7, "preview gke", body)
	require.NoError(t, err)
	got := stub.Comments(7)[0].Body
	assert.LessOrEqual(t, len(got), gitHubLongest)
	assert.Greater(t, len(got), gitHubLongest-1000)
	assert.Contains(t, got, "\n+ güter line\n```\n\n</details>"+cutNote)
	result, err := UpsertComment(t.Context(), host, 7, "preview gke", body)
	require.NoError(t, err)
	assert.Equal(t, "unchanged", result.Action)
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  githubstub.Answer
		issue   bool
		message []string
	}{
		{"wrong token", githubstub.Answer{Status: 401, Body: `{"message":"Bad credentials"}`},
			false, []string{"list the comments of pull request 7", "401", "Bad credentials", "expired"}},
		{"no permission", githubstub.Answer{Status: 403, Body: `{"message":"Resource not accessible by integration"}`},
			false, []string{"not accessible", "pull-requests: write", "fork"}},
		{"no permission for issues", githubstub.Answer{Status: 403, Body: `{"message":"Resource not accessible by integration"}`}, true, []string{"issues: write"}},
		{"not there", githubstub.Answer{Status: 404, Body: `{"message":"Not Found"}`}, false, []string{"404", "team/inference"}},
		{"issues off", githubstub.Answer{Status: 410, Body: `{"message":"Issues has been disabled in this repository."}`}, true, []string{"switched off"}},
		{"invalid", githubstub.Answer{Status: 422, Body: `{"message":"Validation Failed","errors":[{"field":"body"}]}`},
			false, []string{"Validation Failed", `{"field":"body"}`}},
		{"a proxy's page", githubstub.Answer{Status: 200, Body: "<html>log in</html>"}, false, []string{"did not answer as the API"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			stub, host, waits := newGitHub(t)
			stub.Intercept(func(*http.Request) *githubstub.Answer { return &c.answer })
			var err error
			if c.issue {
				_, err = UpsertIssue(t.Context(), host, Issue{Marker: "drift gke", Title: "t", Label: "drift"})
			} else {
				_, err = UpsertComment(t.Context(), host, 7, "preview gke", "x")
			}
			require.Error(t, err)
			for _, part := range c.message {
				assert.ErrorContains(t, err, part)
			}
			assert.NotContains(t, err.Error(), "secret")
			assert.Empty(t, *waits, "not tried again")
			assert.Len(t, stub.Requests(), 1)
		})
	}
}

func TestPassingFaultsAreTriedAgain(t *testing.T) {
	reset := time.Now().Add(30 * time.Second)
	for _, c := range []struct {
		name   string
		answer githubstub.Answer
		least  time.Duration
		most   time.Duration
	}{
		{"server error", githubstub.Answer{Status: 502, Body: "<html>bad gateway</html>"}, time.Second, time.Second},
		{"secondary limit with a time", githubstub.Answer{Status: 403, Header: map[string]string{"Retry-After": "17"},
			Body: `{"message":"You have exceeded a secondary rate limit"}`}, 17 * time.Second, 17 * time.Second},
		{"secondary limit without one", githubstub.Answer{Status: 403, Body: `{"message":"You have exceeded a secondary rate limit"}`}, time.Minute, time.Minute},
		{"secondary limit, with most of the quota left", githubstub.Answer{Status: 403,
			Header: map[string]string{"X-RateLimit-Remaining": "4900", "X-RateLimit-Reset": fmt.Sprint(reset.Add(time.Hour).Unix())},
			Body:   `{"message":"You have exceeded a secondary rate limit"}`}, time.Minute, time.Minute},
		{"primary limit", githubstub.Answer{Status: 403,
			Header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(reset.Unix())},
			Body:   `{"message":"API limit"}`}, 20 * time.Second, 31 * time.Second},
		{"too many requests", githubstub.Answer{Status: 429, Header: map[string]string{"Retry-After": "3"}}, 3 * time.Second, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			stub, host, waits := newGitHub(t)
			failures := 1
			stub.Intercept(func(r *http.Request) *githubstub.Answer {
				if r.Method == http.MethodPost && failures > 0 {
					failures--
					return &c.answer
				}
				return nil
			})
			_, err := UpsertComment(t.Context(), host, 7, "preview gke", "x")
			require.NoError(t, err)
			require.Len(t, *waits, 1)
			assert.GreaterOrEqual(t, (*waits)[0], c.least)
			assert.LessOrEqual(t, (*waits)[0], c.most)
			assert.Len(t, stub.Comments(7), 1)
		})
	}
}

// A gateway may fail after GitHub has stored the comment.
func TestFaultAfterTheCommentWasStoredMakesNoSecondOne(t *testing.T) {
	stub, host, _ := newGitHub(t)
	stored := false
	stub.Intercept(func(r *http.Request) *githubstub.Answer {
		if r.Method != http.MethodPost || stored {
			return nil
		}
		stored = true
		go stub.AddComment(7, bot, "<!-- vllm-autoscaling preview gke -->\nx")
		return &githubstub.Answer{Status: 504}
	})
	host.api.wait.sleep = func(context.Context, time.Duration) error {
		require.Eventually(t, func() bool { return len(stub.Comments(7)) == 1 }, 5*time.Second, time.Millisecond)
		return nil
	}
	result, err := UpsertComment(t.Context(), host, 7, "preview gke", "x")
	require.NoError(t, err)
	assert.Equal(t, "unchanged", result.Action)
	assert.Len(t, stub.Comments(7), 1)
}

func TestLastingFaultIsReported(t *testing.T) {
	stub, host, waits := newGitHub(t)
	stub.Intercept(func(*http.Request) *githubstub.Answer { return &githubstub.Answer{Status: 503} })
	_, err := UpsertComment(t.Context(), host, 7, "preview gke", "x")
	assert.ErrorContains(t, err, "503")
	assert.ErrorContains(t, err, "tried 5 times")
	assert.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}, *waits)

	stub.Intercept(func(*http.Request) *githubstub.Answer {
		return &githubstub.Answer{Status: 429, Header: map[string]string{"Retry-After": "3600"}}
	})
	_, err = UpsertComment(t.Context(), host, 7, "preview gke", "x")
	assert.ErrorContains(t, err, "too long for a job")

	stub.Close()
	_, err = UpsertComment(t.Context(), host, 7, "preview gke", "x")
	assert.ErrorContains(t, err, "tried 5 times", "nobody listens")
}

func TestOneIssuePerMarker(t *testing.T) {
	stub, host, _ := newGitHub(t)
	drift := Issue{Marker: "drift gke", Title: "Drift on gke", Body: "first night", Label: "drift"}
	upsert := func(i Issue, action string) {
		t.Helper()
		result, err := UpsertIssue(t.Context(), host, i)
		require.NoError(t, err)
		assert.Equal(t, action, result.Action)
		assert.Contains(t, result.URL, "/issues/")
	}
	upsert(drift, "created")
	upsert(Issue{Marker: "drift eks", Title: "Drift on eks", Body: "x", Label: "drift"}, "created")
	upsert(drift, "unchanged")
	drift.Body = "second night"
	upsert(drift, "updated")
	require.Len(t, stub.Issues(), 2)
	assert.Equal(t, "<!-- vllm-autoscaling drift gke -->\nsecond night", stub.Issues()[0].Body)
	assert.Equal(t, []githubstub.Label{{Name: "drift"}}, stub.Issues()[0].Labels)

	result, err := CloseIssue(t.Context(), host, "drift gke", "drift", "It is gone.")
	require.NoError(t, err)
	assert.Equal(t, "closed", result.Action)
	issues := stub.Issues()
	assert.Equal(t, []string{"closed", "open"}, []string{issues[0].State, issues[1].State})
	require.Len(t, stub.Comments(issues[0].Number), 1)
	assert.Equal(t, "It is gone.", stub.Comments(issues[0].Number)[0].Body)

	result, err = CloseIssue(t.Context(), host, "drift gke", "drift", "It is gone.")
	require.NoError(t, err)
	assert.Equal(t, Result{Action: "none"}, result)

	upsert(drift, "created")
	assert.Len(t, stub.Issues(), 3, "a new one, with the old one closed")
}

// A label of an open pull request makes it no drift issue.
func TestPullRequestsAreNoIssues(t *testing.T) {
	stub, host, _ := newGitHub(t)
	host.login = "someone"
	stub.SetBody(7, "<!-- vllm-autoscaling drift gke -->")
	result, err := CloseIssue(t.Context(), host, "drift gke", "", "")
	require.NoError(t, err)
	assert.Equal(t, "none", result.Action)
	assert.Len(t, stub.Requests(), 1)
}

func TestWrongInput(t *testing.T) {
	_, host, _ := newGitHub(t)
	for _, marker := range []string{"", "a --> b", "a\nb", "a--b"} {
		_, err := UpsertComment(t.Context(), host, 7, marker, "x")
		assert.ErrorContains(t, err, "marker")
	}
	_, err := UpsertComment(t.Context(), host, 0, "preview gke", "x")
	assert.ErrorContains(t, err, "numbers start at 1")
	_, err = UpsertIssue(t.Context(), host, Issue{Marker: "drift gke"})
	assert.ErrorContains(t, err, "title")
	for _, o := range []GitHubOptions{{Repository: "team", Token: "x"}, {Repository: "a/b/c", Token: "x"}, {Repository: "a/b"}} {
		_, err := NewGitHub(o)
		assert.Error(t, err)
	}
}

func TestEnvironment(t *testing.T) {
	folder := t.TempDir()
	event := filepath.Join(folder, "event.json")
	require.NoError(t, os.WriteFile(event, []byte(`{"pull_request":{"number":7}}`), 0o600))
	push := filepath.Join(folder, "push.json")
	require.NoError(t, os.WriteFile(push, []byte(`{"ref":"refs/heads/main"}`), 0o600))
	env := func(values map[string]string) func(string) string {
		return func(name string) string { return values[name] }
	}

	number, err := PullRequest(env(map[string]string{"GITHUB_EVENT_PATH": event}))
	require.NoError(t, err)
	assert.Equal(t, 7, number)
	number, err = PullRequest(env(map[string]string{"CI_MERGE_REQUEST_IID": "12"}))
	require.NoError(t, err)
	assert.Equal(t, 12, number)
	_, err = PullRequest(env(map[string]string{"CI_MERGE_REQUEST_IID": "!12"}))
	assert.ErrorContains(t, err, `CI_MERGE_REQUEST_IID "!12"`)
	_, err = PullRequest(env(map[string]string{"GITHUB_EVENT_PATH": push}))
	assert.ErrorContains(t, err, "not one of a pull request")
	_, err = PullRequest(env(nil))
	assert.ErrorContains(t, err, "--number")

	host, err := FromEnvironment(env(map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "x"}))
	require.NoError(t, err)
	author, err := host.author(t.Context())
	require.NoError(t, err)
	assert.Equal(t, bot, author, "a workflow's token may not ask")
	assert.Equal(t, "https://api.github.com", host.(*GitHub).api.base)
	host, err = FromEnvironment(env(map[string]string{
		"GITLAB_CI": "true", "CI_API_V4_URL": "https://gitlab.example/api/v4", "CI_PROJECT_ID": "4", "GITLAB_TOKEN": "x",
	}))
	require.NoError(t, err)
	assert.IsType(t, &GitLab{}, host)
	_, err = FromEnvironment(env(map[string]string{"GITLAB_CI": "true", "CI_API_V4_URL": "x", "CI_PROJECT_ID": "4"}))
	assert.ErrorContains(t, err, "GITLAB_TOKEN")
}
