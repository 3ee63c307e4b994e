package stacks

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
	"vllm-autoscaling/stacks/outputs"
)

// registerExpose registers the way in to a server for clients outside the cluster, where its configuration has one.
func (d *deployment) registerExpose(s *server) error {
	if !s.config.Exposed() {
		return nil
	}
	_, err := components.NewExpose(d.ctx, components.ServerResource("expose", s.name()), exposeArgs(s.config, s.name(), s.vllm.Service), d.inCluster)
	return err
}

// exposeArgs returns the way in to a server, whose Service has the server's name.
func exposeArgs(c *config.Config, server string, service pulumi.Resource) *components.ExposeArgs {
	e := c.Expose
	args := &components.ExposeArgs{
		Server: server, Namespace: c.Namespaces.Serving, Service: server, Port: c.VLLM.Port,
		Hostname: e.Hostname, DataPlane: providers.DataPlane(e.DataPlane),
		Timeout: e.Timeout, Drain: components.DrainTime(c.VLLM.PreStop, c.VLLM.ShutdownTimeout),
		DependsOn: []pulumi.Resource{service},
	}
	if e.Gateway.Name != "" {
		args.Gateway = &components.GatewayRef{Namespace: e.Gateway.Namespace, Name: e.Gateway.Name, SectionName: e.Gateway.SectionName}
		return args
	}
	args.Listener = components.Listener{
		Class: e.GatewayClass, Port: e.Port, TLS: e.Protocol == config.ProtocolHTTPS,
		CertificateSecret: e.TLS.Secret, Certificate: e.TLS.Certificate, CertificateMap: e.TLS.CertificateMap,
		Internal: e.Internal, InfrastructureAnnotations: c.InternalGatewayAnnotations(), Annotations: e.Annotations,
	}
	return args
}

// gatewayOutput describes the way in to a server; nil where there is none.
func gatewayOutput(c *config.Config, server string) *outputs.Gateway {
	if !c.Exposed() {
		return nil
	}
	e := c.Expose
	gateway := &outputs.Gateway{
		URL: c.GatewayURL(), Namespace: c.Namespaces.Serving, Name: server, Class: e.GatewayClass, Route: server,
		DataPlane: e.DataPlane, Internal: e.Internal, Auth: e.Auth,
	}
	if e.Gateway.Name != "" {
		gateway.Namespace, gateway.Name = e.Gateway.Namespace, e.Gateway.Name
	}
	return gateway
}
