package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/display"
	"github.com/pulumi/pulumi/pkg/v3/engine"
	lt "github.com/pulumi/pulumi/pkg/v3/engine/lifecycletest/framework"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy/deploytest"
	"github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks"
)

const project = "vllm-autoscaling"

// stack is one stack of the program with its cluster and its state.
type stack struct {
	t       *testing.T
	name    string
	cluster *fakeCluster
	// server is the part of the cluster's API server that the check before a deployment uses.
	server *httptest.Server
	// uid is the identity of the cluster that the server has.
	uid string
	// keys are the configuration, by dotted key without the namespace. A value of type secret is encrypted in the file.
	keys map[string]any
	// state is the state after the last operation.
	state *deploy.Snapshot
	// kubeconfig is the path of the kubeconfig for server.
	kubeconfig string
	// clouds are the doubles of the clouds' providers, for stacks that run on one.
	clouds []*deploytest.ProviderLoader
	// said are the program's log messages in the last operation.
	said *bytes.Buffer
	// program is what runs; nil means the project's.
	program pulumi.RunFunc
}

type secret string

// operation is the result of one run of the engine.
type operation struct {
	entries engine.JournalEntries
	events  []engine.Event
	err     error
}

// newStack returns a stack that was never deployed.
func newStack(t *testing.T, name string, keys map[string]any) *stack {
	t.Helper()
	s := &stack{t: t, name: name, cluster: newFakeCluster(), keys: map[string]any{}}
	s.uid = "0b1c2d3e-4f50-4162-8374-95a6b7c8d9e0"
	s.serve()
	s.kubeconfig = filepath.Join(t.TempDir(), "config")
	s.writeKubeconfig("kind-test", "a-token")
	s.keys["cluster.kubeconfig"] = s.kubeconfig
	// The doubles have no pods; rollout_test.go waits for one.
	s.keys["vllm.readyTimeout"] = "0s"
	for key, value := range keys {
		s.keys[key] = value
	}
	// The language host passes the whole configuration in this variable, which is restored afterwards.
	t.Setenv(pulumi.EnvConfig, "")
	// A developer's own settings must not reach the test.
	t.Setenv("KUBECONFIG", "")
	return s
}

// serve starts the API server; a further call starts it at another address.
func (s *stack) serve() {
	s.server = httptest.NewTLSServer(s.identified(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	s.t.Cleanup(s.server.Close)
}

// answer makes a handler answer the requests to the API server, other than that for the cluster's identity.
func (s *stack) answer(handler http.Handler) { s.server.Config.Handler = s.identified(handler) }

// identified answers the request for the cluster's identity and passes on all others.
func (s *stack) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/kube-system" {
			next.ServeHTTP(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"name": "kube-system", "uid": s.uid}})
	})
}

func (s *stack) writeKubeconfig(contextName, token string) {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	content := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
clusters: [{name: c, cluster: {server: %[2]q, certificate-authority-data: %[3]s}}]
contexts: [{name: %[1]s, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: %[4]q}}]
`, contextName, s.server.URL, base64.StdEncoding.EncodeToString(ca), token)
	require.NoError(s.t, os.WriteFile(s.kubeconfig, []byte(content), 0o600))
}

// set changes the configuration.
func (s *stack) set(key string, value any) { s.keys[key] = value }

// up runs an up, which must succeed. Like `pulumi up` it starts with a preview.
func (s *stack) up() operation {
	s.t.Helper()
	planned := s.run(engine.Update, true)
	require.NoError(s.t, planned.err, "preview")
	done := s.run(engine.Update, false)
	require.NoError(s.t, done.err, "up")
	return done
}

func (s *stack) preview() operation { return s.run(engine.Update, true) }

// destroy runs a destroy, which must succeed.
func (s *stack) destroy() operation {
	s.t.Helper()
	done := s.run(func(info engine.UpdateInfo, ctx *engine.Context, opts engine.UpdateOptions, dryRun bool,
	) (*deploy.Plan, display.ResourceChanges, error) {
		return engine.Destroy(info, ctx, opts, dryRun)
	}, false)
	require.NoError(s.t, done.err, "destroy")
	return done
}

// run performs one operation of the engine on the stack's state.
func (s *stack) run(op lt.TestOp, dryRun bool) operation {
	s.t.Helper()
	plan := &lt.TestPlan{
		Project: project, Stack: s.name, Config: s.config(), Decrypter: config.Base64Crypter,
		Options: lt.TestUpdateOptions{T: quiet{s.t}, HostF: s.host(), SkipDisplayTests: true},
	}
	var happened operation
	validate := func(_ workspace.Project, _ deploy.Target, entries engine.JournalEntries, events []engine.Event, err error) error {
		happened.entries, happened.events = entries, events
		return err
	}
	if dryRun {
		_, happened.err = op.Plan(plan.GetProject(), plan.GetTarget(s.t, s.state), plan.Options, plan.BackendClient, validate)
		return happened
	}
	var state *deploy.Snapshot
	state, happened.err = op.Run(plan.GetProject(), plan.GetTarget(s.t, s.state), plan.Options, false, plan.BackendClient, validate)
	if state != nil {
		s.state = state
	}
	return happened
}

// quiet drops the engine's diagnostics, of which many are expected, from the test's output.
type quiet struct{ *testing.T }

func (quiet) Logf(string, ...any) {}

// host returns the engine's plugin host with the program as its language runtime and the doubles as its providers.
func (s *stack) host() deploytest.PluginHostFactory {
	var engineAddress string
	program := deploytest.NewLanguageRuntimeF(func(info plugin.RunInfo, _ *deploytest.ResourceMonitor) error {
		run := pulumi.RunInfo{Project: info.Project, Stack: info.Stack, Parallel: info.Parallel, DryRun: info.DryRun,
			MonitorAddr: info.MonitorAddress, EngineAddr: engineAddress, Config: map[string]string{}}
		for key, value := range info.Config {
			run.Config[key.String()] = value
		}
		for _, key := range info.ConfigSecretKeys {
			run.ConfigSecretKeys = append(run.ConfigSecretKeys, key.String())
		}
		all, err := json.Marshal(run.Config)
		if err != nil {
			return err
		}
		if err := os.Setenv(pulumi.EnvConfig, string(all)); err != nil {
			return err
		}
		ctx, err := pulumi.NewContext(context.Background(), run)
		if err != nil {
			return err
		}
		if s.program != nil {
			return pulumi.RunWithContext(ctx, s.program)
		}
		return pulumi.RunWithContext(ctx, stacks.Deploy)
	})
	s.said = &bytes.Buffer{}
	sink := diag.DefaultSink(s.said, s.said, diag.FormatOptions{Color: colors.Never})
	host := deploytest.NewPluginHostF(sink, sink, program, nil, nil, append(s.clouds,
		deploytest.NewProviderLoader("kubernetes", kubernetesVersion, s.cluster.provider, deploytest.WithGrpc))...)
	return func() plugin.Host {
		made := host()
		engineAddress = made.ServerAddr()
		return made
	}
}

// config returns the stack's configuration as the engine reads it.
func (s *stack) config() config.Map {
	file := config.Map{config.MustMakeKey("pulumi", "disable-default-providers"): config.NewObjectValue(`["*"]`)}
	for dotted, value := range s.keys {
		top, rest, nested := strings.Cut(dotted, ".")
		key := config.MustMakeKey(project, top)
		if !nested {
			switch value := value.(type) {
			case secret:
				file[key] = config.NewSecureValue(encrypt(value))
			case string:
				file[key] = config.NewValue(value)
			default:
				file[key] = config.NewObjectValue(s.json(value))
			}
			continue
		}
		object := map[string]any{}
		if before, ok := file[key]; ok {
			content, err := before.Value(config.NopDecrypter)
			require.NoError(s.t, err)
			require.NoError(s.t, json.Unmarshal([]byte(content), &object))
		}
		secure := file[key].Secure()
		if plain, ok := value.(secret); ok {
			value, secure = map[string]any{"secure": encrypt(plain)}, true
		}
		parts := strings.Split(rest, ".")
		inner := object
		for _, part := range parts[:len(parts)-1] {
			child, ok := inner[part].(map[string]any)
			if !ok {
				child = map[string]any{}
				inner[part] = child
			}
			inner = child
		}
		inner[parts[len(parts)-1]] = value
		if secure {
			file[key] = config.NewSecureObjectValue(s.json(object))
		} else {
			file[key] = config.NewObjectValue(s.json(object))
		}
	}
	return file
}

func encrypt(plain secret) string { return base64.StdEncoding.EncodeToString([]byte(plain)) }

func (s *stack) json(value any) string {
	content, err := json.Marshal(value)
	require.NoError(s.t, err)
	return string(content)
}

// changes lists the changes of an operation, such as "update Deployment vllm".
func (o operation) changes() []string {
	var all []string
	for _, entry := range o.entries {
		if entry.Kind != engine.TestJournalEntrySuccess || entry.Step.Op() == deploy.OpSame {
			continue
		}
		urn := entry.Step.URN()
		all = append(all, fmt.Sprintf("%s %s %s", entry.Step.Op(), urn.Type().Name(), urn.Name()))
	}
	return all
}

// find returns the one resource of a kind and name in the state.
func (s *stack) find(kind, name string) *resource.State {
	s.t.Helper()
	for _, r := range s.state.Resources {
		if string(r.Type.Name()) == kind && r.URN.Name() == name {
			return r
		}
	}
	require.Failf(s.t, "not in the state", "%s %s", kind, name)
	return nil
}
