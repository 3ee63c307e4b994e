package cloud

import (
	"context"
	"slices"
	"time"
)

// Resource is something in a cloud.
type Resource struct {
	// Token is its Pulumi type, ID its name in the cloud.
	Token, ID string
	// Inputs are the requested properties.
	Inputs map[string]any
	// Outputs are the inputs and the properties that the cloud added.
	Outputs map[string]any
	// Region is its region or location; "" for a global resource.
	Region string
	// URN is that of its Pulumi resource; "" if it was created otherwise. No cloud stores it: it stands for the names and
	// tags by which people would find the resource.
	URN string
	// busy reports whether an operation on it is in progress, ending whether that is its deletion.
	busy, ending bool
}

func (r *Resource) String() string { return r.Token + " " + r.ID }

// Resources returns the resources of all clouds, oldest first.
func (c *Cloud) Resources() []Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Resource, len(c.resources))
	for i, r := range c.resources {
		all[i] = *r
	}
	return all
}

// Settled waits until no operation is in progress and returns the resources of all clouds.
func (c *Cloud) Settled(ctx context.Context) []Resource {
	for {
		c.mu.Lock()
		busy := slices.ContainsFunc(c.resources, func(r *Resource) bool { return r.busy })
		c.mu.Unlock()
		if !busy || ctx.Err() != nil {
			return c.Resources()
		}
		c.pause(20 * time.Millisecond)
	}
}

// Find returns the resource of a type whose property has a value, such as its name; nil for none.
func (c *Cloud) Find(token, property, value string) *Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.find(token, property, value); r != nil {
		found := *r
		return &found
	}
	return nil
}

// find returns the resource of a type whose output has a value, nil for none; the property "" is the id. The caller holds the lock.
func (c *Cloud) find(token, property, value string) *Resource {
	for _, r := range c.resources {
		if r.Token == token && named(r, property) == value {
			return r
		}
	}
	return nil
}

// imported returns the resource that is imported by an id, nil for none. It is called with the lock held.
func (c *Cloud) imported(k *kind, id string) *Resource {
	for _, r := range c.all(k.token, func(r *Resource) bool { return k.importID(r) == id }) {
		return r
	}
	return nil
}

func (c *Cloud) findBy(token string, by []string, value string) *Resource {
	for _, property := range by {
		if r := c.find(token, property, value); r != nil {
			return r
		}
	}
	return nil
}

// all returns the resources of a type that satisfy a condition. The caller holds the lock.
func (c *Cloud) all(token string, condition func(*Resource) bool) []*Resource {
	var found []*Resource
	for _, r := range c.resources {
		if r.Token == token && condition(r) {
			found = append(found, r)
		}
	}
	return found
}

func named(r *Resource, property string) string {
	if property == "" || property == "id" {
		return r.ID
	}
	return object(r.Outputs).text(property)
}
