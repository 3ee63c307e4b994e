// Command configdocs writes the JSON Schema of the stack files, the reference page of the configuration
// and the config section of Pulumi.yaml; `make config-docs` runs it. Its argument is the repository's
// root, by default the folder above.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"vllm-autoscaling/tests/configdocs"
)

func main() {
	root := ".."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := write(root); err != nil {
		fmt.Fprintln(os.Stderr, "configdocs:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	files, err := configdocs.Files(root)
	if err != nil {
		return err
	}
	for path, content := range files {
		if err := os.WriteFile(filepath.Join(root, path), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
