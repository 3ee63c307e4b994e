package config

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMovedKeys checks that a key of an earlier version is refused with one problem, which names the key that replaces it.
func TestMovedKeys(t *testing.T) {
	require.NotEmpty(t, moved)
	for _, old := range slices.Sorted(maps.Keys(moved)) {
		t.Run(old, func(t *testing.T) {
			assert.NotContains(t, Keys(), old)
			assert.Contains(t, Keys(), moved[old])
			refused := problemsOf(t, source(t, CloudLocal, map[string]any{old: "1s"}))
			require.Len(t, refused.Problems, 1, "%v", refused)
			p := refused.Problems[0]
			assert.Equal(t, project+":"+old, p.Key)
			assert.Equal(t, fmt.Sprintf("the key is now %[1]s:%[2]s; remove this one, then: pulumi config set --path '%[1]s:%[2]s' <value>",
				project, moved[old]), p.Fix)
		})
	}
}

// TestRemovedKeys checks that a key whose values have no place any more is refused with one problem: the command that removes it, and
// why. No command is proposed that sets another key to its value.
func TestRemovedKeys(t *testing.T) {
	require.NotEmpty(t, removed)
	for _, old := range slices.Sorted(maps.Keys(removed)) {
		t.Run(old, func(t *testing.T) {
			assert.NotContains(t, Keys(), old)
			assert.NotContains(t, moved, old)
			refused := problemsOf(t, source(t, CloudLocal, map[string]any{old: 12}))
			require.Len(t, refused.Problems, 1, "%v", refused)
			p := refused.Problems[0]
			assert.Equal(t, project+":"+old, p.Key)
			assert.Equal(t, fmt.Sprintf("remove it: pulumi config rm --path '%s:%s'; %s", project, old, removed[old]), p.Fix)

			refused = problemsOf(t, sourceOfLines(CloudLocal, project+":"+old+" 12"))
			require.Len(t, refused.Problems, 1, "%v", refused)
			assert.Equal(t, fmt.Sprintf("remove it: pulumi config rm '%s:%s'; %s", project, old, removed[old]), refused.Problems[0].Fix)
		})
	}
	guard := removed["autoscaling.signals.gpuUtilization.guardRequests"]
	assert.Contains(t, guard, "waitingRequests")
	assert.Contains(t, guard, "default of "+tagsOf("autoscaling.signals.gpuUtilization.waitingRequests").Get("default"))
}

// TestMovedKeyWithADot checks the error for the name that `pulumi config set` without --path stores.
func TestMovedKeyWithADot(t *testing.T) {
	refused := problemsOf(t, sourceOfLines(CloudLocal, "vllm-autoscaling:monitoring.alerts.ttftRatio 0.9"))
	require.Len(t, refused.Problems, 1)
	assert.Equal(t, "remove it: pulumi config rm 'vllm-autoscaling:monitoring.alerts.ttftRatio'; "+
		"as a path it is: pulumi config set --path 'vllm-autoscaling:slo.ratio' <value>", refused.Problems[0].Fix)
}
