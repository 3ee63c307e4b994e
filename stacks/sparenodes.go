package stacks

import (
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
)

// registerSpareNodes registers the spare nodes of a server. They depend on the server, so that its first replica gets the first node, and
// that they are gone before it when both are deleted.
func (d *deployment) registerSpareNodes(s *server) error {
	c := s.config
	if c.Autoscaling.SpareNodes == 0 {
		return nil
	}
	_, err := components.NewSpareNodes(d.ctx, components.ServerResource("spare-nodes", s.name()), &components.SpareNodesArgs{
		Server:       s.name(),
		Namespace:    c.Namespaces.Serving,
		Nodes:        c.Autoscaling.SpareNodes,
		GPUs:         c.SpareGPUs(),
		Image:        c.VLLM.Image,
		NodeSelector: c.VLLM.NodeSelector,
		GPU:          d.gpuScheduling(c),
		PodTemplate:  components.PodTemplate{Fields: c.VLLM.PodTemplate, Secret: c.VLLM.Secret()},
		DependsOn:    append(slices.Clone(d.gpus), pulumi.Resource(d.namespaces.ServingNamespace), s.vllm.Deployment),
	}, d.inCluster)
	return err
}
