package podruntime

import (
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ClaimFolder returns the folder that stands for the volume of a PersistentVolumeClaim, for the pods of all nodes.
func (r *Runtime) ClaimFolder(namespace, claim string) string {
	return filepath.Join(r.config.Dir, "claims", namespace+"_"+claim)
}

// NodeFolder returns the folder that stands for a folder of a node.
func (r *Runtime) NodeFolder(node, folder string) string {
	return filepath.Join(r.config.Dir, "nodes", node, filepath.FromSlash(folder))
}

// lasting returns the folder of a volume that outlives the pod; "" for one that does not.
func (l *launcher) lasting(volume *corev1.Volume) (string, error) {
	switch {
	case volume.HostPath != nil:
		return l.runtime.NodeFolder(l.pod.Spec.NodeName, volume.HostPath.Path), nil
	case volume.PersistentVolumeClaim == nil:
		return "", nil
	}
	name := volume.PersistentVolumeClaim.ClaimName
	claim, err := l.runtime.claims.PersistentVolumeClaims(l.pod.Namespace).Get(name)
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("%w: PersistentVolumeClaim %q does not exist", errWaiting, name)
	case err != nil:
		return "", err
	}
	if bound, err := l.runtime.persistentVolumes.Get(claim.Spec.VolumeName); err == nil && bound.Spec.HostPath != nil {
		return l.runtime.NodeFolder(l.pod.Spec.NodeName, bound.Spec.HostPath.Path), nil
	}
	return l.runtime.ClaimFolder(l.pod.Namespace, name), nil
}

// link makes a volume of the pod the folder that outlives it.
func link(volume, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if found, err := os.Readlink(volume); err == nil && found == to {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(volume), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(to, volume); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}
