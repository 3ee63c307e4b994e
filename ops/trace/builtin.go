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
	chance := rand.New(rand.NewPCG(2026, 11))
	lognormal := func(median, sigma float64, most int) int {
		return min(most, max(1, int(math.Round(median*math.Exp(sigma*chance.NormFloat64())))))
	}
	if _, err := fmt.Fprintln(to, "arrival_seconds,input_tokens,output_tokens"); err != nil {
		return err
	}
	const base, height, middle, width = 0.6, 9.4, 95.0, 35.0
	const top = base + height
	// Thinning: candidates arrive at the highest rate, and each is kept with the probability of the current rate.
	for at := chance.ExpFloat64() / top; at < (240 * time.Second).Seconds(); at += chance.ExpFloat64() / top {
		distance := (at - middle) / width
		if chance.Float64()*top > base+height*math.Exp(-distance*distance) {
			continue
		}
		if _, err := fmt.Fprintf(to, "%.3f,%d,%d\n", at, lognormal(220, 0.8, 2000), lognormal(120, 0.6, 400)); err != nil {
			return err
		}
	}
	return nil
}
