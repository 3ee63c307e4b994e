package preflight

import (
	"fmt"
	"strconv"
)

// need is how much of a quota the nodes of pools take.
type need struct {
	// one is what the update and the first replica take, all is the pools at their maximum.
	one, all int
	// unit is what is counted, such as "GPUs".
	unit string
	// grown reports whether a pool that is there already is changed or replaced: what it uses counts among the usage, so
	// only the limit is compared.
	grown bool
}

// add adds the need of a pool.
func (n *need) add(one, all int, grown bool) {
	n.one, n.all, n.grown = n.one+one, n.all+all, n.grown || grown
}

// against compares the need with a quota. fix returns the command that raises the quota to a number.
func (n need) against(asked string, limit, usage float64, fix func(value int) string) Check {
	free, state := limit-usage, fmt.Sprintf("%s %s of %s free", amount(max(0, limit-usage)), n.unit, amount(limit))
	value, wanted := n.all+int(usage), fmt.Sprintf("%d needed", n.all)
	if n.one < n.all {
		wanted = fmt.Sprintf("the first nodes need %d, the pools at their maximum %d", n.one, n.all)
	}
	if n.grown {
		free, state, value = limit, fmt.Sprintf("limit %s %s", amount(limit), n.unit), n.all
	}
	switch {
	case free < float64(n.one):
		return failed(asked, state+": "+wanted, fix(value))
	case free < float64(n.all):
		return warning(asked, fmt.Sprintf("%s: enough to start, but the pools at their maximum need %d", state, n.all), fix(value))
	}
	return passed(asked, "%s: %s", state, wanted)
}

// amount writes a number without a fraction where it has none.
func amount(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
