package cloud

import (
	"context"
	"fmt"
	"strings"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// Settings are the provider's configuration that a resource is created with.
type Settings map[string]string

// kind is a type of resource and the rules of its cloud.
type kind struct {
	token  string
	schema *schema.Type
	// needs are inputs that the schema cannot mark as required.
	needs []string
	// name is the input that is made up when it is missing; "" for none.
	name string
	// replace are the inputs, with all below them, that cannot be changed in place.
	replace []string
	// fixed are the inputs that the cloud refuses to change although its provider tries.
	fixed []string
	// drifts are inputs that the server fills in and that this version of the provider reports as a difference.
	drifts []string
	// computed are outputs beside the inputs, volatile those of them that an update changes.
	computed, volatile []string
	// validate finds what is wrong with the values as far as the provider can see.
	validate func(in object) []string
	// references are the inputs that name other resources.
	references []reference
	// create works out id and outputs, or refuses. It is called with the lock.
	create func(c *Cloud, r *Resource, s Settings) error
	// settle makes it happen outside the lock; nil for nothing.
	settle func(ctx context.Context, c *Cloud, r *Resource) error
	// update refuses or takes over the new inputs into the outputs. It is called with the lock.
	update func(c *Cloud, r *Resource, old object) error
	// refuseDelete says why it cannot be deleted now. It is called with the lock.
	refuseDelete func(c *Cloud, r *Resource) error
	// vanish ends what settle made, outside the lock.
	vanish func(ctx context.Context, c *Cloud, r *Resource) error
	// slow says that the cloud takes OperationTime for it.
	slow bool
}

// reference is an input that names another resource.
type reference struct {
	// path of the input; a list is followed into its elements.
	path string
	// token and by are the type referred to and the outputs that it is named by.
	token string
	by    []string
	// besides says which values name something else, with rules in create; nil for none.
	besides func(value string) bool
	// then is what becomes of the resource when the one that it refers to is deleted.
	then deletion
}

type deletion int

const (
	// blocks: what is referred to cannot be deleted.
	blocks deletion = iota
	// follows: it is deleted with what it refers to.
	follows
	// stays: it stays, and does not work any more.
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
