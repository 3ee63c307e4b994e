package kubernetesprovider

import (
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

// chartSource says where a chart comes from.
type chartSource struct {
	chart      string // name in the repository, path, URL or oci:// reference
	repository string // URL of a Helm repository, or oci://; "" when chart says it all
	version    string // exact version or range; "" is the newest
	username   string
	password   string
	caFile     string
	certFile   string
	keyFile    string
}

// String names the source for messages.
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

// chartCache keeps the charts that one run of the provider downloads in a folder of its own, so that neither the
// user's Helm configuration nor its cache is read or written. The zero value is ready to use.
type chartCache struct {
	mu    sync.Mutex
	dir   string
	found map[chartSource]string
}

// load returns a chart of its own for every call, as Helm changes a chart while it renders it.
func (c *chartCache) load(source chartSource) (*chart.Chart, error) {
	path, err := c.locate(source)
	if err != nil {
		return nil, fmt.Errorf("finding chart %s: %w", source, err)
	}
	ch, err := loader.Load(path)
	if err != nil {
		return nil, fmt.Errorf("loading chart %s: %w", source, err)
	}
	if kind := ch.Metadata.Type; kind != "" && kind != "application" {
		return nil, fmt.Errorf("chart %s is of type %q and cannot be installed", source, kind)
	}
	if err := action.CheckDependencies(ch, ch.Metadata.Dependencies); err != nil {
		return nil, fmt.Errorf("loading chart %s: %w", source, err)
	}
	return ch, nil
}

// locate downloads the chart once and returns the path of the archive or folder.
func (c *chartCache) locate(source chartSource) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if path, ok := c.found[source]; ok {
		return path, nil
	}
	settings, err := c.helmSettings()
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
	path, err := install.LocateChart(reference, settings)
	if err != nil {
		return "", err
	}
	if c.found == nil {
		c.found = map[chartSource]string{}
	}
	c.found[source] = path
	return path, nil
}

// helmSettings makes the cache's folder on first use and points every path of Helm below it.
func (c *chartCache) helmSettings() (*cli.EnvSettings, error) {
	if c.dir == "" {
		dir, err := os.MkdirTemp("", "vllm-autoscaling-lab-helm-")
		if err != nil {
			return nil, fmt.Errorf("making a folder for Helm: %w", err)
		}
		c.dir = dir
		// Helm's repository client reads its cache folder from the environment only.
		for _, home := range []string{"CACHE", "CONFIG", "DATA"} {
			if err := os.Setenv("HELM_"+home+"_HOME", filepath.Join(dir, strings.ToLower(home))); err != nil {
				return nil, fmt.Errorf("pointing Helm to its own folder: %w", err)
			}
		}
	}
	settings := cli.New()
	settings.RepositoryConfig = filepath.Join(c.dir, "config", "repositories.yaml")
	settings.RepositoryCache = filepath.Join(c.dir, "cache", "repository")
	settings.RegistryConfig = filepath.Join(c.dir, "config", "registry.json")
	settings.PluginsDirectory = filepath.Join(c.dir, "data", "plugins")
	return settings, nil
}

// remove deletes the folder and everything downloaded.
func (c *chartCache) remove() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == "" {
		return nil
	}
	dir := c.dir
	c.dir, c.found = "", nil
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing Helm's folder: %w", err)
	}
	return nil
}
