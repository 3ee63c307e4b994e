package chartrepository

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/repo"
	"sigs.k8s.io/yaml"
)

// get fetches a URL and returns its status and body.
func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, body
}

func index(t *testing.T, url string) *repo.IndexFile {
	t.Helper()
	code, body := get(t, url+"/index.yaml")
	require.Equal(t, http.StatusOK, code)
	var parsed repo.IndexFile
	require.NoError(t, yaml.Unmarshal(body, &parsed))
	return &parsed
}

// crds writes a folder with one small CRD.
func crds(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "things.yaml"), []byte(text), 0o600))
	return dir
}

func TestServesWhatTheProgramPins(t *testing.T) {
	t.Setenv(ChartsVariable, "")
	url, err := ServeCharts(t.Context(), Options{CRDs: crds(t)})
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(url, "http://127.0.0.1:"), url)

	found := index(t, url)
	for name, version := range map[string]string{
		"kube-prometheus-stack": "88.5.3", "prometheus-adapter": "5.3.0", "dcgm-exporter": "4.8.2",
	} {
		entry, err := found.Get(name, version)
		require.NoError(t, err, name)
		require.Len(t, entry.URLs, 1)
		code, archive := get(t, entry.URLs[0])
		require.Equal(t, http.StatusOK, code)
		c, err := loader.LoadArchive(strings.NewReader(string(archive)))
		require.NoError(t, err)
		assert.Equal(t, name, c.Name())
		assert.Equal(t, version, c.Metadata.Version)
		if name == "kube-prometheus-stack" {
			require.Len(t, c.CRDObjects(), 1)
			assert.Contains(t, string(c.CRDObjects()[0].File.Data), "things.example.com")
			for _, f := range c.Files {
				assert.NotContains(t, f.Name, "crds/", "CRDs among the chart's own files are stored with every release")
			}
		}
	}
	code, _ := get(t, url+"/nothing.tgz")
	assert.Equal(t, http.StatusNotFound, code)
}

func TestEndsWithItsContext(t *testing.T) {
	t.Setenv(ChartsVariable, "")
	ctx, cancel := context.WithCancel(t.Context())
	url, err := ServeCharts(ctx, Options{CRDs: crds(t)})
	require.NoError(t, err)
	index(t, url)
	cancel()
	require.Eventually(t, func() bool {
		resp, err := http.Get(url + "/index.yaml") //nolint:noctx // the server is going away
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil
	}, 5*time.Second, 10*time.Millisecond)
}

func TestUsersChartsTakeTheStandInsPlace(t *testing.T) {
	dir := t.TempDir()
	for name, version := range map[string]string{"prometheus-adapter": "9.9.9", "extra": "1.0.0"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
		text := fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "Chart.yaml"), []byte(text), 0o600))
	}
	t.Setenv(ChartsVariable, dir)
	url, err := ServeCharts(t.Context(), Options{CRDs: crds(t)})
	require.NoError(t, err)
	found := index(t, url)
	assert.Len(t, found.Entries["prometheus-adapter"], 1)
	assert.True(t, found.Has("prometheus-adapter", "9.9.9"))
	assert.True(t, found.Has("extra", "1.0.0"))
	assert.True(t, found.Has("dcgm-exporter", "4.8.2"), "what the folder lacks stays a stand-in")
}

func TestBadFolders(t *testing.T) {
	t.Setenv(ChartsVariable, "")
	empty := t.TempDir()
	_, err := ServeCharts(t.Context(), Options{Charts: empty, CRDs: crds(t)})
	require.ErrorContains(t, err, empty)
	require.ErrorContains(t, err, "Chart.yaml")
	_, err = ServeCharts(t.Context(), Options{CRDs: empty})
	require.ErrorContains(t, err, "no CustomResourceDefinition")
}

func TestOperatorCRDs(t *testing.T) {
	folder, err := OperatorCRDs(t.Context())
	require.NoError(t, err)
	for _, kind := range []string{"prometheuses", "servicemonitors", "podmonitors", "prometheusrules", "alertmanagers"} {
		assert.FileExists(t, filepath.Join(folder, "monitoring.coreos.com_"+kind+".yaml"))
	}
}
