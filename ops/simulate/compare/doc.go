// Package compare runs deployments against one load and shows what each met and cost, as a table and as a document.
package compare
