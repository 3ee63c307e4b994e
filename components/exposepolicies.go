package components

import (
	"fmt"
	"strconv"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// What GKE's Gateway controller reads beside the Gateway API
// (https://cloud.google.com/kubernetes-engine/docs/how-to/configure-gateway-resources).
const (
	googleGatewayAPIVersion     = "networking.gke.io/v1"
	googlePreSharedCertificates = "networking.gke.io/pre-shared-certs"
	googleCertificateMap        = "networking.gke.io/certmap"
)

// What the AWS Load Balancer Controller reads beside the Gateway API
// (https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/gateway/customization/).
const (
	awsGatewayGroup               = "gateway.k8s.aws"
	awsGatewayAPIVersion          = awsGatewayGroup + "/v1beta1"
	loadBalancerConfigurationKind = "LoadBalancerConfiguration"
)

// Period and timeout of the health checks of load balancers, in seconds. Readiness decides as well: a pod that is not ready is no
// endpoint of the Service.
const (
	healthCheckPeriod  = 10
	healthCheckTimeout = 5
)

// The fields used of GKE's GCPBackendPolicy and HealthCheckPolicy. Their Go module is not on the module proxy.
type (
	googlePolicyTarget struct {
		Group string `json:"group"`
		Kind  string `json:"kind"`
		Name  string `json:"name"`
	}
	googleBackendPolicy struct {
		TargetRef googlePolicyTarget `json:"targetRef"`
		Default   struct {
			TimeoutSec         int64 `json:"timeoutSec"`
			ConnectionDraining struct {
				DrainingTimeoutSec int64 `json:"drainingTimeoutSec"`
			} `json:"connectionDraining"`
		} `json:"default"`
	}
	googleHealthCheckPolicy struct {
		TargetRef googlePolicyTarget `json:"targetRef"`
		Default   struct {
			CheckIntervalSec int64 `json:"checkIntervalSec"`
			TimeoutSec       int64 `json:"timeoutSec"`
			Config           struct {
				Type            string `json:"type"`
				HTTPHealthCheck struct {
					PortSpecification string `json:"portSpecification"`
					RequestPath       string `json:"requestPath"`
				} `json:"httpHealthCheck"`
			} `json:"config"`
		} `json:"default"`
	}
)

// The fields used of the AWS Load Balancer Controller's objects. Its Go module is not on the module proxy.
type (
	awsAttribute struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	awsListener struct {
		ProtocolPort       string `json:"protocolPort"`
		DefaultCertificate string `json:"defaultCertificate,omitempty"`
	}
	awsLoadBalancer struct {
		Scheme                 string         `json:"scheme"`
		ListenerConfigurations []awsListener  `json:"listenerConfigurations"`
		LoadBalancerAttributes []awsAttribute `json:"loadBalancerAttributes"`
	}
	awsHealthCheck struct {
		HealthCheckPath     string `json:"healthCheckPath"`
		HealthCheckInterval int    `json:"healthCheckInterval"`
		HealthCheckTimeout  int    `json:"healthCheckTimeout"`
	}
	awsTargetGroup struct {
		TargetReference struct {
			Name string `json:"name"`
		} `json:"targetReference"`
		DefaultConfiguration struct {
			// TargetType ip sends requests to the pods themselves. A ClusterIP Service has no port on the nodes.
			TargetType            string         `json:"targetType"`
			HealthCheckConfig     awsHealthCheck `json:"healthCheckConfig"`
			TargetGroupAttributes []awsAttribute `json:"targetGroupAttributes"`
		} `json:"defaultConfiguration"`
	}
)

// newServicePolicies registers what the controller of a load balancer needs to know of the Service; nothing for proxies in the
// cluster.
func (a *ExposeArgs) newServicePolicies(ctx *pulumi.Context, c *Expose) ([]pulumi.Resource, error) {
	var policies []pulumi.Resource
	add := func(apiVersion, kind string, spec any) error {
		policy, err := newCustomObject(ctx, apiVersion, kind, a.Namespace, a.Server, spec, childOptions(c, a.DependsOn))
		policies = append(policies, policy)
		return err
	}
	switch a.DataPlane {
	case providers.GoogleLoadBalancer:
		if err := add(googleGatewayAPIVersion, "GCPBackendPolicy", a.googleBackendPolicy()); err != nil {
			return nil, err
		}
		if err := add(googleGatewayAPIVersion, "HealthCheckPolicy", a.googleHealthCheckPolicy()); err != nil {
			return nil, err
		}
	case providers.AWSLoadBalancer:
		if err := add(awsGatewayAPIVersion, "TargetGroupConfiguration", a.awsTargetGroup()); err != nil {
			return nil, err
		}
	}
	return policies, nil
}

// googleBackendPolicy replaces the load balancer's timeout of 30 s, which includes the streamed answer.
func (a *ExposeArgs) googleBackendPolicy() googleBackendPolicy {
	policy := googleBackendPolicy{TargetRef: googlePolicyTarget{Kind: "Service", Name: a.Service}}
	policy.Default.TimeoutSec = int64(a.Timeout.Seconds())
	policy.Default.ConnectionDraining.DrainingTimeoutSec = int64(a.Drain.Seconds())
	return policy
}

// googleHealthCheckPolicy replaces the health check of /, which the server does not have.
func (a *ExposeArgs) googleHealthCheckPolicy() googleHealthCheckPolicy {
	policy := googleHealthCheckPolicy{TargetRef: googlePolicyTarget{Kind: "Service", Name: a.Service}}
	policy.Default.CheckIntervalSec, policy.Default.TimeoutSec = healthCheckPeriod, healthCheckTimeout
	policy.Default.Config.Type = "HTTP"
	policy.Default.Config.HTTPHealthCheck.PortSpecification = "USE_SERVING_PORT"
	policy.Default.Config.HTTPHealthCheck.RequestPath = healthPath
	return policy
}

// awsTargetGroup returns the target group of the Service.
func (a *ExposeArgs) awsTargetGroup() awsTargetGroup {
	group := awsTargetGroup{}
	group.TargetReference.Name = a.Service
	group.DefaultConfiguration.TargetType = "ip"
	group.DefaultConfiguration.HealthCheckConfig = awsHealthCheck{
		HealthCheckPath: healthPath, HealthCheckInterval: healthCheckPeriod, HealthCheckTimeout: healthCheckTimeout,
	}
	group.DefaultConfiguration.TargetGroupAttributes = []awsAttribute{
		{Key: "deregistration_delay.timeout_seconds", Value: strconv.Itoa(int(a.Drain.Seconds()))},
	}
	return group
}

// loadBalancerConfiguration returns the configuration of the Gateway's load balancer, whose default idle timeout is a minute.
func (a *ExposeArgs) loadBalancerConfiguration() awsLoadBalancer {
	scheme, protocol := "internet-facing", "HTTP"
	if a.Listener.Internal {
		scheme = "internal"
	}
	if a.Listener.TLS {
		protocol = "HTTPS"
	}
	return awsLoadBalancer{
		Scheme: scheme,
		ListenerConfigurations: []awsListener{
			{ProtocolPort: fmt.Sprintf("%s:%d", protocol, a.Listener.Port), DefaultCertificate: a.Listener.Certificate},
		},
		LoadBalancerAttributes: []awsAttribute{{Key: "idle_timeout.timeout_seconds", Value: strconv.Itoa(int(a.Timeout.Seconds()))}},
	}
}
