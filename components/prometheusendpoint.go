package components

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"vllm-autoscaling/components/prometheusaccess"
)

// accessVolume is the volume of the Secret in the adapter's pods.
const accessVolume = "prometheus-access"

// accessFlags are prometheus-adapter's flags for the keys of the Secret. It reads the files at its start, but for the tokenFile of a
// kubeconfig.
var accessFlags = map[string]string{
	prometheusaccess.CA: "--prometheus-ca-file", prometheusaccess.Token: "--prometheus-token-file", prometheusaccess.Kubeconfig: "--prometheus-auth-config",
}

// PrometheusEndpoint is where a Prometheus, or what answers in its place, is queried.
type PrometheusEndpoint struct {
	// URL is scheme and host, such as "http://kps-prometheus.monitoring.svc".
	URL string
	// Port is the port of the host.
	Port int
	PrometheusAccess
}

// PrometheusAccess is how an endpoint is queried; the zero value has neither path nor login.
type PrometheusAccess struct {
	// Path is the prefix of the API's paths, such as "/prometheus".
	Path string
	// Headers are sent with each query.
	Headers map[string]string
	// Secret is a Secret in the adapter's namespace, which the stack does not create; "" for none. SecretKeys are those that are
	// used, those of package prometheusaccess; a kubeconfig alone.
	Secret     string
	SecretKeys []string
}

// NewPrometheusEndpoint returns the endpoint of an http or https URL.
func NewPrometheusEndpoint(address *url.URL, access PrometheusAccess) (*PrometheusEndpoint, error) {
	text := address.Port()
	if text == "" {
		text = map[string]string{"http": "80", "https": "443"}[address.Scheme]
	}
	port, err := strconv.Atoi(text)
	if err != nil || address.Hostname() == "" {
		return nil, fmt.Errorf("%s is not an http:// or https:// URL", address.Redacted())
	}
	host := address.Hostname()
	if strings.Contains(host, ":") { // IPv6
		host = "[" + host + "]"
	}
	return &PrometheusEndpoint{URL: address.Scheme + "://" + host, Port: port, PrometheusAccess: access}, nil
}

// arguments returns the adapter's flags.
func (a PrometheusAccess) arguments() []any {
	var all []any
	for _, name := range slices.Sorted(maps.Keys(a.Headers)) {
		all = append(all, fmt.Sprintf("--prometheus-header=%s=%s", name, a.Headers[name]))
	}
	for _, key := range a.SecretKeys {
		all = append(all, accessFlags[key]+"="+prometheusaccess.Folder+"/"+key)
	}
	return all
}

// volumes and mounts return the volume of the Secret and where it is mounted; none without a Secret.
func (a PrometheusAccess) volumes() []any {
	if a.Secret == "" {
		return nil
	}
	return []any{map[string]any{"name": accessVolume, "secret": map[string]any{"secretName": a.Secret}}}
}

func (a PrometheusAccess) mounts() []any {
	if a.Secret == "" {
		return nil
	}
	return []any{map[string]any{"name": accessVolume, "mountPath": prometheusaccess.Folder, "readOnly": true}}
}

func (a PrometheusAccess) validate() error {
	var problems []error
	if (a.Secret == "") != (len(a.SecretKeys) == 0) {
		problems = append(problems, fmt.Errorf("secret %q with keys %v (both or neither)", a.Secret, a.SecretKeys))
	}
	for _, key := range a.SecretKeys {
		if accessFlags[key] == "" {
			problems = append(problems, fmt.Errorf("key %q of the Secret has no use (%v)", key, slices.Sorted(maps.Keys(accessFlags))))
		}
	}
	if len(a.SecretKeys) > 1 && slices.Contains(a.SecretKeys, prometheusaccess.Kubeconfig) {
		problems = append(problems, errors.New("a kubeconfig beside other keys of the Secret, of which the adapter would ignore one"))
	}
	if a.Path != "" && !strings.HasPrefix(a.Path, "/") {
		problems = append(problems, fmt.Errorf("path %q does not begin with a slash", a.Path))
	}
	return errors.Join(problems...)
}
