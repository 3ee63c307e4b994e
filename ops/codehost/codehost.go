package codehost

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Host is a place for comments and issues. GitHub and GitLab implement it.
type Host interface {
	// comments lists all comments of a pull request, oldest first.
	comments(ctx context.Context, pullRequest int) ([]entry, error)
	addComment(ctx context.Context, pullRequest int, body string) (entry, error)
	editComment(ctx context.Context, pullRequest int, comment int64, body string) (entry, error)
	// issues lists the open issues with a label, oldest first.
	issues(ctx context.Context, label string) ([]entry, error)
	openIssue(ctx context.Context, issue Issue, body string) (entry, error)
	editIssue(ctx context.Context, number int64, title, body string) (entry, error)
	commentIssue(ctx context.Context, number int64, body string) error
	closeIssue(ctx context.Context, number int64) (entry, error)
	// longest is the maximum size of a body, in bytes.
	longest() int
	// author returns the login whose entries may be updated: by default the token's own.
	author(ctx context.Context) (string, error)
	// waiting decides how long to wait before the next attempt.
	waiting() waiter
}

// entry is a comment or an issue. ID is what edits are addressed to; for an issue, its number.
type entry struct {
	ID          int64
	Author      string
	Title, Body string
	URL         string
}

// Issue is the desired state of one issue.
type Issue struct {
	// Marker distinguishes this issue from others, such as "drift gke".
	Marker string
	// Title is the issue's title.
	Title string
	// Body is the text, in Markdown.
	Body string
	// Label is set on a new issue and narrows the search; required.
	Label string
}

// Result is what happened to a comment or an issue.
type Result struct {
	// Action is created, updated, unchanged, closed or none (there was nothing to close).
	Action string
	// URL is the page of the comment or issue; empty for none.
	URL string
}

// UpsertComment makes body the pull request's comment with the marker: the first call creates it, later ones replace
// its text. A body that is too long is cut and ends with a note.
func UpsertComment(ctx context.Context, host Host, pullRequest int, marker, body string) (Result, error) {
	hidden, err := markerLine(marker)
	if err != nil {
		return Result{}, err
	}
	if pullRequest <= 0 {
		return Result{}, fmt.Errorf("pull request %d: numbers start at 1", pullRequest)
	}
	text := fit(withMarker(hidden, body), host.longest())
	var result Result
	// Every attempt repeats the search as well: a request that failed may have been carried out.
	err = host.waiting().retry(ctx, func() error {
		existing, err := host.comments(ctx, pullRequest)
		if err != nil {
			return err
		}
		old, found, err := ours(ctx, host, existing, hidden)
		if err != nil {
			return err
		}
		switch {
		case !found:
			created, err := host.addComment(ctx, pullRequest, text)
			result = Result{Action: "created", URL: created.URL}
			return err
		case strings.TrimSpace(old.Body) == strings.TrimSpace(text):
			result = Result{Action: "unchanged", URL: old.URL}
			return nil
		default:
			edited, err := host.editComment(ctx, pullRequest, old.ID, text)
			result = Result{Action: "updated", URL: edited.URL}
			return err
		}
	})
	return result, err
}

// UpsertIssue makes sure that exactly one open issue with the marker has the desired title and body.
func UpsertIssue(ctx context.Context, host Host, issue Issue) (Result, error) {
	hidden, err := markerLine(issue.Marker)
	if err != nil {
		return Result{}, err
	}
	if issue.Label == "" || issue.Title == "" {
		return Result{}, errors.New("an issue needs a title and a label")
	}
	text := fit(withMarker(hidden, issue.Body), host.longest())
	var result Result
	err = host.waiting().retry(ctx, func() error {
		existing, err := host.issues(ctx, issue.Label)
		if err != nil {
			return err
		}
		old, found, err := ours(ctx, host, existing, hidden)
		if err != nil {
			return err
		}
		switch {
		case !found:
			created, err := host.openIssue(ctx, issue, text)
			result = Result{Action: "created", URL: created.URL}
			return err
		case old.Title == issue.Title && strings.TrimSpace(old.Body) == strings.TrimSpace(text):
			result = Result{Action: "unchanged", URL: old.URL}
			return nil
		default:
			edited, err := host.editIssue(ctx, old.ID, issue.Title, text)
			result = Result{Action: "updated", URL: edited.URL}
			return err
		}
	})
	return result, err
}

// CloseIssue closes the open issue with the marker after a comment with the reason. It is not an error if none is
// open.
func CloseIssue(ctx context.Context, host Host, marker, label, comment string) (Result, error) {
	hidden, err := markerLine(marker)
	if err != nil {
		return Result{}, err
	}
	result := Result{Action: "none"}
	commented := false
	err = host.waiting().retry(ctx, func() error {
		existing, err := host.issues(ctx, label)
		if err != nil {
			return err
		}
		old, found, err := ours(ctx, host, existing, hidden)
		if err != nil || !found {
			return err
		}
		if comment != "" && !commented {
			if err := host.commentIssue(ctx, old.ID, fit(comment, host.longest())); err != nil {
				return err
			}
			commented = true
		}
		closed, err := host.closeIssue(ctx, old.ID)
		result = Result{Action: "closed", URL: closed.URL}
		return err
	})
	return result, err
}

// markerLine returns the first line of every text that this package writes.
func markerLine(marker string) (string, error) {
	if marker == "" || strings.ContainsAny(marker, "<>\n") || strings.Contains(marker, "--") {
		return "", fmt.Errorf("marker %q: must be a short text without <, >, -- and line breaks", marker)
	}
	return "<!-- vllm-autoscaling " + marker + " -->", nil
}

// withMarker puts the marker in front of a text that does not start with it.
func withMarker(hidden, text string) string {
	if first, _, _ := strings.Cut(text, "\n"); strings.TrimSpace(first) == hidden {
		return text
	}
	return hidden + "\n" + text
}

// ours returns the first entry with the marker that the host's author wrote. Entries of others are ignored, even full
// quotes: anyone who could add one could otherwise hide the real entry, or have it show a text of theirs.
func ours(ctx context.Context, host Host, entries []entry, hidden string) (entry, bool, error) {
	for _, e := range entries {
		if first, _, _ := strings.Cut(e.Body, "\n"); strings.TrimSpace(first) != hidden {
			continue
		}
		// Asked only now: most lists have no entry with the marker.
		author, err := host.author(ctx)
		if err != nil {
			return entry{}, false, err
		}
		if e.Author == author {
			return e, true, nil
		}
	}
	return entry{}, false, nil
}

// cutNote is the end of a text that was too long.
const cutNote = "\n\n*The text is longer than a comment can be; the rest of it is in the log of the run.*\n"

// fit cuts a text at the end of a line so that it has at most that many bytes, and closes open code blocks and folded
// sections.
func fit(text string, most int) string {
	if len(text) <= most {
		return text
	}
	// Reserve for the note and for the closing lines.
	room := most - len(cutNote) - 200
	kept := text[:max(room, 0)]
	if end := strings.LastIndexByte(kept, '\n'); end > 0 {
		kept = kept[:end]
	} else {
		kept = strings.ToValidUTF8(kept, "")
	}
	fence := ""
	folded := 0
	for line := range strings.Lines(kept) {
		trimmed := strings.TrimSpace(line)
		if mark := leadingFence(trimmed); mark != "" {
			switch {
			case fence == "":
				fence = mark
			case strings.HasPrefix(mark, fence) && trimmed == mark:
				fence = ""
			}
			continue
		}
		if fence == "" {
			folded += strings.Count(line, "<details") - strings.Count(line, "</details>")
		}
	}
	if fence != "" {
		kept += "\n" + fence
	}
	kept += strings.Repeat("\n\n</details>", min(max(folded, 0), 10))
	return kept + cutNote
}

// leadingFence returns the run of three or more backticks or tildes at the start of a line.
func leadingFence(line string) string {
	for _, mark := range []string{"`", "~"} {
		if n := len(line) - len(strings.TrimLeft(line, mark)); n >= 3 {
			return line[:n]
		}
	}
	return ""
}
