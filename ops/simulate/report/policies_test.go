package report

import (
	"bytes"
	"image/png"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compared has a policy without a case, and one with a share of 0 and of 1.
func compared() *Policies {
	return &Policies{
		Title: "3 combinations", Text: "the first token within 2s", Ratio: 0.95, Baseline: "202218d",
		Policies: []Policy{
			{Name: "preset-202218d", Label: "202218d", Baseline: true, Points: []PolicyPoint{{1, 0.97}, {1, 0.8}, {1, 0.99}}},
			{Name: "preset-kserve", Label: "kserve", Points: []PolicyPoint{{4, 0}, {3, 1}}},
			{Name: "static-best", Label: "best static"},
			{Name: "configured", Label: "defaults", Points: []PolicyPoint{{0.25, 0.99}, {0.5, 0.96}, {1, 0.98}}},
		},
	}
}

func TestPolicies(t *testing.T) {
	p := compared()
	low, high, lowest := p.shown()
	assert.InDelta(t, 0.225, low, 1e-9)
	assert.InDelta(t, 4.4, high, 1e-9)
	assert.Zero(t, lowest)
	mean := p.Policies[3].mean()
	assert.InDelta(t, 0.5, mean.Ratio, 1e-9)
	assert.InDelta(t, 0.9767, mean.Attainment, 1e-4)

	picture, err := p.PNG()
	require.NoError(t, err)
	again, err := p.PNG()
	require.NoError(t, err)
	assert.Equal(t, picture, again)
	decoded, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	assert.Equal(t, 1800, decoded.Bounds().Dx())
	purple := 0
	for x := range decoded.Bounds().Dx() {
		for y := range decoded.Bounds().Dy() {
			if r, g, b, _ := decoded.At(x, y).RGBA(); r>>8 == 204 && g>>8 == 121 && b>>8 == 167 {
				purple++
			}
		}
	}
	assert.Greater(t, purple, 100, "the mark of the baseline")
}
