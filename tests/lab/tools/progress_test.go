package tools

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestEstimate(t *testing.T) {
	speed := busy * float64(runtime.GOMAXPROCS(0)) // CPU seconds of the catalogue in a second
	p := expect(2, int(20*60*speed))
	assert.Equal(t, "about 20 min", p.remaining(0))
	assert.Equal(t, "about 15 min", p.remaining(5*time.Minute))
	assert.Equal(t, "less than a minute", p.remaining(time.Hour))

	p.finish(1, int(10*60*speed), 10*time.Minute)
	assert.Equal(t, "about 10 min", p.remaining(0), "as fast as assumed")

	p = expect(2, int(20*60*speed))
	p.finish(1, int(10*60*speed), 20*time.Minute)
	assert.Equal(t, "about 19 min", p.remaining(0), "half as fast as assumed")

	p = expect(2, int(20*60*speed))
	p.finish(1, int(10*60*speed), time.Second)
	assert.Equal(t, "less than a minute", p.remaining(0), "everything was compiled")
}

func TestProgress(t *testing.T) {
	var log bytes.Buffer
	p := expect(4, 1000000)
	p.start(&log, "one, two", 2, 0)(nil)
	assert.Regexp(t, `^tools: \[1-2/4\] one, two building \.\.\. 0 s, about \d+ min left\n$`, log.String())
	log.Reset()
	p.start(&log, "three", 1, 0)(errors.New("no"))
	assert.Equal(t, "tools: [3/4] three building ... failed after 0 s\n", log.String())
	log.Reset()
	p.start(&log, "three", 1, 900000)(nil)
	p.start(&log, "four", 1, 100000)(nil)
	assert.Regexp(t, `^tools: \[3/4\] three .* left\ntools: \[4/4\] four building \.\.\. 0 s\n$`, log.String())
}
