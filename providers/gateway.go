package providers

import "slices"

// DataPlane is what carries the requests of a Gateway to the pods.
type DataPlane string

// The data planes.
const (
	// GatewayPods are proxies in the cluster, such as those of Istio, Envoy Gateway or AKS' application routing.
	GatewayPods DataPlane = "pods"
	// GoogleLoadBalancer is an Application Load Balancer of GKE's Gateway controller.
	GoogleLoadBalancer DataPlane = "google-load-balancer"
	// AWSLoadBalancer is an Application Load Balancer of the AWS Load Balancer Controller.
	AWSLoadBalancer DataPlane = "aws-load-balancer"
)

// Gateways describes the Gateways (Gateway API) of a cloud. The zero value is a cloud of which nothing is known.
type Gateways struct {
	// Class is the GatewayClass of a Gateway on the internet, InternalClass that of one in the cloud's network; "" where there
	// is no usual one.
	Class, InternalClass string
	// InternalAnnotations keep the load balancer of a Gateway in the cloud's network, where its class does not.
	InternalAnnotations map[string]string
	// DataPlane is the data plane of these classes; "" means GatewayPods.
	DataPlane DataPlane
	// Sources returns the networks from which a load balancer of a class reaches the pods. Unknown describes what cannot be
	// known from the request; "" for nothing. Nil where the data plane is in the cluster.
	Sources func(r *Request, class string) (cidrs []string, unknown string)
}

// besideGateway are the classes whose controllers start the proxies in the namespace of the Gateway.
var besideGateway = []string{"approuting-istio", "istio"}

// ProxiesBesideGateway reports whether the proxies of a GatewayClass are known to run in the namespace of the Gateway.
func ProxiesBesideGateway(class string) bool { return slices.Contains(besideGateway, class) }
