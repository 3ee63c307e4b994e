package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// podTemplateOf returns a pod template as it is decoded from YAML, below its key.
func podTemplateOf(t *testing.T, text string) keys {
	t.Helper()
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	return keys{podTemplateKey: value}
}

func TestPodTemplateIsDecoded(t *testing.T) {
	c, err := Read(source(t, CloudLocal, podTemplateOf(t, `
metadata: {labels: {team: 7}, annotations: {example.com/scrape: true}}
spec:
  imagePullSecrets: [{name: registry}]
  runtimeClassName: nvidia
  hostAliases: [{ip: 10.0.0.1, hostnames: [proxy]}]
  dnsConfig: {options: [{name: ndots, value: 2}]}
  affinity:
  volumes: [{name: weights, persistentVolumeClaim: {claimName: weights, readOnly: "true"}}]
  containers:
  - name: vllm
    env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}, {name: RETRIES, value: 3}]
    resources: {limits: {cpu: 8, memory: 1024Mi}}
    volumeMounts: [{name: weights, mountPath: /weights}]
    readinessProbe: {failureThreshold: "5"}
  - name: log
    image: log:1
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    livenessProbe: {httpGet: {port: 9000}}
    volumeMounts: [{name: tmp, mountPath: /tmp}]
`)))
	require.NoError(t, err)
	assert.Equal(t, PodTemplate{
		"metadata": keys{"labels": keys{"team": "7"}, "annotations": keys{"example.com/scrape": "true"}},
		"spec": keys{
			"imagePullSecrets": []any{keys{"name": "registry"}},
			"runtimeClassName": "nvidia",
			"hostAliases":      []any{keys{"ip": "10.0.0.1", "hostnames": []any{"proxy"}}},
			"dnsConfig":        keys{"options": []any{keys{"name": "ndots", "value": "2"}}},
			"volumes":          []any{keys{"name": "weights", "persistentVolumeClaim": keys{"claimName": "weights", "readOnly": true}}},
			"containers": []any{
				keys{
					"name":           "vllm",
					"env":            []any{keys{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}, keys{"name": "RETRIES", "value": "3"}},
					"resources":      keys{"limits": keys{"cpu": "8", "memory": "1024Mi"}},
					"volumeMounts":   []any{keys{"name": "weights", "mountPath": "/weights"}},
					"readinessProbe": keys{"failureThreshold": int64(5)},
				},
				keys{
					"name": "log", "image": "log:1",
					"securityContext": keys{"allowPrivilegeEscalation": false, "capabilities": keys{"drop": []any{"ALL"}}},
					"livenessProbe":   keys{"httpGet": keys{"port": int64(9000)}},
					"volumeMounts":    []any{keys{"name": "tmp", "mountPath": "/tmp"}},
				},
			},
		},
	}, c.VLLM.PodTemplate)
	assert.False(t, c.VLLM.Secret())
	assert.False(t, slices.ContainsFunc(c.Warnings(), func(w Warning) bool { return strings.Contains(w.Key, podTemplateKey) }))
}

func TestPodTemplateIsRefused(t *testing.T) {
	server := func(fields string) string { return `spec: {containers: [{name: vllm, ` + fields + `}]}` }
	for name, test := range map[string]struct{ template, key, allowed, fix string }{
		"text": {`x`, "", "an object of the fields of PodTemplateSpec", ""},
		"misspelt field": {
			`spec: {imagePullSecret: [{name: a}]}`,
			".spec.imagePullSecret", "PodSpec has", "nearest is imagePullSecrets (kubectl explain pod.spec)",
		},
		"field of a Deployment": {`replicas: 2`, ".replicas", "PodTemplateSpec has", "kubectl explain pod"},
		"misspelt field, deep": {
			server(`env: [{name: A, vaule: b}]`),
			".spec.containers[0].env[0].vaule", "EnvVar has", "value (kubectl explain pod.spec.containers.env)",
		},
		"misspelt kind of volume": {
			`spec: {volumes: [{name: a, persistentVolumeClaims: {claimName: a}}]}`,
			".spec.volumes[0].persistentVolumeClaims", "Volume has", "persistentVolumeClaim",
		},
		"patch directive":          {`spec: {tolerations: [{$patch: replace}]}`, ".spec.tolerations[0].$patch", "Toleration has", ""},
		"object for a list":        {`spec: {imagePullSecrets: {name: a}}`, ".spec.imagePullSecrets", "a list", ""},
		"list for an object":       {`spec: {affinity: []}`, ".spec.affinity", "an object", ""},
		"text for a switch":        {`spec: {shareProcessNamespace: often}`, ".spec.shareProcessNamespace", "true or false", ""},
		"fraction for a text":      {server(`env: [{name: A, value: 1.5}]`), ".spec.containers[0].env[0].value", "a string", "quotes"},
		"text for a number":        {`spec: {securityContext: {fsGroup: staff}}`, ".spec.securityContext.fsGroup", "a whole number", ""},
		"no quantity":              {server(`resources: {limits: {cpu: many}}`), ".spec.containers[0].resources.limits.cpu", "a quantity", ""},
		"no port":                  {server(`livenessProbe: {httpGet: {port: []}}`), ".spec.containers[0].livenessProbe.httpGet.port", "IntOrString", ""},
		"container without a name": {`spec: {containers: [{image: "a:1"}]}`, ".spec.containers[0]", "with the field name", "add name"},
		"variable twice":           {server(`env: [{name: A, value: b}, {name: A, value: c}]`), ".spec.containers[0].env[1]", "other than that of item [0]", ""},

		"name":                  {`metadata: {name: a}`, ".metadata.name", "only labels and annotations", "remove"},
		"label of the selector": {`metadata: {labels: {app.kubernetes.io/name: a}}`, ".metadata.labels.app.kubernetes.io/name", "the Service", ""},
		"label of Kubernetes":   {`metadata: {labels: {pod-template-hash: a}}`, ".metadata.labels.pod-template-hash", "the Service", ""},
		"no label":              {`metadata: {labels: {team: "a b"}}`, ".metadata.labels.team", "a label", ""},
		"annotation": {
			`metadata: {annotations: {vllm-autoscaling/secrets-checksum: a}}`,
			".metadata.annotations.vllm-autoscaling/secrets-checksum", "other than", "",
		},
		"ServiceAccount":      {`spec: {serviceAccountName: a}`, ".spec.serviceAccountName", "a ServiceAccount", "remove"},
		"restart policy":      {`spec: {restartPolicy: Never}`, ".spec.restartPolicy", "Always", ""},
		"network of the node": {`spec: {hostNetwork: true}`, ".spec.hostNetwork", "Pod Security Standard", ""},
		"grace period": {
			`spec: {terminationGracePeriodSeconds: 5}`,
			".spec.terminationGracePeriodSeconds", "drains", "vllm.preStop and vllm.shutdownTimeout",
		},
		"node selector": {`spec: {nodeSelector: {a: b}}`, ".spec.nodeSelector", "a key", "vllm.nodeSelector"},
		"volume":        {`spec: {volumes: [{name: model-cache, emptyDir: {}}]}`, ".spec.volumes[0].name", "model-cache", ""},
		"mount without volume": {
			server(`volumeMounts: [{name: weights, mountPath: /weights}]`),
			".spec.containers[0].volumeMounts[0].name", "a volume of the pod", "vllm.podTemplate.spec.volumes",
		},

		"image":            {server(`image: "a:1"`), ".spec.containers[0].image", "a key", "vllm.image"},
		"command":          {server(`command: [a]`), ".spec.containers[0].command", "starts the server", "model.extraArgs"},
		"arguments":        {server(`args: [a]`), ".spec.containers[0].args", "flags", "model.extraArgs"},
		"port":             {server(`ports: [{containerPort: 8000}]`), ".spec.containers[0].ports[0]", "that of the server (http, 8000)", "vllm.port"},
		"name of the port": {server(`ports: [{containerPort: 81, name: http}]`), ".spec.containers[0].ports[0]", "that of the server", ""},
		"start-up probe":   {server(`startupProbe: {failureThreshold: 9}`), ".spec.containers[0].startupProbe", "a start", "vllm.startupBudget"},
		"path of a probe":  {server(`livenessProbe: {httpGet: {path: /, port: http}}`), ".spec.containers[0].livenessProbe", "/health", "remove httpGet"},
		"end":              {server(`lifecycle: {preStop: {sleep: {seconds: 1}}}`), ".spec.containers[0].lifecycle.preStop", "drains", "vllm.preStop"},
		"variable":         {server(`env: [{name: HF_HUB_CACHE, value: /a}]`), ".spec.containers[0].env[0].name", "HF_HUB_CACHE", "remove"},
		"token":            {server(`env: [{name: HF_TOKEN, value: a}]`), ".spec.containers[0].env[0].name", "HF_TOKEN", "set huggingFaceToken"},
		"CPU":              {server(`resources: {requests: {cpu: 4}}`), ".spec.containers[0].resources.requests.cpu", "a key", "vllm.cpu"},
		"memory":           {server(`resources: {requests: {memory: 4Gi}}`), ".spec.containers[0].resources.requests.memory", "a key", "vllm.memory"},
		"limit of memory":  {server(`resources: {limits: {memory: 4Gi}}`), ".spec.containers[0].resources.limits.memory", "vllm.memory (1Gi)", "vllm.memory"},
		"limit below CPU":  {server(`resources: {limits: {cpu: 100m}}`), ".spec.containers[0].resources.limits.cpu", "at least vllm.cpu (500m)", "vllm.cpu"},
		"GPUs": {
			server(`resources: {limits: {nvidia.com/gpu: 2}}`),
			".spec.containers[0].resources.limits.nvidia.com/gpu", "GPUs of a replica", "gpu.perReplica",
		},
		"volume once more": {server(`volumeMounts: [{name: shm, mountPath: /a}]`), ".spec.containers[0].volumeMounts[0].name", "mounted already", ""},
		"path of a volume": {
			`spec: {volumes: [{name: a}], containers: [{name: vllm, volumeMounts: [{name: a, mountPath: /models/}]}]}`,
			".spec.containers[0].volumeMounts[0].mountPath", "/models", "/weights",
		},
		"sidecar's image": {`spec: {containers: [{name: server}]}`, ".spec.containers[0].image", "called vllm", "call it vllm"},
		"sidecar's port": {
			`spec: {containers: [{name: a, image: "a:1", ports: [{containerPort: 8000}]}]}`,
			".spec.containers[0].ports[0]", "that of the server", "",
		},
		"sidecar's GPU": {
			`spec: {containers: [{name: a, image: "a:1", resources: {limits: {nvidia.com/gpu: 1}}}]}`,
			".spec.containers[0].resources.limits.nvidia.com/gpu", "belong to the server", "",
		},
		"init container": {
			`spec: {initContainers: [{name: vllm, image: "a:1", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}`,
			".spec.initContainers[0].name", "other than", "",
		},
		"root":                {`spec: {securityContext: {runAsUser: 0}}`, ".spec", "namespace vllm enforces: runAsUser=0", ""},
		"path of the node":    {`spec: {volumes: [{name: a, hostPath: {path: /}}]}`, ".spec.volumes[0]", "namespace vllm enforces: ", ""},
		"privileged":          {server(`securityContext: {privileged: true}`), ".spec.containers[0]", "privileged", ""},
		"capability":          {server(`securityContext: {capabilities: {add: [SYS_ADMIN]}}`), ".spec.containers[0]", "SYS_ADMIN", ""},
		"unlimited sidecar":   {`spec: {containers: [{name: vllm}, {name: a, image: "a:1"}]}`, ".spec.containers[1]", "allowPrivilegeEscalation", ""},
		"token in plain text": {server(`env: [{name: A, value: hf_abcdefghijklmnopqrstuvwxyz}]`), ".spec.containers[0].env[0].value", "Hugging Face token", ""},
	} {
		t.Run(name, func(t *testing.T) {
			refused := problemsOf(t, source(t, CloudLocal, podTemplateOf(t, test.template)))
			require.Len(t, refused.Problems, 1, "%v", refused)
			p := refused.Problems[0]
			assert.Equal(t, project+":"+podTemplateKey+test.key, p.Key)
			assert.Contains(t, p.Allowed, test.allowed)
			assert.NotEmpty(t, p.Fix)
			assert.Contains(t, p.Fix, test.fix)
		})
	}
}

// TestPodTemplateKeepsSecrets checks that an encrypted value below vllm hides all values of the pod template.
func TestPodTemplateKeepsSecrets(t *testing.T) {
	secret := func(text string) Source {
		s := source(t, CloudLocal, podTemplateOf(t, text))
		s.Secret = func(key string) bool { return key == project+":vllm" }
		return s
	}
	c, err := Read(secret(`spec: {containers: [{name: vllm, env: [{name: API_KEY, value: hunter2}]}]}`))
	require.NoError(t, err)
	assert.True(t, c.VLLM.Secret())
	assert.NotEmpty(t, c.VLLM.PodTemplate)
	for _, text := range []string{
		`spec: {containers: [{name: vllm, image: hunter2}]}`, `spec: {hostNetwork: hunter2}`, `metadata: {labels: {team: hunter2 hunter2}}`,
		`spec: {containers: [{name: vllm, securityContext: {capabilities: {add: [hunter2]}}}]}`,
		`spec: {containers: [{name: vllm, env: [{name: hunter2}, {name: hunter2}]}]}`,
	} {
		assert.NotContains(t, problemsOf(t, secret(text)).Error(), "hunter2")
	}
}

func TestPodTemplateWarnsOfCredentials(t *testing.T) {
	c, err := Read(source(t, CloudLocal, podTemplateOf(t, `
metadata: {annotations: {example.com/token: hunter2}}
spec:
  containers:
  - name: vllm
    env:
    - {name: AWS_SECRET_KEY, value: hunter2}
    - {name: HTTPS_PROXY, value: "http://me:hunter2@proxy:3128"}
    - {name: HF_ENDPOINT, value: "https://hub.example.com"}
    - {name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
`)))
	require.NoError(t, err)
	var warned []string
	for _, w := range c.Warnings() {
		if rest, ok := strings.CutPrefix(w.Key, project+":"+podTemplateKey); ok {
			warned = append(warned, rest)
			assert.NotContains(t, w.String(), "hunter2")
		}
	}
	assert.Equal(t, []string{".metadata.annotations.example.com/token", ".spec.containers[0].env[0].value", ".spec.containers[0].env[1].value"}, warned)
}

// TestStackFilesOfExistingClusters checks that the stack files in docs/existing-clusters.md are accepted.
func TestStackFilesOfExistingClusters(t *testing.T) {
	page, err := os.ReadFile("../../docs/existing-clusters.md")
	require.NoError(t, err)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	podTemplates, existing := 0, 0
	for _, example := range examples {
		var file struct{ Config map[string]any }
		require.NoError(t, yaml.UnmarshalStrict(example[1], &file))
		c, err := Read(source(t, CloudLocal, nvidia(file.Config)))
		require.NoError(t, err, "%s", example[1])
		if len(c.VLLM.PodTemplate) > 0 {
			podTemplates++
		}
		if c.ExistingMetrics() {
			existing++
		}
	}
	assert.Equal(t, 3, podTemplates)
	assert.GreaterOrEqual(t, existing, 4)
}

// TestSidecarsNeedRoom checks that the requests of sidecars count against the node, and that the default of vllm.memory leaves room.
func TestSidecarsNeedRoom(t *testing.T) {
	sidecar := func(memory string) keys {
		return podTemplateOf(t, `spec: {initContainers: [{name: once, image: "a:1", resources: {requests: {memory: 90Gi}}, securityContext: &restricted
    {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}],
  containers: [{name: log, image: "log:1", securityContext: *restricted, resources: {limits: {memory: `+memory+`}}}]}`)
	}
	own, err := Read(source(t, CloudGKE, onCloud(CloudGKE, nil)))
	require.NoError(t, err)
	beside, err := Read(source(t, CloudGKE, onCloud(CloudGKE, sidecar("6Gi"))))
	require.NoError(t, err)
	assert.Less(t, beside.VLLM.Memory.gib(), own.VLLM.Memory.gib())
	refused := problemsOf(t, source(t, CloudGKE, onCloud(CloudGKE, sidecar("60Gi"))))
	assert.Contains(t, refused.Error(), "vllm.memory")
}
