package main

import (
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/deployment"
	"vllm-autoscaling/ops/simulate/search"
	"vllm-autoscaling/stacks/config"
)

// stack is the configuration of a stack, and what is tried instead of it.
type stack struct {
	options *options
	// source is that of the stack's file with the assignments of -set, configured the configuration of the server that it gives.
	source     config.Source
	configured *config.Config
	// clients are the users of a closed loop, nil for a load whose arrivals are known.
	clients *simulate.Clients
}

func readStack(o *options) (*stack, error) {
	root, err := project.Root()
	if err != nil {
		return nil, err
	}
	s := &stack{options: o}
	if s.source, err = project.StackSource(root, o.stack); err != nil {
		return nil, err
	}
	if s.source, err = project.With(s.source, o.set); err != nil {
		return nil, fmt.Errorf("-set %w", err)
	}
	whole, err := config.Read(s.source)
	if err != nil {
		return nil, err
	}
	if s.configured, err = project.Server(whole, o.server); err != nil {
		return nil, fmt.Errorf("stack %s: %w", o.stack, err)
	}
	return s, nil
}

// read returns the configuration of the server with further assignments.
func (s *stack) read(assignments []string) (*config.Config, error) {
	source, err := project.With(s.source, s.placed(assignments))
	if err != nil {
		return nil, err
	}
	whole, err := config.Read(source)
	if err != nil {
		return nil, err
	}
	return project.Server(whole, s.configured.Server)
}

// placed returns assignments of the server's keys as they are in the stack's file.
func (s *stack) placed(assignments []string) []string {
	placed := make([]string, len(assignments))
	for i, assignment := range assignments {
		key, value, _ := strings.Cut(assignment, "=")
		placed[i] = s.configured.ServerKey(key) + "=" + value
	}
	return placed
}

// alone returns what the simulation of one of several servers leaves out; "" for a stack of one.
func (s *stack) alone() string {
	c := s.configured
	switch {
	case !c.OneOfSeveral():
		return ""
	case c.ReplicasPerNode() == 0:
		return fmt.Sprintf("Only server %s is simulated: other servers take none of the cluster's GPUs.", c.Server)
	case !c.SharesPool():
		return fmt.Sprintf("Only server %s is simulated, on its pool %s.", c.Server, c.GPUPoolKey())
	}
	return fmt.Sprintf("Only server %s is simulated, alone on pool %s: the replicas of other servers take none of its nodes, and its own take whole ones.",
		c.Server, c.GPUPoolKey())
}

// decode returns the deployment with further assignments.
func (s *stack) decode(assignments []string) (search.Decoded, error) {
	c, err := s.read(assignments)
	if err != nil {
		return search.Decoded{}, err
	}
	settings, err := deployment.Of(c, s.options.deployment)
	if err != nil {
		return search.Decoded{}, err
	}
	settings.Clients = s.clients
	settings.Objective, settings.Seed, settings.Routing = s.options.objective.Or(objectiveOf(s.configured)).Limits(), s.options.seed, s.options.routing
	return search.Decoded{Settings: settings, Values: search.ValuesOf(c)}, nil
}

// assignments returns what turns the stack's file into the configuration of further assignments: those of -set that they do not
// replace, and as few of them as are needed.
func (s *stack) assignments(further []string) []string {
	further = s.placed(search.Minimal(s.decode, further))
	keys := map[string]bool{}
	for _, assignment := range further {
		key, _, _ := strings.Cut(assignment, "=")
		keys[key] = true
	}
	all := slices.DeleteFunc(slices.Clone(s.options.set), func(assignment string) bool {
		key, _, _ := strings.Cut(assignment, "=")
		return keys[key]
	})
	return append(all, further...)
}

// notes returns what a recommended configuration changes besides.
func (s *stack) notes(further []string) []string {
	c, err := s.read(further)
	if err != nil || !s.configured.Update().Surge || c.Update().Surge {
		return nil
	}
	return []string{fmt.Sprintf("With autoscaling.maxReplicas %d the GPU pool has no room for an update's additional replica: an update stops a replica "+
		"before it starts the next one. One more node in %s.maxNodes keeps all replicas.", c.Autoscaling.MaxReplicas, c.GPUPoolKey())}
}
