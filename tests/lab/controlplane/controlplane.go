package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"vllm-autoscaling/tests/lab/process"
	"vllm-autoscaling/tests/lab/tools"
)

// ReadyAnnotation set to "true" on a running pod makes it Ready, and "false" makes it not Ready, for tests without a pod
// runtime, or against it. It is also written in stages.yaml.
const ReadyAnnotation = "lab.vllm-autoscaling/ready"

// Addresses like those of a cloud. Only the lab's egress proxy connects to them.
const (
	serviceCIDR = "10.96.0.0/16"
	podCIDR     = "10.244.0.0/16"
	nodeIP      = "10.99.0.1"
)

// KubeletPort is the port of every node's kubelet, as on clouds. It is not passed to kwok, which would itself listen there
// on every address of the machine.
const KubeletPort = 10250

// startTimeout is how long one program may take to start on a busy machine; an idle one needs a few seconds.
const startTimeout = 2 * time.Minute

// maxSocketPath is the longest path that fits into a socket address on Linux (108 bytes with the final zero) and macOS (104).
const maxSocketPath = 103

//go:embed stages.yaml
var stages []byte

// Options configure a control plane.
type Options struct {
	// Dir is the folder for all files. It is created when missing and not removed.
	Dir string
	// Tools are the programs.
	Tools tools.Tools
	// EgressSocket is the unix socket of an HTTP CONNECT proxy for the API server's requests to Services and pods, which are
	// aggregated APIs and webhooks. The proxy can start later. With "" the API server connects directly, which reaches
	// nothing.
	EgressSocket string
	// ImagePullTime is how long the containers of a pod that requests a GPU wait for their image.
	ImagePullTime time.Duration
	// Log receives a line for each part that is ready; nil for none.
	Log io.Writer
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	dir        string
	port       int
	pki        pki
	adminToken string
	egress     string
	programs   tools.Tools
	log        io.Writer
	imageTime  time.Duration

	config *rest.Config
	client kubernetes.Interface

	mu      sync.Mutex
	running []*process.Process
	crashed chan error
	closing chan struct{}
	once    sync.Once
}

// Start starts the control plane, without nodes (see AddNode), and returns when it is ready. After an error nothing runs.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	if len(o.EgressSocket) > maxSocketPath {
		return nil, fmt.Errorf("control plane: the path of socket %s is longer than the %d bytes that the system allows: use a shorter folder",
			o.EgressSocket, maxSocketPath)
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	c := &ControlPlane{dir: dir, egress: o.EgressSocket, programs: o.Tools, log: o.Log, imageTime: o.ImagePullTime,
		crashed: make(chan error, 1), closing: make(chan struct{})}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("control plane: %w", err), c.Stop())
	}
	return c, nil
}

func (c *ControlPlane) start(ctx context.Context) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	firstServiceIP := net.IPv4(10, 96, 0, 1)
	var err error
	if c.pki, err = newPKI(filepath.Join(c.dir, "pki"), firstServiceIP); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	ports, err := process.FreePorts(5)
	if err != nil {
		return err
	}
	c.port = ports[2]
	if err := c.writeTokens(); err != nil {
		return fmt.Errorf("tokens: %w", err)
	}
	started := time.Now()
	etcd, err := c.startEtcd(ctx, ports[0], ports[1])
	if err != nil {
		return err
	}
	if err := c.startAPIServer(ctx, etcd); err != nil {
		return err
	}
	if err := c.startControllers(ctx, ports[3], ports[4]); err != nil {
		return err
	}
	fmt.Fprintf(c.log, "lab: control plane ready after %.1f s at %s\n", time.Since(started).Seconds(), c.Server())
	return nil
}

// identities are the parts with their own user, so that the upstream RBAC rules apply to them.
var identities = []struct{ file, user, groups string }{
	{file: "admin", user: "admin", groups: "system:masters"},
	{file: tools.KubeControllerManager, user: "system:kube-controller-manager"},
	{file: tools.KubeScheduler, user: "system:kube-scheduler"},
}

// writeTokens writes the API server's list of tokens and a kubeconfig for each identity.
func (c *ControlPlane) writeTokens() error {
	var list string
	for _, id := range identities {
		token, err := newToken()
		if err != nil {
			return err
		}
		if id.file == "admin" {
			c.adminToken = token
		}
		list += fmt.Sprintf("%s,%s,%s,%q\n", token, id.user, id.user, id.groups)
		if err := c.writeKubeconfig(c.kubeconfig(id.file), token, "", nil); err != nil {
			return err
		}
	}
	return os.WriteFile(c.pki.file("tokens.csv"), []byte(list), 0o600)
}

func (c *ControlPlane) kubeconfig(name string) string {
	return filepath.Join(c.dir, name+".kubeconfig")
}

func (c *ControlPlane) startEtcd(ctx context.Context, clientPort, peerPort int) (string, error) {
	clients := fmt.Sprintf("http://127.0.0.1:%d", clientPort)
	peers := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	return clients, c.run(ctx, process.Spec{
		Name: tools.Etcd,
		Args: []string{
			"--data-dir=" + filepath.Join(c.dir, "etcd"),
			"--listen-client-urls=" + clients, "--advertise-client-urls=" + clients,
			"--listen-peer-urls=" + peers, "--initial-advertise-peer-urls=" + peers,
			"--initial-cluster=default=" + peers,
			"--log-level=warn",
			// The data is deleted with the lab.
			"--unsafe-no-fsync",
		},
		Ready: ok(http.DefaultClient, clients+"/health"),
		// Nothing has to be saved at a stop.
		StopTimeout: 3 * time.Second,
	})
}

func (c *ControlPlane) startAPIServer(ctx context.Context, etcd string) error {
	args := []string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.port),
		"--tls-cert-file=" + c.pki.file("apiserver.crt"), "--tls-private-key-file=" + c.pki.file("apiserver.key"),
		"--client-ca-file=" + c.pki.file("ca.crt"),
		"--token-auth-file=" + c.pki.file("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pki.file("service-account.key"),
		"--service-account-signing-key-file=" + c.pki.file("service-account.key"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--allow-privileged=true",
		// Its endpoint must not be a loopback address.
		"--endpoint-reconciler-type=none",
		"--requestheader-client-ca-file=" + c.pki.file("front-proxy-ca.crt"),
		"--requestheader-allowed-names=" + frontProxyClient,
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + c.pki.file("front-proxy-client.crt"),
		"--proxy-client-key-file=" + c.pki.file("front-proxy-client.key"),
	}
	if c.egress != "" {
		file := filepath.Join(c.dir, "egress.yaml")
		if err := os.WriteFile(file, []byte(egressConfiguration(c.egress)), 0o644); err != nil {
			return err
		}
		args = append(args, "--egress-selector-config-file="+file)
	}
	client, err := c.httpClient()
	if err != nil {
		return err
	}
	err = c.run(ctx, process.Spec{
		Name:  tools.KubeAPIServer,
		Args:  args,
		Ready: ok(client, c.Server()+"/readyz"),
		// Watches delay its shutdown by up to a minute.
		StopTimeout: 2 * time.Second,
	})
	if err != nil {
		return err
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig()); err != nil {
		return err
	}
	// The lab's own requests must not wait for client-side throttling meant for controllers.
	c.config.QPS, c.config.Burst = 200, 400
	c.client, err = kubernetes.NewForConfig(c.config)
	return err
}

// egressConfiguration routes the API server's requests to Services and pods through the proxy on the socket.
func egressConfiguration(socket string) string {
	return fmt.Sprintf(`apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
  - name: cluster
    connection:
      proxyProtocol: HTTPConnect
      transport:
        uds:
          udsName: %q
  - name: controlplane
    connection:
      proxyProtocol: Direct
  - name: etcd
    connection:
      proxyProtocol: Direct
`, socket)
}

// startControllers starts the controller manager, the scheduler and kwok.
func (c *ControlPlane) startControllers(ctx context.Context, managerPort, schedulerPort int) error {
	stagesFile := filepath.Join(c.dir, "stages.yaml")
	content := bytes.ReplaceAll(stages, []byte(`"IMAGE_PULL_TIME"`), []byte(strconv.Quote(c.imageTime.String())))
	if err := os.WriteFile(stagesFile, content, 0o644); err != nil {
		return err
	}
	insecure := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		// These parts create a certificate at every start; only their health is requested, on loopback.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	account := func(name string) []string {
		file := c.kubeconfig(name)
		return []string{"--kubeconfig=" + file, "--authentication-kubeconfig=" + file, "--authorization-kubeconfig=" + file,
			"--leader-elect=false", "--bind-address=127.0.0.1"}
	}
	specs := []process.Spec{{
		Name: tools.KubeControllerManager,
		Args: append(account(tools.KubeControllerManager),
			fmt.Sprintf("--secure-port=%d", managerPort),
			"--use-service-account-credentials=true",
			"--service-account-private-key-file="+c.pki.file("service-account.key"),
			"--root-ca-file="+c.pki.file("ca.crt"),
			"--cluster-signing-cert-file="+c.pki.file("ca.crt"), "--cluster-signing-key-file="+c.pki.file("ca.key"),
		),
		Ready: ok(insecure, fmt.Sprintf("https://127.0.0.1:%d/healthz", managerPort)),
	}, {
		Name:  tools.KubeScheduler,
		Args:  append(account(tools.KubeScheduler), fmt.Sprintf("--secure-port=%d", schedulerPort)),
		Ready: ok(insecure, fmt.Sprintf("https://127.0.0.1:%d/healthz", schedulerPort)),
	}, {
		Name: tools.Kwok,
		Args: []string{"--kubeconfig=" + c.Kubeconfig(), "--config=" + stagesFile, "--manage-all-nodes=true",
			// Without leases all nodes and pods are NotReady after a minute.
			"--node-lease-duration-seconds=40", "--cidr=" + podCIDR, "--node-ip=" + nodeIP},
	}}
	// All three at once, because each mostly waits while it starts.
	errs := make([]error, len(specs))
	var starting sync.WaitGroup
	for i, spec := range specs {
		spec.StopTimeout = 2 * time.Second
		starting.Go(func() { errs[i] = c.run(ctx, spec) })
	}
	starting.Wait()
	return errors.Join(errs...)
}

// run starts one of the programs and waits until it is ready.
func (c *ControlPlane) run(ctx context.Context, spec process.Spec) error {
	spec.Path = c.programs.Path(spec.Name)
	spec.Dir = c.dir
	spec.LogFile = filepath.Join(c.dir, spec.Name+".log")
	p, err := process.Start(ctx, spec)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.running = append(c.running, p)
	c.mu.Unlock()
	if err := p.WaitReady(ctx, startTimeout); err != nil {
		return err
	}
	go c.watch(p)
	return nil
}

// watch reports the first program that ends unexpectedly.
func (c *ControlPlane) watch(p *process.Process) {
	select {
	case <-c.closing:
	case <-p.Done():
		if err := p.Err(); err != nil {
			select {
			case c.crashed <- err:
			default:
			}
		}
	}
}

// Crashed returns a channel with the error of a program that ended unexpectedly.
func (c *ControlPlane) Crashed() <-chan error { return c.crashed }

// Stop ends all programs and returns the errors of those that had ended before.
func (c *ControlPlane) Stop() error {
	c.once.Do(func() { close(c.closing) })
	c.mu.Lock()
	running := c.running
	c.running = nil
	c.mu.Unlock()
	if len(running) == 0 {
		return nil
	}
	// The API server and its clients together, then etcd: otherwise they would wait for each other.
	errs := make([]error, len(running))
	var stopping sync.WaitGroup
	for i, p := range running[1:] {
		stopping.Go(func() { errs[i+1] = p.Stop() })
	}
	stopping.Wait()
	errs[0] = running[0].Stop()
	return errors.Join(errs...)
}

// Server returns the API server's URL.
func (c *ControlPlane) Server() string { return fmt.Sprintf("https://127.0.0.1:%d", c.port) }

// Kubeconfig returns the path of the administrator's kubeconfig. Its context is ContextName.
func (c *ControlPlane) Kubeconfig() string { return c.kubeconfig("admin") }

// Config returns the administrator's client configuration. Callers that change it must copy it.
func (c *ControlPlane) Config() *rest.Config { return c.config }

// Client returns a client of the administrator.
func (c *ControlPlane) Client() kubernetes.Interface { return c.client }

// httpClient returns a client with the cluster's CA and the administrator's token.
func (c *ControlPlane) httpClient() (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.pki.ca) {
		return nil, errors.New("the cluster's CA is not a certificate")
	}
	return &http.Client{Timeout: 2 * time.Second, Transport: bearer{token: c.adminToken, next: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}}}, nil
}

// bearer adds a token to every request.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// ok returns a readiness check: a GET of the URL returns status 200.
func ok(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s: %s", url, response.Status, body)
		}
		return nil
	}
}
