package stacks

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/components"
	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/providers"
	"vllm-autoscaling/stacks/config"
)

// Every value of the key metrics is a row of the table, and there is no other row.
func TestEveryPipelineHasARow(t *testing.T) {
	fields := config.Fields(reflect.TypeFor[config.Config]())
	at := slices.IndexFunc(fields, func(field config.Field) bool { return field.Tag.Get("key") == "metrics" })
	require.GreaterOrEqual(t, at, 0)
	values := strings.Fields(fields[at].Tag.Get("values"))
	assert.Len(t, pipelines, len(values))
	for _, value := range values {
		parts, found := pipelines[value]
		require.True(t, found, value)
		assert.NotNil(t, parts.collector, value)
		require.NotNil(t, parts.backend, value)
		d := &deployment{config: &config.Config{}, cluster: &providers.Cluster{ManagedMetrics: &providers.ManagedMetrics{}}, namespaces: &components.Namespaces{}}
		for _, adapter := range []string{config.AdapterOwn, config.AdapterExisting} {
			d.config.Autoscaling.Adapter = adapter
			assert.Equal(t, parts.backend(d).Names().Adapter, parts.adapter(d.config), "%s: the policies admit the API server to this one", value)
		}
	}
}

// A row more in the catalogue of signals is one more in the outputs that programs read.
func TestSignalsInTheOutputs(t *testing.T) {
	added := signals.Definition{
		Key: "tokensWaiting", Name: "vllm_tokens_waiting", Series: "vllm:tokens_waiting:sum", Unit: signals.Requests,
		Query: "max by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})",
		Expr:  func(signals.Settings) string { return "vllm:prompt_tokens_waiting" },
	}
	settings := signals.Settings{Namespace: "vllm", Interval: 2e9, MaxNumSeqs: 16, Targets: map[signals.Key]float64{added.Key: 1000}}
	enabled, err := signals.Enabled(append(signals.Catalogue(), added), settings)
	require.NoError(t, err)
	served, err := signalOutputs(enabled, signals.PodMatchers("vllm", ""))
	require.NoError(t, err)
	require.Len(t, served, 1)
	assert.Equal(t, "vllm_tokens_waiting", served[0].Name)
	assert.Equal(t, `max by (pod) (vllm:tokens_waiting:sum{namespace="vllm"})`, served[0].Query)
	assert.Equal(t, []string{"vllm:requests_in_flight:sum", "vllm:tokens_waiting:sum"}, requiredRules(settings, enabled),
		"GPU series may be without a sample where no signal reads them")
}
