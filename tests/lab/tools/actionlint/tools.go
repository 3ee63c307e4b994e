//go:build tools

// Package tools pins actionlint, apart from the tests' own module: both want another version of the same
// YAML library.
package tools

import (
	_ "github.com/rhysd/actionlint/cmd/actionlint"
)
