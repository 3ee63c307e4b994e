//go:build !linux

package process

// listeners returns nothing: there is no portable list.
func listeners() ([]Listener, error) { return nil, nil }
