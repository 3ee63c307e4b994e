package chartrepository

import (
	"context"
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
	folder, err := tools.DownloadedModule(ctx, filepath.Join(root, "lab", "tools", "prometheus-operator"), operatorModule)
	if err != nil {
		return "", err
	}
	return filepath.Join(folder, filepath.FromSlash(crdFolder)), nil
}
