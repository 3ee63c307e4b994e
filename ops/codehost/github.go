package codehost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// gitHubLongest is the longest body that GitHub accepts: 65,536 characters, some of which may count more than once.
const gitHubLongest = 65000

// GitHub is a repository on github.com or a GitHub Enterprise Server.
type GitHub struct {
	api        api
	repository string
	login      string
}

// GitHubOptions are the repository and the credentials.
type GitHubOptions struct {
	// API is the address of the REST API, as in GITHUB_API_URL; empty for https://api.github.com.
	API string
	// Repository is owner/name, as in GITHUB_REPOSITORY.
	Repository string
	// Token must allow writing issues and pull requests of the repository.
	Token string
	// Author is the login whose comments and issues are updated; empty for the token's own. A workflow's token writes as
	// github-actions[bot] and may not ask who it is.
	Author string
}

// NewGitHub checks the options; it sends no request.
func NewGitHub(o GitHubOptions) (*GitHub, error) {
	owner, name, ok := strings.Cut(o.Repository, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("repository %q: must be owner/name (GITHUB_REPOSITORY)", o.Repository)
	}
	if o.Token == "" {
		return nil, fmt.Errorf("no token for %s: set GITHUB_TOKEN", o.Repository)
	}
	if o.API == "" {
		o.API = "https://api.github.com"
	}
	g := &GitHub{repository: o.Repository, login: o.Author}
	g.api = api{
		base: strings.TrimRight(o.API, "/"), client: newClient(), wait: realWaiter(), explain: g.explain,
		headers: map[string]string{
			"Authorization": "Bearer " + o.Token, "Accept": "application/vnd.github+json",
			"X-GitHub-Api-Version": "2022-11-28", "User-Agent": "vllm-autoscaling",
		},
	}
	return g, nil
}

// explain returns what to do about a refusal of GitHub; a missing permission can be a 403 or a 404.
func (g *GitHub) explain(status int, action, _ string) string {
	permission := "pull-requests: write"
	if strings.Contains(action, "issue") {
		permission = "issues: write"
	}
	switch status {
	case http.StatusUnauthorized:
		return "the token is wrong or has expired"
	case http.StatusForbidden:
		if action == whoIsIt {
			return "only a person's token may ask: set COMMENT_AUTHOR to the login that the token writes as"
		}
		return "the token lacks a permission: the job needs `" + permission + "`, and a pull request of a fork never has it"
	case http.StatusNotFound:
		return "there is no such thing in " + g.repository + ", or the token may not see it: the job needs `" + permission + "`"
	case http.StatusGone:
		return "issues are switched off in " + g.repository + ": switch them on in the repository's settings"
	}
	return ""
}

func (g *GitHub) longest() int    { return gitHubLongest }
func (g *GitHub) waiting() waiter { return g.api.wait }

// whoIsIt is the action of asking for the token's login.
const whoIsIt = "ask who GITHUB_TOKEN is"

// author asks the server for the login of the token.
func (g *GitHub) author(ctx context.Context) (string, error) {
	if g.login != "" {
		return g.login, nil
	}
	var user struct{ Login string }
	if _, err := g.api.call(ctx, http.MethodGet, "/user", whoIsIt, nil, &user); err != nil {
		return "", err
	}
	if user.Login == "" {
		return "", errors.New(whoIsIt + ": the answer has no login; set COMMENT_AUTHOR")
	}
	g.login = user.Login
	return g.login, nil
}

// gitHubEntry is GitHub's JSON of a comment or an issue.
type gitHubEntry struct {
	ID      int64
	Number  int64
	Title   string
	Body    string
	HTMLURL string `json:"html_url"`
	User    struct{ Login string }
	// PullRequest is present on issues that are pull requests.
	PullRequest *struct{} `json:"pull_request"`
}

func (e gitHubEntry) comment() entry {
	return entry{ID: e.ID, Author: e.User.Login, Body: e.Body, URL: e.HTMLURL}
}

func (e gitHubEntry) issue() entry {
	return entry{ID: e.Number, Author: e.User.Login, Title: e.Title, Body: e.Body, URL: e.HTMLURL}
}

// list reads all pages.
func (g *GitHub) list(ctx context.Context, path string, query url.Values, action string) ([]gitHubEntry, error) {
	query.Set("per_page", "100")
	var all []gitHubEntry
	for page := 1; ; page++ {
		query.Set("page", fmt.Sprint(page))
		var entries []gitHubEntry
		header, err := g.api.call(ctx, http.MethodGet, g.path(path)+"?"+query.Encode(), action, nil, &entries)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
		if !strings.Contains(header.Get("Link"), `rel="next"`) {
			return all, nil
		}
	}
}

func (g *GitHub) path(rest string) string { return "/repos/" + g.repository + rest }

func (g *GitHub) comments(ctx context.Context, pullRequest int) ([]entry, error) {
	found, err := g.list(ctx, fmt.Sprintf("/issues/%d/comments", pullRequest), url.Values{}, fmt.Sprintf("list the comments of pull request %d", pullRequest))
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(found))
	for i, e := range found {
		entries[i] = e.comment()
	}
	return entries, nil
}

func (g *GitHub) addComment(ctx context.Context, pullRequest int, body string) (entry, error) {
	var created gitHubEntry
	_, err := g.api.call(ctx, http.MethodPost, g.path(fmt.Sprintf("/issues/%d/comments", pullRequest)),
		fmt.Sprintf("comment on pull request %d", pullRequest), map[string]string{"body": body}, &created)
	return created.comment(), err
}

func (g *GitHub) editComment(ctx context.Context, pullRequest int, comment int64, body string) (entry, error) {
	var edited gitHubEntry
	_, err := g.api.call(ctx, http.MethodPatch, g.path(fmt.Sprintf("/issues/comments/%d", comment)),
		fmt.Sprintf("update comment %d of pull request %d", comment, pullRequest), map[string]string{"body": body}, &edited)
	return edited.comment(), err
}

func (g *GitHub) issues(ctx context.Context, label string) ([]entry, error) {
	query := url.Values{"state": {"open"}, "labels": {label}, "sort": {"created"}, "direction": {"asc"}}
	found, err := g.list(ctx, "/issues", query, "list the open issues")
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, e := range found {
		if e.PullRequest == nil {
			entries = append(entries, e.issue())
		}
	}
	return entries, nil
}

func (g *GitHub) openIssue(ctx context.Context, issue Issue, body string) (entry, error) {
	var created gitHubEntry
	_, err := g.api.call(ctx, http.MethodPost, g.path("/issues"), fmt.Sprintf("open issue %q", issue.Title),
		map[string]any{"title": issue.Title, "body": body, "labels": []string{issue.Label}}, &created)
	return created.issue(), err
}

func (g *GitHub) editIssue(ctx context.Context, number int64, title, body string) (entry, error) {
	return g.patchIssue(ctx, number, "update", map[string]any{"title": title, "body": body})
}

func (g *GitHub) closeIssue(ctx context.Context, number int64) (entry, error) {
	return g.patchIssue(ctx, number, "close", map[string]any{"state": "closed", "state_reason": "completed"})
}

func (g *GitHub) patchIssue(ctx context.Context, number int64, verb string, change map[string]any) (entry, error) {
	var edited gitHubEntry
	_, err := g.api.call(ctx, http.MethodPatch, g.path(fmt.Sprintf("/issues/%d", number)), fmt.Sprintf("%s issue %d", verb, number), change, &edited)
	return edited.issue(), err
}

func (g *GitHub) commentIssue(ctx context.Context, number int64, body string) error {
	_, err := g.api.call(ctx, http.MethodPost, g.path(fmt.Sprintf("/issues/%d/comments", number)),
		fmt.Sprintf("comment on issue %d", number), map[string]string{"body": body}, nil)
	return err
}
