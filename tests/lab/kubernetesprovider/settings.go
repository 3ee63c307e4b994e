package kubernetesprovider

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// settings are the inputs of the provider resource that this double supports. Others are accepted and ignored, because they
// have no effect on the stacks of this project.
type settings struct {
	kubeconfig        string // content or path; empty means $KUBECONFIG, then ~/.kube/config
	context           string
	cluster           string
	clusterIdentifier string
	namespace         string
	deleteUnreachable bool
	patchForce        bool
	configMapMutable  bool
	secretMutable     bool
	upsertExisting    bool
}

// settingsFrom reads the provider's inputs. Booleans can be booleans or, as in provider inputs, texts.
func settingsFrom(args resource.PropertyMap) (settings, error) {
	var s settings
	texts := map[resource.PropertyKey]*string{
		"kubeconfig": &s.kubeconfig, "context": &s.context, "cluster": &s.cluster,
		"clusterIdentifier": &s.clusterIdentifier, "namespace": &s.namespace,
	}
	for key, to := range texts {
		v := reveal(args[key])
		switch {
		case v.IsString():
			*to = v.StringValue()
		case v.IsNull(), v.IsComputed(), v.IsOutput():
		default:
			return s, fmt.Errorf("provider setting %s must be text, got %s", key, v.TypeString())
		}
	}
	booleans := map[resource.PropertyKey]*bool{
		"deleteUnreachable": &s.deleteUnreachable, "enablePatchForce": &s.patchForce,
		"enableConfigMapMutable": &s.configMapMutable, "enableSecretMutable": &s.secretMutable,
		"upsertExistingObjects": &s.upsertExisting,
	}
	// As upstream, the environment's value is the default.
	for variable, to := range map[string]*bool{
		"PULUMI_K8S_DELETE_UNREACHABLE": &s.deleteUnreachable, "PULUMI_K8S_UPSERT_EXISTING_OBJECTS": &s.upsertExisting,
		"PULUMI_K8S_ENABLE_PATCH_FORCE": &s.patchForce,
	} {
		if v, err := strconv.ParseBool(os.Getenv(variable)); err == nil {
			*to = v
		}
	}
	serverSideApply := true
	booleans["enableServerSideApply"] = &serverSideApply
	for key, to := range booleans {
		v := reveal(args[key])
		switch {
		case v.IsBool():
			*to = v.BoolValue()
		case v.IsString():
			b, err := strconv.ParseBool(v.StringValue())
			if err != nil {
				return s, fmt.Errorf("provider setting %s must be true or false, got %q", key, v.StringValue())
			}
			*to = b
		case v.IsNull(), v.IsComputed(), v.IsOutput():
		default:
			return s, fmt.Errorf("provider setting %s must be true or false, got %s", key, v.TypeString())
		}
	}
	if !serverSideApply {
		return s, fmt.Errorf("provider setting enableServerSideApply=false is not supported by the lab's Kubernetes provider: leave it on")
	}
	return s, nil
}

// clientConfig returns the client configuration of the settings' cluster. A namespace other than "" overrides that of the
// kubeconfig's context. No server is contacted.
func (s settings) clientConfig(namespace string) (clientcmd.ClientConfig, error) {
	overrides := &clientcmd.ConfigOverrides{CurrentContext: s.context}
	overrides.Context.Cluster = s.cluster
	overrides.Context.Namespace = namespace
	if s.kubeconfig == "" {
		return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
			clientcmd.NewDefaultClientConfigLoadingRules(), overrides), nil
	}
	raw, err := loadKubeconfig(s.kubeconfig)
	if err != nil {
		return nil, err
	}
	if s.context != "" && raw.Contexts[s.context] == nil {
		return nil, fmt.Errorf("context %q does not exist in the kubeconfig", s.context)
	}
	return clientcmd.NewDefaultClientConfig(*raw, overrides), nil
}

// loadKubeconfig parses the content of a kubeconfig, or reads the file at a path.
func loadKubeconfig(kubeconfig string) (*clientcmdapi.Config, error) {
	if !strings.Contains(kubeconfig, "\n") && !strings.HasPrefix(strings.TrimSpace(kubeconfig), "{") {
		path := kubeconfig
		if rest, ok := strings.CutPrefix(path, "~/"); ok {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("finding the home folder of kubeconfig %q: %w", kubeconfig, err)
			}
			path = home + "/" + rest
		}
		raw, err := clientcmd.LoadFromFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading kubeconfig %s: %w", path, err)
		}
		return raw, nil
	}
	raw, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("parsing the kubeconfig given as text: %w", err)
	}
	return raw, nil
}

// otherCluster reports whether the new inputs are for another cluster than the old ones. It compares the
// clusterIdentifiers if both have one, otherwise the servers' addresses.
func otherCluster(olds, news resource.PropertyMap) bool {
	before, after := olds["clusterIdentifier"], news["clusterIdentifier"]
	if before.IsString() && before.StringValue() != "" {
		if isUnknown(after) {
			return true
		}
		if after.IsString() && after.StringValue() != "" {
			return before.StringValue() != after.StringValue()
		}
	}
	if isUnknown(news["kubeconfig"]) || isUnknown(news["context"]) {
		return true
	}
	was, now := serverOf(olds), serverOf(news)
	return was != "" && now != "" && was != now
}

// serverOf returns the address of the API server, "" when it cannot be determined.
func serverOf(args resource.PropertyMap) string {
	s, err := settingsFrom(args)
	if err != nil {
		return ""
	}
	config, err := s.clientConfig("")
	if err != nil {
		return ""
	}
	rest, err := config.ClientConfig()
	if err != nil {
		return ""
	}
	return rest.Host
}
