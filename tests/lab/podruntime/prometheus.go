package podruntime

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// configKey is the key of the configuration in the operator's Secret.
const configKey = "prometheus.yaml.gz"

// configVolume is the operator's volume for that Secret.
const configVolume = "config"

// prometheusReplaced are the flags that the lab sets itself or that refer to files of the image.
var prometheusReplaced = []string{
	"config.file", "storage.tsdb.path", "storage.agent.path", "web.config.file", "web.console.libraries",
	"web.console.templates", "web.enable-lifecycle", "web.listen-address",
}

// prometheusArgs returns Prometheus' command line on this machine.
func prometheusArgs(args []string, configFile, data string, localPort int) []string {
	out := withoutFlags(args, func(name string) bool { return slices.Contains(prometheusReplaced, name) }, "web.enable-lifecycle")
	return append(out,
		"--config.file="+configFile,
		"--storage.tsdb.path="+data,
		"--web.listen-address=127.0.0.1:"+strconv.Itoa(localPort),
		"--web.enable-lifecycle",
	)
}

// prometheusPort returns the container's web port: the one that the operator names, else 9090.
func prometheusPort(container *corev1.Container) int {
	if len(container.Ports) > 0 {
		return int(container.Ports[0].ContainerPort)
	}
	return 9090
}

func (l *launcher) prometheus() (*launch, error) {
	args, err := l.arguments()
	if err != nil {
		return nil, err
	}
	data, err := l.data()
	if err != nil {
		return nil, err
	}
	port, err := l.freePort()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(data, "prometheus.yaml")
	if err := l.writePrometheusConfig(file, true); err != nil {
		return nil, err
	}
	address := "http://127.0.0.1:" + strconv.Itoa(port) + strings.TrimSuffix(flagValue(args, "web.route-prefix", "/"), "/")
	return &launch{
		program: Prometheus,
		args:    prometheusArgs(args, file, filepath.Join(data, "tsdb"), port),
		ports:   map[int]endpoint{prometheusPort(l.container): {port: port}},
		ready:   getOK(address+"/-/ready", http.DefaultClient),
		reload: func(ctx context.Context) error {
			if err := l.writePrometheusConfig(file, false); err != nil {
				return err
			}
			return reloadPrometheus(ctx, address)
		},
	}, nil
}

// writePrometheusConfig writes the configuration from the pod's mounted Secret, adapted to this machine.
func (l *launcher) writePrometheusConfig(file string, first bool) error {
	packed, err := os.ReadFile(filepath.Join(l.dir, "volumes", configVolume, configKey))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: volume %q has no key %q", errWaiting, configVolume, configKey)
	}
	if err != nil {
		return err
	}
	generated, err := gunzip(packed)
	if err != nil {
		return fmt.Errorf("%s: %w", configKey, err)
	}
	variables := map[string]string{}
	for i := range l.pod.Spec.Containers {
		env, err := l.environmentOf(&l.pod.Spec.Containers[i])
		if err != nil {
			return err
		}
		maps.Copy(variables, env)
	}
	kubeconfig, err := l.kubeconfig()
	if err != nil {
		return err
	}
	adapted, dropped, err := adaptPrometheusConfig(generated, promPlace{
		variables:  variables,
		router:     strings.TrimPrefix(l.runtime.RouterURL(), "http://"),
		kubeconfig: kubeconfig,
		local:      l.existingFile,
	})
	if err != nil {
		return err
	}
	// Logged once, because every reload drops the same.
	if first && len(dropped) > 0 {
		l.runtime.logf("%s/%s: the lab has no counterpart of %s", l.pod.Namespace, l.pod.Name, strings.Join(dropped, "; "))
	}
	_, err = writeFile(file, adapted)
	return err
}

// existingFile returns the path of a container's file on this machine; for a pattern only the folder must exist.
func (l *launcher) existingFile(file string) (string, bool) {
	local, ok := l.localPath(l.container, file)
	if !ok {
		return "", false
	}
	check := local
	if strings.ContainsAny(filepath.Base(local), "*?[") {
		check = filepath.Dir(local)
	}
	_, err := os.Stat(check)
	return local, err == nil
}

func gunzip(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
