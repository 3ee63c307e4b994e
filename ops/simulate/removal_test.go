package simulate

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheOrderOfRemoval(t *testing.T) {
	shared, other, third := &node{}, &node{}, &node{}
	for name, test := range map[string]struct {
		// first is removed before second, whose neighbours are the rest.
		first, second *pod
		rest          []*pod
	}{
		"without a node":           {&pod{phase: pending}, &pod{phase: pulling, node: other}, nil},
		"pending":                  {&pod{phase: pulling, node: shared}, &pod{phase: starting, node: other}, nil},
		"not ready":                {&pod{phase: starting, node: shared}, &pod{phase: ready, node: other, since: 990}, nil},
		"with others on its node":  {&pod{phase: ready, node: shared}, &pod{phase: ready, node: other, since: 990}, []*pod{{phase: ready, node: shared}}},
		"ready for a shorter time": {&pod{phase: ready, node: shared, since: 900}, &pod{phase: ready, node: other, since: 100}, nil},
		"created later":            {&pod{phase: starting, node: shared, created: 990}, &pod{phase: starting, node: other, created: 900}, nil},
		"of the same magnitude of age, by chance": {
			&pod{phase: ready, node: shared, since: 100, uid: 0.1}, &pod{phase: ready, node: other, since: 110, uid: 0.2}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pods := range [][]*pod{{test.first, test.second}, {test.second, test.first}} {
				pods = append(pods, test.rest...)
				pods = append(pods, &pod{phase: ready, node: third})
				sortForRemoval(1000, pods)
				at := map[*pod]int{}
				for i, p := range pods {
					at[p] = i
				}
				assert.Less(t, at[test.first], at[test.second])
			}
		})
	}
}
