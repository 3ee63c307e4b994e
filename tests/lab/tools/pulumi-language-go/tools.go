//go:build tools

// Package tools pins the upstream programs that the lab builds from this module.
package tools

import (
	_ "github.com/pulumi/pulumi/sdk/v3/go/pulumi-language-go"
)
