package preview

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
)

// Unready is a resource that was not ready when its state was written or refreshed.
type Unready struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Reasons []string `json:"reasons"`
}

// SecretTypes are patterns of the URNs of what cannot be read without the permission to read Secrets: those themselves, and
// the records of Helm releases.
var SecretTypes = []string{"**kubernetes:core/v1:Secret::**", "**kubernetes:helm.sh/v3:Release::**"}

// unhealthy is the engine's warning about a resource that a refresh found not ready. Unready has its reasons.
const unhealthy = "Refreshed resource is in an unhealthy state:"

// deadAPI matches the program's warnings about APIs of the cluster that nobody serves.
var deadAPI = regexp.MustCompile(`APIService \S+ is not available`)

// note collects what is not a change, but has to be known.
func (r *Report) note(p *plan.Plan, o Options) {
	r.Conflicts = p.Conflicts
	r.WithoutSecrets = o.WithoutSecrets && r.Mode == Drift
	for _, s := range p.Steps {
		if len(s.InitErrors) > 0 && s.Op != plan.OpDelete {
			u := Unready{Type: s.Type, Name: s.Name}
			for _, reason := range s.InitErrors {
				u.Reasons = append(u.Reasons, clean(strings.TrimSpace(reason)))
			}
			r.Unready = append(r.Unready, u)
		}
	}
	for _, message := range p.Warnings {
		if len(r.Unready) == 0 || !strings.Contains(message, unhealthy) {
			r.Warnings = append(r.Warnings, clean(message))
		}
	}
}

// noDrift reports whether an update of a drift check changes nothing that somebody declared: the object was only not ready
// yet, or has as many nodes as the autoscaler made.
func noDrift(s plan.Step, c Change) bool {
	return s.OnlyUnready() || s.Op == plan.OpUpdate && len(s.Diff) > 0 && len(c.Properties) == 0
}

// dropNoDrift counts an update as unchanged.
func (r *Report) dropNoDrift() {
	r.Counts[plan.OpUpdate]--
	r.Counts[plan.OpSame]++
}

// warnings returns the program's warnings about APIs that nobody serves, and the others.
func (r *Report) warnings() (dead, others []string) {
	for _, message := range r.Warnings {
		if deadAPI.MatchString(message) {
			dead = append(dead, message)
		} else {
			others = append(others, message)
		}
	}
	return dead, others
}

// deadAPITitle is the heading of the warnings about APIs that nobody serves.
const deadAPITitle = "APIs of the cluster that nobody serves"

const (
	unreadyTitle = "Not ready when it was read"
	unreadyNote  = "This is no difference by itself: replicas may be starting. `make verify` tells more."
)

// waits marks an update in which nothing changes.
const waits = ", nothing changes: it was not ready, and the update waits for it"

// conflictNote returns the ways out of a conflict.
func (r *Report) conflictNote() string {
	return fmt.Sprintf("To keep the values that are there, write them into Pulumi.%s.yaml. To take the fields back, run "+
		"`PULUMI_K8S_ENABLE_PATCH_FORCE=true pulumi up --refresh --stack %s`, which forces every field of that update, or set them to the declared "+
		"values with kubectl. docs/operations.md has more.", r.Stack[strings.LastIndexByte(r.Stack, '/')+1:], r.Stack)
}

// leftOutNote returns what a drift check without Secrets leaves out.
func (r *Report) leftOutNote() string {
	return fmt.Sprintf("Secrets and Helm releases were not read, which takes the permission to read Secrets. "+
		"`make preview STACK=%s PREVIEW_FLAGS=\"--mode drift\"` compares them too.", r.Stack)
}

func (r *Report) textNotes(b *strings.Builder) {
	if r.WithoutSecrets {
		fmt.Fprintf(b, "\n%s\n", plainCode(r.leftOutNote()))
	}
	if len(r.Conflicts) > 0 {
		b.WriteString("\nFields that somebody else owns\n")
		for _, c := range r.Conflicts {
			fmt.Fprintf(b, "  %s (%s): %s owns %s\n", c.Object, c.Type, c.Manager, strings.Join(c.Fields, ", "))
		}
		fmt.Fprintf(b, "  %s\n", plainCode(r.conflictNote()))
	}
	dead, others := r.warnings()
	if len(dead) > 0 {
		fmt.Fprintf(b, "\nWARNING: %s\n%s", deadAPITitle, indented(strings.Join(dead, "\n")))
	}
	if len(others) > 0 {
		fmt.Fprintf(b, "\nWarnings\n%s", indented(strings.Join(others, "\n")))
	}
	if len(r.Unready) > 0 {
		fmt.Fprintf(b, "\n%s\n", unreadyTitle)
		for _, u := range r.Unready {
			fmt.Fprintf(b, "  %s (%s): %s\n", u.Name, u.Type, oneLine(u.Reasons))
		}
		fmt.Fprintf(b, "  %s\n", plainCode(unreadyNote))
	}
}

func (r *Report) writeNotes(b *strings.Builder) {
	if r.WithoutSecrets {
		fmt.Fprintf(b, "\n%s\n", r.leftOutNote())
	}
	if len(r.Conflicts) > 0 {
		b.WriteString("\n### Fields that somebody else owns\n\n")
		for _, c := range r.Conflicts[:min(maxListed, len(r.Conflicts))] {
			fields := slices.Clone(c.Fields)
			for i := range fields {
				fields[i] = code(fields[i])
			}
			fmt.Fprintf(b, "- %s (%s): %s owns %s\n", code(c.Object), code(c.Type), code(c.Manager), strings.Join(fields, ", "))
		}
		fmt.Fprintf(b, "\n%s\n", r.conflictNote())
	}
	dead, others := r.warnings()
	if len(dead) > 0 {
		fmt.Fprintf(b, "\n### %s\n\n%s", deadAPITitle, fenced("", shortenBytes(strings.Join(dead, "\n\n"), maxErrorBytes)))
	}
	if len(others) > 0 {
		fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n%s\n</details>\n", plural(len(others), "warning of the preview", "warnings of the preview"),
			fenced("", shortenBytes(strings.Join(others, "\n\n"), maxErrorBytes)))
	}
	if len(r.Unready) > 0 {
		fmt.Fprintf(b, "\n### %s\n\n%s\n\n", unreadyTitle, unreadyNote)
		for _, u := range r.Unready[:min(maxListed, len(r.Unready))] {
			fmt.Fprintf(b, "- %s (%s): %s\n", code(u.Name), code(u.Type), escaped(oneLine(u.Reasons)))
		}
	}
}

// reasonLength is how many characters of the reasons why a resource is not ready are shown.
const reasonLength = 300

func oneLine(reasons []string) string {
	return shorten(strings.Join(strings.Fields(strings.Join(reasons, "; ")), " "), reasonLength)
}

// plainCode returns a text for a terminal, where code has no marks.
func plainCode(text string) string { return strings.ReplaceAll(text, "`", "") }
