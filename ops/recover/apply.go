package recover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// orphanPoll is how often a release is read that a plugin may still complete.
const orphanPoll = 2 * time.Second

// ErrBlocked is the error of Apply for a plan that needs an answer.
var ErrBlocked = errors.New("nothing was changed: answer what is marked with ! first")

// Apply does what a plan lists and returns what is left of it, which is nothing when all of it worked.
func (r *Recovery) Apply(ctx context.Context, plan *Plan) (*Plan, error) {
	if len(plan.Blocked()) > 0 {
		return plan, ErrBlocked
	}
	if err := r.backUp(ctx); err != nil {
		return plan, err
	}
	if err := r.unlock(ctx, plan); err != nil {
		return plan, err
	}
	plan, err := r.awaitOrphans(ctx, plan)
	if err != nil {
		return plan, err
	}
	if err := r.mendReleases(ctx, plan); err != nil {
		return plan, err
	}
	if err := r.edit(ctx, plan); err != nil {
		return plan, r.locked(err)
	}
	r.Log("refreshing the state")
	if err := r.CLI.Refresh(ctx); err != nil {
		return plan, fmt.Errorf("everything but the refresh is done, run this again when its reason is gone: %w", r.locked(err))
	}
	return r.confirm(ctx)
}

// backUp stores the state as it was, with its secrets encrypted.
func (r *Recovery) backUp(ctx context.Context) error {
	text, err := r.CLI.Export(ctx, false)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.Backup, 0o700); err != nil {
		return fmt.Errorf("back up the state: %w", err)
	}
	path := filepath.Join(r.Backup, fmt.Sprintf("%s-%s.json", strings.ReplaceAll(r.Stack, "/", "-"), time.Now().UTC().Format("20060102T150405.000")))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("back up the state: %w", err)
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("back up the state: %w", err)
	}
	r.Log("the state as it was is in %s; `pulumi stack import --file` restores it", path)
	return nil
}

func (r *Recovery) unlock(ctx context.Context, plan *Plan) error {
	if plan.has(Unlock) {
		r.Log("removing the lock")
		return r.CLI.Unlock(ctx)
	}
	if r.Force && !plan.LocksVisible {
		if err := r.CLI.Unlock(ctx); err != nil {
			r.Log("no lock was removed: %v", err)
		}
	}
	return nil
}

// locked adds to the error of a command that found the state locked how to go on.
func (r *Recovery) locked(err error) error {
	for _, text := range []string{"currently locked", "already in progress", "currently in progress"} {
		if strings.Contains(err.Error(), text) {
			return fmt.Errorf("%w; add --unlock when the command that holds the lock has ended", err)
		}
	}
	return err
}

// awaitOrphans waits while plugins that were left on this machine may complete a pending revision, and looks again.
func (r *Recovery) awaitOrphans(ctx context.Context, plan *Plan) (*Plan, error) {
	waited := false
	for len(plan.Orphans) > 0 {
		var until time.Time
		for _, f := range plan.Findings {
			if f.history.last() != nil && f.history.last().isPending() && f.until.After(until) {
				until = f.until
			}
		}
		if !until.After(time.Now()) {
			break
		}
		if !waited {
			r.Log("waiting, at most until %s, for the plugins that the killed command has left (processes %v)", until.UTC().Format(time.RFC3339), plan.Orphans)
			waited = true
		}
		select {
		case <-ctx.Done():
			return plan, context.Cause(ctx)
		case <-time.After(orphanPoll):
		}
		next, err := r.Look(ctx)
		if err != nil {
			return plan, err
		}
		plan = next
	}
	return plan, nil
}

func (r *Recovery) mendReleases(ctx context.Context, plan *Plan) error {
	for _, f := range plan.Findings {
		var err error
		switch f.Action {
		case ClearRevision:
			r.Log("deleting revision %d of %s", f.history.last().Version, f.Subject)
			err = f.cluster.DeleteRevision(ctx, f.history.last())
		case Uninstall:
			r.Log("deleting what %s has created", f.Subject)
			err = f.cluster.Uninstall(ctx, f.history)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Subject, err)
		}
	}
	return nil
}

// edit changes the state as planned and imports it.
func (r *Recovery) edit(ctx context.Context, plan *Plan) error {
	if !plan.has(Adopt, Drop, Upgrade) {
		return nil
	}
	text, err := r.CLI.Export(ctx, false)
	if err != nil {
		return err
	}
	state, err := ParseState(text)
	if err != nil {
		return err
	}
	for _, f := range plan.Findings {
		switch f.Action {
		case Adopt:
			if err := state.Adopt(f.URN, f.ID); err != nil {
				return err
			}
		case Upgrade:
			state.ForgetValues(f.URN)
		}
	}
	state.ForgetPending()
	edited, err := state.Bytes()
	if err != nil {
		return err
	}
	r.Log("importing the mended state")
	return r.CLI.Import(ctx, edited)
}

// confirm looks again after the refresh. A release whose deployed revision still differs from the state is made to be upgraded
// by the next update, which would find nothing to change otherwise.
func (r *Recovery) confirm(ctx context.Context) (*Plan, error) {
	plan, err := r.Look(ctx)
	if err != nil {
		return plan, err
	}
	forced := false
	for i, f := range plan.Findings {
		if f.Action == Refresh && f.release {
			plan.Findings[i].Action, forced = Upgrade, true
		}
	}
	if !forced && !plan.has(Upgrade) {
		return plan, nil
	}
	if err := r.edit(ctx, plan); err != nil {
		return plan, err
	}
	return r.Look(ctx)
}
