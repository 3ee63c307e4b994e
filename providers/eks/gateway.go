package eks

import "vllm-autoscaling/providers"

// gateways are those of the AWS Load Balancer Controller, whose GatewayClass its owner creates and names
// (https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/gateway/l7gateway/).
var gateways = providers.Gateways{
	Class:         "aws-alb",
	InternalClass: "aws-alb",
	DataPlane:     providers.AWSLoadBalancer,
	Sources:       gatewaySources,
}

// gatewaySources returns the networks from which a load balancer reaches pods: those of its subnets.
func gatewaySources(r *providers.Request, _ string) (cidrs []string, unknown string) {
	a := argsOf(r)
	if !a.createsVPC() {
		return nil, "the subnets of the load balancer"
	}
	return []string{a.withDefaults().VPCCIDR}, ""
}
