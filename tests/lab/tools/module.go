package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// ModuleFolder is the folder of a module's source in the version that a tool is built from. The go command downloads
// the module when it is not there, and verifies it against the tool's go.sum.
func ModuleFolder(ctx context.Context, name string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	for _, tool := range Catalogue() {
		if tool.Name != name {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", tool.Module)
		cmd.Dir = filepath.Join(root, "lab", "tools", tool.Folder)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("finding the source of %s: %w: %s%s", tool.Module, err, stderr.Bytes(), stdout.Bytes())
		}
		var module struct{ Dir, Error string }
		if err := json.Unmarshal(stdout.Bytes(), &module); err != nil {
			return "", fmt.Errorf("finding the source of %s: %w", tool.Module, err)
		}
		if module.Dir == "" {
			return "", fmt.Errorf("finding the source of %s: go mod download names no folder: %s", tool.Module, module.Error)
		}
		return module.Dir, nil
	}
	return "", fmt.Errorf("tools: no program %q", name)
}
