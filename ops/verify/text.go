package verify

import (
	"fmt"
	"io"
	"strings"
)

// Terminal colours.
const (
	green = "\x1b[32m"
	red   = "\x1b[31m"
	grey  = "\x1b[90m"
	plain = "\x1b[0m"
)

// painted returns a text in a terminal colour, if colours are enabled.
func painted(enabled bool, code, text string) string {
	if !enabled {
		return text
	}
	return code + text + plain
}

// named returns the name of a stack after a space; "" without a name.
func named(stack string) string {
	if stack == "" {
		return ""
	}
	return " " + stack
}

// Text writes the report for people, one line for each stage; colour enables terminal colours.
func (r *Report) Text(to io.Writer, colour bool) error {
	paint := func(code, text string) string { return painted(colour, code, text) }
	var out strings.Builder
	unseen := 0
	for i, stage := range r.Stages {
		line := func(status, text string) { fmt.Fprintf(&out, "%2d %s %-14s %s\n", i+1, status, stage.Stage, text) }
		switch stage.Status {
		case Passed:
			line(paint(green, "pass   "), stage.Measured)
		case Skipped:
			line(paint(grey, "skipped"), "(needs "+stage.Needs+")")
		case NotVisible:
			line(paint(grey, "n/a    "), stage.Measured)
			unseen++
		default:
			line(paint(red, "FAIL   "), stage.Measured)
			fmt.Fprintf(&out, "           expected: %s\n", stage.Expected)
			for _, part := range []struct {
				name  string
				lines []string
			}{{"log:", stage.Log}, {"look at:", stage.Look}} {
				for j, text := range part.lines {
					name := ""
					if j == 0 {
						name = part.name
					}
					fmt.Fprintf(&out, "           %-9s %s\n", name, text)
				}
			}
		}
		for _, warning := range stage.Warnings {
			fmt.Fprintf(&out, "           warning:  %s\n", warning)
		}
	}
	if starts := startText(r.Starts, r.Estimate); starts != "" {
		fmt.Fprintf(&out, "   %-14s %s\n", "newest start", starts)
	}
	name := named(r.Stack)
	if r.Server != "" {
		name += ", server " + r.Server
	}
	if r.Passed {
		stages := plural(len(r.Stages), "stage")
		if unseen > 0 {
			stages += fmt.Sprintf(", %d of them not visible,", unseen)
		}
		fmt.Fprintf(&out, "verify%s: %s, %s in %.1f s\n", name, paint(green, "ok"), stages, r.Seconds)
	} else {
		fmt.Fprintf(&out, "verify%s: %s after %.1f s\n", name, paint(red, "FAILED at "+r.Failed), r.Seconds)
	}
	_, err := io.WriteString(to, out.String())
	return err
}
