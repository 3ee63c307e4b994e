package engine

import (
	"maps"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/cost"
	"vllm-autoscaling/ops/policy"
	"vllm-autoscaling/ops/preview/plan"
)

// resources returns the resources of the state in the form of a preview, for the rules and the prices.
func (s *stack) resources() []plan.Resource {
	var all []plan.Resource
	for _, r := range s.state.Resources {
		all = append(all, plan.Resource{
			URN: string(r.URN), Type: string(r.Type), Name: r.URN.Name(), Inputs: plain(r.Inputs), Protected: r.Protect,
		})
	}
	return all
}

// plain returns inputs in the form of a preview: strings, numbers, lists and objects.
func plain(inputs resource.PropertyMap) map[string]any {
	return inputs.MapRepl(nil, func(value resource.PropertyValue) (any, bool) {
		if value.IsSecret() {
			return "[secret]", true
		}
		return nil, false
	})
}

// TestThePolicyIsKeptByWhatTheProgramMakes checks that the program's resources keep every rule of the policy and that every
// machine has a price. The recordings of package preview, on which the rules are tested with the CLI's output, are updated
// by hand and may be older.
func TestThePolicyIsKeptByWhatTheProgramMakes(t *testing.T) {
	check := func(t *testing.T, s *stack) {
		s.up()
		resources := s.resources()
		assert.Empty(t, policy.Check(resources, policy.Settings{}).Violations)
		estimate := cost.Of(resources, nil)
		assert.True(t, estimate.Known(), "no price: %v", estimate.Unknown)
		assert.Equal(t, s.name == "local", estimate.Empty())
	}
	eachCloud(t, func(t *testing.T, cloud string) {
		check(t, newCloudStack(t, cloud, nil).stack)

		production := newCloudStack(t, cloud, map[string]any{"cluster.deletionProtection": true, "production": true})
		production.up()
		result := policy.Check(production.resources(), policy.Settings{Production: true})
		assert.Zero(t, result.Mandatory(), "%+v", result.Violations)

		// The same check finds violations where there are some.
		open := newCloudStack(t, cloud, map[string]any{"cluster.apiAccessCidrs": []any{"0.0.0.0/0"}})
		open.up()
		violations := policy.Check(open.resources(), policy.Settings{Production: true}).Violations
		rules := map[string]bool{}
		for _, v := range violations {
			rules[v.Rule] = true
		}
		want := map[string]bool{"api-server-not-open": true, "deletion-protection": true}
		for rule := range want {
			require.True(t, rules[rule], "%s: %+v", rule, violations)
		}
		maps.DeleteFunc(rules, func(rule string, _ bool) bool { return want[rule] || doubleOf(t, cloud).allowed[rule] })
		assert.Empty(t, rules, "%+v", violations)
	})
	t.Run("gke, metrics by Google", func(t *testing.T) { check(t, newCloudStack(t, "gke", map[string]any{"metrics": managed}).stack) })
	for name, keys := range map[string]map[string]any{
		"local, simulated": {}, "local, nvidia": {"gpu.mode": "nvidia", "huggingFaceToken": secret("hf_token")},
	} {
		t.Run(name, func(t *testing.T) { check(t, newStack(t, "local", keys)) })
	}
}
