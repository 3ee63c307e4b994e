package engine

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/backend/display"
	"github.com/pulumi/pulumi/pkg/v3/engine"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// instance matches the random ID of a provider's instance behind its URN.
var instance = regexp.MustCompile(`([:$]pulumi:providers:[a-z-]+::[a-z-]+)::[0-9a-f-]{36}`)

// compareWithGolden compares a rendered preview with testdata/<name>.preview.txt, or writes that with UPDATE_GOLDEN=1.
func compareWithGolden(t *testing.T, name, rendered string) {
	t.Helper()
	got := instance.ReplaceAllString(rendered, "$1")
	path := filepath.Join("testdata", name+".preview.txt")
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "`make golden` writes it")
	assert.Equal(t, string(want), got, "if this is meant: `make golden`")
}

// TestGoldenPreviews compares the first preview of each stack with testdata/<name>.preview.txt. `make golden` rewrites the
// files; read the difference before you commit it.
func TestGoldenPreviews(t *testing.T) {
	for name, keys := range map[string]map[string]any{
		"local-simulated": {},
		"local-nvidia":    {"gpu.mode": "nvidia", "huggingFaceToken": secret("hf_token")},
		"local-existing-metrics": {
			"gpu.mode": "nvidia", "huggingFaceToken": secret("hf_token"), "metrics": existingMetrics,
			"monitoring.prometheus.namespace": "observability", "monitoring.prometheus.service": "prometheus-operated",
			"monitoring.monitorLabels": map[string]any{"release": "platform"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, "local", keys)
			compareWithGolden(t, name, strings.NewReplacer(
				// These differ between two runs of this test.
				s.server.URL, "https://cluster.example.com",
				s.kubeconfig, "~/.kube/config",
			).Replace(s.rendered()))
		})
	}
}

// rendered returns the text of a stack's preview, which must succeed.
func (s *stack) rendered() string {
	s.t.Helper()
	preview := s.preview()
	require.NoError(s.t, preview.err)
	return render(s.t, preview.events)
}

// render prints the planned steps like `pulumi preview --diff`, but in the order of the tree of parents and names, because
// the engine's own order depends on the timing of goroutines.
func render(t *testing.T, events []engine.Event) string {
	t.Helper()
	children := map[resource.URN][]engine.Event{}
	var outputs []engine.Event
	for _, event := range events {
		switch event.Type {
		case engine.ResourcePreEvent:
			metadata := event.Payload().(engine.ResourcePreEventPayload).Metadata
			parent := resource.URN("")
			if metadata.Res != nil {
				parent = metadata.Res.Parent
			}
			children[parent] = append(children[parent], event)
		case engine.ResourceOutputsEvent:
			outputs = append(outputs, event)
		}
	}
	require.Len(t, children[""], 1, "one root, the stack")

	var text strings.Builder
	seen := map[resource.URN]engine.StepEventMetadata{}
	options := display.Options{Color: colors.Never, Type: display.DisplayDiff}
	var tree func(parent resource.URN)
	tree = func(parent resource.URN) {
		slices.SortFunc(children[parent], func(a, b engine.Event) int { return strings.Compare(sortKey(a), sortKey(b)) })
		for _, event := range children[parent] {
			text.WriteString(display.RenderDiffEvent(event, 0, seen, options))
			tree(urnOf(event))
		}
	}
	tree("")
	for _, event := range outputs {
		if event.Payload().(engine.ResourceOutputsEventPayload).Metadata.URN.Type() == "pulumi:pulumi:Stack" {
			text.WriteString(display.RenderDiffEvent(event, 0, seen, options))
		}
	}
	return dashboardModel.ReplaceAllString(text.String(), "$1 (json) {...}")
}

// dashboardModel matches the thousand lines of a dashboard, which have tests of their own.
var dashboardModel = regexp.MustCompile(`(?ms)^(\s+vllm-[a-z0-9-]+\.json *:) \(json\) \{$.*?^                \}$`)

func urnOf(event engine.Event) resource.URN {
	return event.Payload().(engine.ResourcePreEventPayload).Metadata.URN
}

func sortKey(event engine.Event) string {
	urn := urnOf(event)
	return string(urn.Type()) + " " + urn.Name()
}
