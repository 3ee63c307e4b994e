// Command buildtools builds the lab's programs that are missing from the user's cache: all of them, or with -demo those
// that the demo of one stack needs, the Pulumi program and the demo itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.yaml.in/yaml/v3"

	"vllm-autoscaling/tests/lab/tools"
)

// CPU seconds of first builds after the tools, for the estimate.
const (
	demoSeconds    = 45
	programSeconds = 220
)

func main() {
	demo := flag.String("demo", "", "build what the demo runs, and the demo itself to this file")
	stack := flag.String("stack", "local", "stack that the demo deploys")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := build(ctx, *demo, *stack)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func build(ctx context.Context, demo, stack string) error {
	if demo == "" {
		_, err := tools.Build(ctx, os.Stdout)
		return err
	}
	module, err := tools.ModuleRoot()
	if err != nil {
		return err
	}
	if demo, err = filepath.Abs(demo); err != nil {
		return err
	}
	root := filepath.Dir(module)
	program, err := buildTarget(root)
	if err != nil {
		return err
	}
	names, err := tools.ForStack(filepath.Join(root, "Pulumi."+stack+".yaml"))
	if err != nil {
		return err
	}
	_, err = tools.BuildWith(ctx, os.Stdout, []tools.Program{
		{Label: "the Pulumi program", Dir: root, Package: ".", File: program, Seconds: programSeconds},
		{Label: "the demo", Dir: module, Package: "./lab/cmd/demo", File: demo, Seconds: demoSeconds},
	}, names...)
	return err
}

// buildTarget returns the file to which the language host builds the program of the project in root.
func buildTarget(root string) (string, error) {
	file := filepath.Join(root, "Pulumi.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var project struct {
		Runtime struct {
			Options struct {
				BuildTarget string `yaml:"buildTarget"`
			} `yaml:"options"`
		} `yaml:"runtime"`
	}
	if err := yaml.Unmarshal(content, &project); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	target := project.Runtime.Options.BuildTarget
	if target == "" {
		return "", fmt.Errorf("%s: runtime.options.buildTarget is not set", file)
	}
	return filepath.Join(root, target), nil
}
