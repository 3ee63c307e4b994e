package verify

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every value of the configuration key metrics has a row.
func TestEveryPipelineHasARow(t *testing.T) {
	content, err := os.ReadFile("../../docs/stack.schema.json")
	require.NoError(t, err)
	var schema struct {
		Properties struct {
			Config struct {
				Properties map[string]struct {
					AnyOf []struct{ Enum []string }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(content, &schema))
	var values []string
	for _, form := range schema.Properties.Config.Properties["vllm-autoscaling:metrics"].AnyOf {
		values = append(values, form.Enum...)
	}
	assert.ElementsMatch(t, values, slices.Collect(maps.Keys(pipelines)))
}

func TestPipelineOf(t *testing.T) {
	for _, metrics := range []string{"", prometheusOperator, googleManaged, existing} {
		row, err := pipelineOf(metrics)
		require.NoError(t, err, metrics)
		assert.NotNil(t, row.customMetrics, metrics)
	}
	_, err := pipelineOf("keda")
	require.ErrorContains(t, err, `"keda" is not known to this version`)
	_, err = Run(t.Context(), func() Options {
		o := Options{Pipeline: newFake().pipeline}
		o.Pipeline.Metrics = "keda"
		return o
	}())
	require.ErrorContains(t, err, `"keda"`)
}
