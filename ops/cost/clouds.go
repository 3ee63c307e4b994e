package cost

import "vllm-autoscaling/ops/preview/plan"

// readers is the table of clouds whose resources have prices here. Each returns the costs of a resource of its cloud,
// and none of any other resource.
var readers = []func(plan.Resource, Overrides) []Item{gkeItems, eksItems, aksItems}
