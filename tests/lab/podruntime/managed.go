package podruntime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// errNoGoogle is the error of programs that run only on GKE, in a lab without Google Cloud.
var errNoGoogle = errors.New("it needs Google's metadata server, and the lab simulates no cloud")

// onGoogle returns the variables with which Google's client libraries find the metadata server.
func (l *launcher) onGoogle() ([]string, error) {
	if l.runtime.config.Google == nil {
		return nil, errNoGoogle
	}
	host, err := l.runtime.config.Google.MetadataServer(l.pod.Namespace, l.account())
	if err != nil {
		return nil, fmt.Errorf("metadata server for %s: %w", l.user(), err)
	}
	return []string{"GCE_METADATA_HOST=" + host}, nil
}

// managedOperator runs the operator of the managed collection with the arguments of its manifest.
func (l *launcher) managedOperator() (*launch, error) {
	args, err := l.arguments()
	if err != nil {
		return nil, err
	}
	data, err := l.data()
	if err != nil {
		return nil, err
	}
	kubeconfig, err := l.kubeconfig()
	if err != nil {
		return nil, err
	}
	google, err := l.onGoogle()
	if err != nil {
		return nil, err
	}
	local := map[string]int{}
	for _, flag := range []string{"webhook-addr", "probe-addr", "metrics-addr"} {
		if local[flag], err = l.freePort(); err != nil {
			return nil, err
		}
	}
	args = withoutFlags(args, func(name string) bool { return local[name] != 0 || name == "cert-dir" })
	for flag, port := range local {
		args = append(args, fmt.Sprintf("--%s=127.0.0.1:%d", flag, port))
	}
	return &launch{
		program: ManagedOperator,
		args:    append(args, "--cert-dir="+data),
		env:     append(google, "KUBECONFIG="+kubeconfig),
		ports:   map[int]endpoint{10250: {port: local["webhook-addr"], tls: true}, 18080: {port: local["metrics-addr"]}},
		ready:   getOK(fmt.Sprintf("http://127.0.0.1:%d/readyz", local["probe-addr"]), http.DefaultClient),
	}, nil
}

// The collector's volumes and port.
const (
	collectorConfigVolume = "config"
	collectorRulesVolume  = "rules"
	collectorPort         = 19090
)

// managedCollector runs a Prometheus with the scrape configurations and rules that the managed collection's operator has
// generated. A real cluster has a collector on every node and a rule evaluator, which write to Cloud Monitoring. Here one
// Prometheus replaces them all, and the simulated Cloud Monitoring reads from it.
func (l *launcher) managedCollector() (*launch, error) {
	data, err := l.data()
	if err != nil {
		return nil, err
	}
	port, err := l.freePort()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(data, "prometheus.yaml")
	if err := l.writeCollectorConfig(file); err != nil {
		return nil, err
	}
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	return &launch{
		program: ManagedCollector,
		args: []string{
			"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(data, "tsdb"), "--storage.tsdb.retention.time=1h",
			"--web.listen-address=127.0.0.1:" + strconv.Itoa(port), "--web.enable-lifecycle",
		},
		ports: map[int]endpoint{collectorPort: {port: port}},
		ready: getOK(address+"/-/ready", http.DefaultClient),
		reload: func(ctx context.Context) error {
			if err := l.writeCollectorConfig(file); err != nil {
				return err
			}
			return reloadPrometheus(ctx, address)
		},
	}, nil
}

// writeCollectorConfig writes the operator's configuration, adapted to this machine.
func (l *launcher) writeCollectorConfig(file string) error {
	generated, err := os.ReadFile(filepath.Join(l.dir, "volumes", collectorConfigVolume, "config.yaml"))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: volume %q has no key config.yaml", errWaiting, collectorConfigVolume)
	}
	if err != nil {
		return err
	}
	kubeconfig, err := l.kubeconfig()
	if err != nil {
		return err
	}
	adapted, err := collectorConfig(generated, promPlace{
		router:     strings.TrimPrefix(l.runtime.RouterURL(), "http://"),
		kubeconfig: kubeconfig,
		local:      l.existingFile,
	}, filepath.Join(l.dir, "volumes", collectorRulesVolume))
	if err != nil {
		return err
	}
	_, err = writeFile(file, adapted)
	return err
}

// collectorConfig adapts a collector's configuration. The limit to the pods of the collector's own node and the destination
// of the samples change; targets, intervals and labels do not.
func collectorConfig(generated []byte, place promPlace, rules string) ([]byte, error) {
	var config map[string]any
	if err := yaml.Unmarshal(generated, &config); err != nil {
		return nil, fmt.Errorf("the generated configuration: %w", err)
	}
	// The destination of the export, a key of Google's fork only.
	delete(config, "google_cloud")
	jobs, _ := config["scrape_configs"].([]any)
	for i, entry := range jobs {
		job, ok := entry.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("scrape_configs[%d] is not an object", i)
		}
		discoveries, _ := job["kubernetes_sd_configs"].([]any)
		for _, discovery := range discoveries {
			if fields, ok := discovery.(map[string]any); ok {
				delete(fields, "selectors")
			}
		}
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, err
	}
	adapted, _, err := adaptPrometheusConfig(text, place)
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(adapted, &config); err != nil {
		return nil, err
	}
	config["rule_files"] = []string{filepath.Join(rules, "*rules__*.yaml")}
	return yaml.Marshal(config)
}

// stackdriverReplaced are the flags that the lab sets itself.
var stackdriverReplaced = []string{
	"authentication-kubeconfig", "authorization-kubeconfig", "bind-address", "cert-dir", "lister-kubeconfig", "secure-port", "stackdriver-endpoint",
}

// stackdriverAdapter runs the lab's build of Google's adapter.
func (l *launcher) stackdriverAdapter() (*launch, error) {
	args, err := l.arguments()
	if err != nil {
		return nil, err
	}
	containerPort, err := strconv.Atoi(flagValue(args, "secure-port", "443"))
	if err != nil {
		return nil, fmt.Errorf("--secure-port: %w", err)
	}
	data, err := l.data()
	if err != nil {
		return nil, err
	}
	kubeconfig, err := l.kubeconfig()
	if err != nil {
		return nil, err
	}
	google, err := l.onGoogle()
	if err != nil {
		return nil, err
	}
	port, err := l.freePort()
	if err != nil {
		return nil, err
	}
	args = withoutFlags(args, func(name string) bool { return slices.Contains(stackdriverReplaced, name) })
	return &launch{
		program: StackdriverAdapter,
		args: append(args,
			"--secure-port="+strconv.Itoa(port), "--bind-address=127.0.0.1", "--cert-dir="+filepath.Join(data, "certificates"),
			"--lister-kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
			"--stackdriver-endpoint="+l.runtime.config.Google.MonitoringURL()),
		env:   google,
		ports: map[int]endpoint{containerPort: {port: port, tls: true}},
		ready: getOK(fmt.Sprintf("https://127.0.0.1:%d/readyz", port), insecure),
	}, nil
}
