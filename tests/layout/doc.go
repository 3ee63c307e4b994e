// Package layout holds the tests of the repository's structure: which folder may import which, and how long a
// file may be. docs/architecture.md describes the layout that they enforce.
package layout
