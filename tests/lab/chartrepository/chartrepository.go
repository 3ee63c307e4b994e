package chartrepository

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/repo"
	"sigs.k8s.io/yaml"

	"vllm-autoscaling/tests/lab/charts"
)

// crdChart is the subchart of kube-prometheus-stack with the operator's CRDs.
const crdChart = "crds"

// ChartsVariable is the name of the environment variable with a folder of unpacked charts, which replace the lab's charts
// of the same name.
const ChartsVariable = "LAB_CHARTS"

// Options select the charts. The zero value serves the lab's charts and those of $LAB_CHARTS.
type Options struct {
	// Charts is a folder of unpacked charts, which replace the lab's charts of the same name; "" means $LAB_CHARTS.
	Charts string
	// CRDs is a folder of the Prometheus Operator's CustomResourceDefinitions; "" means that of the operator's module, which
	// is downloaded when missing.
	CRDs string
}

// Serve starts a repository with the lab's charts and those of $LAB_CHARTS, and returns its URL. It ends with the context.
func Serve(ctx context.Context) (string, error) { return ServeCharts(ctx, Options{}) }

// ServeCharts is Serve with the charts and CRDs of the options.
func ServeCharts(ctx context.Context, o Options) (string, error) {
	all, err := o.load(ctx)
	if err != nil {
		return "", err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("chart repository: %w", err)
	}
	url := "http://" + listener.Addr().String()
	content, err := pack(all, url)
	if err != nil {
		_ = listener.Close()
		return "", err
	}
	server := &http.Server{Handler: content, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	// After a successful listen the only error is that of closing.
	go func() { _ = server.Serve(listener) }()
	return url, nil
}

// load returns the charts to serve: the user's, and the lab's charts of other names.
func (o Options) load(ctx context.Context) ([]*chart.Chart, error) {
	served := map[string]*chart.Chart{}
	if folder := cmp.Or(o.Charts, os.Getenv(ChartsVariable)); folder != "" {
		given, err := loadFolder(folder)
		if err != nil {
			return nil, err
		}
		served = given
	}
	names, err := charts.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if served[name] != nil {
			continue
		}
		c, err := charts.Load(name)
		if err != nil {
			return nil, err
		}
		if name == charts.KubePrometheusStack {
			if err := o.addCRDs(ctx, c); err != nil {
				return nil, err
			}
		}
		served[name] = c
	}
	var all []*chart.Chart
	for _, c := range served {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *chart.Chart) int { return strings.Compare(a.Name(), b.Name()) })
	return all, nil
}

// loadFolder reads every chart in a folder and ignores everything else.
func loadFolder(folder string) (map[string]*chart.Chart, error) {
	found, err := filepath.Glob(filepath.Join(folder, "*", chartutil.ChartfileName))
	if err != nil {
		return nil, fmt.Errorf("charts in %s: %w", folder, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no chart in %s (of %s): it must hold unpacked charts, each in a folder of its own with a %s",
			folder, ChartsVariable, chartutil.ChartfileName)
	}
	loaded := map[string]*chart.Chart{}
	for _, file := range found {
		c, err := loader.LoadDir(filepath.Dir(file))
		if err != nil {
			return nil, fmt.Errorf("chart %s: %w", filepath.Dir(file), err)
		}
		loaded[c.Name()] = c
	}
	return loaded, nil
}

// addCRDs adds the operator's CRDs to the chart's subchart, where upstream has them: Helm keeps the files of a chart, but not of
// its subcharts, in the Secret of a release, which 4 MB of CRDs would outgrow. The Job that upgrades them reads them packed.
func (o Options) addCRDs(ctx context.Context, c *chart.Chart) error {
	folder := o.CRDs
	if folder == "" {
		var err error
		if folder, err = OperatorCRDs(ctx); err != nil {
			return err
		}
	}
	found, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return fmt.Errorf("CRDs in %s: %w", folder, err)
	}
	if len(found) == 0 {
		return fmt.Errorf("no CustomResourceDefinition (*.yaml) in %s", folder)
	}
	at := slices.IndexFunc(c.Dependencies(), func(d *chart.Chart) bool { return d.Name() == crdChart })
	if at < 0 {
		return fmt.Errorf("chart %s has no subchart %q for CRDs", c.Name(), crdChart)
	}
	definitions := c.Dependencies()[at]
	var packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	for _, file := range found {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("CRDs: %w", err)
		}
		definitions.Files = append(definitions.Files, &chart.File{Name: "crds/" + filepath.Base(file), Data: data})
		if _, err := fmt.Fprintf(pack, "---\n%s\n", data); err != nil {
			return fmt.Errorf("packing the CRDs: %w", err)
		}
	}
	if err := pack.Close(); err != nil {
		return fmt.Errorf("packing the CRDs: %w", err)
	}
	definitions.Files = append(definitions.Files, &chart.File{Name: "files/crds.gz", Data: packed.Bytes()})
	return nil
}

// content are the files of the repository by name.
type content map[string][]byte

// pack returns a repository with that URL.
func pack(all []*chart.Chart, url string) (content, error) {
	dir, err := os.MkdirTemp("", "vllm-autoscaling-lab-charts-")
	if err != nil {
		return nil, fmt.Errorf("chart repository: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	index := repo.NewIndexFile()
	held := content{}
	for _, c := range all {
		path, err := chartutil.Save(c, dir)
		if err != nil {
			return nil, fmt.Errorf("packing chart %s: %w", c.Name(), err)
		}
		archive, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("packing chart %s: %w", c.Name(), err)
		}
		digest := sha256.Sum256(archive)
		name := filepath.Base(path)
		if err := index.MustAdd(c.Metadata, name, url, hex.EncodeToString(digest[:])); err != nil {
			return nil, fmt.Errorf("indexing chart %s: %w", c.Name(), err)
		}
		held[name] = archive
	}
	index.SortEntries()
	if held["index.yaml"], err = yaml.Marshal(index); err != nil {
		return nil, fmt.Errorf("indexing the charts: %w", err)
	}
	return held, nil
}

// ServeHTTP serves the files of the repository.
func (c content) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, ok := c[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	// An error means that the client has ended.
	_, _ = io.Copy(w, bytes.NewReader(data))
}
