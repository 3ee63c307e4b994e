package kubernetesprovider

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/repo"
)

// chartSource is the location of a chart.
type chartSource struct {
	chart      string // name in the repository, path, URL or oci:// reference
	repository string // URL of a Helm repository, or oci://; "" when chart is complete
	version    string // exact version or range; "" is the newest
	username   string
	password   string
	caFile     string
	certFile   string
	keyFile    string
}

// String returns the source for messages.
func (s chartSource) String() string {
	text := s.chart
	if s.version != "" {
		text += " " + s.version
	}
	if s.repository != "" {
		text += " from " + s.repository
	}
	return text
}

// chartCache stores the charts that one run of the provider downloads. They are kept in memory, and Helm's files of a
// download are in a folder that is removed at once: the user's Helm configuration and cache are neither read nor written,
// and a killed provider leaves nothing behind. The zero value is ready to use.
type chartCache struct {
	mu       sync.Mutex
	archives map[chartSource][]byte
}

// load returns a new chart at every call, because Helm changes a chart while it renders it.
func (c *chartCache) load(source chartSource) (*chart.Chart, error) {
	ch, err := c.read(source)
	if err != nil {
		return nil, err
	}
	if kind := ch.Metadata.Type; kind != "" && kind != "application" {
		return nil, fmt.Errorf("chart %s is of type %q and cannot be installed", source, kind)
	}
	if err := action.CheckDependencies(ch, ch.Metadata.Dependencies); err != nil {
		return nil, fmt.Errorf("loading chart %s: %w", source, err)
	}
	return ch, nil
}

func (c *chartCache) read(source chartSource) (*chart.Chart, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	archive, ok := c.archives[source]
	if !ok {
		dir, err := os.MkdirTemp("", "vllm-autoscaling-lab-helm-")
		if err != nil {
			return nil, fmt.Errorf("making a folder for Helm: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		path, err := locate(source, dir)
		if err != nil {
			return nil, fmt.Errorf("finding chart %s: %w", source, err)
		}
		if !strings.HasPrefix(path, dir) {
			// The user's own file or folder, which may change between two reads.
			ch, err := loader.Load(path)
			if err != nil {
				return nil, fmt.Errorf("loading chart %s: %w", source, err)
			}
			return ch, nil
		}
		if archive, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("loading chart %s: %w", source, err)
		}
		if c.archives == nil {
			c.archives = map[chartSource][]byte{}
		}
		c.archives[source] = archive
	}
	ch, err := loader.LoadArchive(bytes.NewReader(archive))
	if err != nil {
		return nil, fmt.Errorf("loading chart %s: %w", source, err)
	}
	return ch, nil
}

// locate looks up a chart on this machine, or downloads it to the folder, and returns the path of its archive or folder.
func locate(source chartSource, dir string) (string, error) {
	settings, err := helmSettings(dir)
	if err != nil {
		return "", err
	}
	client, err := registry.NewClient(
		registry.ClientOptCredentialsFile(settings.RegistryConfig),
		registry.ClientOptBasicAuth(source.username, source.password),
		registry.ClientOptWriter(os.Stderr), // stdout carries the plugin's port and nothing else
	)
	if err != nil {
		return "", fmt.Errorf("preparing the registry client: %w", err)
	}
	install := action.NewInstall(&action.Configuration{RegistryClient: client})
	install.Version = source.version
	install.Username, install.Password = source.username, source.password
	install.CaFile, install.CertFile, install.KeyFile = source.caFile, source.certFile, source.keyFile

	reference := source.chart
	switch {
	case strings.HasPrefix(source.repository, "oci://"):
		reference = strings.TrimSuffix(source.repository, "/") + "/" + source.chart
	case source.repository != "":
		// Resolved here rather than by Helm, which would prefer a folder of that name in the working directory.
		reference, err = repo.FindChartInAuthAndTLSAndPassRepoURL(source.repository, source.username, source.password,
			source.chart, source.version, source.certFile, source.keyFile, source.caFile, false, false, getter.All(settings))
		if err != nil {
			return "", err
		}
	}
	return install.LocateChart(reference, settings)
}

// helmSettings returns settings of Helm with every path below the folder.
func helmSettings(dir string) (*cli.EnvSettings, error) {
	// Helm's repository client reads its cache folder from the environment only.
	for _, home := range []string{"CACHE", "CONFIG", "DATA"} {
		if err := os.Setenv("HELM_"+home+"_HOME", filepath.Join(dir, strings.ToLower(home))); err != nil {
			return nil, fmt.Errorf("pointing Helm to its own folder: %w", err)
		}
	}
	settings := cli.New()
	settings.RepositoryConfig = filepath.Join(dir, "config", "repositories.yaml")
	settings.RepositoryCache = filepath.Join(dir, "cache", "repository")
	settings.RegistryConfig = filepath.Join(dir, "config", "registry.json")
	settings.PluginsDirectory = filepath.Join(dir, "data", "plugins")
	return settings, nil
}
