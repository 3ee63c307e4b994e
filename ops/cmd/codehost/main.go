// Command codehost keeps one comment on a pull request, or one open issue, up to date on GitHub or GitLab. The host
// and the credentials come from the variables of its CI jobs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"vllm-autoscaling/ops/codehost"
)

const usage = `usage: codehost comment --marker TEXT --body FILE [--number N]
       codehost issue --marker TEXT --label NAME --title TEXT --body FILE
       codehost close --marker TEXT --label NAME [--body FILE]

comment creates the pull request's comment with the marker or replaces its text; issue does the same for
an open issue; close closes that issue, with a comment.

On GitHub: GITHUB_REPOSITORY, GITHUB_TOKEN, GITHUB_API_URL, GITHUB_EVENT_PATH. On GitLab (GITLAB_CI=true):
CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID, GITLAB_TOKEN. Only comments and issues of the token's own
user are updated; COMMENT_AUTHOR names another login, such as that of a GitHub App, which may not ask for its own.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(os.Stderr, usage)
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "codehost:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, get func(string) string, out io.Writer) error {
	if len(args) == 0 {
		return flag.ErrHelp
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	marker := flags.String("marker", "", "")
	body := flags.String("body", "", "")
	number := flags.Int("number", 0, "")
	title := flags.String("title", "", "")
	label := flags.String("label", "", "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	host, err := codehost.FromEnvironment(get)
	if err != nil {
		return err
	}
	text := ""
	if *body != "" {
		content, err := os.ReadFile(*body)
		if err != nil {
			return err
		}
		text = string(content)
	}
	var result codehost.Result
	switch args[0] {
	case "comment":
		if text == "" {
			return errors.New("comment: --body is missing or empty")
		}
		if *number == 0 {
			if *number, err = codehost.PullRequest(get); err != nil {
				return err
			}
		}
		result, err = codehost.UpsertComment(ctx, host, *number, *marker, text)
	case "issue":
		result, err = codehost.UpsertIssue(ctx, host, codehost.Issue{Marker: *marker, Title: *title, Body: text, Label: *label})
	case "close":
		result, err = codehost.CloseIssue(ctx, host, *marker, *label, text)
	default:
		return flag.ErrHelp
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s %q: %s %s\n", args[0], *marker, result.Action, result.URL)
	return nil
}
