package codehost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// gitLabLongest is the longest note or description that GitLab accepts, in characters.
const gitLabLongest = 1000000

// GitLab is a project on gitlab.com or on a self-managed server.
type GitLab struct {
	api     api
	project string
	login   string
}

// GitLabOptions are the project and the credentials.
type GitLabOptions struct {
	// API is the address of the REST API, as in CI_API_V4_URL.
	API string
	// Project is the project's number or its path, as in CI_PROJECT_ID.
	Project string
	// Token is a project access token with the scope api: a job's own token may not write notes.
	Token string
	// Author is the username whose notes and issues are updated; empty for the token's own.
	Author string
}

// NewGitLab checks the options; it sends no request.
func NewGitLab(o GitLabOptions) (*GitLab, error) {
	switch {
	case o.API == "":
		return nil, errors.New("no address of GitLab's API: set CI_API_V4_URL")
	case o.Project == "":
		return nil, errors.New("no project: set CI_PROJECT_ID")
	case o.Token == "":
		return nil, errors.New("no token: set GITLAB_TOKEN to a project access token with the scope api")
	}
	g := &GitLab{project: o.Project, login: o.Author}
	g.api = api{
		base: strings.TrimRight(o.API, "/"), client: newClient(), wait: realWaiter(), explain: g.explain,
		headers: map[string]string{"PRIVATE-TOKEN": o.Token, "User-Agent": "vllm-autoscaling"},
	}
	return g, nil
}

func (g *GitLab) explain(status int, _, _ string) string {
	switch status {
	case http.StatusUnauthorized:
		return "GITLAB_TOKEN is wrong or has expired"
	case http.StatusForbidden:
		return "GITLAB_TOKEN needs the scope api and at least the role Reporter"
	case http.StatusNotFound:
		return "there is no such thing in project " + g.project + ", or GITLAB_TOKEN may not see it"
	}
	return ""
}

func (g *GitLab) longest() int    { return gitLabLongest }
func (g *GitLab) waiting() waiter { return g.api.wait }

// author asks the server for the username of the token. A project access token has a user of its own.
func (g *GitLab) author(ctx context.Context) (string, error) {
	if g.login != "" {
		return g.login, nil
	}
	var user struct{ Username string }
	if _, err := g.api.call(ctx, http.MethodGet, "/user", "ask who GITLAB_TOKEN is", nil, &user); err != nil {
		return "", err
	}
	if user.Username == "" {
		return "", errors.New("ask who GITLAB_TOKEN is: the answer has no username; set COMMENT_AUTHOR")
	}
	g.login = user.Username
	return g.login, nil
}

// gitLabEntry is GitLab's JSON of a note or an issue.
type gitLabEntry struct {
	ID          int64
	IID         int64
	Title       string
	Body        string
	Description string
	WebURL      string `json:"web_url"`
	Author      struct{ Username string }
}

func (e gitLabEntry) note() entry {
	return entry{ID: e.ID, Author: e.Author.Username, Body: e.Body}
}

func (e gitLabEntry) issue() entry {
	return entry{ID: e.IID, Author: e.Author.Username, Title: e.Title, Body: e.Description, URL: e.WebURL}
}

func (g *GitLab) list(ctx context.Context, path string, query url.Values, action string) ([]gitLabEntry, error) {
	query.Set("per_page", "100")
	query.Set("sort", "asc")
	var all []gitLabEntry
	for page := "1"; page != ""; {
		query.Set("page", page)
		var entries []gitLabEntry
		header, err := g.api.call(ctx, http.MethodGet, g.path(path)+"?"+query.Encode(), action, nil, &entries)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
		page = header.Get("X-Next-Page")
	}
	return all, nil
}

func (g *GitLab) path(rest string) string { return "/projects/" + url.PathEscape(g.project) + rest }

func (g *GitLab) comments(ctx context.Context, pullRequest int) ([]entry, error) {
	found, err := g.list(ctx, fmt.Sprintf("/merge_requests/%d/notes", pullRequest), url.Values{"order_by": {"created_at"}},
		fmt.Sprintf("list the notes of merge request %d", pullRequest))
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(found))
	for i, e := range found {
		entries[i] = e.note()
	}
	return entries, nil
}

func (g *GitLab) addComment(ctx context.Context, pullRequest int, body string) (entry, error) {
	var created gitLabEntry
	_, err := g.api.call(ctx, http.MethodPost, g.path(fmt.Sprintf("/merge_requests/%d/notes", pullRequest)),
		fmt.Sprintf("add a note to merge request %d", pullRequest), map[string]string{"body": body}, &created)
	return created.note(), err
}

func (g *GitLab) editComment(ctx context.Context, pullRequest int, comment int64, body string) (entry, error) {
	var edited gitLabEntry
	_, err := g.api.call(ctx, http.MethodPut, g.path(fmt.Sprintf("/merge_requests/%d/notes/%d", pullRequest, comment)),
		fmt.Sprintf("update note %d of merge request %d", comment, pullRequest), map[string]string{"body": body}, &edited)
	return edited.note(), err
}

func (g *GitLab) issues(ctx context.Context, label string) ([]entry, error) {
	found, err := g.list(ctx, "/issues", url.Values{"state": {"opened"}, "labels": {label}, "order_by": {"created_at"}}, "list the open issues")
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(found))
	for i, e := range found {
		entries[i] = e.issue()
	}
	return entries, nil
}

func (g *GitLab) openIssue(ctx context.Context, issue Issue, body string) (entry, error) {
	var created gitLabEntry
	_, err := g.api.call(ctx, http.MethodPost, g.path("/issues"), fmt.Sprintf("open issue %q", issue.Title),
		map[string]string{"title": issue.Title, "description": body, "labels": issue.Label}, &created)
	return created.issue(), err
}

func (g *GitLab) editIssue(ctx context.Context, number int64, title, body string) (entry, error) {
	return g.putIssue(ctx, number, "update", map[string]string{"title": title, "description": body})
}

func (g *GitLab) closeIssue(ctx context.Context, number int64) (entry, error) {
	return g.putIssue(ctx, number, "close", map[string]string{"state_event": "close"})
}

func (g *GitLab) putIssue(ctx context.Context, number int64, verb string, change map[string]string) (entry, error) {
	var edited gitLabEntry
	_, err := g.api.call(ctx, http.MethodPut, g.path(fmt.Sprintf("/issues/%d", number)), fmt.Sprintf("%s issue %d", verb, number), change, &edited)
	return edited.issue(), err
}

func (g *GitLab) commentIssue(ctx context.Context, number int64, body string) error {
	_, err := g.api.call(ctx, http.MethodPost, g.path(fmt.Sprintf("/issues/%d/notes", number)),
		fmt.Sprintf("comment on issue %d", number), map[string]string{"body": body}, nil)
	return err
}
