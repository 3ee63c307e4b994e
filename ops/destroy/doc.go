// Package destroy runs `pulumi destroy` on a stack, and names what keeps Kubernetes from deleting the stack's namespaces: an
// APIService of somebody else that does not answer. Everything else of the stack is destroyed all the same.
package destroy
