package podruntime

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// errWaiting is wrapped by errors about an object that a pod refers to and that does not exist yet. As a kubelet does, the
// lab waits for it.
var errWaiting = errors.New("waiting")

// volumes writes a pod's ConfigMap, Secret and projected volumes below the pod's folder, and creates folders for its empty
// ones. changed reports whether a file has changed since the last call.
func (l *launcher) volumes() (changed bool, err error) {
	var errs []error
	for _, volume := range l.pod.Spec.Volumes {
		folder := filepath.Join(l.dir, "volumes", volume.Name)
		lasting, err := l.lasting(&volume)
		if err != nil {
			errs = append(errs, fmt.Errorf("volume %q: %w", volume.Name, err))
			continue
		}
		if lasting != "" {
			if err := link(folder, lasting); err != nil {
				return changed, err
			}
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return changed, err
		}
		files, err := l.volumeFiles(&volume)
		if err != nil {
			errs = append(errs, fmt.Errorf("volume %q: %w", volume.Name, err))
			continue
		}
		if files == nil {
			continue
		}
		different, err := writeFiles(folder, files)
		if err != nil {
			return changed, fmt.Errorf("volume %q: %w", volume.Name, err)
		}
		changed = changed || different
	}
	return changed, errors.Join(errs...)
}

// volumeFiles returns the content of a volume by path, nil for a volume that the program fills.
func (l *launcher) volumeFiles(volume *corev1.Volume) (map[string][]byte, error) {
	switch {
	case volume.ConfigMap != nil:
		source := volume.ConfigMap
		return l.configMapFiles(source.Name, source.Items, source.Optional)
	case volume.Secret != nil:
		source := volume.Secret
		return l.secretFiles(source.SecretName, source.Items, source.Optional)
	case volume.Projected != nil:
		files := map[string][]byte{}
		for _, source := range volume.Projected.Sources {
			var part map[string][]byte
			var err error
			switch {
			case source.ConfigMap != nil:
				part, err = l.configMapFiles(source.ConfigMap.Name, source.ConfigMap.Items, optionalRoot(source.ConfigMap))
			case source.Secret != nil:
				part, err = l.secretFiles(source.Secret.Name, source.Secret.Items, source.Secret.Optional)
			}
			if err != nil {
				return nil, err
			}
			maps.Copy(files, part)
		}
		return files, nil
	}
	return nil, nil
}

// optionalRoot makes the cluster's root certificate optional: the programs get a kubeconfig, and not every control plane
// publishes the certificate.
func optionalRoot(source *corev1.ConfigMapProjection) *bool {
	if source.Name == "kube-root-ca.crt" {
		yes := true
		return &yes
	}
	return source.Optional
}

func (l *launcher) configMapFiles(name string, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	object, err := l.runtime.configMaps.ConfigMaps(l.pod.Namespace).Get(name)
	if err != nil {
		return missing("ConfigMap", name, err, optional)
	}
	all := maps.Clone(object.BinaryData)
	if all == nil {
		all = map[string][]byte{}
	}
	for key, value := range object.Data {
		all[key] = []byte(value)
	}
	return pick("ConfigMap "+name, all, items, optional)
}

func (l *launcher) secretFiles(name string, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	object, err := l.runtime.secrets.Secrets(l.pod.Namespace).Get(name)
	if err != nil {
		return missing("Secret", name, err, optional)
	}
	return pick("Secret "+name, object.Data, items, optional)
}

func missing(kind, name string, err error, optional *bool) (map[string][]byte, error) {
	if apierrors.IsNotFound(err) {
		if optional != nil && *optional {
			return map[string][]byte{}, nil
		}
		return nil, fmt.Errorf("%w: %s %q does not exist", errWaiting, kind, name)
	}
	return nil, fmt.Errorf("%s %q: %w", kind, name, err)
}

func pick(what string, all map[string][]byte, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	if len(items) == 0 {
		files := maps.Clone(all)
		if files == nil {
			files = map[string][]byte{}
		}
		return files, nil
	}
	files := map[string][]byte{}
	for _, item := range items {
		value, ok := all[item.Key]
		switch {
		case ok:
			files[item.Path] = value
		case optional == nil || !*optional:
			return nil, fmt.Errorf("%w: %s has no key %q", errWaiting, what, item.Key)
		}
	}
	return files, nil
}

// writeFiles writes these files to the folder and removes all others.
func writeFiles(folder string, files map[string][]byte) (changed bool, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		kept := slices.ContainsFunc(slices.Collect(maps.Keys(files)), func(name string) bool {
			return name == entry.Name() || strings.HasPrefix(name, entry.Name()+"/")
		})
		if !kept {
			changed = true
			if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
				return changed, err
			}
		}
	}
	for name, content := range files {
		different, err := writeFile(filepath.Join(folder, filepath.FromSlash(path.Clean("/"+name))), content)
		if err != nil {
			return changed, err
		}
		changed = changed || different
	}
	return changed, nil
}

// writeFile replaces a file atomically.
func writeFile(name string, content []byte) (changed bool, err error) {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, err
	}
	next, err := os.CreateTemp(filepath.Dir(name), ".next-*")
	if err != nil {
		return false, err
	}
	_, err = next.Write(content)
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), name)
	}
	if err != nil {
		return false, errors.Join(err, os.Remove(next.Name()))
	}
	return true, nil
}

// localPath returns the path of a container's file on this machine; ok is false for a path outside of all volumes.
func (l *launcher) localPath(container *corev1.Container, file string) (local string, ok bool) {
	best := -1
	clean := path.Clean(file)
	for _, mount := range container.VolumeMounts {
		at := path.Clean(mount.MountPath)
		inside := clean == at || strings.HasPrefix(clean, at+"/") || at == "/"
		if !inside || len(at) <= best {
			continue
		}
		best = len(at)
		rest := strings.TrimPrefix(strings.TrimPrefix(clean, at), "/")
		local = filepath.Join(l.dir, "volumes", mount.Name, filepath.FromSlash(mount.SubPath), filepath.FromSlash(rest))
	}
	return local, best >= 0
}

// localArgs returns args with the files of the container's volumes replaced by those on this machine.
func (l *launcher) localArgs(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg
		prefix, value, joined := strings.Cut(arg, "=")
		if !joined {
			prefix, value = "", arg
		}
		if !path.IsAbs(value) {
			continue
		}
		if local, ok := l.localPath(l.container, value); ok {
			out[i] = local
			if joined {
				out[i] = prefix + "=" + local
			}
		}
	}
	return out
}
