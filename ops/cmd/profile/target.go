package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
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
	access, err := verify.ParseOutputs(text, o.root)
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
		if s.apiKey, err = keyOf(ctx, client, deployment); err != nil {
			return server{}, nil, err
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

// keyOf returns the API key from the Secret that the server itself uses; empty without one.
func keyOf(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) (string, error) {
	for _, container := range d.Spec.Template.Spec.Containers {
		for _, variable := range container.Env {
			if variable.Name != apiKeyVariable || variable.ValueFrom == nil || variable.ValueFrom.SecretKeyRef == nil {
				continue
			}
			from := variable.ValueFrom.SecretKeyRef
			secret, err := client.CoreV1().Secrets(d.Namespace).Get(ctx, from.Name, metav1.GetOptions{})
			if err != nil {
				return "", fmt.Errorf("the server's API key: %w (or put it into the environment variable %s)", err, apiKeyVariable)
			}
			return string(secret.Data[from.Key]), nil
		}
	}
	return "", nil
}

// checkModel returns an error unless the server serves the model, and the longest context that it accepts.
func checkModel(ctx context.Context, s server, id string) (maxModelLen int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/models", nil)
	if err != nil {
		return 0, err
	}
	if s.apiKey != "" {
		request.Header.Set("Authorization", "Bearer "+s.apiKey)
	}
	// Without a proxy of the environment, like the load.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read the model of %s: %w", s.Name, err)
	}
	defer func() { _ = response.Body.Close() }()
	var list struct {
		Data []struct {
			ID          string `json:"id"`
			MaxModelLen int    `json:"max_model_len"`
		} `json:"data"`
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("read the model of %s: %s", s.Name, response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&list); err != nil {
		return 0, fmt.Errorf("read the model of %s: %w", s.Name, err)
	}
	var served []string
	for _, m := range list.Data {
		if m.ID == id && m.MaxModelLen > 0 {
			return m.MaxModelLen, nil
		} else if m.ID == id {
			return 1 << 30, nil // The server does not tell: the stack's own limit counts.
		}
		served = append(served, m.ID)
	}
	return 0, fmt.Errorf("%s serves %q, the stack's file has model.id %s: run pulumi up first", s.Name, strings.Join(served, ", "), id)
}
