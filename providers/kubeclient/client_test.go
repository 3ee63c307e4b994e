package kubeclient

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve starts an API server that knows one token, and returns a kubeconfig for it with a user.
func serve(t *testing.T, user string) (*httptest.Server, string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret-token":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"kind":"Status","message":"Unauthorized"}`)
		case r.URL.Path == "/api/v1/namespaces/ai/pods":
			fmt.Fprintf(w, `{"query": %q}`, r.URL.RawQuery)
		case r.URL.Path == "/redirect":
			http.Redirect(w, r, "https://other.example.com", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return server, fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "%s/", certificate-authority-data: %s}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: %s}]
`, server.URL, ca, user)
}

// plugin writes an exec plugin that prints a token, as a cloud's command does.
func plugin(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "login")
	credential := `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"secret-token"}}`
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho '"+credential+"'\n"), 0o700))
	return fmt.Sprintf(`{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: %s, provideClusterInfo: true}}`, path)
}

func TestGet(t *testing.T) {
	for name, user := range map[string]string{"a token": "{token: secret-token}", "an exec plugin": plugin(t)} {
		t.Run(name, func(t *testing.T) {
			_, kubeconfig := serve(t, user)
			client, err := New(kubeconfig)
			require.NoError(t, err)
			defer client.Close()
			var pods struct{ Query string }
			require.NoError(t, client.Get(t.Context(), "/api/v1/namespaces/ai/pods", url.Values{"labelSelector": {"a=b"}}, &pods))
			assert.Equal(t, "labelSelector=a%3Db", pods.Query)

			var refused *StatusError
			require.ErrorAs(t, client.Get(t.Context(), "/nowhere", nil, &pods), &refused)
			assert.Equal(t, StatusError{Code: 404, Message: "404 page not found"}, *refused)
			require.ErrorAs(t, client.Get(t.Context(), "/redirect", nil, &pods), &refused, "another server gets no token")
			assert.Equal(t, http.StatusFound, refused.Code)
		})
	}
}

func TestUnauthenticated(t *testing.T) {
	server, kubeconfig := serve(t, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, interactiveMode: Never}}")
	client, err := NewUnauthenticated(kubeconfig)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Reach(t.Context(), 10*time.Second), "a refusal is an answer; no plugin runs")
	var refused *StatusError
	require.ErrorAs(t, client.Get(t.Context(), "/version", nil, nil), &refused)
	assert.EqualError(t, refused, "the API server answered 401: Unauthorized")

	server.Close()
	require.Error(t, client.Reach(t.Context(), 10*time.Second))
}

// TestLoginThatWaits checks that a login program that waits for a person is given up, which client-go does not do.
func TestLoginThatWaits(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "terminal")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	path := filepath.Join(t.TempDir(), "login")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\nread answer <"+fifo+"\n"), 0o700))
	_, kubeconfig := serve(t, fmt.Sprintf("{exec: {apiVersion: client.authentication.k8s.io/v1, command: %s, interactiveMode: Never}}", path))
	client, err := New(kubeconfig)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, client.Get(ctx, "/api/v1/namespaces/ai/pods", nil, nil), ErrLogin)
	// The program ends when somebody answers.
	require.NoError(t, os.WriteFile(fifo, []byte("yes\n"), 0o600))
}

func TestErrorsQuoteNoCredentials(t *testing.T) {
	_, kubeconfig := serve(t, "{token: canary}")
	for name, content := range map[string]string{
		"not YAML":        "users: [{token: canary\n  :::",
		"a wrong type":    "users: {token: canary}",
		"no such context": "current-context: none\nusers: [{name: u, user: {token: canary}}]",
		"a certificate": "current-context: c\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n" +
			"contexts: [{name: c, context: {cluster: c, user: u}}]\n" +
			"users: [{name: u, user: {client-certificate-data: Y2FuYXJ5, client-key-data: Y2FuYXJ5}}]",
		"a refused secret": kubeconfig,
	} {
		client, err := New(content)
		if err == nil {
			err = client.Get(t.Context(), "/api/v1/namespaces/ai/pods", nil, nil)
		}
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "canary", name)
		assert.NotContains(t, err.Error(), "Y2FuYXJ5", name)
	}
}
