package cloud

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Make creates a resource outside of Pulumi, such as one that a stack is to find. The inputs are those of the Pulumi type.
func (c *Cloud) Make(token string, settings Settings, inputs map[string]any) (*Resource, error) {
	k, ok := c.kinds[token]
	if !ok {
		return nil, fmt.Errorf("cloud: no resource type %q", token)
	}
	if problems := k.check(inputs); len(problems) > 0 {
		return nil, fmt.Errorf("cloud: %s: %s", token, problems[0].Reason)
	}
	return c.create(k, settings, inputs, "")
}

// Remove deletes a resource outside of Pulumi.
func (c *Cloud) Remove(token, id string) error {
	if token == Disk {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.deleteDisks(func(disk *Resource) bool { return disk.ID == id })
		return nil
	}
	k, ok := c.kinds[token]
	if !ok {
		return fmt.Errorf("cloud: no resource type %q", token)
	}
	return c.remove(k, id)
}

// create creates a resource. It takes no context, because a cloud completes an operation also when its caller ends.
func (c *Cloud) create(k *kind, s Settings, inputs map[string]any, urn string) (*Resource, error) {
	r := &Resource{Token: k.token, Inputs: inputs, Outputs: maps.Clone(inputs), URN: urn, busy: true}
	if err := c.enter(k, r, s); err != nil {
		return nil, err
	}
	var err error
	if k.slow {
		c.pause(c.options.OperationTime)
	}
	if k.settle != nil {
		err = k.settle(c.ctx, c, r)
	}
	c.mu.Lock()
	r.busy = false
	c.mu.Unlock()
	if err != nil {
		return r, err
	}
	fmt.Fprintf(c.options.Log, "cloud: created %s\n", r)
	return r, nil
}

// enter validates a new resource and adds it to the cloud.
func (c *Cloud) enter(k *kind, r *Resource, s Settings) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return errors.New("the cloud has ended")
	}
	c.operations++
	for _, ref := range k.references {
		for _, value := range object(r.Inputs).texts(ref.path) {
			if (ref.besides == nil || !ref.besides(value)) && c.findBy(ref.token, ref.by, value) == nil {
				return fmt.Errorf("%s: %s %q not found", k.token, ref.path, value)
			}
		}
	}
	if err := k.create(c, r, s); err != nil {
		return err
	}
	if c.find(k.token, "", r.ID) != nil {
		return fmt.Errorf("%s %s already exists", k.token, r.ID)
	}
	c.resources = append(c.resources, r)
	return nil
}

// change updates a resource in place.
func (c *Cloud) change(k *kind, id string, inputs map[string]any) (*Resource, error) {
	c.mu.Lock()
	c.operations++
	r := c.find(k.token, "", id)
	if r == nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("%s %s not found", k.token, id)
	}
	old := object(r.Inputs)
	for _, path := range k.fixed {
		if !equal(old.at(path), object(inputs).at(path)) {
			c.mu.Unlock()
			return nil, fmt.Errorf("code=%q message=\"Changing property '%s' is not allowed.\"", "PropertyChangeNotAllowed", path)
		}
	}
	before := *r
	computed := maps.Clone(r.Outputs)
	for key := range r.Inputs {
		if !slices.Contains(k.computed, key) {
			delete(computed, key)
		}
	}
	maps.Copy(computed, inputs)
	r.Inputs, r.Outputs = inputs, computed
	if k.update != nil {
		if err := k.update(c, r, old); err != nil {
			r.Inputs, r.Outputs = before.Inputs, before.Outputs
			c.mu.Unlock()
			return nil, err
		}
	}
	c.mu.Unlock()
	if k.slow {
		c.pause(c.options.OperationTime)
	}
	fmt.Fprintf(c.options.Log, "cloud: changed %s\n", r)
	return r, nil
}

// remove deletes a resource and what follows it. A missing one is no error, as with the real providers.
func (c *Cloud) remove(k *kind, id string) error {
	c.mu.Lock()
	c.operations++
	r := c.find(k.token, "", id)
	if r == nil {
		c.mu.Unlock()
		return nil
	}
	err := c.refuse(k, r)
	r.ending = err == nil
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("deleting %s: %w", r, err)
	}
	if k.slow {
		c.pause(c.options.OperationTime)
	}
	for _, follower := range c.followers(r) {
		if err := c.remove(c.kinds[follower.Token], follower.ID); err != nil {
			return err
		}
	}
	if k.vanish != nil {
		if err := k.vanish(c.ctx, c, r); err != nil {
			return fmt.Errorf("deleting %s: %w", r, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resources = slices.DeleteFunc(c.resources, func(other *Resource) bool { return other == r })
	fmt.Fprintf(c.options.Log, "cloud: deleted %s\n", r)
	return nil
}

// refuse returns why a resource cannot be deleted now, nil if it can be.
func (c *Cloud) refuse(k *kind, r *Resource) error {
	if r.busy {
		return fmt.Errorf("an operation on it is under way: try again later")
	}
	if k.refuseDelete != nil {
		if err := k.refuseDelete(c, r); err != nil {
			return err
		}
	}
	for _, other := range c.resources {
		if ref := c.refersTo(other, r); ref != nil && ref.then == blocks {
			return fmt.Errorf("it is in use by %s (%s)", other, ref.path)
		}
	}
	return nil
}

// ends reports whether a resource is being deleted, or another one that it goes with. The caller holds the lock.
func (c *Cloud) ends(r *Resource) bool {
	return r.ending || slices.ContainsFunc(c.resources, func(other *Resource) bool {
		ref := c.refersTo(r, other)
		return other.ending && ref != nil && ref.then == follows
	})
}

// followers returns the resources that are deleted with one.
func (c *Cloud) followers(r *Resource) []*Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*Resource
	for _, other := range c.resources {
		if ref := c.refersTo(other, r); ref != nil && ref.then == follows {
			found = append(found, other)
		}
	}
	return found
}

// refersTo returns the strongest reference from one resource to another, nil for none.
func (c *Cloud) refersTo(from, to *Resource) *reference {
	var strongest *reference
	k := c.kinds[from.Token]
	if k == nil {
		return nil // a disk
	}
	for i, ref := range k.references {
		if ref.token != to.Token || from == to {
			continue
		}
		for _, value := range object(from.Inputs).texts(ref.path) {
			if slices.ContainsFunc(ref.by, func(by string) bool { return named(to, by) == value }) &&
				(strongest == nil || ref.then < strongest.then) {
				strongest = &k.references[i]
			}
		}
	}
	return strongest
}
