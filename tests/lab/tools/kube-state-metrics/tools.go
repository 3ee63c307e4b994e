//go:build tools

// Package tools pins the upstream programs that the lab builds from this module.
package tools

import (
	_ "k8s.io/kube-state-metrics/v2"
)
