package trace

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// BurstName is the name of the built-in trace.
const BurstName = "burst"

//go:embed testdata/burst.csv
var burst []byte

// Burst returns the built-in trace: four minutes with a calm beginning, one burst and a calm end. WriteBurst generates
// it.
func Burst(o Options) (*Trace, error) {
	return Read(BurstName, bytes.NewReader(burst), o)
}

// WriteBurst makes the project's own trace: Poisson arrivals (PCG generator, seed 2026, 11) with the rate
//
//	0.6 + 9.4 * exp(-((t - 95 s) / 35 s)^2) requests per second, for 240 s,
//
// input tokens log-normal with median 220 and sigma 0.8, output tokens log-normal with median 120 and
// sigma 0.6, both between 1 and 2000 (400 out).
func WriteBurst(to io.Writer) error {
	const base, height, middle, width = 0.6, 9.4, 95.0, 35.0
	arrivals := poisson(base+height, func(at float64) float64 {
		distance := (at - middle) / width
		return base + height*math.Exp(-distance*distance)
	})
	sizes := Sizes{Input: LogNormal{220, 0.8, 2000}, Output: LogNormal{120, 0.6, 400}}
	chance := rand.New(rand.NewPCG(2026, arrivalStream))
	if _, err := fmt.Fprintln(to, "arrival_seconds,input_tokens,output_tokens"); err != nil {
		return err
	}
	for at := range arrivals(chance, (240 * time.Second).Seconds()) {
		input, output := sizes.Draw(chance)
		if _, err := fmt.Fprintf(to, "%.3f,%d,%d\n", at, input, output); err != nil {
			return err
		}
	}
	return nil
}
