package compare

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"vllm-autoscaling/ops/simulate"
)

// Objective is what a share of the requests has to keep; 0 stands for what is not limited.
type Objective struct {
	// TTFT and ITL limit the time to the first token and the mean time between tokens, in seconds.
	TTFT float64 `json:"ttft"`
	ITL  float64 `json:"itl,omitempty"`
	// Ratio is the share of the requests.
	Ratio float64 `json:"ratio"`
}

// Parse sets the parts that a text gives, such as ttft=2s,itl=100ms,ratio=0.99.
func (o *Objective) Parse(text string) error {
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		var err error
		switch name {
		case "ttft":
			o.TTFT, err = positiveSeconds(value)
		case "itl":
			o.ITL, err = positiveSeconds(value)
		case "ratio":
			o.Ratio, err = strconv.ParseFloat(value, 64)
			if err == nil && (o.Ratio <= 0 || o.Ratio > 1) {
				err = fmt.Errorf("%q is not a share above 0 and up to 1", value)
			}
		default:
			err = fmt.Errorf("%q is not ttft, itl or ratio", name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

func positiveSeconds(text string) (float64, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not above 0", text)
	}
	return d.Seconds(), err
}

// Or returns the objective with each part that is 0 taken from another one.
func (o Objective) Or(other Objective) Objective {
	return Objective{TTFT: cmp.Or(o.TTFT, other.TTFT), ITL: cmp.Or(o.ITL, other.ITL), Ratio: cmp.Or(o.Ratio, other.Ratio)}
}

// Limits returns what a single request has to keep.
func (o Objective) Limits() simulate.Objective {
	return simulate.Objective{FirstToken: o.TTFT, InterToken: o.ITL}
}

// String returns the objective in words.
func (o Objective) String() string {
	var parts []string
	if o.TTFT > 0 {
		parts = append(parts, "the first token within "+Duration(o.TTFT))
	}
	if o.ITL > 0 {
		parts = append(parts, Duration(o.ITL)+" between tokens")
	}
	return fmt.Sprintf("%s for %.4g %% of the requests", strings.Join(parts, " and "), 100*o.Ratio)
}

// Flag returns the objective as Parse reads it, in whole milliseconds and no less.
func (o Objective) Flag() string {
	var parts []string
	if o.TTFT > 0 {
		parts = append(parts, fmt.Sprintf("ttft=%gms", math.Ceil(1000*o.TTFT)))
	}
	if o.ITL > 0 {
		parts = append(parts, fmt.Sprintf("itl=%gms", math.Ceil(1000*o.ITL)))
	}
	return strings.Join(append(parts, fmt.Sprintf("ratio=%g", o.Ratio)), ",")
}
