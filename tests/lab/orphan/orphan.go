// Package orphan ends a plugin with the process that started it. A Pulumi engine that is killed cannot say goodbye to
// its plugins.
//
// It needs nothing but the standard library, so that a small program that uses it starts at once.
package orphan

import (
	"context"
	"os"
	"time"
)

// interval is how often the parent is looked for: no system tells a process that it has lost its parent.
const interval = time.Second

// parent is the process that started this one. It is asked for at once: a parent that is killed a moment later has
// been replaced by then.
var parent = os.Getppid()

// Context returns a copy of ctx that also ends, a second later at most, when the process that started this one is gone.
// Cancel releases what watches for that.
func Context(ctx context.Context) (orphaned context.Context, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(ctx)
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
