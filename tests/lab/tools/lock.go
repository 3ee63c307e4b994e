package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// lock acquires the file's lock, which the kernel releases if this process dies. It waits while another run holds the lock, and
// reports that once.
func lock(ctx context.Context, path string, log io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("tools: %w", err)
	}
	reported := false
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("tools: lock %s: %w", path, err)
		}
		if !reported {
			fmt.Fprintf(log, "tools: waiting for another run that is building (lock %s)\n", path)
			reported = true
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("tools: waiting for another run that is building: %w", ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
