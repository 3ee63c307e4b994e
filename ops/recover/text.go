package recover

import (
	"fmt"
	"io"
	"strings"
)

// Text writes what was found and what is done about it.
func (p *Plan) Text(to io.Writer) error {
	var b strings.Builder
	switch len(p.Findings) {
	case 0:
		fmt.Fprintf(&b, "recover %s: nothing to do; the state and what it lists of the cluster agree\n", p.Stack)
	case 1:
		fmt.Fprintf(&b, "recover %s: 1 thing to do\n", p.Stack)
	default:
		fmt.Fprintf(&b, "recover %s: %d things to do\n", p.Stack, len(p.Findings))
	}
	for _, f := range p.Findings {
		mark := " "
		if f.Action == Held || f.Action == Ask {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s %s: %s\n      -> %s\n", mark, f.Subject, f.Found, f.Do)
	}
	if len(p.Findings) > 0 && len(p.Orphans) > 0 {
		fmt.Fprintf(&b, "  plugins that a killed command has left still run on this machine, processes %v: what they have begun is waited for\n", p.Orphans)
	}
	if !p.LocksVisible {
		fmt.Fprintln(&b, "  this backend does not let a lock be seen: if the state is locked, add --unlock when that command has ended")
	}
	_, err := io.WriteString(to, b.String())
	return err
}
