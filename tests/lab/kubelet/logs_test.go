package kubelet

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/tests/lab/router"
)

// logs are the logs of one pod.
type logs map[string]string

func (logs) Pod(string, string, string) (router.Backend, error) {
	return router.Backend{}, errors.ErrUnsupported
}

func (l logs) Log(namespace, pod, container string, previous bool) (io.ReadCloser, error) {
	if namespace+"/"+pod != "vllm/a" {
		return nil, fmt.Errorf("pod %s/%s: %w", namespace, pod, router.ErrNotFound)
	}
	if previous {
		container += " before"
	}
	text, ok := l[container]
	if !ok {
		return nil, fmt.Errorf("previous terminated container %q in pod %q not found", container, pod)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func TestContainerLogs(t *testing.T) {
	server, err := Listen(logs{"server": "one\ntwo\nthree\n", "server before": "died\n", "other": "no newline"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // self-signed
	for request, want := range map[string]string{
		"vllm/a/server":                                  "200 one\ntwo\nthree\n",
		"vllm/a/server?tailLines=2":                      "200 two\nthree\n",
		"vllm/a/server?tailLines=9":                      "200 one\ntwo\nthree\n",
		"vllm/a/server?tailLines=0":                      "200 ",
		"vllm/a/server?tailLines=2&limitBytes=3":         "200 two",
		"vllm/a/server?previous=true":                    "200 died\n",
		"vllm/a/other?tailLines=1":                       "200 no newline",
		"vllm/a/other?previous=true":                     "400 previous terminated container \"other before\" in pod \"a\" not found\n",
		"vllm/b/server":                                  "404 pod vllm/b: not found\n",
		"vllm/a/server?follow=true":                      "400 the lab's logs do not support follow=true\n",
		"vllm/a/server?tailLines=-1":                     "400 tailLines \"-1\" is not a number of lines\n",
		"vllm/a/server?limitBytes=x":                     "400 limitBytes \"x\" is not a number of bytes\n",
		"vllm/a/server?previous=maybe":                   "400 previous: strconv.ParseBool: parsing \"maybe\": invalid syntax\n",
		"vllm/a/server?follow=false&timestamps=&stream=": "200 one\ntwo\nthree\n",
	} {
		t.Run(request, func(t *testing.T) {
			response, err := client.Get("https://" + server.Address() + "/containerLogs/" + request)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, errors.Join(err, response.Body.Close()))
			assert.Equal(t, want, fmt.Sprintf("%d %s", response.StatusCode, body))
		})
	}
}
