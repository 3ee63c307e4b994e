package cloud

import (
	"fmt"
	"strings"
)

// azureAuthorizationKinds lists the simulated resource types of Azure authorization.
func azureAuthorizationKinds() []*kind {
	return []*kind{azureLockKind(), azureRoleAssignmentKind()}
}

func azureLockKind() *kind {
	return &kind{
		token: azureLock, name: "lockName", replace: []string{"scope", "lockName"}, computed: []string{"name", "type", "systemData"},
		references: []reference{{path: "scope", token: AKSCluster, by: []string{"id"}, then: stays}},
		create: func(_ *Cloud, r *Resource, _ Settings) error {
			in := object(r.Inputs)
			if level := in.text("level"); level != "CanNotDelete" && level != "ReadOnly" {
				return azureError("InvalidLockLevel", "level "+level+" is not CanNotDelete or ReadOnly")
			}
			r.ID = in.text("scope") + "/providers/Microsoft.Authorization/locks/" + in.text("lockName")
			r.Outputs["name"] = in.text("lockName")
			return nil
		},
	}
}

// azureLocked returns an error when a lock keeps an id from being deleted.
func (c *Cloud) azureLocked(id string) error {
	for _, lock := range c.all(azureLock, func(l *Resource) bool {
		scope := object(l.Inputs).text("scope")
		return id == scope || strings.HasPrefix(id, scope+"/")
	}) {
		return azureError("ScopeLocked", fmt.Sprintf("The scope '%s' cannot perform delete operation because following scope(s) are locked: '%s'", id, lock.ID))
	}
	return nil
}
