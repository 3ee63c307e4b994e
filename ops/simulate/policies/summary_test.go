package policies

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/simulate/compare"
)

// sample are three cases: the defaults are better, worse with a constant number of replicas that is better, and on a trace.
func sample() []Case {
	of := func(name string, attainment, hours, turns float64) compare.Candidate {
		return compare.Candidate{Name: name, Attainment: attainment, GPUHours: hours, TurnsPerHour: turns}
	}
	return []Case{
		{Subject: "a", Load: "day", Replicas: 6, Candidates: []compare.Candidate{
			of(Baseline, 0.97, 40, 1), of(compare.NameConfigured, 0.99, 10, 0.5), of("preset-kserve", 0.9, 80, 3), of(compare.NameRecommended, 0.95, 8, 0),
		}},
		{Subject: "b", Load: "bursts", Replicas: 5.9, Candidates: []compare.Candidate{
			of(Baseline, 0.97, 40, 1), of(compare.NameConfigured, 0.96, 40, 2), of("preset-kserve", 0.98, 80, 3), of(compare.NameStaticBest, 0.96, 20, 0),
		}},
		{Subject: "a", Load: "x.csv", Given: true, Replicas: 6, Candidates: []compare.Candidate{
			of(Baseline, 0.97, 40, 1), of(compare.NameConfigured, 0.9695, 30, 1),
		}},
	}
}

func TestSummarize(t *testing.T) {
	all := Summarize(sample(), compare.NameConfigured, "", false, 0.95)
	assert.InDelta(t, 0.5, all.Ratio, 1e-9, "the geometric mean of 0.25 and 1")
	assert.InDelta(t, 0.005, all.Attainment, 1e-9)
	assert.InDelta(t, 2, all.ToStatic, 1e-9, "where there is one")
	assert.InDelta(t, 1.25, all.ToBest, 1e-9)
	all.Ratio, all.Attainment, all.ToStatic, all.ToBest = 0, 0, 0, 0
	assert.Equal(t, Summary{Policy: compare.NameConfigured, Cases: 2, NoLess: 1, Cheap: 1, Both: 1, Keeps: 2, MoreTurns: 1}, all)

	one := Summarize(sample(), compare.NameConfigured, "b", false, 0.97)
	assert.Equal(t, 1, one.Cases)
	assert.Zero(t, one.Keeps)
	assert.Zero(t, one.ToStatic, "compared with others only where it keeps the objective")

	trace := Summarize(sample(), compare.NameConfigured, "", true, 0.95)
	assert.Equal(t, 1, trace.Cases)
	assert.Equal(t, 1, trace.NoLess, "within the tolerance")
	assert.InDelta(t, 0.75, trace.Ratio, 1e-9)
}

func TestPolicies(t *testing.T) {
	assert.Equal(t, []string{Baseline, compare.NameConfigured, "preset-kserve", compare.NameStaticBest, compare.NameRecommended}, Policies(sample()))
}

func TestDocument(t *testing.T) {
	b := &Bench{Subjects: Subjects()[:2], Loads: Loads()[:1], Objective: objective, Replicas: 6, Candidates: 60, Seed: 1}
	b.Subjects[0].Name, b.Subjects[1].Name = "a", "b"
	d, err := NewDocument(b, sample())
	require.NoError(t, err)
	var short, long bytes.Buffer
	require.NoError(t, d.Text(&short, false))
	assert.Regexp(t, `a +google/gemma-3-1b-it on g2-standard-4 \(1 nvidia-l4\)`, short.String())
	assert.Regexp(t, `a +day +6\.0 +97\.00 % +40\.0 +1\.0 +99\.00 % +0\.25 +0\.5 +- +0\.20 +-`, short.String())
	assert.Regexp(t, `defaults +all +2 +0\.50 +\+0\.5 +1 +1 +1 +2 +1 +2\.00 +1\.25 +-`, short.String())
	assert.Regexp(t, `Given traces:\n\n.*\n +defaults +a +1 +0\.75`, short.String())
	require.NoError(t, d.Text(&long, true))
	assert.Regexp(t, `b +bursts +best static +96\.00 % +20\.00 +0\.50 +0\.0`, long.String())

	content, err := json.Marshal(d)
	require.NoError(t, err)
	for _, part := range []string{`"schema":"vllm-autoscaling/policies/v1"`, `"given":true`, `"toStaticBest":2`, `"name":"preset-202218d"`} {
		assert.Contains(t, string(content), part)
	}
	picture, err := d.PNG()
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(picture), "\x89PNG"))
}
