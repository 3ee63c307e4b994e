package configdocs

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation"

	"vllm-autoscaling/stacks"
	"vllm-autoscaling/stacks/config"
)

// seed is fixed, so that a failure can be reproduced.
const seed = 20261122

// file returns the stack file of a configuration.
func (g Given) file(t *testing.T, cloud string) string {
	t.Helper()
	source, err := g.Source(cloud)
	require.NoError(t, err)
	given := map[string]any{}
	for key, raw := range source.Values {
		var value any
		if err := json.Unmarshal([]byte(raw), &value); err != nil || isText(g, key) {
			value = raw
		}
		given[key] = value
	}
	for key, value := range g {
		plain, ok := value.(Encrypted)
		if !ok {
			continue
		}
		secure := map[string]any{"secure": string(plain)}
		top, rest, nested := strings.Cut(key, ".")
		if !nested {
			given[Project+":"+top] = secure
			continue
		}
		given[Project+":"+top].(map[string]any)[rest] = secure
	}
	content, err := yaml.Marshal(map[string]any{"config": given})
	require.NoError(t, err)
	return string(content)
}

// isText reports whether a top-level key holds a string.
func isText(g Given, full string) bool {
	_, ok := g[strings.TrimPrefix(full, Project+":")].(string)
	return ok
}

// TestSchemaAgreesWithTheProgram checks that the program refuses everything that the schema refuses, so that an editor marks no
// valid value. The program also enforces rules between keys, but the schema has to refuse what breaks a single-value rule.
func TestSchemaAgreesWithTheProgram(t *testing.T) {
	compiled, keys := schema(t), load(t)
	random := rand.New(rand.NewPCG(seed, 1))
	accepted, refused, both := 0, 0, 0
	for _, cloud := range config.Clouds {
		for _, key := range Leaves(keys) {
			if !key.Scoped(cloud, false) {
				continue
			}
			for i := range 40 {
				value := Mutation(random, key, cloud)
				if i%4 == 0 {
					value = WrongType(random)
				}
				given := Least(cloud).With(Given{key.Name: value})
				_, programErr := given.Read(cloud)
				schemaErr := compiled.Validate(document(t, given.file(t, cloud)))
				if programErr == nil {
					accepted++
					assert.NoError(t, schemaErr, "%s accepts %s = %#v", cloud, key.Name, value)
					continue
				}
				refused++
				if schemaErr != nil {
					both++
					continue
				}
				// The texts of the program for the rules that a schema can express.
				var problems *config.Error
				require.True(t, errors.As(programErr, &problems))
				for _, p := range problems.Problems {
					if p.Key != Project+":"+key.Name || len(problems.Problems) > 1 {
						continue
					}
					if strings.HasPrefix(p.Allowed, "one of: ") || strings.HasPrefix(p.Allowed, "a whole number") || strings.HasPrefix(p.Allowed, "true or false") ||
						strings.HasPrefix(p.Allowed, "a list of") || strings.HasPrefix(p.Allowed, "a map of") || strings.HasPrefix(p.Allowed, "1 or more") {
						assert.Failf(t, "the schema lets pass what the program refuses", "%s = %#v on %s: allowed is %s; give its field the tag values or min",
							key.Name, value, cloud, p.Allowed)
					}
				}
			}
		}
	}
	t.Logf("%d accepted, %d refused by the program, %d of them by the schema as well", accepted, refused, both)
	assert.Greater(t, accepted, 3000)
	assert.Greater(t, both, 3000)
}

// cloudOutputs holds the outputs that the clouds add to their resources.
var cloudOutputs = map[string]map[string]any{
	"kubernetes:helm.sh/v3:Release":      {"status": map[string]any{"status": "deployed"}},
	"gcp:container/cluster:Cluster":      {"endpoint": "203.0.113.9", "masterAuth": map[string]any{"clusterCaCertificate": "Y2VydGlmaWNhdGU="}},
	"gcp:serviceaccount/account:Account": {"email": "nodes@p.iam.gserviceaccount.com", "member": "serviceAccount:nodes@p.iam.gserviceaccount.com"},
	"aws:eks/cluster:Cluster": {
		"arn": "arn:aws:eks:us-east-1:123456789012:cluster/c", "endpoint": "https://c.eks.amazonaws.com", "version": "1.34",
		"certificateAuthority": map[string]any{"data": "Y2VydGlmaWNhdGU="},
	},
	"aws:eks/nodeGroup:NodeGroup":           {"resources": []any{map[string]any{"autoscalingGroups": []any{map[string]any{"name": "group"}}}}},
	"aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 1},
	"aws:iam/role:Role":                     {"arn": "arn:aws:iam::123456789012:role/r"},
	"aws:kms/key:Key":                       {"arn": "arn:aws:kms:us-east-1:123456789012:key/k"},
}

// registered records the resources that the program registers and their violations of the rules for all Kubernetes objects.
type registered struct {
	mutex sync.Mutex
	count int
	wrong []string
}

func (r *registered) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.count++
	if strings.HasPrefix(args.TypeToken, "kubernetes:") {
		r.check(args.TypeToken+" "+args.Name, args.Inputs)
	}
	outputs := args.Inputs.Copy()
	for key, value := range resource.NewPropertyMapFromMap(cloudOutputs[args.TypeToken]) {
		outputs[key] = value
	}
	return args.Name + "-id", outputs, nil
}

func (r *registered) check(what string, inputs resource.PropertyMap) {
	plain := plainOf(resource.NewProperty(inputs)).(map[string]any)
	if metadata, ok := plain["metadata"].(map[string]any); ok {
		invalid := validation.IsDNS1123Subdomain
		if strings.HasPrefix(what, "kubernetes:rbac.") {
			invalid = path.IsValidPathSegmentName // Kubernetes allows more in these, such as colons.
		}
		if name, _ := metadata["name"].(string); name == "" || len(invalid(name)) > 0 {
			r.wrong = append(r.wrong, fmt.Sprintf("%s: name %q", what, name))
		}
	}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for key, item := range v {
				if text, ok := item.(string); ok && (strings.HasSuffix(path, ".labels") || strings.HasSuffix(path, "odeSelector") ||
					strings.HasSuffix(path, ".matchLabels")) {
					if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(text)...); len(problems) > 0 {
						r.wrong = append(r.wrong, fmt.Sprintf("%s%s: %s=%s: %v", what, path, key, text, problems))
					}
				}
				walk(path+"."+key, item)
			}
		case []any:
			for _, item := range v {
				walk(path+"[]", item)
			}
		}
	}
	walk("", plain)
}

// plainOf returns a value without its secret and output wrappers.
func plainOf(value resource.PropertyValue) any {
	switch {
	case value.IsSecret():
		return plainOf(value.SecretValue().Element)
	case value.IsOutput():
		return plainOf(value.OutputValue().Element)
	case value.IsObject():
		plain := map[string]any{}
		for key, item := range value.ObjectValue() {
			plain[string(key)] = plainOf(item)
		}
		return plain
	case value.IsArray():
		plain := []any{}
		for _, item := range value.ArrayValue() {
			plain = append(plain, plainOf(item))
		}
		return plain
	case value.IsString():
		return value.StringValue()
	case value.IsNumber():
		return value.NumberValue()
	case value.IsBool():
		return value.BoolValue()
	}
	return nil
}

// Call returns the results of the functions that a stack that creates everything calls. For AKS these are the kubeconfig and the
// cluster, which is not there yet.
func (*registered) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if strings.HasSuffix(args.Token, ":getManagedCluster") {
		return nil, errors.New("ResourceNotFound")
	}
	if strings.HasPrefix(args.Token, "aws:") {
		return resource.NewPropertyMapFromMap(map[string]any{"zoneId": "use1-az1", "availabilityZone": "us-east-1a", "logGroupNames": []any{}}), nil
	}
	if args.Token == "gcp:projects/getProject:getProject" {
		project := map[string]any{"projectId": strings.TrimPrefix(args.Args["filter"].StringValue(), "id:"), "number": "123456789012"}
		return resource.NewPropertyMapFromMap(map[string]any{"projects": []any{project}}), nil
	}
	user := `"client-certificate-data": "Y2VydGlmaWNhdGU=", "client-key-data": "a2V5"`
	if strings.HasSuffix(args.Token, "listManagedClusterUserCredentials") {
		user = `"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": ["get-token", "--tenant-id", "t", "--server-id", "s"]}`
	}
	kubeconfig := `{"clusters": [{"name": "c", "cluster": {"server": "https://c", "certificate-authority-data": "Y2VydGlmaWNhdGU="}}], ` +
		`"users": [{"name": "u", "user": {` + user + `}}]}`
	return resource.NewPropertyMapFromMap(map[string]any{"kubeconfigs": []any{map[string]any{
		"name": "c", "value": base64.StdEncoding.EncodeToString([]byte(kubeconfig)),
	}}}), nil
}

// deploy runs the whole program on a configuration, with mocks in place of the engine, in a stack that is named after its cloud.
func deploy(t *testing.T, given Given, cloud string) (*registered, error) {
	t.Helper()
	record := &registered{}
	return record, deployStack(t, given, cloud, cloud, record)
}

// deployStack runs the whole program on a configuration, with mocks in place of the engine.
func deployStack(t *testing.T, given Given, cloud, stack string, mocks pulumi.MockResourceMonitor) error {
	t.Helper()
	source, err := given.Source(cloud)
	require.NoError(t, err)
	all, err := json.Marshal(source.Values)
	require.NoError(t, err)
	t.Setenv(pulumi.EnvConfig, string(all))
	return pulumi.RunErr(stacks.Deploy, pulumi.WithMocks(Project, stack, mocks), func(info *pulumi.RunInfo) {
		info.Config = source.Values
		for key := range source.Values {
			if source.Secret(key) {
				info.ConfigSecretKeys = append(info.ConfigSecretKeys, key)
			}
		}
	})
}

// kubeconfig returns the path of a kubeconfig with a reachable server, as the check before a deployment requires.
func kubeconfig(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"metadata": {"name": "kube-system", "uid": "0b1c2d3e-4f50-4162-8374-95a6b7c8d9e0"}}`))
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	path := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "c", "cluster": {"server": %q, "certificate-authority-data": %q}}],
"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {"token": "t"}}]}`,
		server.URL, base64.StdEncoding.EncodeToString(ca)), 0o600))
	return path
}

// TestWhatIsAcceptedDeploys checks that every valid configuration can be deployed: no component refuses what the rules allow.
func TestWhatIsAcceptedDeploys(t *testing.T) {
	keys := load(t)
	const each = 150
	for i, cloud := range config.Clouds {
		t.Run(cloud, func(t *testing.T) {
			path := kubeconfig(t)
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			values := 0
			for range each {
				given, err := Valid(random, keys, cloud)
				require.NoError(t, err)
				values += len(given)
				given = given.With(Given{"vllm.readyTimeout": "0s"}) // there is no server to wait for
				if cloud == config.CloudLocal {
					given = given.With(Given{"cluster.kubeconfig": path})
				}
				record, err := deploy(t, given, cloud)
				if !assert.NoError(t, err, "accepted, but:\n%s", given) || !assert.Empty(t, record.wrong, "accepted, but:\n%s", given) {
					return
				}
				assert.Greater(t, record.count, 15)
			}
			t.Logf("%d configurations with %d values", each, values)
		})
	}
}
