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

// spareNodesOf returns the name of the Deployment of the spare nodes of a server; "" for none.
func spareNodesOf(s *server) string {
	if s.config.Autoscaling.SpareNodes == 0 {
		return ""
	}
	return components.SpareNodesName(s.name())
}

// spareNodes returns the names of the Deployments of the spare nodes of all servers.
func (d *deployment) spareNodes() []string {
	var names []string
	for _, s := range d.servers {
		if name := spareNodesOf(s); name != "" {
			names = append(names, name)
		}
	}
	return names
}
