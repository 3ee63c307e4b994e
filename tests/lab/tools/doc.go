// Package tools builds the upstream programs that the lab runs, and keeps them in the user's cache folder.
//
// Module upstream pins the programs and everything that they import by version and checksum, in one list of versions, so
// that a package which several programs share is compiled once. A program that does not build with that list has a
// module of its own, with the same versions wherever it can. The go.mod files of the Pulumi program, of ops and of the
// tests keep to these versions as well: see TestVersionsAgree.
package tools
