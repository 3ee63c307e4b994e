package components

import (
	"fmt"
	"time"
)

// prometheusDuration formats a duration for Prometheus, which does not parse Go's form of 1.5 s,
// "1.5s".
func prometheusDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", d/time.Millisecond)
}

// wholeSeconds returns a duration in seconds, rounded up, as the Kubernetes API counts time.
func wholeSeconds(d time.Duration) int {
	return int((d + time.Second - 1) / time.Second)
}
