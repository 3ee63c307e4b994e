// Package githubstub implements the part of GitHub's REST API that package codehost uses, on loopback and in memory:
// comments and issues of one repository, in pages, with GitHub's errors.
package githubstub
