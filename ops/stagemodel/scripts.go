package stagemodel

import _ "embed"

// The files of the ConfigMap that the Job runs.
const (
	mainFile    = "stage_model.py"
	foldersFile = "stage_folders.py"
)

//go:embed stage_model.py
var mainScript string

//go:embed stage_folders.py
var foldersScript string

// scripts returns the files by name.
func scripts() map[string]string {
	return map[string]string{mainFile: mainScript, foldersFile: foldersScript}
}
