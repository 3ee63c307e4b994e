package cloud

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// gcpIAMKinds lists the simulated resource types of IAM.
func gcpIAMKinds() []*kind {
	return []*kind{gcpServiceAccountKind(), gcpIAMMemberKind()}
}

func gcpServiceAccountKind() *kind {
	return &kind{
		token: gcpAccount, replace: []string{"accountId", "project"}, computed: []string{"email", "member", "name", "uniqueId"},
		validate: func(in object) []string {
			if id := in.text("accountId"); in.has("accountId") && !regexp.MustCompile(`^[a-z]([-a-z0-9]{4,28}[a-z0-9])$`).MatchString(id) {
				return []string{fmt.Sprintf("accountId %q must be 6 to 30 lower-case letters, digits and dashes, a letter first", id)}
			}
			return nil
		},
		create: func(_ *Cloud, r *Resource, s Settings) error {
			in := object(r.Inputs)
			project := orElse(in.text("project"), s["project"])
			email := fmt.Sprintf("%s@%s.iam.gserviceaccount.com", in.text("accountId"), project)
			r.ID = fmt.Sprintf("projects/%s/serviceAccounts/%s", project, email)
			r.Outputs["project"], r.Outputs["email"], r.Outputs["member"], r.Outputs["name"] = project, email, "serviceAccount:"+email, r.ID
			return nil
		},
	}
}

func gcpIAMMemberKind() *kind {
	return &kind{
		token: gcpIAMMember, replace: []string{"project", "role", "member", "condition"}, computed: []string{"etag"},
		references: []reference{{path: "member", token: gcpAccount, by: []string{"member"}, then: stays, besides: func(member string) bool {
			return strings.HasPrefix(member, "principal://")
		}}},
		validate: func(in object) []string {
			if role := in.text("role"); in.has("role") && !strings.HasPrefix(role, "roles/") && !strings.Contains(role, "/roles/") {
				return []string{fmt.Sprintf("role %q is not of the form roles/NAME", role)}
			}
			return nil
		},
		importID: func(r *Resource) string {
			return strings.Join([]string{named(r, "project"), named(r, "role"), named(r, "member")}, " ")
		},
		create: func(c *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			if err := c.knowsPrincipal(in.text("member")); err != nil {
				return err
			}
			r.ID = fmt.Sprintf("%s/%s/%s", in.text("project"), in.text("role"), in.text("member"))
			return nil
		},
	}
}

// granted reports whether a member has a role in a project.
func (c *Cloud) granted(project, role, member string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.resources, func(r *Resource) bool {
		in := object(r.Inputs)
		return r.Token == gcpIAMMember && in.text("project") == project && in.text("role") == role && in.text("member") == member
	})
}
