//go:build tools

// Package tools pins the upstream programs that the lab builds from this module.
package tools

import (
	_ "sigs.k8s.io/prometheus-adapter/cmd/adapter"
)
