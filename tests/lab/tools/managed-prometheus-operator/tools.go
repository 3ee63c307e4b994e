//go:build tools

// Package tools pins the upstream programs that the lab builds from this module.
package tools

import (
	_ "github.com/GoogleCloudPlatform/prometheus-engine/cmd/operator"
)
