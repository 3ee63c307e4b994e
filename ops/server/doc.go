// Package server chooses the server of a stack that a command is for.
package server
