package codehost

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// FromEnvironment returns the host that runs this job, from the variables that it sets: GitLab if GITLAB_CI is true,
// otherwise GitHub. COMMENT_AUTHOR names the login whose comments and issues are updated; by default it is the token's.
func FromEnvironment(get func(string) string) (Host, error) {
	if get("GITLAB_CI") == "true" {
		return NewGitLab(GitLabOptions{API: get("CI_API_V4_URL"), Project: get("CI_PROJECT_ID"), Token: get("GITLAB_TOKEN"), Author: get("COMMENT_AUTHOR")})
	}
	author := get("COMMENT_AUTHOR")
	if author == "" && get("GITHUB_ACTIONS") == "true" {
		author = "github-actions[bot]"
	}
	return NewGitHub(GitHubOptions{API: get("GITHUB_API_URL"), Repository: get("GITHUB_REPOSITORY"), Token: get("GITHUB_TOKEN"), Author: author})
}

// PullRequest returns the number of the pull request that this job is for.
func PullRequest(get func(string) string) (int, error) {
	if text := get("CI_MERGE_REQUEST_IID"); text != "" {
		number, err := strconv.Atoi(text)
		if err != nil {
			return 0, fmt.Errorf("CI_MERGE_REQUEST_IID %q is not the number of a merge request", text)
		}
		return number, nil
	}
	path := get("GITHUB_EVENT_PATH")
	if path == "" {
		return 0, errors.New("no pull request: set GITHUB_EVENT_PATH or CI_MERGE_REQUEST_IID, or give --number")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("the event of this run: %w", err)
	}
	var event struct {
		PullRequest struct{ Number int } `json:"pull_request"`
	}
	if err := json.Unmarshal(content, &event); err != nil {
		return 0, fmt.Errorf("the event of this run, %s: %w", path, err)
	}
	if event.PullRequest.Number == 0 {
		return 0, fmt.Errorf("the event of this run, %s, is not one of a pull request; give --number", path)
	}
	return event.PullRequest.Number, nil
}
