package existing

import (
	"context"
	"fmt"
	"strings"
	"time"

	"vllm-autoscaling/providers/kubeclient"
)

// checkTimeout is how long a server may take to answer. An unreachable one would otherwise be found
// out by the first object, after many were planned.
const checkTimeout = 10 * time.Second

// Check reports whether a kubeconfig is usable and its server answers: nil, or one error that names
// what is missing and how to get it. Path and context are those of providers.Local. It needs no permission: any
// HTTP status is an answer.
func Check(path, contextName string) error {
	_, _, err := connect(path, contextName)
	return err
}

// connect finds, reads and tries out a context. It returns the kubeconfig files that were left out.
func connect(path, contextName string) (*selection, []string, error) {
	file, others, err := findKubeconfig(path)
	if err != nil {
		return nil, nil, err
	}
	config, err := readKubeconfig(file)
	if err != nil {
		return nil, nil, err
	}
	chosen, err := config.choose(contextName)
	if err != nil {
		if len(others) > 0 {
			err = fmt.Errorf("%w (of the files in KUBECONFIG only the first that exists is read; not read: %s)", err, strings.Join(others, ", "))
		}
		return nil, nil, err
	}
	if err := chosen.reach(); err != nil {
		return nil, nil, err
	}
	return chosen, others, nil
}

// reach requests the server's version, without credentials other than a certificate: whether they are accepted is for the
// first real request to find out.
func (s *selection) reach() error {
	content, err := s.minified()
	if err != nil {
		return err
	}
	client, err := kubeclient.NewUnauthenticated(content)
	if err != nil {
		return fmt.Errorf("kubeconfig %s: context %q cannot be used: %w", s.path, s.context.Name, err)
	}
	defer client.Close()
	if err := client.Reach(context.Background(), checkTimeout); err != nil {
		return fmt.Errorf("the cluster of context %q (kubeconfig %s) does not answer: %w; "+
			"check that it runs and that this machine reaches %s (kubectl --kubeconfig %s --context %s version)",
			s.context.Name, s.path, err, s.server(), s.path, s.context.Name)
	}
	return nil
}
