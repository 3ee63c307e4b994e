package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/ops/portforward"
	"vllm-autoscaling/ops/verify"
)

// server returns a replica: the first ready pod of the stack, through a port-forward, or the one at the address of -url.
func (o options) server(ctx context.Context, out io.Writer) (s server, stop func(), err error) {
	if o.url != "" {
		return server{Target: load.Target{Name: o.url, URL: o.url}, apiKey: o.apiKey}, func() {}, nil
	}
	text, err := verify.StackOutputs(ctx, o.root, o.stack)
	if err != nil {
		return server{}, nil, err
	}
	access, err := verify.ParseOutputs(text, o.root, o.serverName)
	if err != nil {
		return server{}, nil, fmt.Errorf("stack %s: %w", o.stack, err)
	}
	client, err := kubernetes.NewForConfig(access.Config)
	if err != nil {
		return server{}, nil, fmt.Errorf("cluster of stack %s: %w", o.stack, err)
	}
	serving := access.Pipeline.Serving
	deployment, err := client.AppsV1().Deployments(serving.Namespace).Get(ctx, serving.Deployment, metav1.GetOptions{})
	if err != nil {
		return server{}, nil, fmt.Errorf("deployment of stack %s at %s: %w", o.stack, access.Config.Host, err)
	}
	if s.apiKey = o.apiKey; s.apiKey == "" {
		if s.apiKey, err = verify.APIKey(ctx, client, deployment); err != nil {
			return server{}, nil, fmt.Errorf("%w (or put it into the environment variable %s)", err, verify.APIKeyVariable)
		}
	}
	forwards, err := portforward.Follow(ctx, portforward.Options{
		Config: access.Config, Namespace: serving.Namespace, Selector: metav1.FormatLabelSelector(deployment.Spec.Selector), Port: serving.Port,
		Log: func(format string, args ...any) { fmt.Fprintf(out, "  "+format+"\n", args...) },
	})
	if err != nil {
		return server{}, nil, err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("waited a minute"))
	defer cancel()
	if err := forwards.Wait(waiting, 1); err != nil {
		forwards.Stop()
		return server{}, nil, err
	}
	pod := forwards.Pods()[0]
	s.Target = load.Target{Name: pod.Name, URL: pod.URL}
	return s, forwards.Stop, nil
}

// checkModel returns an error unless the server serves the model, and the longest context that it accepts.
func checkModel(ctx context.Context, s server, id string) (maxModelLen int, err error) {
	models, err := load.Models(ctx, s.Target, s.apiKey)
	if err != nil {
		return 0, err
	}
	var served []string
	for _, m := range models {
		if m.ID == id {
			// Where the server does not list it, the stack's own limit counts.
			return cmp.Or(m.Context, math.MaxInt32), nil
		}
		served = append(served, m.ID)
	}
	return 0, fmt.Errorf("%s serves %q, the stack's file has model.id %s: run pulumi up first", s.Name, strings.Join(served, ", "), id)
}
