// Package engine runs the program in the real Pulumi engine, in this process, with doubles of the Kubernetes provider and of
// the clouds' providers.
//
// Its tests check what is planned, what changes and in which order, and what the state contains. Everything that the tests
// know about a cloud is a row of the table in clouddoubles_test.go.
package engine
