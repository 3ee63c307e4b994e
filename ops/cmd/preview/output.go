package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"vllm-autoscaling/ops/preview"
)

// render returns the report in the chosen format.
func (o *options) render(report *preview.Report) (string, error) {
	only := o.preflight == preflightOnly
	switch {
	case only && report.Failed && report.Preflight == nil:
		return "", errors.New("the preview failed, so there is nothing to check: " + strings.Join(report.Errors, "; "))
	case o.format == "json" && only:
		return asJSON(report.Preflight)
	case o.format == "json":
		return asJSON(report)
	case o.format == "markdown" && only:
		return report.PreflightMarkdown(), nil
	case o.format == "markdown":
		return report.Markdown(o.limit), nil
	case only:
		return report.PreflightText(), nil
	}
	return report.Text(), nil
}

func asJSON(value any) (string, error) {
	content, err := json.MarshalIndent(value, "", "  ")
	return string(content) + "\n", err
}

// writePlan writes the report without the preflight, in the same format.
func (o *options) writePlan(report *preview.Report) error {
	text, err := o.render(report.WithoutPreflight())
	if err != nil {
		return err
	}
	return os.WriteFile(o.planOut, []byte(text), 0o644)
}

// write writes the report where it is wanted.
func (o *options) write(text string, stdout io.Writer) error {
	if o.out == "" {
		_, err := io.WriteString(stdout, text)
		return err
	}
	return os.WriteFile(o.out, []byte(text), 0o644)
}
