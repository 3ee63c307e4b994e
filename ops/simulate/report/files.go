package report

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// Files are where a report is written to; an empty name writes nothing.
type Files struct{ HTML, PNG, Frontier string }

// Register adds the flags.
func (f *Files) Register(flags *flag.FlagSet) {
	flags.StringVar(&f.HTML, "html", "", "write a page with the table, the charts and the settings to this file")
	flags.StringVar(&f.PNG, "png", "", "write the charts to this file")
	flags.StringVar(&f.Frontier, "frontier", "", "write the first of the charts alone to this file, as PNG")
}

// Wanted reports whether there is something to write.
func (f *Files) Wanted() bool { return f.HTML != "" || f.PNG != "" || f.Frontier != "" }

// Check returns an error that names the flag whose file cannot be written.
func (f *Files) Check() error {
	seen := map[string]string{}
	for _, file := range []struct{ flag, path string }{{"-html", f.HTML}, {"-png", f.PNG}, {"-frontier", f.Frontier}} {
		if file.path == "" {
			continue
		}
		folder := filepath.Dir(file.path)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return fmt.Errorf("%s %s: %s is not a folder: create it first", file.flag, file.path, folder)
		}
		if info, err := os.Stat(file.path); err == nil && info.IsDir() {
			return fmt.Errorf("%s %s is a folder: name a file", file.flag, file.path)
		}
		clean := filepath.Clean(file.path)
		if other, ok := seen[clean]; ok {
			return fmt.Errorf("%s and %s are both %s: name two files", other, file.flag, file.path)
		}
		seen[clean] = file.flag
	}
	return nil
}

// Write writes the report. A file is complete or not there.
func (f *Files) Write(r *Report) error {
	for _, file := range []struct {
		path    string
		content func() ([]byte, error)
	}{{f.HTML, r.HTML}, {f.PNG, r.PNG}, {f.Frontier, r.FrontierPNG}} {
		if file.path == "" {
			continue
		}
		content, err := file.content()
		if err == nil {
			err = WriteFile(file.path, content)
		}
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// WriteFile writes a file by renaming a complete one.
func WriteFile(path string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Chmod(0o644)
	}
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}
