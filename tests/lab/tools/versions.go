package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// alignedModules are the folders of the modules with the versions of module upstream, relative to the tests module, each
// with the modules that it needs in another version.
var alignedModules = map[string][]string{
	// The program needs no replacement: its imports require no later version than that of the cluster.
	"..":     {"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go"},
	"../ops": {"github.com/prometheus/client_golang", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go"},
	// kube-state-metrics needs more than the last release; in it, the client's Rules has another signature.
	".": {"github.com/prometheus/client_golang"},
	"lab/tools/prometheus-operator": {
		"github.com/prometheus-community/prom-label-proxy", "github.com/prometheus/alertmanager", "github.com/prometheus/prometheus",
		"sigs.k8s.io/controller-runtime",
	},
	"lab/tools/pulumi-language-go": {"github.com/pulumi/pulumi/sdk/v3"},
}

// difference is a module that two go.mod files require in different versions.
type difference struct {
	folder string // that has the lower version
	path   string
	lower  string
	higher string
}

func (d difference) String() string {
	return fmt.Sprintf("%s: %s is %s, elsewhere %s", filepath.Join(d.folder, "go.mod"), d.path, d.lower, d.higher)
}

// differences compares the aligned modules below the tests module with module upstream.
func differences(module string) ([]difference, error) {
	shared := filepath.Join("lab", "tools", upstream)
	want, err := versions(filepath.Join(module, shared, "go.mod"))
	if err != nil {
		return nil, err
	}
	var all []difference
	for _, folder := range slices.Sorted(maps.Keys(alignedModules)) {
		got, err := versions(filepath.Join(module, folder, "go.mod"))
		if err != nil {
			return nil, err
		}
		for _, path := range slices.Sorted(maps.Keys(got)) {
			if want[path] == "" || slices.Contains(alignedModules[folder], path) {
				continue
			}
			switch semver.Compare(got[path], want[path]) {
			case -1:
				all = append(all, difference{folder: folder, path: path, lower: got[path], higher: want[path]})
			case 1:
				all = append(all, difference{folder: shared, path: path, lower: want[path], higher: got[path]})
			}
		}
	}
	return all, nil
}

// versions returns the version of every module that a go.mod file requires. That of a replaced module counts, too: it
// is part of the paths in what is compiled.
func versions(file string) (map[string]string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, err := modfile.Parse(file, content, nil)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, r := range parsed.Require {
		all[r.Mod.Path] = r.Mod.Version
	}
	return all, nil
}

// AlignVersions raises what differs between the aligned modules to the higher version.
func AlignVersions(ctx context.Context, log io.Writer) error {
	module, err := ModuleRoot()
	if err != nil {
		return err
	}
	b := builder{module: module, env: buildEnvironment(os.Environ(), 0)}
	// A raised version may raise the versions of other modules.
	for range 5 {
		all, err := differences(module)
		if err != nil || len(all) == 0 {
			return err
		}
		raised := map[string][]string{}
		for _, d := range all {
			fmt.Fprintln(log, d)
			raised[d.folder] = append(raised[d.folder], d.path+"@"+d.higher)
		}
		for _, folder := range slices.Sorted(maps.Keys(raised)) {
			for _, args := range [][]string{append([]string{"get"}, raised[folder]...), {"mod", "tidy"}} {
				if _, err := b.run(ctx, filepath.Join(module, folder), "go", args...); err != nil {
					return err
				}
			}
		}
	}
	return errors.New("the versions still differ: raise them by hand, or list an exception in tests/lab/tools/versions.go")
}
