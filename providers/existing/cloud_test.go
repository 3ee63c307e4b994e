package existing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/providers"
	"vllm-autoscaling/providers/kubeconfig"
	"vllm-autoscaling/providers/providertest"
)

// uid is the identity of the test's cluster.
const uid = "6f1b1f0e-7c3a-4c57-9d0e-2f1f6a8d3c11"

// apiServer answers like an API server that knows the token canary-token only.
func apiServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch token := r.Header.Get("Authorization"); {
		case token == "" && r.URL.Path == "/version":
			w.WriteHeader(http.StatusUnauthorized)
		case token == "":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","message":"forbidden to system:anonymous"}`)
		case token == "Bearer canary-other":
			w.WriteHeader(http.StatusNotFound)
		case token != "Bearer canary-token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/api/v1/namespaces/kube-system":
			fmt.Fprintf(w, `{"kind":"Namespace","metadata":{"name":"kube-system","uid":%q}}`, uid)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// certificate returns a certificate of a client in PEM, and its key, both in base64.
func certificate(t *testing.T, end time.Time) (cert, key string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end}
	content, err := x509.CreateCertificate(rand.Reader, template, template, &pair.PublicKey, pair)
	require.NoError(t, err)
	private, err := x509.MarshalECPrivateKey(pair)
	require.NoError(t, err)
	encode := func(kind string, content []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
	}
	return encode("CERTIFICATE", content), encode("EC PRIVATE KEY", private)
}

// login writes a program that a kubeconfig may call, and returns its path.
func login(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "login")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	return path
}

func caOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// write puts a kubeconfig with two clusters into a new folder, with the authority in a file beside it.
func write(t *testing.T, server *httptest.Server) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "ca.pem"), caOf(server), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "token"), []byte("canary-token"), 0o600))
	return writeFile(t, folder, `
apiVersion: v1
kind: Config
current-context: here
clusters:
- name: mine
  cluster: {server: "`+server.URL+`/", certificate-authority: ca.pem}
- name: other
  cluster: {server: "https://other.example.com"}
- name: nowhere
  cluster: {}
contexts:
- name: here
  context: {cluster: mine, user: me, namespace: team}
- name: there
  context: {cluster: other, user: other}
- name: no-cluster
  context: {cluster: gone, user: me}
- name: no-user
  context: {cluster: mine, user: gone}
- name: no-server
  context: {cluster: nowhere, user: me}
- name: anonymous
  context: {cluster: mine}
users:
- name: me
  user:
    tokenFile: token
    exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/login, args: [get-token], interactiveMode: Never}
- name: other
  user: {token: canary-other}
`)
}

func writeFile(t *testing.T, folder, content string) string {
	t.Helper()
	path := filepath.Join(folder, "config")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestCheck(t *testing.T) {
	path := write(t, apiServer(t))
	require.NoError(t, Check(path, ""), "the current context")
	require.NoError(t, Check(path, "here"))
}

// TestIdentity checks that the cluster is recognized under another address, another name of the context and another user, and
// that another cluster under the same address is not taken for it.
func TestIdentity(t *testing.T) {
	server := apiServer(t)
	first, err := connect(write(t, server), "")
	require.NoError(t, err)
	assert.Equal(t, uid, first.id)

	moved := httptest.NewTLSServer(server.Config.Handler)
	t.Cleanup(moved.Close)
	elsewhere := writeFile(t, t.TempDir(), fmt.Sprintf("current-context: renamed\ncontexts: [{name: renamed, context: {cluster: k, user: u}}]\n"+
		"clusters: [{name: k, cluster: {server: '%s', certificate-authority-data: %s}}]\nusers: [{name: u, user: {exec: {command: %s, "+
		"apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable}}}]\n", moved.URL, base64.StdEncoding.EncodeToString(caOf(moved)),
		login(t, `echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"canary-token"}}'`)))
	second, err := connect(elsewhere, "")
	require.NoError(t, err)
	assert.Equal(t, first.id, second.id)
	assert.NotEqual(t, first.kubeconfig, second.kubeconfig)
}

func TestCheckErrors(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	server := apiServer(t)
	path := write(t, server)

	// A port that nothing listens on.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := "https://" + listener.Addr().String()
	require.NoError(t, listener.Close())

	expiredCert, expiredKey := certificate(t, time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC))
	validCert, validKey := certificate(t, time.Now().Add(time.Hour))
	minimal := func(cluster, user string) string {
		return writeFile(t, t.TempDir(), "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"+
			"clusters: [{name: k, cluster: "+cluster+"}]\nusers: [{name: u, user: "+user+"}]\n")
	}

	for name, test := range map[string]struct {
		path, context string
		says          []string
	}{
		"missing file": {filepath.Join(t.TempDir(), "none"), "", []string{"does not exist", "set cluster.kubeconfig"}},
		"a folder":     {t.TempDir(), "", []string{"cannot be read"}},
		"not YAML":     {writeFile(t, t.TempDir(), "token: canary\n  :::"), "", []string{"is not valid YAML (line 2)"}},
		"a tab":        {writeFile(t, t.TempDir(), "contexts:\n\t- name: canary\n"), "", []string{"is not valid YAML (line 2)"}},
		"a wrong type": {writeFile(t, t.TempDir(), "contexts: canary"), "", []string{"is not a valid kubeconfig"}},
		"two of a name": {writeFile(t, t.TempDir(), "current-context: a\ncontexts: [{name: a}, {name: b}, {name: a}]"), "",
			[]string{`2 entries for the context "a"`, "remove or rename"}},
		"several contexts":   {writeFile(t, t.TempDir(), "contexts: [{name: a}, {name: b}]"), "", []string{"set cluster.context (one of: a, b)"}},
		"another file":       {writeFile(t, t.TempDir(), "name: vllm"), "", []string{"has no contexts"}},
		"no current context": {writeFile(t, t.TempDir(), "contexts: [{name: a}, {name: b}]"), "", []string{"no current-context", "one of: a, b"}},
		"missing context":    {path, "production", []string{`no context "production"`, "one of: here, there"}},
		"missing cluster":    {path, "no-cluster", []string{`cluster "gone", which is not in the file`}},
		"missing user":       {path, "no-user", []string{`user "gone", which is not in the file`}},
		"no server":          {path, "no-server", []string{`cluster "nowhere" has no server`}},
		"nobody listens":     {minimal("{server: '"+closed+"'}", "{}"), "", []string{`context "c"`, "does not answer", "connection refused", "kubectl"}},
		"unknown authority":  {minimal("{server: '"+server.URL+"'}", "{}"), "", []string{"does not answer", "certificate"}},
		"authority not a file": {minimal("{server: '"+server.URL+"', certificate-authority: nowhere.pem}", "{}"), "",
			[]string{"certificate-authority", "no such file"}},
		"authority not base64": {minimal("{server: '"+server.URL+"', certificate-authority-data: '***'}", "{}"), "", []string{"not base64"}},
		"authority not PEM":    {minimal("{server: '"+server.URL+"', certificate-authority-data: 'AAAA'}", "{}"), "", []string{"root certificates", "PEM"}},
		"unusable certificate": {minimal("{server: '"+server.URL+"'}", "{client-certificate-data: AAAA, client-key-data: AAAA}"), "",
			[]string{`context "c" cannot be used`, "PEM data in certificate"}},
		"a plugin without a mode": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			"{exec: {apiVersion: client.authentication.k8s.io/v1, command: login}}"), "", []string{`context "c" cannot be used`, "interactiveMode"}},
		"a program that asks": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			"{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Always}}"), "",
			[]string{`user "u" logs in with sh`, "interactiveMode: Always", "nobody answers", "IfAvailable"}},
		"a program that is missing": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			"{exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-login, interactiveMode: Never, installHint: \"brew\\n  install login\"}}"), "",
			[]string{`user "u" logs in with the program no-such-login, which is not there: brew install login`}},
		"a program that is missing, without a hint": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			"{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./no/such/login, interactiveMode: Never}}"), "", []string{"install it, or put its folder on the PATH"}},
		"a program that fails": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			"{exec: {apiVersion: client.authentication.k8s.io/v1, command: "+login(t, "exit 3")+", interactiveMode: Never}}"), "",
			[]string{"cannot be identified", "exit code 3", "get namespace kube-system"}},
		"a program that prints nothing": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			"{exec: {apiVersion: client.authentication.k8s.io/v1, command: "+login(t, ":")+", interactiveMode: Never}}"), "", []string{"cannot be identified", "get namespace kube-system"}},
		"a program that reads its input": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			"{exec: {apiVersion: client.authentication.k8s.io/v1, command: "+login(t, "read password || exit 4")+", interactiveMode: IfAvailable}}"), "",
			[]string{"cannot be identified", "exit code 4"}},
		"an expired certificate": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			fmt.Sprintf("{client-certificate-data: %s, client-key-data: %s}", expiredCert, expiredKey)), "",
			[]string{`the client certificate of user "u" expired on 2025-06-01`, "new kubeconfig"}},
		"an expired token": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}", "{token: canary-expired}"), "",
			[]string{`the API server does not accept the credentials of user "u" (401)`, "may have expired", "log in again"}},
		"no permission": {path, "anonymous", []string{`user "system:anonymous" may not read it (403)`, "grant get on the namespace kube-system"}},
		"another kind of server": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}", "{token: canary-other}"), "",
			[]string{"it has none (404)", "a Kubernetes API server?"}},
		"unusable proxy":       {minimal("{server: '"+server.URL+"', proxy-url: ':'}", "{}"), "", []string{"proxy-url"}},
		"insecure is honoured": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}", "{token: canary-token}"), "", nil},
		"a certificate that is valid": {minimal("{server: '"+server.URL+"', insecure-skip-tls-verify: true}",
			fmt.Sprintf("{token: canary-token, client-certificate-data: %s, client-key-data: %s}", validCert, validKey)), "", nil},
		"inline authority wins": {minimal("{server: '"+server.URL+"', certificate-authority: nowhere.pem, certificate-authority-data: "+
			base64.StdEncoding.EncodeToString(caOf(server))+"}", "{token: canary-token}"), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(test.path, test.context)
			if test.says == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			for _, says := range test.says {
				assert.ErrorContains(t, err, says)
			}
			assert.NotContains(t, err.Error(), "canary")
			assert.NotContains(t, err.Error(), "\n", "one line")
		})
	}
}

func TestWhichKubeconfig(t *testing.T) {
	server := apiServer(t)
	first, second := write(t, server), write(t, server)
	missing := filepath.Join(t.TempDir(), "none")
	list := func(paths ...string) string { return strings.Join(paths, string(filepath.ListSeparator)) }

	t.Setenv("KUBECONFIG", list(missing, first, second))
	path, others, err := findKubeconfig("")
	require.NoError(t, err)
	assert.Equal(t, first, path, "the first that exists; several are not merged")
	assert.Equal(t, []string{second}, others)
	require.NoError(t, Check("", "here"))
	assert.ErrorContains(t, Check("", "elsewhere"), "not read: "+second)

	path, others, err = findKubeconfig(second)
	require.NoError(t, err)
	assert.Equal(t, second, path, "a given path wins over the variable")
	assert.Empty(t, others)

	t.Setenv("KUBECONFIG", missing)
	assert.ErrorContains(t, Check("", ""), missing+" does not exist")

	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("KUBECONFIG", "")
	path, _, err = findKubeconfig("")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(home, ".kube", "config"), path)
	path, _, err = findKubeconfig("~/elsewhere")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(home, "elsewhere"), path)
}

func run(t *testing.T, request *providers.Request) (*providers.Cluster, []providertest.Registration, error) {
	t.Helper()
	r := &providertest.Recorder{}
	cluster, err := r.Run("local", func(ctx *pulumi.Context) (*providers.Cluster, error) { return New(ctx, "cluster", request) })
	return cluster, r.Registered, err
}

func TestNew(t *testing.T) {
	server := apiServer(t)
	path := write(t, server)
	local := providers.Local{
		Kubeconfig: path, Context: "here", AggregatedAPIPort: 10250,
		GPU:        providers.GPUScheduling{ResourceName: "nvidia.com/gpu", PerReplica: 2},
		GPUMetrics: providers.GPUMetrics{Source: providers.DCGMChart},
	}
	cluster, resources, err := run(t, &providers.Request{StorageClass: "standard", Local: local})
	require.NoError(t, err)
	assert.Equal(t, "here", cluster.Name)
	assert.Equal(t, local.GPU, cluster.GPU)
	assert.Equal(t, local.GPUMetrics, cluster.GPUMetrics)
	assert.Equal(t, "standard", cluster.StorageClass)
	assert.Equal(t, 10250, cluster.AggregatedAPIPort)
	assert.False(t, cluster.ControlPlaneScrapes)
	assert.True(t, cluster.CoreDNSScrapes)
	assert.Empty(t, cluster.Ready)

	require.Len(t, resources, 1)
	provider := resources[0]
	assert.Equal(t, "pulumi:providers:kubernetes", provider.Type)
	assert.Equal(t, "cluster", provider.Name)
	assert.Equal(t, uid, provider.Inputs["clusterIdentifier"].StringValue(), "neither the address nor the context")
	assert.True(t, provider.Inputs["enableServerSideApply"].BoolValue())
	assert.True(t, provider.Inputs["enableConfigMapMutable"].BoolValue())
	assert.NotContains(t, provider.Inputs, resource.PropertyKey("deleteUnreachable"))
	require.True(t, provider.Inputs["kubeconfig"].IsSecret())

	content := provider.Inputs["kubeconfig"].SecretValue().Element.StringValue()
	assert.NotContains(t, content, "canary-other", "credentials of other clusters stay out of the state")
	parsed, err := kubeconfig.Parse([]byte(content))
	require.NoError(t, err)
	config := file{File: *parsed}
	chosen, err := config.choose("")
	require.NoError(t, err)
	assert.Equal(t, "team", chosen.context.Context.Namespace)
	assert.Equal(t, base64.StdEncoding.EncodeToString(caOf(server)), chosen.cluster.Cluster["certificate-authority-data"])
	assert.NotContains(t, chosen.cluster.Cluster, "certificate-authority")
	folder := filepath.Dir(path)
	assert.Equal(t, filepath.Join(folder, "token"), chosen.user.User["tokenFile"])
	exec := chosen.user.User["exec"].(map[string]any)
	assert.Equal(t, filepath.Join(folder, "bin/login"), exec["command"])
	assert.Equal(t, []any{"get-token"}, exec["args"])
	require.NoError(t, chosen.reach(content), "what the state keeps is enough to reach the server")
}

func TestNewRegistersNothingWithoutACluster(t *testing.T) {
	path := write(t, apiServer(t))
	_, resources, err := run(t, &providers.Request{Local: providers.Local{Kubeconfig: path, Context: "production", AggregatedAPIPort: 10250}})
	require.ErrorContains(t, err, `no context "production"`)
	assert.Empty(t, resources)
}
