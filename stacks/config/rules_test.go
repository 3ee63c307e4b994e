package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRules checks every rule with a configuration that breaks it and one at its limit.
func TestRules(t *testing.T) {
	type keys = map[string]any
	digest := "@sha256:" + strings.Repeat("ab", 32)
	runs := func(target float64, maxNumSeqs int) keys {
		return keys{"model.maxNumSeqs": maxNumSeqs, "autoscaling.signals.requestsRunning.enabled": true, "autoscaling.signals.requestsRunning.target": target}
	}
	for name, rule := range map[string]struct {
		stack        string // "" means local
		wrong, right keys
		key          string // Where the problem is reported.
		says         string // What allowed or fix must contain.
	}{
		"unknown cloud": {wrong: keys{"cloud": "azure"}, right: keys{"cloud": "local"}, key: "cloud", says: "one of: local"},
		"stack that names no cloud": {stack: "prod", wrong: keys{}, right: keys{"cloud": "local"}, key: "cloud",
			says: "pulumi config set --path 'vllm-autoscaling:cloud' local"},
		"namespace in capitals": {wrong: keys{"namespaces.monitoring": "Monitoring"}, right: keys{"namespaces.monitoring": "metrics"},
			key: "namespaces.monitoring", says: "RFC 1123"},
		"namespace too long": {wrong: keys{"namespaces.serving": strings.Repeat("a", 64)},
			right: keys{"namespaces.serving": strings.Repeat("a", 63)}, key: "namespaces.serving", says: "63"},
		"namespace empty":         {wrong: keys{"namespaces.serving": ""}, right: keys{}, key: "namespaces.serving", says: "RFC 1123"},
		"namespace default":       {wrong: keys{"namespaces.serving": "default"}, right: keys{}, key: "namespaces.serving", says: "destroy deletes"},
		"namespace of the system": {wrong: keys{"namespaces.monitoring": "kube-system"}, right: keys{}, key: "namespaces.monitoring", says: "destroy deletes"},
		"one namespace for both": {wrong: keys{"namespaces.monitoring": "llm", "namespaces.serving": "llm"},
			right: keys{"namespaces.monitoring": "llm"}, key: "namespaces.serving", says: "other than"},
		"client namespace": {wrong: keys{"vllm.clientNamespaces": []any{"ok", "no_good"}}, right: keys{"vllm.clientNamespaces": []any{"ok"}},
			key: "vllm.clientNamespaces[1]", says: "RFC 1123"},
		"every namespace and one": {wrong: keys{"vllm.clientNamespaces": []any{"*", "ok"}}, right: keys{"vllm.clientNamespaces": []any{"*"}},
			key: "vllm.clientNamespaces", says: `"*" alone`},
		"namespaces by pattern": {wrong: keys{"vllm.clientNamespaces": []any{"team-*"}}, right: keys{"vllm.clientNamespaces": []any{"team-a"}},
			key: "vllm.clientNamespaces[0]", says: `"*" for every namespace`},
		"client address": {wrong: keys{"vllm.clientCidrs": []any{"192.0.2.7"}}, right: keys{"vllm.clientCidrs": []any{"192.0.2.7/32"}},
			key: "vllm.clientCidrs[0]", says: "add /32"},
		"client address with bits of a network": {wrong: keys{"vllm.clientCidrs": []any{"2001:db8::1/32"}}, right: keys{"vllm.clientCidrs": []any{"2001:db8::/32"}},
			key: "vllm.clientCidrs[0]", says: "2001:db8::/32"},
		"host to reach": {wrong: keys{"vllm.egressCidrs": []any{"proxy.example.com"}}, right: keys{"vllm.egressCidrs": []any{"10.1.0.0/24"}},
			key: "vllm.egressCidrs[0]", says: "10.0.0.0/16"},
		"every namespace to reach": {wrong: keys{"vllm.egressNamespaces": []any{"*"}}, right: keys{"vllm.egressNamespaces": []any{"proxy"}},
			key: "vllm.egressNamespaces[0]", says: "RFC 1123"},
		"every namespace and one to Grafana": {wrong: keys{"monitoring.clientNamespaces": []any{"*", "ok"}}, right: keys{"monitoring.clientNamespaces": []any{"*"}},
			key: "monitoring.clientNamespaces", says: `"*" alone`},
		"every namespace to query": {wrong: keys{"monitoring.queryNamespaces": []any{"*"}}, right: keys{"monitoring.queryNamespaces": []any{"grafana"}},
			key: "monitoring.queryNamespaces[0]", says: "RFC 1123"},
		"every namespace to watch": {wrong: keys{"monitoring.watchNamespaces": []any{"*"}}, right: keys{"monitoring.watchNamespaces": []any{"apps"}},
			key: "monitoring.watchNamespaces[0]", says: "RFC 1123"},
		"address of Grafana's clients": {wrong: keys{"monitoring.clientCidrs": []any{"192.0.2.7"}}, right: keys{"monitoring.clientCidrs": []any{"192.0.2.7/32"}},
			key: "monitoring.clientCidrs[0]", says: "add /32"},
		"URL of media": {wrong: keys{"vllm.mediaDomains": []any{"https://images.example.com/a"}}, right: keys{"vllm.mediaDomains": []any{"images.example.com"}},
			key: "vllm.mediaDomains[0]", says: "without scheme"},
		"domain of media": {wrong: keys{"vllm.mediaDomains": []any{"*.example.com"}}, right: keys{"vllm.mediaDomains": []any{"example.com"}},
			key: "vllm.mediaDomains[0]", says: "wildcard"},
		"media flag": {wrong: keys{"model.extraArgs": []any{"--allowed-media-domains=a"}}, right: keys{"vllm.mediaDomains": []any{"a"}},
			key: "model.extraArgs[0]", says: "set vllm.mediaDomains instead"},
		"priority class": {wrong: keys{"vllm.priorityClassName": "High"}, right: keys{"vllm.priorityClassName": "system-cluster-critical"},
			key: "vllm.priorityClassName", says: "RFC 1123"},
		"selector key": {wrong: keys{"vllm.nodeSelector": keys{"a b": "c"}}, right: keys{"vllm.nodeSelector": keys{"a/b": "c"}},
			key: "vllm.nodeSelector.a b", says: "label"},
		"selector value": {wrong: keys{"gpu.nodeSelector": keys{"pool": "g p u"}}, right: keys{"gpu.nodeSelector": keys{"pool": "gpu"}},
			key: "gpu.nodeSelector.pool", says: "label"},
		"label of a selector": {wrong: keys{"labels": keys{"app.kubernetes.io/name": "c"}}, right: keys{"labels": keys{"example.com/app": "c"}},
			key: "labels.app.kubernetes.io/name", says: "selectors of the program"},
		"label of the charts": {wrong: keys{"labels": keys{"release": "c"}}, right: keys{"monitoring.monitorLabels": keys{"release": "c"}},
			key: "labels.release", says: "monitoring.monitorLabels may have it"},
		"label of Kubernetes": {wrong: keys{"labels": keys{"topology.kubernetes.io/zone": "c"}}, right: keys{"labels": keys{"kueue.x-k8s.io/queue-name": "c"}},
			key: "labels.topology.kubernetes.io/zone", says: "belongs to Kubernetes"},
		"label value": {wrong: keys{"labels": keys{"team": "m l"}}, right: keys{"labels": keys{"team": ""}}, key: "labels.team", says: "label"},
		"label of monitors": {wrong: keys{"monitoring.monitorLabels": keys{"helm.sh/chart": "c"}}, right: keys{"monitoring.monitorLabels": keys{"app": "c"}},
			key: "monitoring.monitorLabels.helm.sh/chart", says: "belongs to Helm"},
		"annotation of the program": {wrong: keys{"annotations": keys{"vllm-autoscaling/secrets-checksum": "c"}},
			right: keys{"annotations": keys{"example.com/contact": "a b\nc {{ d }}"}}, key: "annotations.vllm-autoscaling/secrets-checksum", says: "the program"},
		"annotation of Kubernetes": {wrong: keys{"annotations": keys{"kubectl.kubernetes.io/restartedAt": "now"}},
			right: keys{"annotations": keys{"kubernetes.io/description": "c"}}, key: "annotations.kubectl.kubernetes.io/restartedAt", says: "Kubernetes"},
		"annotations too long": {wrong: keys{"annotations": keys{"a": strings.Repeat("b", maxAnnotations)}},
			right: keys{"annotations": keys{"a": strings.Repeat("b", maxAnnotations-1)}}, key: "annotations", says: "together"},
		"model without organisation": {wrong: keys{"model.id": "gemma"}, right: keys{"model.id": "/models/gemma"}, key: "model.id", says: "organisation/name"},
		"context of no token":        {wrong: keys{"model.maxModelLen": 0}, right: keys{"model.maxModelLen": 1}, key: "model.maxModelLen", says: "1 or more"},
		"context too long": {wrong: keys{"model.maxModelLen": 32769}, right: keys{"model.maxModelLen": 32768}, key: "model.maxModelLen",
			says: "at most 32768"},
		"context of an unknown model": {wrong: keys{"model.maxModelLen": -1}, right: keys{"model.id": "a/b", "model.maxModelLen": 1000000},
			key: "model.maxModelLen", says: "1 or more"},
		"no sequences": {wrong: keys{"model.maxNumSeqs": 0}, right: keys{"model.maxNumSeqs": 1}, key: "model.maxNumSeqs", says: "1 or more"},
		"memory share in percent": {wrong: keys{"model.gpuMemoryUtilization": 90}, right: keys{"model.gpuMemoryUtilization": 1},
			key: "model.gpuMemoryUtilization", says: "share"},
		"memory share of nothing": {wrong: keys{"model.gpuMemoryUtilization": 0}, right: keys{"model.gpuMemoryUtilization": 0.01},
			key: "model.gpuMemoryUtilization", says: "share"},
		"unknown dtype": {wrong: keys{"model.dtype": "int8"}, right: keys{"model.dtype": "float32"}, key: "model.dtype", says: "one of: auto"},
		"Gemma in float16": {wrong: keys{"model.dtype": "half"}, right: keys{"model.dtype": "half", "model.id": "a/b"}, key: "model.dtype",
			says: "float16"},
		"argument with its own key": {wrong: keys{"model.extraArgs": []any{"--max-num-seqs=4"}},
			right: keys{"model.extraArgs": []any{"--enforce-eager"}}, key: "model.extraArgs[0]", says: "set model.maxNumSeqs instead"},
		"no token for a gated model": {wrong: keys{"gpu.mode": "nvidia"}, right: nvidia(nil), key: "huggingFaceToken",
			says: "pulumi config set --secret vllm-autoscaling:huggingFaceToken"},
		"no token for an open model": {wrong: keys{"gpu.mode": "nvidia"}, right: keys{"gpu.mode": "nvidia", "model.id": "a/b"}, key: "huggingFaceToken",
			says: "gated"},
		"token in plain text": {wrong: keys{"huggingFaceToken": "hf"}, right: keys{"huggingFaceToken": hidden("hf")}, key: "huggingFaceToken",
			says: "pulumi config set --secret vllm-autoscaling:huggingFaceToken"},
		"API key in plain text": {wrong: keys{"apiKey": "k"}, right: keys{"apiKey": hidden("k")}, key: "apiKey", says: "plain text"},
		"password in plain text": {wrong: keys{"monitoring.grafanaPassword": "p"}, right: keys{"monitoring.grafanaPassword": hidden("p")},
			key: "monitoring.grafanaPassword", says: "pulumi config set --secret --path vllm-autoscaling:monitoring.grafanaPassword"},
		"image without tag": {wrong: keys{"vllm.image": "registry:5000/vllm"}, right: keys{"vllm.image": "registry:5000/vllm:v1"},
			key: "vllm.image", says: "no tag"},
		"image latest": {wrong: keys{"vllm.image": "vllm/vllm-openai:latest"}, right: keys{"vllm.image": "vllm/vllm-openai:v0.20.0"},
			key: "vllm.image", says: "latest changes"},
		"image with half a digest": {wrong: keys{"vllm.image": "vllm@sha256:abc"}, right: keys{"vllm.image": "vllm" + digest}, key: "vllm.image", says: "64 hex"},
		"image with a bad tag":     {wrong: keys{"vllm.image": "vllm:-1"}, right: keys{"vllm.image": "vllm:1"}, key: "vllm.image", says: "not a tag"},
		"image empty":              {wrong: keys{"vllm.image": ""}, right: keys{"vllm.image": "a:1"}, key: "vllm.image", says: "not an image"},
		"ceiling below nothing": {wrong: keys{"policy.spendCeiling": -1}, right: keys{"policy.spendCeiling": 0.5}, key: "policy.spendCeiling",
			says: "0 or more"},
		"exception without reason": {wrong: keys{"policy.exceptions": keys{"spend-ceiling/*": " "}},
			right: keys{"policy.exceptions": keys{"spend-ceiling/*": "a load test"}}, key: `policy.exceptions["spend-ceiling/*"]`, says: "reason"},
		"exception of no rule": {wrong: keys{"policy.exceptions": keys{"open/cluster": "x"}},
			right: keys{"policy.exceptions": keys{"api-server-not-open/cluster": "x"}}, key: `policy.exceptions["open/cluster"]`, says: "api-server-not-open"},
		"exception of no resource": {wrong: keys{"policy.exceptions": keys{"limits-set": "x"}},
			right: keys{"policy.exceptions": keys{"limits-set/vllm": "x"}}, key: `policy.exceptions["limits-set"]`, says: "rule/resource"},
		"price below nothing": {wrong: keys{"policy.prices": keys{"g6.xlarge": -0.1}}, right: keys{"policy.prices": keys{"g6.xlarge": "0.55"}},
			key: `policy.prices["g6.xlarge"]`, says: "US dollars"},
		"price in words": {wrong: keys{"policy.prices": keys{"g6.xlarge": "cheap"}}, right: keys{"policy.prices": keys{"g6.xlarge": 1}},
			key: `policy.prices["g6.xlarge"]`, says: "0.85"},
		"price that is no number": {wrong: keys{"policy.prices": keys{"g6.xlarge": "NaN"}}, right: keys{"policy.prices": keys{"g6.xlarge": "0"}},
			key: `policy.prices["g6.xlarge"]`, says: "US dollars"},
		"price without end": {wrong: keys{"policy.prices": keys{"g6.xlarge": "Inf"}}, right: keys{"policy.prices": keys{"g6.xlarge": 90}},
			key: `policy.prices["g6.xlarge"]`, says: "US dollars"},
		"privileged port":          {wrong: keys{"vllm.port": 80}, right: keys{"vllm.port": 1024}, key: "vllm.port", says: "1024 to 65535"},
		"port out of range":        {wrong: keys{"vllm.port": 65536}, right: keys{"vllm.port": 65535}, key: "vllm.port", says: "1024 to 65535"},
		"CPU of nothing":           {wrong: keys{"vllm.cpu": "0"}, right: keys{"vllm.cpu": "500m"}, key: "vllm.cpu", says: "quantity above 0"},
		"memory with a wrong unit": {wrong: keys{"vllm.memory": "10GB"}, right: keys{"vllm.memory": "10Gi"}, key: "vllm.memory", says: "quantity"},
		"shm as large as memory": {wrong: keys{"vllm.memory": "2Gi", "vllm.shm": "2Gi"}, right: keys{"vllm.memory": "3Gi", "vllm.shm": "2Gi"},
			key: "vllm.shm", says: "less than vllm.memory"},
		"cache of nothing": {wrong: keys{"vllm.modelCache": "-1Gi"}, right: keys{"vllm.modelCache": "1Gi"}, key: "vllm.modelCache", says: "quantity"},
		"start-up too short": {wrong: keys{"vllm.startupBudget": "59s"}, right: keys{"vllm.startupBudget": "1m"}, key: "vllm.startupBudget",
			says: "1m to 6h"},
		"negative drain": {wrong: keys{"vllm.preStop": "0s"}, right: keys{"vllm.preStop": "1s"}, key: "vllm.preStop", says: "1s to 10m"},
		"argument of the program": {wrong: keys{"model.extraArgs": []any{"--force-dummy-tokenizer"}}, right: keys{}, key: "model.extraArgs[0]",
			says: "remove it"},
		"drain in fractions": {wrong: keys{"vllm.shutdownTimeout": "1500ms"}, right: keys{"vllm.shutdownTimeout": "2s"},
			key: "vllm.shutdownTimeout", says: "whole seconds"},
		"drain longer than nodes": {wrong: keys{"vllm.preStop": "5m", "vllm.shutdownTimeout": "301s"},
			right: keys{"vllm.preStop": "5m", "vllm.shutdownTimeout": "5m"}, key: "vllm.shutdownTimeout", says: "together with vllm.preStop"},
		"unknown GPU mode": {wrong: keys{"gpu.mode": "amd"}, right: nvidia(nil), key: "gpu.mode", says: "one of: nvidia, simulated"},
		"three GPUs":       {wrong: keys{"gpu.perReplica": 3}, right: keys{"gpu.perReplica": 4}, key: "gpu.perReplica", says: "one of: 1, 2, 4, 8"},
		"more GPUs than heads": {wrong: keys{"gpu.perReplica": 8}, right: keys{"gpu.perReplica": 8, "model.id": "google/gemma-3-4b-it"},
			key: "gpu.perReplica", says: "divisor of 4"},
		"negative GPU memory": {wrong: keys{"gpu.memoryGiB": -1}, right: keys{"gpu.memoryGiB": 24}, key: "gpu.memoryGiB", says: "24 for an L4"},
		"toleration": {wrong: keys{"gpu.tolerations": []any{keys{"key": "a", "operator": "Like"}}},
			right: keys{"gpu.tolerations": []any{keys{"key": "a", "operator": "Equal", "value": "b"}}}, key: "gpu.tolerations[0]", says: "Exists, Equal"},
		"managed exporter on local": {wrong: keys{"gpu.metrics": "managed"}, right: keys{"gpu.metrics": "dcgm-chart"}, key: "gpu.metrics",
			says: "one of: dcgm-chart, simulated"},
		"scrape faster than 1s": {wrong: keys{"monitoring.scrapeInterval": "500ms"}, right: keys{"monitoring.scrapeInterval": "1s"},
			key: "monitoring.scrapeInterval", says: "1s to 2m30s"},
		"rules slower than staleness": {wrong: keys{"monitoring.evaluationInterval": "151s"}, right: keys{"monitoring.evaluationInterval": "150s"},
			key: "monitoring.evaluationInterval", says: "1s to 2m30s"},
		"signals slower than the HPA": {wrong: keys{"monitoring.signalInterval": "61s", "autoscaling.relistInterval": "2m"},
			right: keys{"monitoring.signalInterval": "30s"}, key: "monitoring.signalInterval", says: "1s to 1m"},
		"signals of no interval": {wrong: keys{"monitoring.signalInterval": "0s"}, right: keys{"monitoring.signalInterval": "1s"},
			key: "monitoring.signalInterval", says: "1s"},
		"retention of nothing": {wrong: keys{"monitoring.retention": "0d"}, right: keys{"monitoring.retention": "10d"},
			key: "monitoring.retention", says: "Prometheus duration"},
		"retention in Go's form": {wrong: keys{"monitoring.retention": "1.5h"}, right: keys{"monitoring.retention": "1h30m"},
			key: "monitoring.retention", says: "Prometheus duration"},
		"storage": {wrong: keys{"monitoring.storage": "lots"}, right: keys{"monitoring.storage": "20Gi",
			"monitoring.storageClass": "standard"}, key: "monitoring.storage", says: "quantity"},
		"dashboards without Grafana": {wrong: keys{"monitoring.dashboards": true, "monitoring.grafana": false}, right: keys{"monitoring.grafana": false},
			key: "monitoring.dashboards", says: "monitoring.grafana"},
		"first token between buckets": {wrong: keys{"slo.ttft": "2s"}, right: keys{"slo.ttft": "1m20s"}, key: "slo.ttft", says: "'vllm-autoscaling:slo.ttft' 2.5s"},
		"first token without alerts": {wrong: keys{"slo.ttft": "3s", "monitoring.alerts.enabled": false}, right: keys{"slo.ttft": "2.5s"},
			key: "slo.ttft", says: "a bucket of vLLM's histogram"},
		"first token at once": {wrong: keys{"slo.ttft": "0s"}, right: keys{"slo.ttft": "100ms"}, key: "slo.ttft", says: "100ms to 42m40s"},
		"tokens between buckets": {wrong: keys{"slo.interToken": "60ms"}, right: keys{"slo.interToken": "25ms"}, key: "slo.interToken",
			says: "'vllm-autoscaling:slo.interToken' 50ms"},
		"tokens without a limit":    {wrong: keys{"slo.interToken": "0s"}, right: keys{"slo.interToken": "1m20s"}, key: "slo.interToken", says: "10ms to 1m20s"},
		"objective in percent":      {wrong: keys{"slo.ratio": 95}, right: keys{"slo.ratio": 0.5}, key: "slo.ratio", says: "share, not percent"},
		"objective of all requests": {wrong: keys{"slo.ratio": 1}, right: keys{"slo.ratio": 0.999}, key: "slo.ratio", says: "0.999"},
		"no peak at all": {wrong: keys{"monitoring.alerts.atMaxFor": "0s"}, right: keys{"monitoring.alerts.atMaxFor": "24h"},
			key: "monitoring.alerts.atMaxFor", says: "1m"},
		"class without storage": {wrong: keys{"monitoring.storageClass": "standard"}, right: keys{"monitoring.storage": "20Gi",
			"monitoring.storageClass": "standard"}, key: "monitoring.storageClass", says: "monitoring.storage"},
		"name of the class": {wrong: keys{"monitoring.storage": "20Gi", "monitoring.storageClass": "Fast"},
			right: keys{"monitoring.storage": "20Gi"}, key: "monitoring.storageClass", says: "RFC 1123"},
		"scale to zero": {wrong: keys{"autoscaling.minReplicas": 0}, right: keys{"autoscaling.minReplicas": 1},
			key: "autoscaling.minReplicas", says: "cannot start from 0"},
		"minimum above maximum": {wrong: keys{"autoscaling.minReplicas": 5}, right: keys{"autoscaling.minReplicas": 4},
			key: "autoscaling.maxReplicas", says: "at least autoscaling.minReplicas (5)"},
		"no adapter": {wrong: keys{"autoscaling.adapterReplicas": 0}, right: keys{"autoscaling.adapterReplicas": 1},
			key: "autoscaling.adapterReplicas", says: "1 to 10"},
		"privileged adapter port": {wrong: keys{"autoscaling.adapterPort": 443}, right: keys{"autoscaling.adapterPort": 6443},
			key: "autoscaling.adapterPort", says: "1024"},
		"relist out of range": {wrong: keys{"autoscaling.relistInterval": "6m"}, right: keys{"autoscaling.relistInterval": "5m"},
			key: "autoscaling.relistInterval", says: "1s to 5m"},
		"relist faster than scrapes": {wrong: keys{"autoscaling.relistInterval": "1s"}, right: keys{"autoscaling.relistInterval": "2s"},
			key: "autoscaling.relistInterval", says: "monitoring.signalInterval"},
		"no signal": {
			wrong: keys{"autoscaling.signals.requestsInFlight.enabled": false, "autoscaling.signals.gpuUtilization.enabled": false},
			right: keys{"autoscaling.signals.requestsInFlight.enabled": false},
			key:   "autoscaling.signals.requestsInFlight.enabled", says: "at least one",
		},
		"in-flight target zero": {wrong: keys{"autoscaling.signals.requestsInFlight.target": 0},
			right: keys{"autoscaling.signals.requestsInFlight.target": 1000}, key: "autoscaling.signals.requestsInFlight.target", says: "enabled to false"},
		"running target at the cap": {wrong: runs(16, 16), right: runs(14, 16), key: "autoscaling.signals.requestsRunning.target", says: "more than 16 requests"},
		"running target in tolerance": {wrong: runs(15, 16), right: runs(15, 17), key: "autoscaling.signals.requestsRunning.target",
			says: "below 14.55"},
		"running target out of the cap": {wrong: runs(12, 8),
			right: keys{"model.maxNumSeqs": 8, "autoscaling.signals.requestsRunning.enabled": true}, key: "autoscaling.signals.requestsRunning.target",
			says: "set it to 6"},
		"target of a signal that is off": {wrong: runs(99, 16), right: keys{"autoscaling.signals.requestsRunning.target": 99},
			key: "autoscaling.signals.requestsRunning.target", says: "never runs more",
		},
		"running target zero": {wrong: keys{"autoscaling.signals.requestsRunning.target": 0}, right: runs(0.5, 16),
			key: "autoscaling.signals.requestsRunning.target", says: "enabled to false"},
		"waiting target zero": {wrong: keys{"autoscaling.signals.requestsWaiting.target": 0},
			right: keys{"autoscaling.signals.requestsWaiting.target": 1000}, key: "autoscaling.signals.requestsWaiting.target", says: "above 0"},
		"GPU target 100": {wrong: keys{"autoscaling.signals.gpuUtilization.target": 100},
			right: keys{"autoscaling.signals.gpuUtilization.target": 90}, key: "autoscaling.signals.gpuUtilization.target", says: "ends at 100"},
		"GPU target in tolerance": {wrong: keys{"autoscaling.signals.gpuUtilization.target": 95},
			right: keys{"autoscaling.signals.gpuUtilization.target": 80}, key: "autoscaling.signals.gpuUtilization.target", says: "below 90.91"},
		"KV-cache target in tolerance": {
			wrong: keys{"autoscaling.signals.kvCacheUsage.enabled": true, "autoscaling.signals.kvCacheUsage.target": 91},
			right: keys{"autoscaling.signals.kvCacheUsage.enabled": true, "autoscaling.signals.kvCacheUsage.target": 90.9},
			key:   "autoscaling.signals.kvCacheUsage.target", says: "below 90.91",
		},
		"guard off": {wrong: keys{"autoscaling.signals.gpuUtilization.waitingRequests": 0},
			right: keys{"autoscaling.signals.gpuUtilization.waitingRequests": 0.1}, key: "autoscaling.signals.gpuUtilization.waitingRequests",
			says: "0.1 to 1000 requests"},
		"guard out of reach": {wrong: keys{"autoscaling.signals.gpuUtilization.waitingRequests": 1001},
			right: keys{"autoscaling.signals.gpuUtilization.waitingRequests": 1000}, key: "autoscaling.signals.gpuUtilization.waitingRequests",
			says: "0.1 to 1000 requests"},
		"stabilization too long": {wrong: keys{"autoscaling.scaleDown.stabilization": "3601s"}, right: keys{"autoscaling.scaleDown.stabilization": "1h"},
			key: "autoscaling.scaleDown.stabilization", says: "0s to 1h"},
		"up stabilization": {wrong: keys{"autoscaling.scaleUp.stabilization": "-1s"}, right: keys{"autoscaling.scaleUp.stabilization": "30s"},
			key: "autoscaling.scaleUp.stabilization", says: "0s to 1h"},
		"up period": {wrong: keys{"autoscaling.scaleUp.period": "0s"}, right: keys{"autoscaling.scaleUp.period": "1s"},
			key: "autoscaling.scaleUp.period", says: "1s to 30m"},
		"down period": {wrong: keys{"autoscaling.scaleDown.period": "31m"}, right: keys{"autoscaling.scaleDown.period": "30m"},
			key: "autoscaling.scaleDown.period", says: "1s to 30m"},
		"up pods": {wrong: keys{"autoscaling.scaleUp.pods": 0}, right: keys{"autoscaling.scaleUp.pods": 1},
			key: "autoscaling.scaleUp.pods", says: "1 to 1000"},
		"up percent": {wrong: keys{"autoscaling.scaleUp.percent": 0}, right: keys{"autoscaling.scaleUp.percent": 1},
			key: "autoscaling.scaleUp.percent", says: "1 to 1000"},
		"down pods": {wrong: keys{"autoscaling.scaleDown.pods": 0}, right: keys{"autoscaling.scaleDown.pods": 2},
			key: "autoscaling.scaleDown.pods", says: "1 to 1000"},
		"version range": {wrong: keys{"charts.dcgmExporter.version": "4.x"}, right: keys{"charts.dcgmExporter.version": "4.8.1"},
			key: "charts.dcgmExporter.version", says: "exact"},
		"version range of kps": {wrong: keys{"charts.kubePrometheusStack.version": "^88"},
			right: keys{"charts.kubePrometheusStack.version": "88.5.3-rc.1"}, key: "charts.kubePrometheusStack.version", says: "exact"},
		"repository": {wrong: keys{"charts.prometheusAdapter.repository": "prometheus-community"},
			right: keys{"charts.prometheusAdapter.repository": "./charts"}, key: "charts.prometheusAdapter.repository", says: "oci://"},
		"repository empty": {wrong: keys{"charts.prometheusAdapter.repository": "https://"},
			right: keys{"charts.prometheusAdapter.repository": "oci://r/c"}, key: "charts.prometheusAdapter.repository", says: "URL"},
	} {
		t.Run(name, func(t *testing.T) {
			stack := choose(rule.stack == "", "local", rule.stack)
			refused := problemsOf(t, source(t, stack, rule.wrong))
			require.Len(t, refused.Problems, 1, "%v", refused)
			got := refused.Problems[0]
			assert.Equal(t, project+":"+rule.key, got.Key)
			assert.Contains(t, got.Allowed+"; "+got.Fix, rule.says)

			_, err := Read(source(t, stack, rule.right))
			require.NoError(t, err)
		})
	}
}

// TestModelHasToFitItsGPU checks that weights that do not fit are refused: every replica would crash after minutes of download.
func TestModelHasToFitItsGPU(t *testing.T) {
	for name, test := range map[string]struct {
		keys map[string]any
		says []string // nil means that it fits
	}{
		"1b on T4": {map[string]any{"gpu.memoryGiB": 16}, nil},
		"12b on L4": {map[string]any{"model.id": "google/gemma-3-12b-it", "gpu.memoryGiB": 24},
			[]string{"take 23.4 GiB", "19.8 GiB (0.9 of the 22.0 GiB", "GPUs of 32, 40, 48, 80, 94, 96, 141, 180, 270 GiB", "gpu.perReplica 2",
				"such as google/gemma-4-E4B-it, google/gemma-4-E2B-it, google/gemma-3-4b-it"}},
		"12b on two L4":  {map[string]any{"model.id": "google/gemma-3-12b-it", "gpu.memoryGiB": 24, "gpu.perReplica": 2}, nil},
		"27b on A100-40": {map[string]any{"model.id": "google/gemma-3-27b-it", "gpu.memoryGiB": 40}, []string{"52.6 GiB", "GPUs of 80, 94, 96, 141, 180, 270 GiB"}},
		"27b on A100-80": {map[string]any{"model.id": "google/gemma-3-27b-it", "gpu.memoryGiB": 80}, nil},
		"27b, half the A100": {map[string]any{"model.id": "google/gemma-3-27b-it", "gpu.memoryGiB": 80, "model.gpuMemoryUtilization": 0.5},
			[]string{"gpu.perReplica 2"}},
		"27b in float32": {map[string]any{"model.id": "google/gemma-3-27b-it", "gpu.memoryGiB": 80, "model.dtype": "float32"},
			[]string{"105.3 GiB", "GPUs of 141, 180, 270 GiB"}},
		"nothing fits": {map[string]any{"model.id": "google/gemma-3-27b-it", "gpu.memoryGiB": 0.5, "gpu.perReplica": 8,
			"model.gpuMemoryUtilization": 0.01}, []string{"no single change does"}},
		"memory not given":    {map[string]any{"model.id": "google/gemma-3-27b-it"}, nil},
		"model not known":     {map[string]any{"model.id": "meta-llama/Llama-3.1-70B", "gpu.memoryGiB": 16}, nil},
		"GPUs only simulated": {map[string]any{"model.id": "google/gemma-3-27b-it", "gpu.memoryGiB": 16, "gpu.mode": "simulated"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := source(t, "local", nvidia(test.keys))
			if test.says == nil {
				_, err := Read(s)
				require.NoError(t, err)
				return
			}
			refused := problemsOf(t, s)
			require.Len(t, refused.Problems, 1, "%v", refused)
			assert.Equal(t, project+":model.id", refused.Problems[0].Key)
			for _, says := range test.says {
				assert.Contains(t, refused.Error(), says)
			}
		})
	}
}
