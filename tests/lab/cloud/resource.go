package cloud

import (
	"context"
	"slices"
	"time"
)

// Resource is something in a cloud.
type Resource struct {
	// Token is its Pulumi type, ID the cloud's name of it.
	Token, ID string
	// Inputs are what was asked for.
	Inputs map[string]any
	// Outputs are the inputs and what the cloud added.
	Outputs map[string]any
	// Region or location; "" for global ones.
	Region string
	// URN of the Pulumi resource that it was made for; "" for what was made otherwise. No cloud knows it: it stands for
	// the names and tags by which people would find the resource.
	URN string
	// busy says that an operation on it is under way.
	busy bool
}

func (r *Resource) String() string { return r.Token + " " + r.ID }

// Resources are what is in the clouds, oldest first.
func (c *Cloud) Resources() []Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Resource, len(c.resources))
	for i, r := range c.resources {
		all[i] = *r
	}
	return all
}

// Settled waits until the clouds have done what they were asked for and returns what is in them then.
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

// Find is the resource of a type whose property has a value, such as its name; nil for none.
func (c *Cloud) Find(token, property, value string) *Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.find(token, property, value); r != nil {
		found := *r
		return &found
	}
	return nil
}

// find is the resource of a type with an output; "" means its id. The caller has the lock.
func (c *Cloud) find(token, property, value string) *Resource {
	for _, r := range c.resources {
		if r.Token == token && named(r, property) == value {
			return r
		}
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

// all are the resources of a type that satisfy a condition.
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
