package podruntime

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
)

// checkMiddleware checks that vLLM can import what --middleware names, which the simulator has no flag for: a class, or a
// coroutine function, of a module in a folder of PYTHONPATH. What is part of the image is not known to the lab.
func (l *launcher) checkMiddleware(words []string, env map[string]string) error {
	for i, word := range words {
		name, value, ok := splitArg(word)
		if !ok || name != "middleware" {
			continue
		}
		if !strings.Contains(word, "=") && i+1 < len(words) {
			value = words[i+1]
		}
		if err := l.importObject(value, strings.Split(env["PYTHONPATH"], ":")); err != nil {
			return fmt.Errorf("--middleware %s: %w", value, err)
		}
	}
	return nil
}

// importObject looks a Python object up in the volumes of the container, by its import path.
func (l *launcher) importObject(importPath string, folders []string) error {
	dot := strings.LastIndexByte(importPath, '.')
	if dot < 0 {
		return fmt.Errorf("not an import path of the form module.object")
	}
	module, object := importPath[:dot], importPath[dot+1:]
	file := strings.ReplaceAll(module, ".", "/") + ".py"
	for _, folder := range folders {
		local, ok := l.localPath(l.container, path.Join(folder, file))
		if !ok || !path.IsAbs(folder) {
			continue
		}
		source, err := os.ReadFile(local)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !regexp.MustCompile(`(?m)^(class|async def) ` + regexp.QuoteMeta(object) + `\b`).Match(source) {
			return fmt.Errorf("module %s has no class or coroutine function %s", module, object)
		}
		return nil
	}
	return fmt.Errorf("no module named %s in a volume that PYTHONPATH names (%s)", module, strings.Join(folders, ":"))
}
