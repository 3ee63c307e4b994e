package components

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apiextensions"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers/apiservices"
)

const (
	// MetricsAPIName is the APIService of the custom metrics API. A cluster has one.
	MetricsAPIName = apiservices.CustomMetrics

	metricsAPIGroup   = "custom.metrics.k8s.io"
	metricsAPIVersion = "v1beta1"
	// metricsAPIPriority is what every adapter of this API uses; it only orders groups and versions in discovery.
	metricsAPIPriority = 100
	// metricsAPIServicePort is the port of an adapter's Service.
	metricsAPIServicePort = 443

	apiRegistrationVersion = "apiregistration.k8s.io/v1"
)

// The spec of an APIService, as far as it is used here. The SDK's package for this one kind costs 5 CPU seconds of
// a cold build.
type (
	apiServiceSpec struct {
		Group                string           `json:"group"`
		Version              string           `json:"version"`
		GroupPriorityMinimum int              `json:"groupPriorityMinimum"`
		VersionPriority      int              `json:"versionPriority"`
		Service              serviceReference `json:"service"`
	}
	serviceReference struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		Port      int    `json:"port"`
	}
)

// MetricsAPIArgs are the inputs of MetricsAPI.
type MetricsAPIArgs struct {
	// Namespace and Service of the adapter. Required.
	Namespace, Service string
	// CABundle is the authority of the Service's certificate, PEM in base64. Required.
	CABundle pulumi.StringInput
	// DependsOn lists what must exist first and be deleted last: the adapter, and every namespace of the stack, because
	// an APIService without a running adapter keeps all namespaces of a cluster from being deleted.
	DependsOn []pulumi.Resource
}

// MetricsAPI registers the custom metrics API for an adapter. It is one object of the program, whichever adapter
// serves it, so that a change of the pipeline is a change of one field: as part of each adapter's release, the new
// one would be created while the old release still owns the name, and be deleted with the old release.
//
// Where another program has registered the API, the API server refuses the fields that differ as a conflict.
type MetricsAPI struct {
	pulumi.ResourceState

	// Name of the APIService.
	Name pulumi.StringOutput `pulumi:"name"`

	// APIService is for others to depend on.
	APIService *apiextensions.CustomResource
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
	// Set after the registration, which clears the output fields.
	c.Name = pulumi.String(MetricsAPIName).ToStringOutput()
	spec, err := untyped(apiServiceSpec{
		Group:                metricsAPIGroup,
		Version:              metricsAPIVersion,
		GroupPriorityMinimum: metricsAPIPriority,
		VersionPriority:      metricsAPIPriority,
		Service:              serviceReference{Namespace: args.Namespace, Name: args.Service, Port: metricsAPIServicePort},
	})
	if err != nil {
		return nil, fmt.Errorf("converting the spec of APIService %s: %w", MetricsAPIName, err)
	}
	spec["caBundle"] = args.CABundle
	service, err := newUntypedObject(ctx, apiRegistrationVersion, "APIService", "", MetricsAPIName, spec, childOptions(c, args.DependsOn))
	if err != nil {
		return nil, err
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
	problems := []error{validateNamespace("Namespace", a.Namespace)}
	if a.Service == "" {
		problems = append(problems, errors.New("no Service of an adapter to send requests to"))
	}
	if a.CABundle == nil {
		problems = append(problems, errors.New("no authority of the Service's certificate: without one anybody could answer for it"))
	}
	return errors.Join(problems...)
}
