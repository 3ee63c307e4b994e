package podruntime

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// Python runs scripts of mounted volumes, with the python3 of this machine.
const Python Program = "python3"

// loopback matches the address of another container of the pod, which has its ports elsewhere on this machine.
var loopback = regexp.MustCompile(`http://(?:127\.0\.0\.1|localhost):([0-9]+)`)

// FindPython returns the interpreter of this machine. It is not the file on the PATH, which may be a shim that needs the home folder of
// its user.
var FindPython = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "", fmt.Errorf("the lab runs scripts with python3, which this machine does not have: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// runsScript reports whether a container's command is python3 with a script of one of its volumes, rather than a module of its image.
func runsScript(container *corev1.Container) bool {
	words := slices.Concat(container.Command, container.Args)
	if len(container.Command) == 0 || len(words) < 2 || !strings.HasPrefix(path.Base(words[0]), "python3") {
		return false
	}
	return slices.ContainsFunc(container.VolumeMounts, func(mount corev1.VolumeMount) bool {
		return strings.HasPrefix(words[1], path.Clean(mount.MountPath)+"/")
	})
}

// runPython runs a container's script. Its folders are those of the container's volumes, and 127.0.0.1 is the pod.
func (l *launcher) runPython() (*launch, error) {
	interpreter, err := FindPython()
	if err != nil {
		return nil, err
	}
	words, err := l.commandLine()
	if err != nil {
		return nil, err
	}
	if len(words) < 2 {
		return nil, errors.New("python3 without a script")
	}
	variables, err := l.environment()
	if err != nil {
		return nil, err
	}
	env := []string{"PYTHONDONTWRITEBYTECODE=1"}
	for name, value := range variables {
		env = append(env, name+"="+l.onThisMachine(value))
	}
	args := make([]string, len(words)-1)
	for i, word := range words[1:] {
		args[i] = l.onThisMachine(word)
	}
	return &launch{
		program: Python, path: interpreter, args: args, env: env,
		// It listens on nothing that anything waits for.
		ready: func(context.Context) error { return nil },
	}, nil
}

// onThisMachine replaces the files of the container's volumes and the addresses of the pod in an argument.
func (l *launcher) onThisMachine(word string) string {
	word = l.localArgs([]string{word})[0]
	return loopback.ReplaceAllStringFunc(word, func(address string) string {
		port, err := strconv.Atoi(loopback.FindStringSubmatch(address)[1])
		if err != nil || l.runtime.router == nil {
			return address
		}
		return l.runtime.PodURL(l.pod.Namespace, l.pod.Name, port)
	})
}
