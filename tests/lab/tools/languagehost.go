package tools

import (
	"fmt"
	"os"
	"path/filepath"
)

// LanguageHostFlag is the environment variable with one flag for the language host, such as -buildTarget=PATH or
// -binary=PATH.
const LanguageHostFlag = "LAB_LANGUAGE_HOST_FLAG"

// putBeside writes a script that runs the language host into the folder of the CLI, where the CLI looks for it. The CLI sends a
// project's runtime options in a request that this older language host does not read; it has flags for them, which the script
// passes from LanguageHostFlag.
func putBeside(t *Tools, cli, host string) error {
	script := filepath.Join(filepath.Dir(t.paths[cli]), host)
	content := fmt.Sprintf("#!/bin/sh\nexec '%s' ${%s:+\"$%s\"} \"$@\"\n", t.paths[host], LanguageHostFlag, LanguageHostFlag)
	if existing, err := os.ReadFile(script); err == nil && string(existing) == content {
		t.paths[host] = script
		return nil
	}
	// By a rename, because another lab may be using the existing file.
	fresh := script + ".new"
	if err := os.WriteFile(fresh, []byte(content), 0o755); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	if err := os.Rename(fresh, script); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	t.paths[host] = script
	return nil
}
