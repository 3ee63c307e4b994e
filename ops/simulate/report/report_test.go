package report

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate"
	"vllm-autoscaling/ops/simulate/compare"
)

// sample is the report of a search on a load of an hour.
func sample() *Report {
	candidate := func(name string, attainment, hours float64, most int) compare.Candidate {
		return compare.Candidate{
			Name: name, Attainment: attainment, GPUHours: hours, Cost: 0.7 * hours, Most: most, TTFT: compare.Quantiles{P50: 0.1, P95: 1, P99: 3},
		}
	}
	r := &Report{
		Title: "gke, trace <b> & \"quoted\".csv, 8819 requests in 57m", Verdict: "The configuration misses the objective.",
		Objective: Objective{Text: "the first token within 2.5s for 95 % of the requests", TTFT: 2.5, Ratio: 0.95},
		Settings:  []Row{{"accelerator", "nvidia-l4"}, {"model.maxNumSeqs", "16"}, {"trace", "<b>.csv"}},
		Notes:     []string{"Do not promise its <times>."},
		Candidates: []compare.Candidate{
			candidate("configured", 0.946, 3.12, 4), candidate("recommended", 0.962, 1.7, 3), candidate("oracle", 0.958, 1.35, 4),
			candidate("static-1", 0.79, 0.95, 1), candidate("static-2", 0.966, 1.91, 2), candidate("static-3", 0.992, 2.86, 3),
			candidate("static-4", 1, 3.82, 4), candidate("static-5", 1, 4.77, 5),
			candidate("preset-production-stack", 0.87, 2.3, 3), candidate("preset-accelerated-platforms", 0.955, 3.3, 4),
			candidate("preset-llm-d-inflight", 0.947, 2.95, 4), candidate("preset-llm-d-slo-aware", 0.944, 3.05, 4),
			candidate("preset-kubeai", 0.9995, 4.1, 5), candidate("preset-kserve", 0.94, 3.2, 4), candidate("static-best", 0.966, 1.91, 2),
		},
		Recommendation: &Recommendation{
			Text: "It keeps the objective for 46 % less.", Commands: []string{"pulumi config set --path vllm-autoscaling:model.maxNumSeqs 64", "echo '<&>'"},
			Checks: []compare.Judgement{
				{On: "another seed", Attainment: 0.96, Met: true, GPUHours: 1.71}, {On: "the half that was held out", Attainment: 0.93},
			},
		},
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		hours := 0.9 + 3.5*random.Float64()
		r.Searched = append(r.Searched, candidate("", 1-math.Pow(10, -0.3-0.6*hours*random.Float64()), hours, 3))
	}
	for _, i := range []int{0, 1, 14} {
		r.Candidates[i].Series = series(i, r.Candidates[i].Most)
	}
	return r
}

// series has a peak each 20 minutes, nothing in the minutes after, and a second replica where there may be one.
func series(seed, most int) *compare.Series {
	s := &compare.Series{Seconds: 10}
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	for i := range 360 {
		p := compare.Point{}
		if i%120 > 20 {
			p.Requests, p.Answered, p.Offered = 10, 10, 3+random.Float64()
			p.P50 = 0.1 * (1 + random.Float64())
			p.P95 = p.P50 * (3 + 10*random.Float64())
		}
		s.Points = append(s.Points, p)
	}
	s.Replicas = []simulate.Replicas{{At: 0, Wanted: 1, Ready: 1}, {At: 600, Wanted: most, Ready: 1}, {At: 900, Wanted: most, Ready: most}}
	if seed == 14 {
		s.Replicas = []simulate.Replicas{{At: 0, Wanted: 2, Ready: 2}}
	}
	return s
}

func TestPNG(t *testing.T) {
	r := sample()
	first, err := r.PNG()
	require.NoError(t, err)
	again, err := sample().PNG()
	require.NoError(t, err)
	assert.True(t, bytes.Equal(first, again), "the same report, the same picture")

	picture, err := png.Decode(bytes.NewReader(first))
	require.NoError(t, err)
	assert.Equal(t, 1800, picture.Bounds().Dx(), "900 pixels, twice")
	for i := range r.Candidates {
		r.Candidates[i].Series = nil
	}
	alone, err := r.PNG()
	require.NoError(t, err)
	frontier, err := png.Decode(bytes.NewReader(alone))
	require.NoError(t, err)
	assert.Equal(t, 1800, frontier.Bounds().Dx())
	assert.InDelta(t, float64(resolution*(r.frontierPart()/72)), frontier.Bounds().Dy(), 1)
	assert.Greater(t, picture.Bounds().Dy(), frontier.Bounds().Dy()+500, "panels over time")
	r.Candidates[0].Attainment = 0.999
	moved, err := r.PNG()
	require.NoError(t, err)
	assert.NotEqual(t, alone, moved)
}

func TestPage(t *testing.T) {
	r := sample()
	raw, err := r.HTML()
	require.NoError(t, err)
	html := string(raw)
	assert.NotRegexp(t, `(?i)<(script|link|iframe)|@import|url\(|https?://|<b>|<times>`, html)
	assert.Equal(t, 2, strings.Count(html, `src="data:image/png;base64,`))
	for _, c := range r.Candidates {
		assert.Contains(t, html, "<th>"+c.Name+"</th>")
	}
	for _, text := range []string{
		"trace &lt;b&gt; &amp; &#34;quoted&#34;.csv", "<td>&lt;b&gt;.csv</td>", "Do not promise its &lt;times&gt;.",
		"pulumi config set --path vllm-autoscaling:model.maxNumSeqs 64\n", "echo &#39;&lt;&amp;&gt;&#39;", "The configuration misses the objective.",
		"the first token within 2.5s for 95 % of the requests", "<td>nvidia-l4</td>", "It keeps the objective for 46 % less.",
	} {
		assert.Contains(t, html, text)
	}
	assert.Regexp(t, `another seed</td><td class="number">96.00 %</td><td class="number">1.71</td>\s*<td>kept`, html)
	assert.Regexp(t, `held out</td><td class="number">93.00 %</td><td class="number">-</td>\s*<td>missed`, html)
	assert.Len(t, regexp.MustCompile(`<tr class="met">`).FindAllString(html, -1), 9)
}

func TestPageWithoutSearch(t *testing.T) {
	r := sample()
	r.Recommendation, r.Searched, r.Candidates = nil, nil, r.Candidates[3:5]
	raw, err := r.HTML()
	require.NoError(t, err)
	assert.NotContains(t, string(raw), "Recommendation")
	assert.NotContains(t, string(raw), "Over time")
	assert.Equal(t, 1, strings.Count(string(raw), "<img"))
}

// A report of a load that nothing answered, or without a cost, has charts all the same.
func TestDegenerateReports(t *testing.T) {
	silent := &compare.Series{Seconds: 1, Points: []compare.Point{{}}, Replicas: []simulate.Replicas{{Wanted: 1, Ready: 1}}}
	for name, r := range map[string]*Report{
		"no candidates": {Objective: Objective{Ratio: 1}},
		"no cost":       {Objective: Objective{Ratio: 0.9999}, Candidates: []compare.Candidate{{Name: "configured"}, {Name: "static-1"}}},
		"no answers":    {Objective: Objective{Ratio: 0.5}, Candidates: []compare.Candidate{{Name: "configured", GPUHours: 1, Series: silent}}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := r.PNG()
			require.NoError(t, err)
			picture, err := png.Decode(bytes.NewReader(raw))
			require.NoError(t, err)
			assert.Equal(t, 1800, picture.Bounds().Dx())
		})
	}
}

func TestMisses(t *testing.T) {
	for ratio, least := range map[float64]float64{0.5: 1e-3, 0.95: 1e-3, 0.99: 1e-3, 0.999: 1e-4, 1: 1e-4} {
		m := missesFor(ratio)
		assert.InEpsilon(t, least, m.least, 1e-6, ratio)
		assert.Less(t, m.at(ratio), m.top()+1e-9)
		assert.InDelta(t, m.at(0.9)-m.at(0), m.at(0.99)-m.at(0.9), 1e-9, "decades")
		assert.Equal(t, m.top(), m.at(1))
		ticks := m.Ticks(m.at(0.6), 0)
		assert.Equal(t, "70 %", ticks[0].Label)
		assert.Equal(t, fmt.Sprintf("> %.5g %%", 100*(1-least)), ticks[len(ticks)-1].Label)
	}
}
