package verify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"vllm-autoscaling/components/prometheusaccess"
)

// queryTimeout bounds one query.
const queryTimeout = 20 * time.Second

// connectExisting connects to the platform's Prometheus for the following stages: to a Service through its pods, to any other host
// directly. Where this machine may not read the login or does not reach the host, the stages that query are not visible.
func (w *walk) connectExisting(ctx context.Context) (string, error) {
	e := w.Pipeline.Existing
	if e == nil {
		return "", errors.New("the outputs have no existing Prometheus: run `pulumi up` with this version of the program")
	}
	address, err := url.Parse(e.URL)
	if err != nil {
		return "", fmt.Errorf("URL of Prometheus in the outputs: %w", err)
	}
	login, err := w.login(ctx)
	if err != nil {
		return "", err
	}
	transport, err := login.transport(address.Hostname())
	if err != nil {
		return "", &failure{
			measured: fmt.Sprintf("Secret %s/%s cannot be used: %v", w.Pipeline.Adapter.Namespace, e.Secret, err),
			expected: "the keys of monitoring.prometheus.secretKeys, in the form that docs/existing-clusters.md describes",
			look:     []string{w.kubectl(w.Pipeline.Adapter.Namespace, "describe secret %s", e.Secret)},
		}
	}
	through, inCluster, err := w.throughService(ctx, address)
	if err != nil {
		return "", err
	}
	if inCluster {
		address.Host = through
	}
	client, err := api.NewClient(api.Config{
		Address: address.String(), Client: &http.Client{Timeout: queryTimeout, Transport: withHeaders{transport, e.Headers}},
	})
	if err != nil {
		return "", err
	}
	prometheus := prometheusv1.NewAPI(client)
	// Not the version, which queriers other than Prometheus do not have.
	if _, _, err := prometheus.Query(ctx, "vector(1)", time.Time{}); err != nil {
		return "", w.noAnswer(err, inCluster)
	}
	w.prom = prometheus
	return e.URL + " answers queries", nil
}

// noAnswer is the result of a query that failed. A host outside of the cluster may be reachable from the cluster only.
func (w *walk) noAnswer(err error, inCluster bool) error {
	e := w.Pipeline.Existing
	if !inCluster && unreachable(err) {
		return &notVisible{fmt.Sprintf("not visible: this machine does not reach %s (%v); what depends on it is not checked, the custom metrics API is", e.URL, err)}
	}
	look := []string{"does the URL end before /api/v1, and is its login valid?"}
	if e.Secret == "" {
		look = append(look, "an endpoint with a login needs monitoring.prometheus.secret; one that wants signed requests needs a signing proxy")
	} else {
		look = append(look, w.kubectl(w.Pipeline.Adapter.Namespace, "describe secret %s", e.Secret))
	}
	return &failure{measured: fmt.Sprintf("%s does not answer queries: %v", e.URL, err), expected: "an answer in the form of Prometheus' HTTP API", look: look}
}

// unreachable reports whether a request did not get to its host.
func unreachable(err error) bool {
	var operation *net.OpError
	var name *net.DNSError
	var request *url.Error
	return errors.As(err, &operation) || errors.As(err, &name) || errors.As(err, &request) && request.Timeout()
}

// throughService returns the address on this machine of a Service's host name, and whether the host is one.
func (w *walk) throughService(ctx context.Context, address *url.URL) (local string, inCluster bool, err error) {
	name, namespace, inCluster := serviceOf(address.Hostname())
	if !inCluster {
		return "", false, nil
	}
	port := address.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[address.Scheme]
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return "", true, fmt.Errorf("port of %s: %w", w.Pipeline.Existing.URL, err)
	}
	look := []string{w.kubectl(namespace, "get services,endpointslices,pods"), w.kubectl(namespace, "describe service %s", name)}
	pod, target, err := w.readyPodOf(ctx, namespace, name, number)
	if apierrors.IsNotFound(err) {
		return "", true, &failure{
			measured: fmt.Sprintf("there is no Service %s/%s", namespace, name),
			expected: "the Service of the platform's Prometheus (monitoring.prometheus)", look: look,
		}
	}
	if err != nil {
		f := &failure{measured: err.Error(), expected: "a ready pod behind the Service of the platform's Prometheus", look: look}
		var known *failure
		if errors.As(err, &known) {
			f.log, f.look = known.log, append(look, known.look...)
		}
		return "", true, f
	}
	local, closeIt, err := w.Reach(ctx, namespace, pod, target)
	if err != nil {
		return "", true, w.unreached(err, namespace, pod, target)
	}
	w.close = append(w.close, closeIt)
	return local, true, nil
}

// serviceOf splits the DNS name of a Service: <service>.<namespace>.svc, with or without the cluster's domain.
func serviceOf(host string) (name, namespace string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(parts) < 3 || parts[2] != "svc" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// login is what authenticates queries: the keys of a Secret, none without one.
type login map[string][]byte

// login reads the Secret of the queries.
func (w *walk) login(ctx context.Context) (login, error) {
	e, namespace := w.Pipeline.Existing, w.Pipeline.Adapter.Namespace
	if e.Secret == "" {
		return nil, nil
	}
	secret, err := w.client.CoreV1().Secrets(namespace).Get(ctx, e.Secret, metav1.GetOptions{})
	look := []string{w.kubectl(namespace, "describe secret %s", e.Secret), "the adapter's pods start once it is there"}
	switch {
	case apierrors.IsNotFound(err):
		return nil, &failure{
			measured: fmt.Sprintf("there is no Secret %s/%s", namespace, e.Secret),
			expected: "the Secret of monitoring.prometheus.secret with " + strings.Join(e.SecretKeys, ", "), look: look,
		}
	case apierrors.IsForbidden(err):
		return nil, &notVisible{fmt.Sprintf("not visible: you may not read Secret %s/%s, the login of %s", namespace, e.Secret, e.URL)}
	case err != nil:
		return nil, err
	}
	keys := login{}
	for _, key := range e.SecretKeys {
		if len(secret.Data[key]) == 0 {
			return nil, &failure{
				measured: fmt.Sprintf("Secret %s/%s has no key %s", namespace, e.Secret, key),
				expected: "every key of monitoring.prometheus.secretKeys", look: look,
			}
		}
	}
	for key, value := range secret.Data {
		// A kubeconfig may name the files of the others.
		if slices.Contains(e.SecretKeys, key) || slices.Contains(e.SecretKeys, prometheusaccess.Kubeconfig) {
			keys[key] = value
		}
	}
	return keys, nil
}

// transport returns the connections to a host.
func (l login) transport(host string) (http.RoundTripper, error) {
	config, err := l.config(host)
	if err != nil {
		return nil, err
	}
	if ca := config.CAData; len(ca) > 0 && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		return nil, errors.New("the certificate authority is no certificate in PEM")
	}
	// Of a forwarded port, the certificate is that of the host.
	config.ServerName = host
	config.Proxy = http.ProxyFromEnvironment
	return rest.TransportFor(config)
}

func (l login) config(host string) (*rest.Config, error) {
	if kubeconfig := l[prometheusaccess.Kubeconfig]; kubeconfig != nil {
		return l.fromKubeconfig(kubeconfig)
	}
	token := l[prometheusaccess.Token]
	// The adapter sends it as it is, and an HTTP header with a line break is refused.
	if bytes.ContainsAny(token, "\r\n") {
		return nil, errors.New("key token has a line break, which the adapter would send: write it without one (printf, not echo)")
	}
	return &rest.Config{Host: host, BearerToken: string(token), TLSClientConfig: rest.TLSClientConfig{CAData: l[prometheusaccess.CA]}}, nil
}

// fromKubeconfig reads a kubeconfig whose files are those of the adapter's pods: the keys of the Secret.
func (l login) fromKubeconfig(text []byte) (*rest.Config, error) {
	// The parser's messages may quote the kubeconfig, so they are not returned.
	unusable := errors.New("key kubeconfig is no kubeconfig with a current context")
	parsed, err := clientcmd.Load(text)
	if err != nil {
		return nil, unusable
	}
	var missing []string
	read := func(file *string) []byte {
		if *file == "" {
			return nil
		}
		value, ok := l[path.Base(*file)]
		if !ok || path.Dir(*file) != prometheusaccess.Folder {
			missing = append(missing, *file)
		}
		*file = ""
		return value
	}
	for _, cluster := range parsed.Clusters {
		cluster.CertificateAuthorityData = append(cluster.CertificateAuthorityData, read(&cluster.CertificateAuthority)...)
	}
	for _, user := range parsed.AuthInfos {
		user.ClientCertificateData = append(user.ClientCertificateData, read(&user.ClientCertificate)...)
		user.ClientKeyData = append(user.ClientKeyData, read(&user.ClientKey)...)
		user.Token = cmp.Or(strings.TrimSpace(string(read(&user.TokenFile))), user.Token)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("its kubeconfig names %s, and the Secret's keys are files in %s", strings.Join(missing, ", "), prometheusaccess.Folder)
	}
	config, err := clientcmd.NewDefaultClientConfig(*parsed, nil).ClientConfig()
	if err != nil {
		return nil, unusable
	}
	return config, nil
}

// withHeaders sends headers with each request.
type withHeaders struct {
	next    http.RoundTripper
	headers map[string]string
}

// RoundTrip implements http.RoundTripper.
func (h withHeaders) RoundTrip(request *http.Request) (*http.Response, error) {
	changed := request.Clone(request.Context())
	for name, value := range h.headers {
		changed.Header.Set(name, value)
	}
	return h.next.RoundTrip(changed)
}
