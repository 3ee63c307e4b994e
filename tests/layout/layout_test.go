package layout

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	root    = "../.."
	project = "vllm-autoscaling"
	// maxLines is the length above which a file is split by subject.
	maxLines = 500
)

// layers lists the folders of the repository from the bottom up. A package imports packages of its own layer and
// of those listed before it. The longest matching folder counts.
var layers = []string{
	"providers/accelerators",
	"providers/kubeconfig",
	"providers/kubeclient",
	"providers/apiservices",
	"providers/neighbours",
	"providers",
	"providers/existing",
	"providers/gke",
	"providers/eks",
	"providers/aks",
	"components/helm",
	"components/signals",
	"components/telemetry",
	"components/alerts",
	"components/dashboards",
	"components/rollout",
	"components",
	"stacks/outputs",
	"stacks/config/models",
	"stacks/config/speed",
	"stacks/config/sizing",
	"stacks/config",
	"stacks",
	"main.go",
	"ops",
	"tests",
}

// siblings are layers that must not import each other, although one of them is listed before the other.
var siblings = [][]string{
	{"providers/existing", "providers/gke", "providers/eks", "providers/aks"},
	{"components/alerts", "components/dashboards"},
}

// withoutPulumi lists the folders of the program that must not import Pulumi, so that commands which import them
// stay small.
var withoutPulumi = []string{"providers/kubeclient", "providers/neighbours", "components/signals", "components/telemetry", "components/rollout", "stacks/outputs",
	"stacks/config/models", "stacks/config/speed", "stacks/config/sizing"}

// dataTables are files above maxLines that hold tables of data only.
var dataTables = []string{}

func TestImportsPointDown(t *testing.T) {
	edges := 0
	for _, file := range goFiles(t) {
		from := layerOf(file)
		require.NotEqual(t, -1, from, "%s belongs to no layer of the table", file)
		for _, imported := range importsOf(t, file) {
			rest, ours := strings.CutPrefix(imported, project+"/")
			if !ours {
				continue
			}
			edges++
			to := layerOf(rest + "/x.go")
			require.NotEqual(t, -1, to, "%s imports %s, which belongs to no layer of the table", file, imported)
			assert.LessOrEqual(t, to, from, "%s (%s) imports %s (%s), which is above it", file, layers[from], imported, layers[to])
			for _, group := range siblings {
				if from != to && slices.Contains(group, layers[from]) && slices.Contains(group, layers[to]) {
					assert.Fail(t, "siblings import each other", "%s imports %s", file, imported)
				}
			}
		}
	}
	assert.Greater(t, edges, 200, "the repository's packages import each other")
}

func TestPackagesWithoutPulumi(t *testing.T) {
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") || !slices.Contains(withoutPulumi, path.Dir(file)) {
			continue
		}
		for _, imported := range importsOf(t, file) {
			assert.False(t, strings.HasPrefix(imported, "github.com/pulumi/"), "%s imports %s", file, imported)
		}
	}
}

func TestNoLongFiles(t *testing.T) {
	for _, file := range goFiles(t) {
		content, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		if lines := bytes.Count(content, []byte("\n")); !slices.Contains(dataTables, file) {
			assert.LessOrEqual(t, lines, maxLines, "%s has %d lines: split it by subject", file, lines)
		}
	}
}

func TestNoCatchAllPackages(t *testing.T) {
	for _, file := range goFiles(t) {
		for part := range strings.SplitSeq(path.Dir(file), "/") {
			assert.NotContains(t, []string{"utils", "util", "common", "misc", "helpers", "internal"}, part, file)
		}
	}
}

// layerOf returns the index of the layer that a file belongs to, or -1.
func layerOf(file string) int {
	best := -1
	for i, layer := range layers {
		if (file == layer || strings.HasPrefix(file, layer+"/")) && (best < 0 || len(layer) > len(layers[best])) {
			best = i
		}
	}
	return best
}

// goFiles lists the Go files of the repository, relative to its root. Folders of upstream modules below
// tests/lab/tools count as well; generated and ignored folders do not.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if entry.IsDir() && relative != "." && (strings.HasPrefix(entry.Name(), ".") || relative == "bin" || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(relative, ".go") {
			files = append(files, relative)
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func importsOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
	require.NoError(t, err)
	var imports []string
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		imports = append(imports, imported)
	}
	return imports
}
