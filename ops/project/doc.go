// Package project finds the Pulumi project of the working folder.
package project
