package project

import (
	"fmt"
	"os"
	"path/filepath"
)

// Root returns the folder of the nearest Pulumi.yaml, from the working folder upwards. The commands are built with
// -trimpath, so the path of their source is unknown at run time.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the project: %w", err)
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "Pulumi.yaml")); err == nil {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("no Pulumi.yaml in %s or above: run it in the project's folder", start)
		}
	}
}
