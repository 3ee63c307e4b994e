package chartrepository

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"

	"vllm-autoscaling/tests/lab/tools"
)

// operatorModule is the module of the Prometheus Operator, crdFolder the folder of its CRDs in it.
const (
	operatorModule = "github.com/prometheus-operator/prometheus-operator"
	crdFolder      = "example/prometheus-operator-crd"
)

// OperatorCRDs returns the folder of the CRDs in the operator's module, in the version that the lab runs. The go command
// downloads a missing module and verifies it against go.sum.
func OperatorCRDs(ctx context.Context) (string, error) {
	root, err := tools.ModuleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", operatorModule)
	cmd.Dir = filepath.Join(root, "lab", "tools", "prometheus-operator")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("finding the module of the Prometheus Operator's CRDs: %w: %s%s", err, stderr.Bytes(), stdout.Bytes())
	}
	var module struct{ Dir, Error string }
	if err := json.Unmarshal(stdout.Bytes(), &module); err != nil {
		return "", fmt.Errorf("finding the module of the Prometheus Operator's CRDs: %w", err)
	}
	if module.Dir == "" {
		return "", fmt.Errorf("finding the module of the Prometheus Operator's CRDs: go mod download names no folder: %s", module.Error)
	}
	return filepath.Join(module.Dir, filepath.FromSlash(crdFolder)), nil
}
