// Package charts holds small Helm charts that stand in for the published ones, which a closed network cannot fetch.
// They are written for this project: each reads the same values as the chart that it stands in for, as far as the
// program sets them, and makes objects with the same names, labels, ports and images. The charts carry the versions
// that the program pins. The operator's CRDs are not part of the tree, the repository that serves the charts adds
// them from the operator's own module.
package charts

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
)

// KubePrometheusStack is the name of the chart that the operator's CRDs belong to.
const KubePrometheusStack = "kube-prometheus-stack"

//go:embed all:kube-prometheus-stack all:prometheus-adapter all:dcgm-exporter all:nvidia-device-plugin all:cluster-autoscaler
var files embed.FS

// Names lists the stand-in charts in alphabetical order.
func Names() ([]string, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("listing the stand-in charts: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// Load reads a stand-in chart by its name.
func Load(name string) (*chart.Chart, error) {
	var buffered []*loader.BufferedFile
	err := fs.WalkDir(files, name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		buffered = append(buffered, &loader.BufferedFile{Name: strings.TrimPrefix(path, name+"/"), Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading stand-in chart %q: %w", name, err)
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, fmt.Errorf("loading stand-in chart %q: %w", name, err)
	}
	return c, nil
}
