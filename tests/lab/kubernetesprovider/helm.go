package kubernetesprovider

import (
	"fmt"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/kube"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// helm returns Helm's configuration for one operation on a release.
func (p *Provider) helm(c *cluster, s releaseSpec, urn string) (*action.Configuration, error) {
	loader, err := c.settings.clientConfig(s.namespace)
	if err != nil {
		return nil, &unreachableError{err}
	}
	client, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return nil, &unreachableError{err}
	}
	access := &clusterAccess{config: c.config, loader: loader, discovery: memory.NewMemCacheClient(client)}
	access.mapper = restmapper.NewDeferredDiscoveryRESTMapper(access.discovery)
	// Otherwise the owner of Helm's fields would be the name of this binary.
	kube.ManagedFieldsManager = "helm"
	config := &action.Configuration{}
	err = config.Init(access, s.namespace, "secrets", func(format string, args ...any) {
		p.log(pulumirpc.LogSeverity_DEBUG, urn, fmt.Sprintf(format, args...))
	})
	if err != nil {
		return nil, fmt.Errorf("preparing Helm for %s: %w", s, err)
	}
	return config, nil
}

// clusterAccess provides the cluster's clients to Helm.
type clusterAccess struct {
	config    *rest.Config
	loader    clientcmd.ClientConfig
	discovery discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func (a *clusterAccess) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(a.config), nil }

func (a *clusterAccess) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return a.discovery, nil
}

func (a *clusterAccess) ToRESTMapper() (meta.RESTMapper, error) { return a.mapper, nil }

func (a *clusterAccess) ToRawKubeConfigLoader() clientcmd.ClientConfig { return a.loader }
