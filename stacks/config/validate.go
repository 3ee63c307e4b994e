package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config/models"
)

// dtypes are the values of vLLM's --dtype.
var dtypes = []string{"auto", "bfloat16", "float", "float16", "float32", "half"}

// Limits that Kubernetes and the programs set.
const (
	// maxHPAStabilization and maxHPAPeriod are the API's limits of an HPA's behavior.
	maxHPAStabilization = time.Hour
	maxHPAPeriod        = 30 * time.Minute
	// maxDrain is the cluster autoscaler's --max-graceful-termination-sec: it kills a pod that needs
	// longer when it removes a node.
	maxDrain = 10 * time.Minute
	// staleness is how long Prometheus keeps answering with a series' last sample.
	staleness = 5 * time.Minute
	// maxGPUsPerReplica is the largest number of GPUs that one node of the clouds has.
	maxGPUsPerReplica = 8
	// firstOpenPort is the lowest port that a process without privileges may listen on.
	firstOpenPort, lastPort = 1024, 65535
)

var (
	// exactVersion leaves out ranges, which make Helm look for newer charts at every preview.
	exactVersion = regexp.MustCompile(`^v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`)
	imageTag     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	imageDigest  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	// modelID is "organisation/name", or an absolute path of a model in the image.
	modelID = regexp.MustCompile(`^([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|/[^\s]+)$`)
)

// systemNamespace says whether a namespace belongs to Kubernetes: the stack would delete it on destroy.
func systemNamespace(name string) bool { return name == "default" || strings.HasPrefix(name, "kube-") }

// ownedFlags are the server's flags that the program sets, and the key of each; "" means that it has none.
var ownedFlags = map[string]string{
	"--api-key": "apiKey", "--hf-token": "huggingFaceToken", "--dtype": "model.dtype", "--gpu-memory-utilization": "model.gpuMemoryUtilization",
	"--max-model-len": "model.maxModelLen", "--max-num-seqs": "model.maxNumSeqs", "--model": "model.id",
	"--port": "vllm.port", "--revision": "model.revision", "--shutdown-timeout": "vllm.shutdownTimeout",
	"--tensor-parallel-size": "gpu.perReplica", "-tp": "gpu.perReplica",
	"--disable-access-log-for-endpoints": "", "--time-to-first-token": "", "--inter-token-latency": "",
	"--time-factor-under-load": "", "--force-dummy-tokenizer": "",
}

// secretFlags are those whose values are never shown.
var secretFlags = []string{"--api-key", "--hf-token"}

// replicaSizes are the numbers of GPUs that a replica can have: what vLLM splits a model over.
var replicaSizes = []int{1, 2, 4, maxGPUsPerReplica}

// report collects problems and warnings under keys of one project.
type report struct {
	source   Source
	problems []Problem
	warnings []Warning
	// before are the keys of everything that is wrong as it is; nil until something was tried.
	before map[string]bool
}

// bad adds a problem; value is shown unless its top-level key holds a secret.
func (r *report) bad(key string, value any, allowed, fix string) {
	r.problems = append(r.problems, Problem{Key: r.source.Project + ":" + key, Value: r.shown(key, value), Allowed: allowed, Fix: fix})
}

// badWith adds a problem whose fixes were tried.
func (r *report) badWith(key string, value any, allowed string, ways []way) {
	r.bad(key, value, allowed, inWords(ways))
	r.problems[len(r.problems)-1].ways = ways
}

// has says whether something is wrong with a key already.
func (r *report) has(key string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Key == r.source.Project+":"+key })
}

// warn adds a warning.
func (r *report) warn(key string, value any, why, fix string) {
	shown := r.shown(key, value)
	r.warnings = append(r.warnings, Warning{
		Key: r.source.Project + ":" + key, Value: withoutTokens(choose(shown == `""`, "", shown)), Why: withoutTokens(why), Fix: fix,
	})
}

// shown is a value as a message may print it.
func (r *report) shown(key string, value any) string {
	top, _, _ := strings.Cut(r.source.Project+":"+key, ".")
	if r.source.isSecret(top) {
		return "[secret]"
	}
	if text, ok := value.(string); ok {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%v", value)
}

// works says whether a change takes a problem of a key away and brings no new one.
func (r *report) works(key string, changed change) bool {
	if r.source.trial {
		return false // This is such a try.
	}
	if r.before == nil {
		r.before = problemKeys(r.source)
	}
	for other := range problemKeys(r.source.with(changed)) {
		if other == r.source.Project+":"+key || !r.before[other] {
			return false
		}
	}
	return true
}

// problemKeys are the keys of everything that is wrong with a source.
func problemKeys(source Source) map[string]bool {
	source.trial = true
	keys := map[string]bool{}
	_, err := Read(source)
	var refused *ConfigError
	if errors.As(err, &refused) {
		for _, p := range refused.Problems {
			keys[p.Key] = true
		}
	}
	return keys
}

// set is the command that sets a key.
func (r *report) set(key, value string) string {
	return fmt.Sprintf("pulumi config set --path '%s:%s' %s", r.source.Project, key, value)
}

// validate checks every rule and returns all that is broken.
func (c *Config) validate(source Source, given keySet) []Problem {
	r := &report{source: source}
	c.validatePlainText(r)
	c.validateCloud(r)
	c.validateScopes(r, given)
	c.validateNames(r)
	c.validateModel(r)
	c.validateModelSize(r, given)
	c.validateFit(r)
	c.validateSecrets(r)
	c.validateVLLM(r)
	c.validateGPU(r)
	c.validateMetrics(r)
	c.validateMonitoring(r)
	c.validateReplicas(r)
	c.validateSignals(r)
	c.validateBehavior(r)
	c.validateCharts(r)
	c.validatePolicy(r)
	// Last, because the provider packages look at some of the same keys.
	c.validateNodePools(r, given)
	c.validateDisk(r)
	if len(r.problems) == 0 {
		c.warnOfScaling(r)
		c.warnOfStarts(r)
		slices.SortStableFunc(r.warnings, func(a, b Warning) int { return strings.Compare(a.Key, b.Key) })
		c.warnings = r.warnings
	}
	return r.problems
}

func (c *Config) validateCloud(r *report) {
	if slices.Contains(Clouds, c.Cloud) {
		return
	}
	r.bad("cloud", c.Cloud, oneOf(Clouds),
		fmt.Sprintf("use a stack of that name (pulumi stack select %s), or say where stack %q runs: %s",
			Clouds[0], c.Stack, r.set("cloud", Clouds[0])))
}

func (c *Config) validateNames(r *report) {
	for key, name := range map[string]string{
		"namespaces.monitoring": c.Namespaces.Monitoring, "namespaces.serving": c.Namespaces.Serving,
	} {
		if systemNamespace(name) {
			r.bad(key, name, "a namespace of the stack's own, because destroy deletes it",
				"choose a name that is neither default nor begins with kube-")
			continue
		}
		r.label(key, name)
	}
	if c.Namespaces.Monitoring == c.Namespaces.Serving {
		r.bad("namespaces.serving", c.Namespaces.Serving, "a name other than namespaces.monitoring",
			"give each of the two a name of its own")
	}
	for i, name := range c.VLLM.ClientNamespaces {
		r.label(fmt.Sprintf("vllm.clientNamespaces[%d]", i), name)
	}
	r.subdomain("vllm.priorityClassName", c.VLLM.PriorityClassName)
	r.subdomain("monitoring.storageClass", c.Monitoring.StorageClass)
	r.selector("vllm.nodeSelector", c.VLLM.NodeSelector)
	r.selector("gpu.nodeSelector", c.GPU.NodeSelector)
}

func (c *Config) validateModel(r *report) {
	m := c.Model
	if !modelID.MatchString(m.ID) {
		r.bad("model.id", m.ID, `"organisation/name" as on Hugging Face, or an absolute path in the image`,
			"for example google/gemma-3-1b-it")
	}
	known, isKnown := models.Find(m.ID)
	switch {
	case m.MaxModelLen < 1:
		r.bad("model.maxModelLen", m.MaxModelLen, "1 or more tokens", "for example 8192")
	case isKnown && m.MaxModelLen > known.ContextLength:
		r.bad("model.maxModelLen", m.MaxModelLen, fmt.Sprintf("at most %d, the context of %s", known.ContextLength, m.ID),
			"lower it; a shorter context leaves more memory for requests")
	}
	if m.MaxNumSeqs < 1 {
		r.bad("model.maxNumSeqs", m.MaxNumSeqs, "1 or more requests at a time", fmt.Sprintf("for example %d", defaultMaxNumSeqs))
	}
	if m.GPUMemoryUtilization <= 0 || m.GPUMemoryUtilization > 1 {
		r.bad("model.gpuMemoryUtilization", m.GPUMemoryUtilization, "above 0 and at most 1: a share, not percent",
			"for example 0.9")
	}
	switch {
	case !slices.Contains(dtypes, m.DType):
		r.bad("model.dtype", m.DType, oneOf(dtypes), "auto takes the model's own")
	case (m.DType == "half" || m.DType == "float16") && c.refusesFloat16():
		r.bad("model.dtype", m.DType, "auto, bfloat16 or float32: vLLM refuses to run Gemma in float16",
			"use auto (GPUs of compute capability 8.0 and up, such as L4 and A100) or float32")
	}
	for i, arg := range m.ExtraArgs {
		flag, _, _ := strings.Cut(arg, "=")
		if key, owned := ownedFlags[flagName(flag)]; owned {
			if slices.Contains(secretFlags, flagName(flag)) {
				arg = flag
			}
			r.bad(fmt.Sprintf("model.extraArgs[%d]", i), arg, "flags that the program does not set itself",
				choose(key == "", "remove it", "set "+key+" instead"))
		}
	}
}

// validateSecrets sees to it that secrets are there where needed, and encrypted wherever given.
func (c *Config) validateSecrets(r *report) {
	for _, s := range []struct {
		key    string
		secret Secret
	}{
		{"huggingFaceToken", c.HuggingFaceToken},
		{"apiKey", c.APIKey},
		{"monitoring.grafanaPassword", c.Monitoring.GrafanaPassword},
	} {
		top, _, nested := strings.Cut(r.source.Project+":"+s.key, ".")
		if s.secret.Given() && !r.source.isSecret(top) {
			r.problems = append(r.problems, Problem{
				Key: r.source.Project + ":" + s.key, Value: "[hidden]", Allowed: "an encrypted value; this one stands in the file in plain text",
				Fix: fmt.Sprintf("pulumi config set --secret %s%s:%s (and replace the value if the file was shared)",
					choose(nested, "--path ", ""), r.source.Project, s.key),
			})
		}
	}
	if c.GPU.Mode == GPUNvidia && c.gated() && !c.HuggingFaceToken.Given() {
		r.problems = append(r.problems, Problem{
			Key:     r.source.Project + ":huggingFaceToken",
			Allowed: fmt.Sprintf("a Hugging Face token with access to %s, which is gated", c.Model.ID),
			Fix: fmt.Sprintf("accept the licence on https://huggingface.co/%s, create a read token, then: pulumi config set --secret %s:huggingFaceToken",
				c.Model.ID, r.source.Project),
		})
	}
}

func (c *Config) validateVLLM(r *report) {
	v := c.VLLM
	if problem := imageProblem(v.Image); problem != "" {
		r.bad("vllm.image", v.Image, "an image with a version tag or a digest: "+problem,
			"for example "+choose(c.GPU.Mode == GPUSimulated, imageSimulator, imageVLLM))
	}
	c.validateVersion(r)
	r.between("vllm.port", v.Port, firstOpenPort, lastPort, "the server runs without privileges; 8000 is usual")
	r.quantity("vllm.cpu", v.CPU)
	memory, memoryOK := r.quantity("vllm.memory", v.Memory)
	shm, shmOK := r.quantity("vllm.shm", v.Shm)
	if memoryOK && shmOK && shm.Cmp(memory) >= 0 {
		r.bad("vllm.shm", string(v.Shm), fmt.Sprintf("less than vllm.memory (%s), which /dev/shm counts against", v.Memory),
			"lower it or raise vllm.memory")
	}
	r.quantity("vllm.modelCache", v.ModelCache)
	r.duration("vllm.startupBudget", v.StartupBudget, time.Minute, 6*time.Hour, "download, load and warm-up have to fit in")
	r.duration("vllm.preStop", v.PreStop, time.Second, maxDrain, "5s to 15s let load balancers notice")
	r.duration("vllm.shutdownTimeout", v.ShutdownTimeout, 0, maxDrain, "as long as a usual request takes")
	if total := v.PreStop + v.ShutdownTimeout; v.PreStop >= 0 && v.PreStop <= maxDrain && v.ShutdownTimeout <= maxDrain && total > maxDrain {
		r.bad("vllm.shutdownTimeout", v.ShutdownTimeout,
			fmt.Sprintf("at most %s together with vllm.preStop (%s): a cluster autoscaler kills pods that take longer", maxDrain, v.PreStop),
			fmt.Sprintf("lower it to %s", maxDrain-v.PreStop))
	}
}

func (c *Config) validateGPU(r *report) {
	g := c.GPU
	switch modes := []string{GPUNvidia, GPUSimulated}; {
	case !slices.Contains(modes, g.Mode):
		r.bad("gpu.mode", g.Mode, oneOf(modes), "simulated needs no GPU")
	case g.Mode == GPUSimulated && c.onCloud():
		r.bad("gpu.mode", g.Mode, fmt.Sprintf("%s on %s, whose GPU nodes would stand idle", GPUNvidia, c.Cloud),
			"remove the key; to try the pipeline without GPUs use cloud local, with any cluster's kubeconfig")
	}
	if !slices.Contains(replicaSizes, g.PerReplica) {
		r.bad("gpu.perReplica", g.PerReplica, "1, 2, 4 or 8", "1 unless the model is too large for one GPU")
	} else if known, ok := models.Find(c.Model.ID); ok && known.Heads%g.PerReplica != 0 {
		r.bad("gpu.perReplica", g.PerReplica,
			fmt.Sprintf("a divisor of %d, the attention heads of %s", known.Heads, c.Model.ID), "use fewer GPUs")
	}
	if g.MemoryGiB < 0 {
		r.bad("gpu.memoryGiB", g.MemoryGiB, "the memory of one GPU in GiB, or 0 for unknown", "for example 24 for an L4")
	}
	for i, t := range g.Tolerations {
		if err := providers.Toleration(t).Validate(); err != nil {
			r.bad(fmt.Sprintf("gpu.tolerations[%d]", i), t.Key, "a toleration that Kubernetes accepts", err.Error())
		}
	}
	sources := []string{string(providers.DCGMChart), string(providers.Simulated)}
	if c.Cloud == CloudLocal && !slices.Contains(sources, g.Metrics) {
		r.bad("gpu.metrics", g.Metrics, oneOf(sources), "remove the key to get what suits gpu.mode")
	}
}

func (c *Config) validateMonitoring(r *report) {
	m := c.Monitoring
	r.duration("monitoring.scrapeInterval", m.ScrapeInterval, time.Second, staleness/2, "a series is gone 5m after its last sample")
	r.duration("monitoring.evaluationInterval", m.EvaluationInterval, time.Second, staleness/2, "a series is gone 5m after its last sample")
	r.duration("monitoring.signalInterval", m.SignalInterval, time.Second, time.Minute, "the HPA looks every 15s")
	if !components.ValidRetention(m.Retention) {
		r.bad("monitoring.retention", m.Retention, "a Prometheus duration above 0", "for example 7d or 36h")
	}
	if m.Storage != "" {
		r.quantity("monitoring.storage", m.Storage)
	} else if m.StorageClass != "" {
		r.bad("monitoring.storageClass", m.StorageClass, "a class only together with monitoring.storage",
			r.set("monitoring.storage", "20Gi"))
	}
	if m.Dashboards && !m.Grafana {
		r.bad("monitoring.dashboards", m.Dashboards, "true only together with monitoring.grafana", r.set("monitoring.grafana", "true"))
	}
	c.validateAlerts(r)
}

// validateAlerts holds switched-off alerts to the same rules, so that switching them on is one key.
func (c *Config) validateAlerts(r *report) {
	a := c.Monitoring.Alerts
	if objectives := alerts.TTFTObjectives(); !slices.Contains(objectives, a.TTFTObjective) {
		var allowed []string
		for _, d := range objectives {
			allowed = append(allowed, d.String())
		}
		r.bad("monitoring.alerts.ttftObjective", a.TTFTObjective,
			"a bucket of vLLM's histogram, between which nothing is known: "+oneOf(allowed), r.set("monitoring.alerts.ttftObjective", "2.5s"))
	}
	if !(a.TTFTRatio >= alerts.MinTTFTRatio && a.TTFTRatio <= alerts.MaxTTFTRatio) {
		r.bad("monitoring.alerts.ttftRatio", a.TTFTRatio,
			fmt.Sprintf("%g to %g: a share, not percent", alerts.MinTTFTRatio, alerts.MaxTTFTRatio), "for example 0.95")
	}
	r.duration("monitoring.alerts.atMaxFor", a.AtMaxFor, time.Minute, 24*time.Hour, "longer than a usual peak")
}

func (c *Config) validateReplicas(r *report) {
	a := c.Autoscaling
	if a.MinReplicas < 1 {
		r.bad("autoscaling.minReplicas", a.MinReplicas,
			"1 or more: the HPA cannot start from 0, where there are no metrics to scale on", r.set("autoscaling.minReplicas", "1"))
	}
	if a.MaxReplicas < a.MinReplicas {
		r.bad("autoscaling.maxReplicas", a.MaxReplicas, fmt.Sprintf("at least autoscaling.minReplicas (%d)", a.MinReplicas),
			"raise it, or lower autoscaling.minReplicas")
	}
	r.between("autoscaling.adapterReplicas", a.AdapterReplicas, 1, 10, "2 survive the loss of a node")
	r.between("autoscaling.adapterPort", a.AdapterPort, firstOpenPort, lastPort, "10250 is open to every control plane")
	r.duration("autoscaling.relistInterval", a.RelistInterval, time.Second, staleness, "10s suits")
	// Google's adapter lists nothing: the key waits for the way back.
	if !c.ManagesMetrics() && a.RelistInterval >= time.Second && a.RelistInterval < c.Monitoring.SignalInterval {
		r.bad("autoscaling.relistInterval", a.RelistInterval,
			fmt.Sprintf("at least monitoring.signalInterval (%s): the adapter forgets series without a sample since", c.Monitoring.SignalInterval),
			"raise it, or lower monitoring.signalInterval")
	}
}

func (c *Config) validateBehavior(r *report) {
	up, down := c.Autoscaling.ScaleUp, c.Autoscaling.ScaleDown
	r.duration("autoscaling.scaleUp.stabilization", up.Stabilization, 0, maxHPAStabilization, "0s reacts at once")
	r.duration("autoscaling.scaleUp.period", up.Period, time.Second, maxHPAPeriod, "15s is the HPA's own period")
	r.between("autoscaling.scaleUp.pods", up.Pods, 1, 1000, "4 suits")
	r.between("autoscaling.scaleUp.percent", up.Percent, 1, 1000, "100 doubles")
	r.duration("autoscaling.scaleDown.stabilization", down.Stabilization, 0, maxHPAStabilization, "300s outlasts a pause in the load")
	r.duration("autoscaling.scaleDown.period", down.Period, time.Second, maxHPAPeriod, "60s suits")
	r.between("autoscaling.scaleDown.pods", down.Pods, 1, 1000, "1 keeps warm replicas longest")
}

func (c *Config) validateCharts(r *report) {
	for _, chart := range []struct {
		key string
		Chart
	}{
		{"kubePrometheusStack", c.Charts.KubePrometheusStack},
		{"prometheusAdapter", c.Charts.PrometheusAdapter},
		{"dcgmExporter", c.Charts.DCGMExporter},
		{"devicePlugin", c.Charts.DevicePlugin},
		{"clusterAutoscaler", c.Charts.ClusterAutoscaler},
	} {
		if !exactVersion.MatchString(chart.Version) {
			r.bad("charts."+chart.key+".version", chart.Version, "one exact version", "remove the key to get the tested one")
		}
		if !isRepository(chart.Repository) {
			r.bad("charts."+chart.key+".repository", chart.Repository,
				"an http(s):// or oci:// URL, or a folder that begins with / or .", "remove the key to get the public one")
		}
	}
}

// label reports a name that is not an RFC 1123 label.
func (r *report) label(key, name string) {
	if validation.IsDNS1123Label(name) != nil {
		r.bad(key, name, "an RFC 1123 label: lower-case letters, digits and '-', at most 63, a letter or digit at both ends", "rename it")
	}
}

// subdomain reports an optional name that is not an RFC 1123 subdomain.
func (r *report) subdomain(key, name string) {
	if name != "" && validation.IsDNS1123Subdomain(name) != nil {
		r.bad(key, name, "an RFC 1123 subdomain: lower-case letters, digits, '-' and '.'", "give the name as kubectl prints it")
	}
}

// selector reports labels that no node can have.
func (r *report) selector(key string, labels map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if problems := append(validation.IsQualifiedName(name), validation.IsValidLabelValue(labels[name])...); len(problems) > 0 {
			r.bad(key+"."+name, labels[name], "a label that a node can have", strings.Join(problems, "; "))
		}
	}
}

// quantity reports an amount that Kubernetes does not understand or that is not above 0.
func (r *report) quantity(key string, q Quantity) (resource.Quantity, bool) {
	parsed, err := resource.ParseQuantity(string(q))
	if err != nil || parsed.Sign() <= 0 {
		r.bad(key, string(q), "a Kubernetes quantity above 0", "for example 2, 500m, 10Gi")
		return parsed, false
	}
	return parsed, true
}

// duration reports a time out of bounds, or one in fractions of a second, which Kubernetes' fields
// do not hold.
func (r *report) duration(key string, d, low, high time.Duration, hint string) {
	if d < low || d > high || d%time.Second != 0 {
		r.bad(key, d, fmt.Sprintf("%s to %s, in whole seconds", low, high), hint)
	}
}

// between reports a number out of bounds.
func (r *report) between(key string, n, low, high int, hint string) {
	if n < low || n > high {
		r.bad(key, n, fmt.Sprintf("%d to %d", low, high), hint)
	}
}

// imageProblem says what keeps an image from being pinned; "" when nothing does.
func imageProblem(image string) string {
	if strings.ContainsAny(image, " \t\n") || image == "" {
		return "it is not an image reference"
	}
	if _, digest, ok := strings.Cut(image, "@"); ok {
		return choose(imageDigest.MatchString(digest), "", "the digest is not sha256:<64 hex digits>")
	}
	// The tag follows the last colon, unless that colon belongs to the registry's port.
	name := image[strings.LastIndexByte(image, '/')+1:]
	_, tag, ok := strings.Cut(name, ":")
	switch {
	case !ok:
		return "it has no tag, which means latest"
	case tag == "latest" || tag == "nightly":
		return fmt.Sprintf("%s changes under a running deployment", tag)
	case !imageTag.MatchString(tag):
		return fmt.Sprintf("%q is not a tag", tag)
	}
	return ""
}

func isRepository(repository string) bool {
	for _, prefix := range []string{"https://", "http://", "oci://", "/", "./", "../"} {
		if rest, ok := strings.CutPrefix(repository, prefix); ok && rest != "" {
			return true
		}
	}
	return false
}

func oneOf(values []string) string { return "one of: " + strings.Join(values, ", ") }
