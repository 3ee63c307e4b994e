package main

import (
	"context"
	"errors"
	"fmt"

	"vllm-autoscaling/ops/gateway"
)

// via is the way to the servers of a stack.
type via string

// The ways.
const (
	// viaPods is a port-forward to each pod.
	viaPods via = "pods"
	// viaGateway is the Gateway of the stack.
	viaGateway via = "gateway"
)

// MarshalText implements encoding.TextMarshaler.
func (v via) MarshalText() ([]byte, error) { return []byte(v), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It accepts the names of the constants.
func (v *via) UnmarshalText(text []byte) error {
	switch way := via(text); way {
	case viaPods, viaGateway:
		*v = way
		return nil
	}
	return fmt.Errorf("%q is not %s or %s", text, viaPods, viaGateway)
}

// findGateway finds the address of the stack's Gateway, and returns the way in words.
func (t *target) findGateway(ctx context.Context) (string, error) {
	g := t.access.Pipeline.Gateway
	if g == nil {
		return "", errors.New("the server is not exposed: set expose.hostname (docs/expose.md), or leave -via out")
	}
	object, err := gateway.Get(ctx, t.client, *g)
	if err != nil {
		return "", fmt.Errorf("the Gateway %s/%s: %w", g.Namespace, g.Name, err)
	}
	address, err := gateway.Address(object, g.URL)
	if err != nil {
		return "", fmt.Errorf("%w yet: make verify tells why", err)
	}
	t.transport = gateway.Transport(address, t.maxInFlight)
	return fmt.Sprintf("through Gateway %s/%s, %s at %s", g.Namespace, g.Name, g.URL, address), nil
}
