package codehost

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gitLabStub has one merge request, !3, of project 42, and the project's issues; pages have two entries.
type gitLabStub struct {
	notes, issues []map[string]any
	// username is the token's user, asked how often somebody wanted to know.
	username string
	asked    int
}

// by is the author of a note or an issue.
func by(username string) map[string]any { return map[string]any{"username": username} }

func (s *gitLabStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("PRIVATE-TOKEN") != "secret" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"message":"401 Unauthorized"}`)
		return
	}
	body := map[string]any{}
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	const notes, issues = "/projects/42/merge_requests/3/notes", "/projects/42/issues"
	var answer any
	switch path := r.URL.Path; {
	case r.Method == http.MethodGet && path == "/user":
		s.asked++
		answer = map[string]any{"id": 7, "username": s.username}
	case r.Method == http.MethodGet && path == notes:
		answer = page(w, r, s.notes)
	case r.Method == http.MethodGet && path == issues:
		var open []map[string]any
		for _, i := range s.issues {
			if i["state"] == "opened" && i["labels"] == r.URL.Query().Get("labels") {
				open = append(open, i)
			}
		}
		answer = page(w, r, open)
	case r.Method == http.MethodPost && path == notes:
		body["id"], body["author"] = 100+len(s.notes), by(s.username)
		s.notes = append(s.notes, body)
		answer = body
	case r.Method == http.MethodPost && path == issues:
		body["iid"], body["id"], body["state"], body["author"] = len(s.issues)+1, 900, "opened", by(s.username)
		s.issues = append(s.issues, body)
		answer = body
	case r.Method == http.MethodPost && path == issues+"/1/notes":
		s.issues[0]["note"], answer = body["body"], body
	case r.Method == http.MethodPut && path == issues+"/1":
		for key, value := range body {
			s.issues[0][key] = value
		}
		if body["state_event"] == "close" {
			s.issues[0]["state"] = "closed"
		}
		answer = s.issues[0]
	case r.Method == http.MethodPut && path == notes+"/102":
		s.notes[2]["body"], answer = body["body"], s.notes[2]
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":"404 Not Found"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(answer) // the client has gone
}

func page(w http.ResponseWriter, r *http.Request, all []map[string]any) []map[string]any {
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	from, to := min(2*(number-1), len(all)), min(2*number, len(all))
	if to < len(all) {
		w.Header().Set("X-Next-Page", fmt.Sprint(number+1))
	}
	return append([]map[string]any{}, all[from:to]...)
}

func TestGitLab(t *testing.T) {
	stub := &gitLabStub{username: "project_42_bot", notes: []map[string]any{{"id": 100, "body": "hello"}, {"id": 101, "body": "again"}}}
	server := httptest.NewServer(stub)
	t.Cleanup(server.Close)
	host, err := NewGitLab(GitLabOptions{API: server.URL + "/", Project: "42", Token: "secret"})
	require.NoError(t, err)

	for _, step := range []struct{ body, action string }{{"one", "created"}, {"two", "updated"}, {"two", "unchanged"}} {
		result, err := UpsertComment(t.Context(), host, 3, "preview gke", step.body)
		require.NoError(t, err)
		assert.Equal(t, step.action, result.Action)
	}
	require.Len(t, stub.notes, 3)
	assert.Equal(t, "<!-- vllm-autoscaling preview gke -->\ntwo", stub.notes[2]["body"])

	drift := Issue{Marker: "drift gke", Title: "Drift on gke", Body: "first", Label: "drift"}
	for _, step := range []struct{ body, action string }{{"first", "created"}, {"second", "updated"}, {"second", "unchanged"}} {
		drift.Body = step.body
		result, err := UpsertIssue(t.Context(), host, drift)
		require.NoError(t, err)
		assert.Equal(t, step.action, result.Action)
	}
	result, err := CloseIssue(t.Context(), host, "drift gke", "drift", "clean")
	require.NoError(t, err)
	assert.Equal(t, "closed", result.Action)
	require.Len(t, stub.issues, 1)
	assert.Equal(t, "closed", stub.issues[0]["state"])
	assert.Equal(t, "clean", stub.issues[0]["note"])

	_, err = UpsertComment(t.Context(), host, 4, "preview gke", "x")
	assert.ErrorContains(t, err, "list the notes of merge request 4")
	assert.ErrorContains(t, err, "404")
	wrong, err := NewGitLab(GitLabOptions{API: server.URL, Project: "42", Token: "wrong"})
	require.NoError(t, err)
	_, err = UpsertComment(t.Context(), wrong, 3, "preview gke", "x")
	assert.ErrorContains(t, err, "GITLAB_TOKEN is wrong or has expired")
}

// A note or issue of somebody else with the marker is neither edited nor closed, and hides nothing.
func TestGitLabLeavesWhatOthersWrote(t *testing.T) {
	planted := func() *gitLabStub {
		return &gitLabStub{username: "project_42_bot",
			notes: []map[string]any{
				{"id": 100, "body": "<!-- vllm-autoscaling preview gke -->\nnothing to see", "author": by("mallory")}, {"id": 101, "body": "hello", "author": by("mallory")},
			},
			issues: []map[string]any{
				{"iid": 1, "state": "opened", "labels": "drift", "description": "<!-- vllm-autoscaling drift gke -->\nall is well", "author": by("mallory")},
			},
		}
	}
	for name, author := range map[string]string{"the token's user": "", "a user that is named": "project_42_bot"} {
		t.Run(name, func(t *testing.T) {
			stub := planted()
			server := httptest.NewServer(stub)
			t.Cleanup(server.Close)
			host, err := NewGitLab(GitLabOptions{API: server.URL, Project: "42", Token: "secret", Author: author})
			require.NoError(t, err)
			for _, step := range []struct{ body, action string }{{"the truth", "created"}, {"the whole truth", "updated"}} {
				result, err := UpsertComment(t.Context(), host, 3, "preview gke", step.body)
				require.NoError(t, err)
				assert.Equal(t, step.action, result.Action)
			}
			require.Len(t, stub.notes, 3)
			assert.Contains(t, stub.notes[0]["body"], "nothing to see")
			assert.Contains(t, stub.notes[2]["body"], "the whole truth")

			closed, err := CloseIssue(t.Context(), host, "drift gke", "drift", "clean")
			require.NoError(t, err)
			assert.Equal(t, Result{Action: "none"}, closed)
			opened, err := UpsertIssue(t.Context(), host, Issue{Marker: "drift gke", Title: "Drift", Body: "first", Label: "drift"})
			require.NoError(t, err)
			assert.Equal(t, "created", opened.Action)
			assert.Equal(t, map[string]int{"": 1, "project_42_bot": 0}[author], stub.asked, "asked once")
		})
	}
	t.Run("an answer without a user", func(t *testing.T) {
		stub := planted()
		stub.username = ""
		server := httptest.NewServer(stub)
		t.Cleanup(server.Close)
		host, err := NewGitLab(GitLabOptions{API: server.URL, Project: "42", Token: "secret"})
		require.NoError(t, err)
		_, err = UpsertComment(t.Context(), host, 3, "preview gke", "x")
		assert.ErrorContains(t, err, "set COMMENT_AUTHOR")
		assert.Len(t, stub.notes, 2, "nothing is written")
	})
}

// Go's client removes only well-known headers when it follows a redirect to another host.
func TestTheTokenStaysWithItsHost(t *testing.T) {
	var seen atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for to, allowed := range map[string]bool{"https://code.example/v4": true, "http://code.example/v4": false, "https://evil.example/v4": false} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
		require.NoError(t, err)
		first, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://code.example/v3", nil)
		require.NoError(t, err)
		assert.Equal(t, allowed, newClient().CheckRedirect(request, []*http.Request{first}) == nil, to)
	}
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	gitLab, err := NewGitLab(GitLabOptions{API: server.URL, Project: "42", Token: "secret"})
	require.NoError(t, err)
	gitLab.api.wait.sleep = func(context.Context, time.Duration) error { return nil }
	gitHub, err := NewGitHub(GitHubOptions{API: server.URL, Repository: "team/inference", Token: "secret"})
	require.NoError(t, err)
	gitHub.api.wait.sleep = gitLab.api.wait.sleep
	for _, host := range []Host{gitLab, gitHub} {
		_, err = UpsertComment(t.Context(), host, 3, "preview gke", "x")
		require.ErrorContains(t, err, "redirect to "+elsewhere.URL+", which must not get the token")
		assert.NotContains(t, err.Error(), "secret")
	}
	assert.Zero(t, seen.Load(), "nothing was asked there")
}
