package podruntime

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSimulatorArgs(t *testing.T) {
	const always = " --time-to-first-token=200ms --inter-token-latency=20ms --force-dummy-tokenizer --port=29000"
	tests := []struct {
		name, given string
		latency     Latency
		want        string
		port        int
	}{
		{name: "the simulator's file", given: "/app/llm-d-inference-sim --model m", want: "--model m" + always, port: 8000},
		{
			name: "values as words of their own, switches", given: "--model m --max-num-seqs 4 --enforce-eager --port 9001 --seed -5",
			want: "--model m --max-num-seqs 4 --enforce-eager --seed -5" + always, port: 9001,
		},
		{name: "a list", given: "--served-model-name a b --model m", want: "--served-model-name a b --model m" + always, port: 8000},
		{
			name: "the lab's latency", given: "--model m", port: 8000,
			latency: Latency{TimeToFirstToken: time.Second, InterToken: 5 * time.Millisecond, FactorUnderLoad: 1.5},
			want:    "--model m --time-to-first-token=1s --inter-token-latency=5ms --time-factor-under-load=1.5 --force-dummy-tokenizer --port=29000",
		},
		{
			name: "the pod's latency wins", given: "--model m --time-to-first-token=1s --inter-token-latency=2ms --time-factor-under-load=3", port: 8000,
			latency: Latency{FactorUnderLoad: 2},
			want:    "--model m --time-to-first-token=1s --inter-token-latency=2ms --time-factor-under-load=3 --force-dummy-tokenizer --port=29000",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args, port, err := simulatorArgs(strings.Fields(tt.given), 29000, tt.latency)
			require.NoError(t, err)
			assert.Equal(t, tt.want, strings.Join(args, " "))
			assert.Equal(t, tt.port, port)
		})
	}
}

func TestSimulatorArgsRefuses(t *testing.T) {
	tests := []struct{ given, want string }{
		{"--model m --max-num-sequences=16", `flag "--max-num-sequences" is not known to llm-d-inference-sim`},
		{"--model m --gpu-memory-utilization=0.9", `flag "--gpu-memory-utilization" is not known to llm-d-inference-sim`},
		{"--max-num-seqs=16", "no model"},
		{"--model m other", "without a flag"},
		{"--model m --port=http", `"http" is not a port number`},
		{"--model m --port", "needs a value"},
	}
	for _, tt := range tests {
		t.Run(tt.given, func(t *testing.T) {
			_, _, err := simulatorArgs(strings.Fields(tt.given), 29000, Latency{})
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestVLLMToSimulator(t *testing.T) {
	for _, tt := range []struct{ given, want string }{
		{
			"google/gemma-3-1b-it --port=8000 --max-num-seqs=16 --max-model-len=8K --gpu-memory-utilization=0.90 --dtype=auto --shutdown-timeout=45 " +
				"--revision=abc --tensor-parallel-size=1 --download-dir=/models",
			"--model google/gemma-3-1b-it --max-model-len=8192 --max-num-seqs=16 --port=8000",
		},
		{
			"m --enforce_eager --no-enable-prefix-caching --max-model-len auto --served-model-name a b --seed -5",
			"--model m --no-enable-prefix-caching --enforce-eager --seed=-5 --served-model-name a b",
		},
		{"m --no-enable-request-id-headers", "--model m"},
		{
			`m --max-num-seqs=16 --max-loras=2 --lora-modules {"name":"a","path":"org/a"} {"name":"b","path":"/b"} --quantization=fp8 ` +
				`--kv-cache-dtype=fp8 --tensor-parallel-size=2 --data-parallel-size=2 --api-server-count=1 --enable-lora --max-lora-rank=16`,
			`--model m --lora-modules {"name":"a","path":"org/a"} {"name":"b","path":"/b"} --max-loras=2 --max-num-seqs=32`,
		},
	} {
		parsed, err := parseVLLM(strings.Fields(tt.given))
		require.NoError(t, err)
		assert.Equal(t, tt.want, strings.Join(vllmToSimulator(parsed), " "), tt.given)
	}
}

func TestOperatorFlagsDoNotContradict(t *testing.T) {
	for name := range operatorReplaced {
		assert.False(t, operatorFlags[name], "%s: passed on or replaced?", name)
	}
}

func TestOperatorArgs(t *testing.T) {
	args, port, unknown, err := operatorArgs([]string{
		"--kubelet-service=kube-system/kps-kubelet", "--web.enable-tls=true", "--web.cert-file=/cert/cert",
		"--web.listen-address=:10250", "--from-the-future=1", "--log-level=debug", "--as=someone",
	}, 29000)
	require.NoError(t, err)
	assert.Equal(t, []string{"--kubelet-service=kube-system/kps-kubelet", "--log-level=debug", "--web.listen-address=127.0.0.1:29000"}, args)
	assert.Equal(t, 10250, port)
	assert.Equal(t, []string{"--from-the-future"}, unknown)

	_, port, _, err = operatorArgs(nil, 29000)
	require.NoError(t, err)
	assert.Equal(t, 8080, port)

	_, _, _, err = operatorArgs([]string{"--web.listen-address=10250"}, 29000)
	assert.ErrorContains(t, err, "--web.listen-address")
}

func TestKubeStateMetricsArgs(t *testing.T) {
	args, ports, err := kubeStateMetricsArgs([]string{"--port=8080", "--resources=pods,nodes", "--telemetry-port", "8090", "--host=::",
		"--metric-labels-allowlist=pods=[*]"}, "/k", 29000, 29001)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"--resources=pods,nodes", "--metric-labels-allowlist=pods=[*]",
		"--kubeconfig=/k", "--host=127.0.0.1", "--port=29000", "--telemetry-host=127.0.0.1", "--telemetry-port=29001",
	}, args)
	assert.Equal(t, map[int]endpoint{8080: {port: 29000}, 8090: {port: 29001}}, ports)

	_, _, err = kubeStateMetricsArgs([]string{"--port=http"}, "/k", 29000, 29001)
	assert.ErrorContains(t, err, `--port "http"`)
}

func TestAdapterArgs(t *testing.T) {
	place := adapterPlace{namespace: "monitoring", kubeconfig: "/k", certDir: "/c", port: 29000, routerURL: "http://127.0.0.1:1"}
	args, port, err := adapterArgs([]string{
		"--secure-port=10250", "--cert-dir=/tmp/cert", "--prometheus-url=http://kps-prometheus.monitoring.svc:9090",
		"--metrics-relist-interval=30s", "--v=4", "--config=/pods/config.yaml",
	}, place)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"--metrics-relist-interval=30s", "--v=4", "--config=/pods/config.yaml",
		"--prometheus-url=http://127.0.0.1:1/services/monitoring/kps-prometheus/9090", "--secure-port=29000", "--bind-address=127.0.0.1",
		"--cert-dir=/c", "--lister-kubeconfig=/k", "--authentication-kubeconfig=/k", "--authorization-kubeconfig=/k",
	}, args)
	assert.Equal(t, 10250, port)

	for given, want := range map[string]string{
		"--secure-port=6443":                        "needs --prometheus-url",
		"--secure-port=x --prometheus-url=http://p": "not a port number",
		"--prometheus-url=http://10.0.0.1:9090":     "not the address of a Service",
	} {
		_, _, err := adapterArgs(strings.Fields(given), place)
		assert.ErrorContains(t, err, want, given)
	}
}

func TestRoutedURL(t *testing.T) {
	tests := []struct{ address, want string }{
		{"http://kps-prometheus.monitoring.svc:9090/", "R/services/monitoring/kps-prometheus/9090"},
		{"http://kps-prometheus.monitoring.svc.cluster.local:9090/prom", "R/services/monitoring/kps-prometheus/9090/prom"},
		{"http://prometheus.other:9090", "R/services/other/prometheus/9090"},
		{"http://prometheus:9090", "R/services/here/prometheus/9090"},
		{"http://prometheus.other.svc", "R/services/other/prometheus/80"},
		{"https://prometheus.other.svc", "R/services/other/prometheus/443"},
		{"http://prometheus.example.org:9090", ""},
		{"http://localhost:9090", ""},
	}
	for _, tt := range tests {
		t.Run(tt.address, func(t *testing.T) {
			got, err := routedURL(tt.address, "here", "R")
			if tt.want == "" {
				assert.ErrorContains(t, err, "not the address of a Service")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestPrometheusArgs(t *testing.T) {
	args := prometheusArgs([]string{
		"--config.file=/etc/prometheus/config_out/prometheus.env.yaml", "--web.enable-lifecycle", "--web.external-url=http://x",
		"--web.route-prefix=/", "--storage.tsdb.retention.time=7d", "--storage.tsdb.path=/prometheus", "--web.config.file=/w", "--storage.tsdb.wal-compression",
	}, "/f", "/d", 29000)
	assert.Equal(t, []string{
		"--web.external-url=http://x", "--web.route-prefix=/", "--storage.tsdb.retention.time=7d", "--storage.tsdb.wal-compression",
		"--config.file=/f", "--storage.tsdb.path=/d", "--web.listen-address=127.0.0.1:29000", "--web.enable-lifecycle",
	}, args)
}

func TestExpand(t *testing.T) {
	env := map[string]string{"A": "1", "B": "two"}
	for given, want := range map[string]string{
		"$(A)":        "1",
		"x-$(A)-$(B)": "x-1-two",
		"$(C)":        "$(C)",
		"$$(A)":       "$(A)",
		"$A ${A} $":   "$A ${A} $",
		"$(A":         "$(A",
		"":            "",
	} {
		assert.Equal(t, want, expand(given, env), given)
	}
}
