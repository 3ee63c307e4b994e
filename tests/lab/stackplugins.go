package lab

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vllm-autoscaling/tests/lab/cloud"
	"vllm-autoscaling/tests/lab/tools"
)

// stackEnvironment returns the user's environment without variables that would make the CLI use the user's own stacks and
// clusters.
func stackEnvironment(user []string) []string {
	return slices.DeleteFunc(slices.Clone(user), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "PATH", "TMPDIR", "KUBECONFIG", "CGO_ENABLED", "GOFLAGS", "GOWORK":
			return true
		}
		return strings.HasPrefix(name, "PULUMI_") || strings.HasPrefix(name, "HELM_")
	})
}

// installProvider links a plugin to the folder in which the CLI looks for that version.
func installProvider(cliHome, name, version, plugin string) error {
	folder := filepath.Join(cliHome, "plugins", "resource-"+name+"-"+version)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return replaceLink(plugin, filepath.Join(folder, "pulumi-resource-"+name))
}

func replaceLink(target, link string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}

// useClouds installs the clouds' providers and, first on the PATH, their CLIs and the authentication programs of their kubeconfigs.
func (s *Stack) useClouds(l *Lab) error {
	home := filepath.Join(l.dir, "pulumi")
	double := s.programs.Path(tools.CloudDoubles)
	for name, version := range cloud.Plugins() {
		if err := installProvider(filepath.Join(home, "home"), name, "v"+version, double); err != nil {
			return err
		}
	}
	bin := filepath.Join(home, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return err
	}
	for _, name := range cloud.Programs() {
		if err := replaceLink(double, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	for i, variable := range s.env {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			s.env[i] = "PATH=" + bin + string(os.PathListSeparator) + path
		}
	}
	s.env = append(s.env, l.clouds.Environment()...)
	// A command without the cloud's kubeconfig must not find another one.
	s.env = append(s.env, "KUBECONFIG="+filepath.Join(home, "no-kubeconfig"))
	return nil
}
