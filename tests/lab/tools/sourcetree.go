package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Program is a program of this source tree.
type Program struct {
	// Label names the program in the progress.
	Label string
	// Dir is the folder of its module.
	Dir string
	// Package is what is built, relative to Dir.
	Package string
	// File is what it is built to.
	File string
	// Seconds is the CPU time of a first build after the tools, for the estimate.
	Seconds int
}

// kubernetesProviderDouble is the lab's double of the Kubernetes provider.
func (b *builder) kubernetesProviderDouble() Program {
	return b.program(KubernetesProvider, "Kubernetes provider double", "./lab/kubernetesprovider/cmd/pulumi-resource-kubernetes", 20)
}

// cloudDoubles stands for the plugins and programs of the lab's clouds.
func (b *builder) cloudDoubles() Program {
	return b.program(CloudDoubles, "the clouds' doubles", "./lab/cloud/cmd/lab-cloud", 1)
}

// program returns a program of the tests module. Its file is one for this source tree, not for another checkout, in a
// stable place so that go build finds out whether anything changed.
func (b *builder) program(name, label, pkg string, seconds int) Program {
	tree := sha256.Sum256([]byte(b.module))
	file := filepath.Join(b.cache, name+"-double-"+hex.EncodeToString(tree[:6]), name)
	return Program{Label: label, Dir: b.module, Package: pkg, File: file, Seconds: seconds}
}

// isNew reports whether the program was never built.
func (p Program) isNew() bool {
	_, err := os.Stat(p.File)
	return errors.Is(err, fs.ErrNotExist)
}

// buildProgram builds the program where anything changed; it shows the progress of a first build only.
func (b *builder) buildProgram(ctx context.Context, p Program) error {
	if err := os.MkdirAll(filepath.Dir(p.File), 0o755); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	done := func(error) {}
	if p.isNew() {
		done = b.progress.start(b.log, p.Label, 1, p.Seconds)
	}
	_, err := b.run(ctx, p.Dir, "go", "build", "-mod=readonly", "-o", p.File, p.Package)
	done(err)
	if err != nil {
		return fmt.Errorf("tools: build %s: %w", p.Label, err)
	}
	return nil
}

// provider returns the Kubernetes provider's plugin and whether it is a real one.
func (b *builder) provider(ctx context.Context) (path string, isReal bool, err error) {
	if path := os.Getenv("LAB_KUBERNETES_PROVIDER"); path != "" {
		if err := executable(path); err != nil {
			return "", false, fmt.Errorf("tools: LAB_KUBERNETES_PROVIDER: %w", err)
		}
		path, err := filepath.Abs(path)
		return path, true, err
	}
	if path := installedProvider(); path != "" {
		return path, true, nil
	}
	double := b.kubernetesProviderDouble()
	return double.File, false, b.buildProgram(ctx, double)
}
