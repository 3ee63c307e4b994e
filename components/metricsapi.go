package components

import (
	"errors"
	"fmt"

	apiregistrationv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiregistration/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	// MetricsAPIName is the APIService of the custom metrics API. A cluster has one.
	MetricsAPIName = metricsAPIVersion + "." + metricsAPIGroup

	metricsAPIGroup   = "custom.metrics.k8s.io"
	metricsAPIVersion = "v1beta1"
	// metricsAPIPriority is what every adapter of this API uses; it only orders groups and versions in discovery.
	metricsAPIPriority = 100
	// metricsAPIServicePort is the port of an adapter's Service.
	metricsAPIServicePort = 443
)

// MetricsAPIArgs are the inputs of MetricsAPI.
type MetricsAPIArgs struct {
	// Namespace and Service of the adapter that answers. Required.
	Namespace, Service string
	// DependsOn lists what must exist first and go last: the adapter, and every namespace of the stack, because an
	// APIService that nobody answers for keeps all namespaces of a cluster from being deleted.
	DependsOn []pulumi.Resource
}

// MetricsAPI claims the custom metrics API for an adapter. It is one object of the program's, whichever adapter
// answers, so that another pipeline takes over by a change of one field: were it part of each adapter's release,
// the new one would be made while the old one still owns the name, and be deleted with the old one.
//
// Where somebody else's adapter has the API, the API server refuses the fields that differ as a conflict.
type MetricsAPI struct {
	pulumi.ResourceState

	// Name of the APIService.
	Name pulumi.StringOutput `pulumi:"name"`

	// APIService is for others to depend on.
	APIService *apiregistrationv1.APIService
}

// NewMetricsAPI registers the APIService.
func NewMetricsAPI(ctx *pulumi.Context, name string, args *MetricsAPIArgs, opts ...pulumi.ResourceOption) (*MetricsAPI, error) {
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("custom metrics API: %w", err)
	}
	c := &MetricsAPI{}
	if err := ctx.RegisterComponentResource("vllm-autoscaling:components:MetricsAPI", name, c, opts...); err != nil {
		return nil, fmt.Errorf("registering the custom metrics API: %w", err)
	}
	// Registration empties the output fields, so this comes after it.
	c.Name = pulumi.String(MetricsAPIName).ToStringOutput()
	service, err := apiregistrationv1.NewAPIService(ctx, MetricsAPIName, &apiregistrationv1.APIServiceArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:   pulumi.String(MetricsAPIName),
			Labels: pulumi.ToStringMap(commonLabels()),
		},
		Spec: apiregistrationv1.APIServiceSpecArgs{
			Group:                pulumi.String(metricsAPIGroup),
			Version:              pulumi.String(metricsAPIVersion),
			GroupPriorityMinimum: pulumi.Int(metricsAPIPriority),
			VersionPriority:      pulumi.Int(metricsAPIPriority),
			// Adapters make their own certificate at each start. Who asks them proves itself by the aggregator's.
			InsecureSkipTLSVerify: pulumi.Bool(true),
			Service: apiregistrationv1.ServiceReferenceArgs{
				Namespace: pulumi.String(args.Namespace),
				Name:      pulumi.String(args.Service),
				Port:      pulumi.Int(metricsAPIServicePort),
			},
		},
	}, childOptions(c, args.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering APIService %s: %w", MetricsAPIName, err)
	}
	c.APIService = service
	if err := ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name}); err != nil {
		return nil, fmt.Errorf("registering the outputs of the custom metrics API: %w", err)
	}
	return c, nil
}

func (a *MetricsAPIArgs) validate() error {
	if a == nil {
		return errors.New("arguments are missing")
	}
	if a.Service == "" {
		return errors.Join(validateNamespace("Namespace", a.Namespace), errors.New("no Service of an adapter to send requests to"))
	}
	return validateNamespace("Namespace", a.Namespace)
}
