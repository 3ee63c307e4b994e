package cloud

import (
	"context"
	"fmt"
	"strings"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// Settings are the configuration of the provider that creates a resource.
type Settings map[string]string

// kind is a type of resource and the rules of its cloud.
type kind struct {
	token  string
	schema *schema.Type
	// needs are inputs that the schema cannot mark as required.
	needs []string
	// name is the input that gets a random value when it is missing; "" for none.
	name string
	// replace are the inputs that cannot be changed in place, with everything below them.
	replace []string
	// fixed are the inputs that the provider tries to change in place and the cloud refuses to.
	fixed []string
	// drifts are inputs that the server fills in and that this version of the provider reports as a difference.
	drifts []string
	// kept are those of drifts that the provider can only undo by a replacement, and can change in place otherwise.
	kept []string
	// computed are the outputs beside the inputs, volatile those of them that an update changes.
	computed, volatile []string
	// validate lists the values that the provider refuses.
	validate func(in object) []string
	// references are the inputs that name other resources.
	references []reference
	// create sets the id and the outputs, or refuses. It is called with the lock held.
	create func(c *Cloud, r *Resource, s Settings) error
	// importID returns the id by which the provider imports a resource; nil when it is the resource's own.
	importID func(r *Resource) string
	// settle completes the creation without the lock; nil for nothing.
	settle func(ctx context.Context, c *Cloud, r *Resource) error
	// update applies the new inputs to the outputs, or refuses. It is called with the lock held.
	update func(c *Cloud, r *Resource, old object) error
	// observe sets the properties that change without an update, such as a pool's number of nodes, before they are read; nil
	// for none. It is called with the lock held.
	observe func(c *Cloud, r *Resource)
	// refuseDelete returns why it cannot be deleted now. It is called with the lock held.
	refuseDelete func(c *Cloud, r *Resource) error
	// vanish removes what settle created, without the lock.
	vanish func(ctx context.Context, c *Cloud, r *Resource) error
	// slow reports whether an operation takes Options.OperationTime.
	slow bool
}

// reference is an input that names another resource.
type reference struct {
	// path is that of the input; a list stands for its elements.
	path string
	// token is the type referred to, by are the outputs that the input can contain.
	token string
	by    []string
	// besides reports whether a value names something else, which create then checks; nil for none.
	besides func(value string) bool
	// then is what happens to the resource when the one that it refers to is deleted.
	then deletion
}

type deletion int

const (
	// blocks: the deletion is refused.
	blocks deletion = iota
	// follows: the resource is deleted as well.
	follows
	// stays: the resource stays, and no longer works.
	stays
)

// allKinds returns the types of the given clouds by token, with the schemas of their inputs.
func allKinds(clouds []*double) (map[string]*kind, error) {
	generated, err := schema.All()
	if err != nil {
		return nil, err
	}
	kinds := map[string]*kind{}
	for _, d := range clouds {
		for _, k := range d.kinds {
			if k.schema == nil {
				if k.schema = generated[k.token]; k.schema == nil {
					return nil, fmt.Errorf("no schema for %s: add it to schema/generate", k.token)
				}
			}
			kinds[k.token] = k
		}
	}
	return kinds, nil
}

// invoke is a function of a provider, a data source. It is called with the lock held.
type invoke func(c *Cloud, s Settings, args object) (object, error)

// packageOf returns the provider's package, with which a token begins.
func packageOf(token string) string {
	name, _, _ := strings.Cut(token, ":")
	return name
}
