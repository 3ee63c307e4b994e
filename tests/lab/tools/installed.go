package tools

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// Installed describes which installed program fits.
type Installed struct {
	// Args make the program print its version; without any, an installed program is not used.
	Args []string
	// AnyPatch accepts every patch release of the same minor version.
	AnyPatch bool
	// Release returns the release of a version of the module; nil if the numbers are the same.
	Release func(module string) string
}

// accepts reports whether a program with that version output can replace the module's version.
func (i Installed) accepts(output, module string) bool {
	want, got := module, versionPattern.FindStringSubmatch(output)
	if got == nil {
		return false
	}
	if i.Release != nil {
		want = i.Release(module)
	}
	if i.AnyPatch {
		return semver.MajorMinor("v"+got[1]) == semver.MajorMinor(want) && semver.Prerelease("v"+got[1]) == ""
	}
	return "v"+got[1] == want
}

// versionPattern finds the first version in what a program prints.
var versionPattern = regexp.MustCompile(`\bv?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)`)

// assetsVariable is the environment variable that envtest reads: a folder with etcd and kube-apiserver.
const assetsVariable = "KUBEBUILDER_ASSETS"

// installedTool returns the program of KUBEBUILDER_ASSETS or PATH that fits in place of the job's, empty for none.
func (b *builder) installedTool(ctx context.Context, j job) string {
	if len(j.Installed.Args) == 0 {
		return ""
	}
	var candidates []string
	if assets := os.Getenv(assetsVariable); assets != "" {
		candidates = append(candidates, filepath.Join(assets, j.Name))
	}
	if path, err := exec.LookPath(j.Name); err == nil {
		candidates = append(candidates, path)
	}
	for _, candidate := range candidates {
		path, err := filepath.Abs(candidate)
		if err != nil || executable(path) != nil {
			continue
		}
		output, err := b.version(ctx, path, j.Installed.Args...)
		if err == nil && j.Installed.accepts(output, j.version) {
			return path
		}
	}
	return ""
}

// version runs a program with arguments that print its version, and returns the output.
func (b *builder) version(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return b.run(ctx, b.module, path, args...)
}

// installedPulumi returns the CLI on PATH and the language host beside it where the version fits.
func (b *builder) installedPulumi(ctx context.Context) map[string]string {
	cli, err := exec.LookPath(Pulumi)
	if err != nil {
		return nil
	}
	// Beside the program itself and not beside a link to it, as the CLI does.
	if cli, err = filepath.EvalSymlinks(cli); err != nil {
		return nil
	}
	host := filepath.Join(filepath.Dir(cli), PulumiLanguageGo)
	if executable(host) != nil {
		return nil
	}
	version, err := b.version(ctx, cli, "version")
	if err != nil || strings.TrimSpace(version) != PulumiVersion {
		return nil
	}
	return map[string]string{Pulumi: cli, PulumiLanguageGo: host}
}

// installedProvider finds the published plugin of the program's minor version among the user's plugins.
func installedProvider() string {
	home := os.Getenv("PULUMI_HOME")
	if home == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		home = filepath.Join(user, ".pulumi")
	}
	minor := KubernetesProviderVersion[:strings.LastIndex(KubernetesProviderVersion, ".")]
	found, err := filepath.Glob(filepath.Join(home, "plugins", "resource-kubernetes-"+minor+".*", KubernetesProvider))
	if err != nil {
		return ""
	}
	for i := len(found) - 1; i >= 0; i-- {
		if executable(found[i]) == nil {
			return found[i]
		}
	}
	return ""
}

// executable returns an error unless path is a program.
func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not a program", path)
	}
	return nil
}
