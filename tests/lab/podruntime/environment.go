package podruntime

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// environment returns the container's variables by name, with references to the pod, ConfigMaps and Secrets resolved as a
// kubelet does.
func (l *launcher) environment() (map[string]string, error) {
	return l.environmentOf(l.container)
}

func (l *launcher) environmentOf(container *corev1.Container) (map[string]string, error) {
	env := map[string]string{}
	for _, source := range container.EnvFrom {
		var files map[string][]byte
		var err error
		switch {
		case source.ConfigMapRef != nil:
			files, err = l.configMapFiles(source.ConfigMapRef.Name, nil, source.ConfigMapRef.Optional)
		case source.SecretRef != nil:
			files, err = l.secretFiles(source.SecretRef.Name, nil, source.SecretRef.Optional)
		}
		if err != nil {
			return nil, err
		}
		for key, value := range files {
			env[source.Prefix+key] = string(value)
		}
	}
	for _, variable := range container.Env {
		value, ok, err := l.value(&variable, env)
		if err != nil {
			return nil, fmt.Errorf("variable %s of container %q: %w", variable.Name, container.Name, err)
		}
		if ok {
			env[variable.Name] = value
		}
	}
	return env, nil
}

// value returns a variable's value; ok is false when it refers to an optional key that does not exist.
func (l *launcher) value(variable *corev1.EnvVar, env map[string]string) (value string, ok bool, err error) {
	from := variable.ValueFrom
	if from == nil {
		return expand(variable.Value, env), true, nil
	}
	var files map[string][]byte
	var key string
	switch {
	case from.FieldRef != nil:
		return l.field(from.FieldRef.FieldPath), true, nil
	case from.SecretKeyRef != nil:
		key = from.SecretKeyRef.Key
		files, err = l.secretFiles(from.SecretKeyRef.Name, []corev1.KeyToPath{{Key: key, Path: key}}, from.SecretKeyRef.Optional)
	case from.ConfigMapKeyRef != nil:
		key = from.ConfigMapKeyRef.Key
		files, err = l.configMapFiles(from.ConfigMapKeyRef.Name, []corev1.KeyToPath{{Key: key, Path: key}}, from.ConfigMapKeyRef.Optional)
	}
	if err != nil {
		return "", false, err
	}
	content, ok := files[key]
	return string(content), ok, nil
}

// field returns the value of a common field of the downward API, "" for others.
func (l *launcher) field(path string) string {
	if key, ok := strings.CutPrefix(path, "metadata.labels['"); ok {
		return l.pod.Labels[strings.TrimSuffix(key, "']")]
	}
	if key, ok := strings.CutPrefix(path, "metadata.annotations['"); ok {
		return l.pod.Annotations[strings.TrimSuffix(key, "']")]
	}
	return map[string]string{
		"metadata.name":           l.pod.Name,
		"metadata.namespace":      l.pod.Namespace,
		"metadata.uid":            string(l.pod.UID),
		"spec.nodeName":           l.pod.Spec.NodeName,
		"spec.serviceAccountName": l.pod.Spec.ServiceAccountName,
		"status.podIP":            l.pod.Status.PodIP,
		"status.hostIP":           l.pod.Status.HostIP,
	}[path]
}

// expand replaces $(NAME) with the variable's value. As in Kubernetes, $$ stands for one $, and an unknown name is not
// replaced.
func expand(text string, env map[string]string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			return out.String() + text
		}
		out.WriteString(text[:i])
		text = text[i:]
		end := strings.IndexByte(text, ')')
		switch {
		case text[1] == '$':
			out.WriteByte('$')
			text = text[2:]
		case text[1] == '(' && end > 0:
			value, ok := env[text[2:end]]
			if !ok {
				value = text[:end+1]
			}
			out.WriteString(value)
			text = text[end+1:]
		default:
			out.WriteByte('$')
			text = text[1:]
		}
	}
}

// commandLine returns the container's command and arguments with variables replaced.
func (l *launcher) commandLine() ([]string, error) {
	env, err := l.environment()
	if err != nil {
		return nil, err
	}
	var words []string
	for _, word := range slices.Concat(l.container.Command, l.container.Args) {
		words = append(words, expand(word, env))
	}
	return words, nil
}

// arguments returns the container's arguments with variables replaced and files of its volumes mapped to this machine. They
// may follow the program's name in the command.
func (l *launcher) arguments() ([]string, error) {
	words, err := l.commandLine()
	if err != nil {
		return nil, err
	}
	for len(words) > 0 && len(l.container.Command) > 0 && !strings.HasPrefix(words[0], "-") {
		words = words[1:]
	}
	return l.localArgs(words), nil
}

// keepVariables returns those of the named variables that are set, as NAME=value.
func keepVariables(env map[string]string, names ...string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if slices.Contains(names, name) {
			out = append(out, name+"="+env[name])
		}
	}
	return out
}

// processEnv returns the environment of a pod's process: its own variables and a home folder. Of the lab's environment only
// the search path is included, so that no credentials or proxies leak in.
func processEnv(dir string, own []string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, own...)
}
