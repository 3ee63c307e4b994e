package kubernetesprovider

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// helmStep is what has to be done to a release.
type helmStep string

const (
	install   helmStep = "install"
	upgrade   helmStep = "upgrade"
	reinstall helmStep = "reinstall" // uninstall what is left first
	unblock   helmStep = "unblock"   // undo an interrupted upgrade first
)

// nextStep returns the next step for the last revision in the cluster, nil for none. known reports whether the release is in
// the engine's state.
func nextStep(last *release.Release, s releaseSpec, known bool) (helmStep, error) {
	if last == nil {
		return install, nil
	}
	ours := known || last.Labels[ownerLabel] == s.owner
	switch status := last.Info.Status; {
	case status == release.StatusFailed, status == release.StatusSuperseded:
		return upgrade, nil
	case !ours && status.IsPending():
		return "", fmt.Errorf("another operation is in progress on %s (%s): wait for it, or run helm uninstall %s -n %s",
			s, status, s.name, s.namespace)
	case !ours && status == release.StatusDeployed:
		return "", fmt.Errorf("%s already exists and does not belong to this resource: uninstall it (helm uninstall %s -n %s), choose another name, or import it",
			s, s.name, s.namespace)
	case status == release.StatusDeployed:
		return upgrade, nil
	case status == release.StatusPendingUpgrade, status == release.StatusPendingRollback:
		return unblock, nil
	}
	// An install or uninstall was interrupted.
	return reinstall, nil
}

// converge brings the cluster from any state to the release in the program.
func (p *Provider) converge(ctx context.Context, c *cluster, op change) (outcome, error) {
	s := releaseFrom(op)
	ch, err := p.charts.load(s.source)
	if err != nil {
		return outcome{}, err
	}
	config, err := p.helm(c, s, op.urn)
	if err != nil {
		return outcome{}, err
	}
	last, err := config.Releases.Last(s.name)
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return outcome{}, fmt.Errorf("looking for %s: %w", s, explain(err))
	}
	step, err := nextStep(last, s, op.id != "")
	if err != nil {
		return outcome{}, err
	}
	switch step {
	case reinstall:
		p.progress(op.urn, fmt.Sprintf("uninstalling what is left of an earlier attempt (%s)", last.Info.Status))
		if err := p.uninstall(ctx, config, s); err != nil {
			return outcome{}, err
		}
		last, step = nil, install
	case unblock:
		p.progress(op.urn, fmt.Sprintf("undoing an interrupted attempt (%s)", last.Info.Status))
		if err := s.undoInterrupted(config, last); err != nil {
			return outcome{}, err
		}
		step = upgrade
	}
	started := time.Now()
	var installed *release.Release
	if step == install {
		p.progress(op.urn, fmt.Sprintf("installing chart %s", s.source))
		installed, err = s.install(ctx, config, ch)
	} else {
		p.progress(op.urn, fmt.Sprintf("upgrading to chart %s", s.source))
		installed, err = s.upgrade(ctx, config, ch)
	}
	if err == nil {
		return outcome{id: s.id(), outputs: releaseOutputs(op.inputs, installed)}, nil
	}
	return p.failedRelease(ctx, c, config, s, op, installed, step, explain(fmt.Errorf("%s of %s failed after %s: %w",
		step, s, time.Since(started).Round(time.Second), err)))
}

// failedRelease returns the reasons of a failure. It undoes the attempt (atomic), or reports that the release exists in
// another state than requested.
func (p *Provider) failedRelease(
	ctx context.Context, c *cluster, config *action.Configuration, s releaseSpec, op change, attempt *release.Release, step helmStep, cause error,
) (outcome, error) {
	ctx = context.WithoutCancel(ctx)
	reasons := []string{cause.Error()}
	if attempt != nil {
		reasons = append(reasons, releaseTroubles(ctx, c, attempt)...)
	}
	stored, err := config.Releases.Last(s.name)
	if err != nil {
		return outcome{}, errors.New(strings.Join(reasons, "\n"))
	}
	if !s.atomic {
		return outcome{id: s.id(), outputs: releaseOutputs(op.inputs, stored), notYet: reasons}, nil
	}
	p.progress(op.urn, "undoing the failed attempt")
	if step == install {
		err = p.uninstall(ctx, config, s)
	} else {
		rollback := action.NewRollback(config)
		rollback.Wait, rollback.Timeout, rollback.CleanupOnFail = !s.skipAwait, s.timeout, true
		rollback.MaxHistory = s.maxHistory
		if deployed, deployedErr := config.Releases.Deployed(s.name); deployedErr == nil {
			rollback.Version = deployed.Version
		}
		err = rollback.Run(s.name)
	}
	if err != nil {
		reasons = append(reasons, fmt.Sprintf("undoing it failed as well: %v", err))
		return outcome{id: s.id(), outputs: releaseOutputs(op.inputs, stored), notYet: reasons}, nil
	}
	return outcome{}, errors.New(strings.Join(append(reasons, "the attempt was undone"), "\n"))
}

// undoInterrupted rolls back to the revision before an interrupted upgrade. A direct upgrade would compare that revision
// with the new one, and so keep what only the interrupted one has set.
func (s releaseSpec) undoInterrupted(config *action.Configuration, last *release.Release) error {
	last.SetStatus(release.StatusFailed, "the update was interrupted")
	if err := config.Releases.Update(last); err != nil {
		return fmt.Errorf("marking the interrupted revision %d of %s: %w", last.Version, s, err)
	}
	deployed, err := config.Releases.Deployed(s.name)
	if errors.Is(err, driver.ErrNoDeployedReleases) {
		return nil // nothing to go back to: the upgrade starts from the interrupted revision
	}
	if err != nil {
		return fmt.Errorf("looking for the revision before the interrupted one of %s: %w", s, explain(err))
	}
	rollback := action.NewRollback(config)
	rollback.Version, rollback.Timeout, rollback.MaxHistory = deployed.Version, s.timeout, s.maxHistory
	rollback.DisableHooks = true // the upgrade that follows runs its own
	if err := rollback.Run(s.name); err != nil {
		return fmt.Errorf("undoing the interrupted revision %d of %s: %w", last.Version, s, explain(err))
	}
	return nil
}

func (s releaseSpec) install(ctx context.Context, config *action.Configuration, ch *chart.Chart) (*release.Release, error) {
	a := action.NewInstall(config)
	a.ReleaseName, a.Namespace, a.CreateNamespace = s.name, s.namespace, s.createNamespace
	a.Timeout, a.Wait, a.WaitForJobs = s.timeout, !s.skipAwait, s.waitForJobs
	a.SkipCRDs, a.DisableHooks, a.DisableOpenAPIValidation = s.skipCRDs, s.disableHooks, s.disableOpenAPI
	a.Description = s.description
	a.Labels = map[string]string{ownerLabel: s.owner}
	return a.RunWithContext(ctx, ch, s.values)
}

func (s releaseSpec) upgrade(ctx context.Context, config *action.Configuration, ch *chart.Chart) (*release.Release, error) {
	a := action.NewUpgrade(config)
	a.Namespace = s.namespace
	a.Timeout, a.Wait, a.WaitForJobs = s.timeout, !s.skipAwait, s.waitForJobs
	a.SkipCRDs, a.DisableHooks, a.DisableOpenAPIValidation = s.skipCRDs, s.disableHooks, s.disableOpenAPI
	a.Force, a.CleanupOnFail, a.MaxHistory = s.forceUpdate, s.cleanupOnFail, s.maxHistory
	a.ReuseValues, a.ResetValues = s.reuseValues, !s.reuseValues
	a.Description = s.description
	a.Labels = map[string]string{ownerLabel: s.owner}
	return a.RunWithContext(ctx, s.name, ch, s.values)
}

func (p *Provider) uninstall(ctx context.Context, config *action.Configuration, s releaseSpec) error {
	a := action.NewUninstall(config)
	a.IgnoreNotFound = true
	a.Wait, a.Timeout, a.DisableHooks = !s.skipAwait, s.timeout, s.disableHooks
	done := make(chan error, 1)
	go func() {
		_, err := a.Run(s.name)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("uninstalling %s: %w", s, explain(err))
		}
		return nil
	case <-ctx.Done():
		// Helm's uninstall takes no context; the next update finds the release in state "uninstalling".
		return fmt.Errorf("uninstalling %s: %w", s, ctx.Err())
	}
}
