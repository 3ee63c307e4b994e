// Package compare runs a deployment and constant numbers of replicas against one load, and shows what each met and cost, as a
// table and as a document.
package compare
