package existing

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vllm-autoscaling/providers/kubeconfig"
)

// checkTimeout is how long a server may take to answer. An unreachable one would otherwise be found
// out by the first object, after many were planned.
const checkTimeout = 10 * time.Second

// Check reports whether a kubeconfig is usable and its server answers: nil, or one error that names
// what is missing and how to get it. Path and context are those of providers.Local. It needs no permission: any
// HTTP status is an answer.
func Check(path, context string) error {
	_, _, err := connect(path, context)
	return err
}

// connect finds, reads and tries out a context. It returns the kubeconfig files that were left out.
func connect(path, context string) (*selection, []string, error) {
	file, others, err := findKubeconfig(path)
	if err != nil {
		return nil, nil, err
	}
	config, err := readKubeconfig(file)
	if err != nil {
		return nil, nil, err
	}
	chosen, err := config.choose(context)
	if err != nil {
		if len(others) > 0 {
			err = fmt.Errorf("%w (of the files in KUBECONFIG only the first that exists is read; not read: %s)", err, strings.Join(others, ", "))
		}
		return nil, nil, err
	}
	if err := chosen.reach(); err != nil {
		return nil, nil, err
	}
	return chosen, others, nil
}

// reach requests the server's version.
func (s *selection) reach() error {
	transport, err := s.transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: checkTimeout,
		// A redirect is an answer too; following it could lead to another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(s.server() + "/version")
	if err != nil {
		return fmt.Errorf("the cluster of context %q (kubeconfig %s) does not answer: %w; "+
			"check that it runs and that this machine reaches %s (kubectl --kubeconfig %s --context %s version)",
			s.context.Name, s.path, err, s.server(), s.path, s.context.Name)
	}
	return response.Body.Close()
}

// transport returns a transport that trusts what the kubeconfig trusts. Credentials other than a certificate are left out:
// whether they are accepted is for the first real request to find out.
func (s *selection) transport() (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: kubeconfig.Text(s.cluster.Cluster, "tls-server-name")}
	if skip, _ := s.cluster.Cluster["insecure-skip-tls-verify"].(bool); skip {
		transport.TLSClientConfig.InsecureSkipVerify = true // The kubeconfig has it so.
	}
	ca, err := s.file(s.cluster.Cluster, "certificate-authority")
	if err != nil {
		return nil, err
	}
	if ca != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("kubeconfig %s: context %q: its certificate authority is not a PEM certificate", s.path, s.context.Name)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	certificate, err := s.file(s.user.User, "client-certificate")
	if err != nil {
		return nil, err
	}
	key, err := s.file(s.user.User, "client-key")
	if err != nil {
		return nil, err
	}
	if certificate != nil && key != nil {
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %s: user %q: its client certificate cannot be used: %w", s.path, s.user.Name, err)
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	if proxy := kubeconfig.Text(s.cluster.Cluster, "proxy-url"); proxy != "" {
		address, err := url.Parse(proxy)
		if err != nil {
			return nil, fmt.Errorf("kubeconfig %s: cluster %q: proxy-url: %w", s.path, s.cluster.Name, err)
		}
		transport.Proxy = http.ProxyURL(address)
	}
	return transport, nil
}
