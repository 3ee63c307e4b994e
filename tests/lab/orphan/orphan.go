// Package orphan ends a plugin with the process that started it, because a Pulumi engine that is killed cannot stop its
// plugins.
//
// It uses only the standard library, so that a small program with it starts at once.
package orphan

import (
	"context"
	"os"
	"time"
)

// OutliveVariable is the environment variable that, when not empty, keeps plugins running after the engine was killed, as the real
// ones do.
const OutliveVariable = "LAB_PLUGINS_OUTLIVE_ENGINE"

// interval is how often the parent is looked up, because no system notifies a process of its parent's end.
const interval = time.Second

// parent is the process that started this one. It is read at once: when a parent is killed, the process gets another one.
var parent = os.Getppid()

// Context returns a copy of ctx that also ends, at most a second later, when the process that started this one has ended,
// unless OutliveVariable is set. The returned function stops watching for that.
func Context(ctx context.Context) (orphaned context.Context, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(ctx)
	if os.Getenv(OutliveVariable) != "" {
		return ctx, cancel
	}
	go func() {
		defer cancel()
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for os.Getppid() == parent {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return ctx, cancel
}
