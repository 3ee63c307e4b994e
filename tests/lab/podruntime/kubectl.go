package podruntime

import (
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

// kubectl replaces the hook Job of kube-prometheus-stack that upgrades the operator's CRDs: it unpacks what the pod's init
// containers unpack, and applies it with the permissions of the Job's ServiceAccount.
func (l *launcher) kubectl() (*launch, error) {
	words, err := l.commandLine()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(words, "apply") || !slices.Contains(words, "--server-side") {
		return nil, fmt.Errorf("the lab runs kubectl apply --server-side only, not %q", words)
	}
	at := slices.Index(words, "--filename")
	if at < 0 || at+1 == len(words) {
		return nil, fmt.Errorf("kubectl apply without --filename: %q", words)
	}
	file, ok := l.localPath(l.container, words[at+1])
	if !ok {
		return nil, fmt.Errorf("kubectl: %s is on no volume of the pod", words[at+1])
	}
	done := make(chan struct{})
	return &launch{
		program: Kubectl,
		ready: func(context.Context) error {
			select {
			case <-done:
				return nil
			default:
				return errors.New("not applied yet")
			}
		},
		inProcess: func(ctx context.Context) error {
			for i := range l.pod.Spec.InitContainers {
				if err := l.unpack(&l.pod.Spec.InitContainers[i]); err != nil {
					return err
				}
			}
			if err := l.apply(ctx, file, slices.Contains(words, "--force-conflicts")); err != nil {
				return err
			}
			close(done)
			<-ctx.Done()
			return nil
		},
	}, nil
}

// unpack runs an init container whose shell command is "bzcat FILE > FILE" or the same with zcat.
func (l *launcher) unpack(container *corev1.Container) error {
	words := slices.Concat(container.Command, container.Args)
	command := strings.Fields(words[len(words)-1])
	if len(command) != 4 || command[2] != ">" {
		return fmt.Errorf("container %q: the lab unpacks with bzcat and zcat only, not with %q", container.Name, words)
	}
	from, isVolume := l.localPath(container, command[1])
	to, isVolumeToo := l.localPath(container, command[3])
	if !isVolume || !isVolumeToo {
		return fmt.Errorf("container %q: %q is outside of the pod's volumes", container.Name, command)
	}
	packed, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("container %q: %w", container.Name, err)
	}
	defer func() { _ = packed.Close() }()
	var plain io.Reader
	switch command[0] {
	case "bzcat":
		plain = bzip2.NewReader(packed)
	case "zcat":
		if plain, err = gzip.NewReader(packed); err != nil {
			return fmt.Errorf("container %q: %s: %w", container.Name, command[1], err)
		}
	default:
		return fmt.Errorf("container %q: the lab has no %s", container.Name, command[0])
	}
	content, err := io.ReadAll(plain)
	if err != nil {
		return fmt.Errorf("container %q: %s: %w", container.Name, command[1], err)
	}
	return os.WriteFile(to, content, 0o600)
}

// apply applies the CustomResourceDefinitions of a file like kubectl. Without force, a field that another manager owns is a
// conflict.
func (l *launcher) apply(ctx context.Context, file string, force bool) error {
	kubeconfig, err := l.kubeconfig()
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig of %s: %w", l.user(), err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client of %s: %w", l.user(), err)
	}
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	definitions := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	decoder := yaml.NewYAMLOrJSONDecoder(content, 1<<16)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("kubectl apply: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if object.GetKind() != "CustomResourceDefinition" {
			return fmt.Errorf("the lab's kubectl applies CustomResourceDefinitions only, not %s", object.GetKind())
		}
		if _, err := definitions.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "kubectl", Force: force}); err != nil {
			return fmt.Errorf("kubectl apply: %s: %w", object.GetName(), err)
		}
	}
}
