package plan

import (
	"regexp"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Conflict is an object in the cluster of which another field manager owns fields that the program declares otherwise: the
// API server refuses the preview's dry run of the update.
type Conflict struct {
	// Type and Name are the resource's in the program; Object is "namespace/name" in the cluster, or its name.
	Type, Name, Object string
	// Manager is the other field manager, such as kubectl-edit; Fields are the paths that it owns.
	Manager string
	Fields  []string
}

var (
	applyConflict = regexp.MustCompile(`Apply failed with \d+ conflicts?: `)
	// conflictOf matches the line of one field manager: its fields follow, one on the same line or each on a line of its own.
	conflictOf = regexp.MustCompile(`conflicts? with "([^"]+)"(?: with subresource "[^"]*")?(?: using \S+?)?(?: at \S+Z)?:`)
)

// conflictsIn returns what the API server's message about one resource names; nil if it is about something else.
func conflictsIn(urn resource.URN, message string) []Conflict {
	start := applyConflict.FindStringIndex(message)
	if start == nil {
		return nil
	}
	rest := message[start[1]:]
	var all []Conflict
	managers := conflictOf.FindAllStringSubmatchIndex(rest, -1)
	for i, at := range managers {
		end := len(rest)
		if i+1 < len(managers) {
			end = managers[i+1][0]
		}
		c := Conflict{Type: string(urn.Type()), Name: urn.Name(), Object: urn.Name(), Manager: rest[at[2]:at[3]]}
		for line := range strings.Lines(rest[at[1]:end]) {
			if field := strings.TrimPrefix(strings.TrimSpace(line), "- "); strings.HasPrefix(field, ".") {
				c.Fields = append(c.Fields, field)
			}
		}
		all = append(all, c)
	}
	return all
}

// nameObjects fills in the names of the conflicts' objects, from the steps.
func (p *Plan) nameObjects() {
	for i := range p.Conflicts {
		c := &p.Conflicts[i]
		for _, s := range p.Steps {
			if s.Type != c.Type || s.Name != c.Name {
				continue
			}
			for _, r := range []*Resource{s.New, s.Old} {
				if r != nil && r.Text("metadata.name") != "" {
					c.Object = strings.TrimPrefix(r.Text("metadata.namespace")+"/"+r.Text("metadata.name"), "/")
				}
			}
		}
	}
}
