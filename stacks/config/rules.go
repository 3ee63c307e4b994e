package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/alerts"
	"vllm-autoscaling/stacks/config/models"
)

// Limits of Kubernetes and of the deployed programs.
const (
	// maxDrain is the cluster autoscaler's --max-graceful-termination-sec: it kills a pod that needs
	// longer when it removes a node.
	maxDrain = 10 * time.Minute
	// maxAnnotations is what the annotations of an object may have together, 256 KiB, less 4 KiB for those of the program, of the
	// charts and of Kubernetes' controllers.
	maxAnnotations = 252 << 10
)

// check checks the rules between keys and those that tags cannot express. It adds the problems, or the warnings if there are
// no problems.
func (c *Config) check(r *report) {
	c.checkScopes(r)
	checkPlainText(r)
	checkCloud(r, c.Cloud, c.Stack)
	checkNamespaces(r, c.Namespaces)
	checkAnnotations(r, c.Annotations)
	checkModel(r, c.Model)
	checkModelSize(r, c.Model)
	c.checkWeights(r)
	c.checkParallel(r)
	c.checkQuantization(r)
	c.checkLoRA(r)
	c.checkBatchedTokens(r)
	c.checkFit(r)
	c.checkSecrets(r)
	checkVLLM(r, c.VLLM)
	c.checkExpose(r)
	c.checkPodTemplate(r)
	c.checkCache(r)
	c.checkPrePull(r)
	if c.GPU.Mode == GPUNvidia && !r.anyRefused("gpu.mode") {
		checkVersion(r, c.VLLM.Image, c.Model.ID)
	}
	c.checkGPU(r)
	c.checkMetrics(r)
	checkSLO(r, c.SLO)
	checkMonitoring(r, c.Monitoring, c.ExistingMetrics())
	checkShared(r, c.Monitoring)
	checkReplicas(r, c.Autoscaling)
	c.checkSpareNodes(r)
	c.checkRelist(r)
	c.checkSignals(r)
	checkPolicy(r, c.Policy)
	// Last, because the provider packages look at some of the same keys.
	c.validateNodePools(r, r.given)
	c.checkUpdate(r)
	c.validateDisk(r)
	if len(r.problems) == 0 {
		c.warnOfScaling(r)
		c.warnOfStarts(r)
		c.warnOfWeights(r)
		c.warnOfStreaming(r)
		c.warnOfAccess(r)
		c.warnOfExpose(r)
		c.warnOfLeftOut(r)
		slices.SortStableFunc(r.warnings, func(a, b Warning) int { return strings.Compare(a.Key, b.Key) })
		c.warnings = r.warnings
	}
}

func checkCloud(r *report, cloud, stack string) {
	if !slices.Contains(Clouds, cloud) {
		r.bad("cloud", cloud, oneOf(Clouds),
			fmt.Sprintf("use a stack of that name (pulumi stack select %s), or set where stack %q runs: %s", Clouds[0], stack, r.set("cloud", Clouds[0])))
	}
}

func checkNamespaces(r *report, n Namespaces) {
	if n.Monitoring == n.Serving && !r.anyRefused("namespaces.monitoring") {
		r.bad("namespaces.serving", n.Serving, "a name other than namespaces.monitoring", "give each of the two a name of its own")
	}
}

// checkAnnotations checks the size of the annotations, names included.
func checkAnnotations(r *report, annotations map[string]string) {
	size := 0
	for name, value := range annotations {
		size += len(name) + len(value)
	}
	if size > maxAnnotations {
		r.bad("annotations", fmt.Sprintf("%d bytes", size), fmt.Sprintf("at most %d bytes together, names included", maxAnnotations),
			"shorten them: Kubernetes limits the annotations of an object")
	}
}

// checkModel checks the model's settings and flags against the catalogue.
func checkModel(r *report, m Model) {
	checkExtraArgs(r, m.ExtraArgs)
	if r.anyRefused("model.id") {
		return
	}
	if known, ok := models.Find(m.ID); ok && m.MaxModelLen > known.ContextLength {
		r.bad("model.maxModelLen", m.MaxModelLen, fmt.Sprintf("at most %d, the context of %s", known.ContextLength, m.ID),
			"lower it; a shorter context leaves more memory for requests")
	}
	if (m.DType == "half" || m.DType == "float16") && m.refusesFloat16() {
		r.bad("model.dtype", m.DType, "auto, bfloat16 or float32: vLLM refuses to run Gemma in float16",
			"use auto (GPUs of compute capability 8.0 and up, such as L4 and A100) or float32")
	}
}

// checkSecrets checks that secrets are encrypted, and that the Hugging Face token is set if the model needs it.
func (c *Config) checkSecrets(r *report) {
	walk("", reflect.ValueOf(c).Elem(), func(key string, field reflect.Value, _ reflect.StructTag) {
		secret, ok := field.Interface().(Secret)
		top, _, nested := strings.Cut(r.full(key), ".")
		if !ok || !secret.Given() || r.source.isSecret(top) {
			return
		}
		r.add(Problem{
			Key: r.full(key), Value: "[hidden]", Allowed: "an encrypted value; this one stands in the file in plain text",
			Fix: fmt.Sprintf("pulumi config set --secret %s%s (and replace the value if the file was shared)", choose(nested, "--path ", ""), r.full(key)),
		})
	})
	if c.GPU.Mode == GPUNvidia && c.Model.gated() && c.Model.fromHub() && !c.HuggingFaceToken.Given() && !r.anyRefused("model.id", "gpu.mode") {
		r.add(Problem{
			Key:     r.full("huggingFaceToken"),
			Allowed: fmt.Sprintf("a Hugging Face token with access to %s, which is gated", c.Model.ID),
			Fix: fmt.Sprintf("accept the licence on https://huggingface.co/%s, create a read token, then: pulumi config set --secret %s",
				c.Model.ID, r.full("huggingFaceToken")),
		})
	}
}

// checkVLLM checks that the server's memory, time and access settings are consistent.
func checkVLLM(r *report, v VLLM) {
	checkClientNamespaces(r, "vllm.clientNamespaces", v.ClientNamespaces)
	memory, shm := v.Memory.amount(), v.Shm.amount()
	if shm.Cmp(memory) >= 0 && !r.anyRefused("vllm.memory") {
		r.bad("vllm.shm", string(v.Shm), fmt.Sprintf("less than vllm.memory (%s), which /dev/shm counts against", v.Memory),
			"lower it or raise vllm.memory")
	}
	if v.PreStop+v.ShutdownTimeout > maxDrain && !r.anyRefused("vllm.preStop") {
		r.bad("vllm.shutdownTimeout", v.ShutdownTimeout,
			fmt.Sprintf("at most %s together with vllm.preStop (%s): a cluster autoscaler kills pods that take longer", maxDrain, v.PreStop),
			fmt.Sprintf("lower it to %s", maxDrain-v.PreStop))
	}
}

// checkGPU checks the GPU settings against the cloud and the model.
func (c *Config) checkGPU(r *report) {
	if c.GPU.Mode == GPUSimulated && c.onCloud() {
		r.bad("gpu.mode", c.GPU.Mode, fmt.Sprintf("%s on %s, whose GPU nodes would stand idle", GPUNvidia, c.Cloud),
			"remove the key; to try the pipeline without GPUs use cloud local, with any cluster's kubeconfig")
	}
}

// checkClientNamespaces refuses a list of every namespace and of some.
func checkClientNamespaces(r *report, key string, namespaces []string) {
	if len(namespaces) > 1 && slices.Contains(namespaces, components.AllNamespaces) {
		r.bad(key, namespaces, `"*" alone, which is every namespace, or names`, `remove "*" or the names`)
	}
}

func checkMonitoring(r *report, m Monitoring, existing bool) {
	checkClientNamespaces(r, "monitoring.clientNamespaces", m.ClientNamespaces)
	if m.Storage == "" && m.StorageClass != "" {
		r.bad("monitoring.storageClass", m.StorageClass, "a class only together with monitoring.storage",
			r.set("monitoring.storage", "20Gi"))
	}
	if m.Dashboards && !m.Grafana && !existing {
		r.bad("monitoring.dashboards", m.Dashboards, "true only together with monitoring.grafana", r.set("monitoring.grafana", "true"))
	}
}

// checkSLO checks that vLLM counts the requests within the limits. It also applies without alerts, so that enabling them takes one
// key.
func checkSLO(r *report, s SLO) {
	checkBound(r, "slo.ttft", s.TTFT, alerts.TTFTBounds())
	checkBound(r, "slo.interToken", s.InterToken, alerts.InterTokenBounds())
}

// checkBound refuses a limit that is no bound of the buckets of a histogram, and proposes the nearest one.
func checkBound(r *report, key string, limit time.Duration, bounds []time.Duration) {
	if slices.Contains(bounds, limit) {
		return
	}
	var allowed []string
	for _, bound := range bounds {
		allowed = append(allowed, bound.String())
	}
	nearest := slices.MinFunc(bounds, func(a, b time.Duration) int { return cmp.Compare((a - limit).Abs(), (b - limit).Abs()) })
	r.bad(key, limit, "a bucket of vLLM's histogram, between which nothing is known: "+oneOf(allowed), r.set(key, nearest.String()))
}

func checkReplicas(r *report, a Autoscaling) {
	if a.MaxReplicas < a.MinReplicas {
		r.bad("autoscaling.maxReplicas", a.MaxReplicas, fmt.Sprintf("at least autoscaling.minReplicas (%d)", a.MinReplicas),
			"raise it, or lower autoscaling.minReplicas")
	}
}

// checkRelist checks that the adapter finds each series between two relists. Google's adapter does not relist: with it, the
// key has no effect and is not checked, so that the metrics pipeline can be switched back. The platform's adapter has its own.
func (c *Config) checkRelist(r *report) {
	relist, interval := c.Autoscaling.RelistInterval, c.Monitoring.SignalInterval
	if c.ownPrometheusAdapter() && relist < interval && !r.anyRefused("monitoring.signalInterval") {
		r.bad("autoscaling.relistInterval", relist,
			fmt.Sprintf("at least monitoring.signalInterval (%s): the adapter forgets series without a sample since", interval),
			"raise it, or lower monitoring.signalInterval")
	}
}
