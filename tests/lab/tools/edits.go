package tools

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"
)

// Edit is a change to one file of an upstream module. It is made in a copy of the module that the go command has verified.
type Edit struct {
	// File is relative to the module's folder, with slashes.
	File string
	// Old is a regular expression of the text that New replaces; it has to match. An empty one removes the whole file.
	Old string
	// New is a template as of regexp.Expand.
	New string
}

// kwokEdits spell out a constant that k8s.io/apimachinery v0.34 no longer exports.
var kwokEdits = []Edit{
	{File: "pkg/utils/informer/informer.go", Old: `metav1\.InitialEventsListBlueprintAnnotationKey`, New: `"kubernetes.io/initial-events-list-blueprint"`},
}

// adapterEdits pass a context instead of a channel, as custom-metrics-apiserver requires from v1.31 on. They also correct the
// sign of a query's timeout: the adapter sends a negative one, which the prometheus/common of its own release formats as an
// empty string and later ones as a duration that Prometheus refuses.
var adapterEdits = []Edit{
	{File: "cmd/adapter/adapter.go", Old: `\t"k8s\.io/client-go/metadata"\n`, New: "\t\"k8s.io/apimachinery/pkg/util/wait\"\n$0"},
	{File: "cmd/adapter/adapter.go", Old: `cmd\.Run\(stopCh\)`, New: `cmd.Run(wait.ContextForChannel(stopCh))`},
	{File: "pkg/client/api.go", Old: `time\.Since\(deadline\)`, New: `time.Until(deadline)`},
}

// simulatorEdits leave out SQLite, which --dataset-path and --dataset-url need, and what its tests use. They also make it
// listen on the loopback interface only, for which it has no flag.
var simulatorEdits = []Edit{
	{File: "pkg/communication/http.go", Old: `net\.Listen\("tcp4", fmt\.Sprintf\(":%d"`, New: `net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d"`},
	{File: "pkg/dataset/dataset.go", Old: `\t_ "modernc\.org/sqlite"\n`},
	{File: "pkg/common/test_utils.go"},
	{File: "pkg/kv-cache/kv_test_helper.go"},
	{File: "pkg/tokenizer/test_utils.go"},
}

// pulumiEdits leave out state in a cloud's buckets, secrets in a cloud's key management and logs of a cloud's resources:
// two fifths of what is compiled for the CLI.
var pulumiEdits = []Edit{
	{File: "backend/diy/backend.go", Old: `\t_? ?"gocloud\.dev/blob/(azureblob|gcsblob|s3blob)".*\n`},
	{File: "backend/diy/backend.go", Old: `\t"github\.com/pulumi/pulumi/pkg/v3/authhelpers"\n`},
	{File: "backend/diy/backend.go", Old: `(?s)\tif p\.Scheme == gcsblob\.Scheme \{\n.*?\n\t\}\n`},
	{File: "backend/diy/bucket.go", Old: `\tawss3 ".*"\n`},
	{File: "backend/diy/bucket.go", Old: `\*awss3\.CopyObjectInput`, New: `*struct{ CopySource *string }`},
	{File: "secrets/cloud/manager.go", Old: `\t_? ?"gocloud\.dev/secrets/.*\n`},
	{File: "secrets/cloud/manager.go", Old: `\t"(google\.golang\.org/api/cloudkms/v1|github\.com/pulumi/pulumi/pkg/v3/authhelpers)"\n`},
	{File: "secrets/cloud/manager.go", Old: `(?s)\tcase gcpkms\.Scheme:\n.*?(\tdefault:\n)`, New: `$1`},
	{File: "operations/operations_aws.go"},
	{File: "operations/operations_gcp.go"},
	{File: "operations/resources.go", Old: `return (AWS|GCP)OperationsProvider\(.*\)`, New: `return nil, nil`},
}

// traefikEdits leave out the providers of other platforms than Kubernetes, DNS challenges and plugins: a third of what is compiled.
var traefikEdits = []Edit{
	{File: "pkg/provider/acme/provider.go", Old: `\t"github\.com/go-acme/lego/v4/providers/dns"\n`},
	{File: "pkg/provider/acme/provider.go", Old: `provider, err = dns\.NewDNSChallengeProviderByName\(.*\)`, New: `err = errors.New("left out")`},
	{File: "pkg/config/static/static_config.go",
		Old: `\t"github\.com/traefik/traefik/v3/pkg/provider/(docker|ecs|consulcatalog|nomad|kubernetes/knative|kv/\w+)"\n`},
	{File: "pkg/config/static/static_config.go", Old: `\t` + traefikProviders + ` +\*.*\n`},
	{File: "pkg/config/static/static_config.go", Old: `(?s)\tif c\.Providers\.(Docker|Swarm) != nil \{\n.*?\n\t\}\n`},
	{File: "pkg/config/static/static_config.go", Old: `(?s)\tif c\.Providers != nil && c\.Providers\.Knative != nil \{\n.*?\n\t\}\n`},
	{File: "pkg/provider/aggregator/aggregator.go", Old: `(?s)\tif conf\.` + traefikProviders + ` != nil \{\n.*?\n\t\}\n`},
	{File: "pkg/plugins/middlewareyaegi.go"},
	{File: "pkg/plugins/middlewarewasm.go"},
	{File: "pkg/plugins/wasip.go"},
	{File: "pkg/plugins/wasip_mock.go"},
	{File: "pkg/plugins/providers.go", Old: `(?s)^.*$`, New: `package plugins

import (
	"errors"

	"github.com/traefik/traefik/v3/pkg/provider"
)

type providerBuilder struct{}

func (b Builder) BuildProvider(string, map[string]any) (provider.Provider, error) {
	return nil, errors.New("left out")
}
`},
	{File: "pkg/plugins/builder.go", Old: `(?s)\n\tctx := context\.Background\(\)\n.*?\treturn pb, nil\n`, New: "\n\treturn &Builder{}, nil\n"},
	{File: "pkg/plugins/builder.go", Old: `(?s)\nfunc newMiddlewareBuilder.*$`},
	{File: "pkg/plugins/builder.go", Old: `\t("errors"|"path/filepath"|"github\.com/rs/zerolog/log")\n`},
}

// traefikProviders matches the fields of the providers that traefikEdits leave out.
const traefikProviders = `(Docker|Swarm|Knative|ConsulCatalog|Nomad|Ecs|Consul|Etcd|ZooKeeper|Redis)`

// editModule copies the module in folder source to folder target, without its tests, and edits the copy.
func editModule(edits []Edit, source, target string) error {
	err := filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		copied := filepath.Join(target, relative)
		switch {
		case entry.Name() == "testdata":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(copied, 0o755)
		case strings.HasSuffix(path, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(copied, content, 0o644)
	})
	if err != nil {
		return err
	}
	for _, edit := range edits {
		if err := edit.apply(target); err != nil {
			return fmt.Errorf("edit of %s: %w", edit.File, err)
		}
	}
	return nil
}

// apply edits the file in that folder.
func (e Edit) apply(folder string) error {
	file := filepath.Join(folder, filepath.FromSlash(e.File))
	if e.Old == "" {
		return os.Remove(file)
	}
	pattern, err := regexp.Compile(e.Old)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !pattern.Match(content) {
		return fmt.Errorf("%q is not in it", e.Old)
	}
	return os.WriteFile(file, pattern.ReplaceAll(content, []byte(e.New)), 0o644)
}

// replaceModule writes to folder target the go.mod and go.sum of folder source, with the module in a folder of its own, and
// returns the file for -modfile.
func replaceModule(source, module, moduleFolder, target string) (string, error) {
	name := filepath.Join(source, "go.mod")
	content, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	file, err := modfile.Parse(name, content, nil)
	if err != nil {
		return "", err
	}
	if err := file.AddReplace(module, "", moduleFolder, ""); err != nil {
		return "", err
	}
	if content, err = file.Format(); err != nil {
		return "", err
	}
	replaced := filepath.Join(target, "go.mod")
	if err := os.WriteFile(replaced, content, 0o644); err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(source, "go.sum"))
	if err != nil {
		return "", err
	}
	return replaced, os.WriteFile(filepath.Join(target, "go.sum"), sums, 0o644)
}
