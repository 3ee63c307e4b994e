//go:build tools

// Package tools pins the Gateway API data plane that the lab builds from this module. go.mod and go.sum have what the edited
// program needs (traefikEdits): go mod tidy with the module of the release would add the SDKs of a hundred DNS services.
package tools

import (
	_ "github.com/traefik/traefik/v3/cmd/traefik"
)
