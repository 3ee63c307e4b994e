package deployment

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"

	"vllm-autoscaling/ops/simulate"
)

const (
	// onNewNode waited for its node and pulled the image, onOldNode did neither.
	onNewNode = `{"pod":"a","seconds":{"node":170,"init":1,"image":40,"server":80,"total":291},"log":{"weights":50,"warmup":20}}`
	onOldNode = `{"pod":"b","seconds":{"node":1,"init":1,"image":2,"server":60,"total":64},"log":{"weights":40,"warmup":15}}`
)

func TestMeasuredStart(t *testing.T) {
	c := read(t, nil)
	estimate := c.ColdStart()
	for name, tc := range map[string]struct {
		text  string
		given Start
		want  simulate.Start
		fails string
	}{
		"two starts":        {`{"starts":[` + onNewNode + `,` + onOldNode + `]}`, Start{}, simulate.Start{Node: 170, Image: 40, Weights: 61, Warmup: 20}, ""},
		"none on a new one": {`{"starts":[` + onOldNode + `]}`, Start{}, simulate.Start{Node: estimate.Node.Seconds(), Image: 2, Weights: 46, Warmup: 15}, ""},
		"flags are over it": {`{"starts":[` + onNewNode + `]}`, Start{Node: ptr.To(10 * time.Second), Warmup: ptr.To(time.Duration(0))},
			simulate.Start{Node: 10, Image: 40, Weights: 61, Warmup: 0}, ""},
		"without a log": {`{"starts":[{"pod":"a","seconds":{"node":20,"init":3,"image":4,"server":50,"total":77}}]}`, Start{},
			simulate.Start{Node: 20, Image: 4, Weights: 53}, ""},
		"another server":          {`{"servers":[{"server":"chat","starts":[` + onNewNode + `]}]}`, Start{}, simulate.Start{}, "it has no start of a replica"},
		"of another server alone": {`{"server":"chat","starts":[` + onNewNode + `]}`, Start{}, simulate.Start{}, "no start of a replica of server vllm"},
		"no start":                {`{"passed":true}`, Start{}, simulate.Start{}, "it has no start of a replica"},
		"no report":               {`vllm`, Start{}, simulate.Start{}, "it is no report"},
		"of one of several": {`{"servers":[{"server":"chat","starts":[` + onNewNode + `]},{"server":"vllm","starts":[` + onOldNode + `]}]}`, Start{Node: ptr.To(time.Second)},
			simulate.Start{Node: 1, Image: 2, Weights: 46, Warmup: 15}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tc.given.File = filepath.Join(t.TempDir(), "report.json")
			require.NoError(t, os.WriteFile(tc.given.File, []byte(tc.text), 0o600))
			s, err := Of(c, Options{Start: tc.given})
			if tc.fails != "" {
				require.ErrorContains(t, err, tc.fails)
				require.ErrorContains(t, err, "-cold-start "+tc.given.File)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, s.Start)
		})
	}
}
