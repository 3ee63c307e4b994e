package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

// testsModule is the module that this package belongs to.
const testsModule = "vllm-autoscaling/tests"

// ModuleRoot returns the folder of the tests module. The working folder must be in the source tree: the programs are
// built with -trimpath, so they have no path of their source.
func ModuleRoot() (string, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := cwd; ; dir = filepath.Dir(dir) {
		for _, candidate := range []string{dir, filepath.Join(dir, "tests")} {
			if moduleName(filepath.Join(candidate, "go.mod")) == testsModule {
				return candidate, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no source of module %s in %s or above it: run from the repository", testsModule, cwd)
		}
	}
}

func moduleName(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return modfile.ModulePath(b)
}

// ModuleFolder returns the folder of a module's source in the version that a tool is built from. The go command downloads
// the module when it is not there, and verifies it against the tool's go.sum.
func ModuleFolder(ctx context.Context, name string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	for _, tool := range Catalogue() {
		if tool.Name == name {
			b := builder{module: root, env: buildEnvironment(os.Environ(), 0)}
			return b.moduleFolder(ctx, tool)
		}
	}
	return "", fmt.Errorf("tools: no program %q", name)
}

// DownloadedModule returns the folder of a module in the version that the go.mod of a folder requires. The go command downloads it
// when it is not there.
func DownloadedModule(ctx context.Context, folder, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = folder
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("finding module %s: %w: %s%s", module, err, stderr.Bytes(), stdout.Bytes())
	}
	var downloaded struct{ Dir, Error string }
	if err := json.Unmarshal(stdout.Bytes(), &downloaded); err != nil {
		return "", fmt.Errorf("finding module %s: %w", module, err)
	}
	if downloaded.Dir == "" {
		return "", fmt.Errorf("finding module %s: go mod download names no folder: %s", module, downloaded.Error)
	}
	return downloaded.Dir, nil
}

// moduleFolder returns the folder of the source of the tool's module.
func (b *builder) moduleFolder(ctx context.Context, tool Tool) (string, error) {
	output, err := b.run(ctx, b.folder(tool), "go", "mod", "download", "-json", tool.Module)
	if err != nil {
		return "", fmt.Errorf("source of %s: %w", tool.Module, err)
	}
	var module struct{ Dir, Error string }
	if err := json.Unmarshal([]byte(output), &module); err != nil {
		return "", fmt.Errorf("source of %s: %w", tool.Module, err)
	}
	if module.Dir == "" {
		return "", fmt.Errorf("source of %s: go mod download names no folder: %s", tool.Module, module.Error)
	}
	return module.Dir, nil
}

// folder returns the folder of the module that the tool is built from.
func (b *builder) folder(tool Tool) string {
	return filepath.Join(b.module, "lab", "tools", tool.Folder)
}
