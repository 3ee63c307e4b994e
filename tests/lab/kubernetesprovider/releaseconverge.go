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

// converge installs or upgrades the release. Helm refuses what it cannot do from the last revision in the cluster.
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
	step, run, progress := "install", s.install, "installing"
	if op.id != "" {
		_, err := config.Releases.Last(s.name)
		switch {
		case err == nil:
			step, run, progress = "upgrade", s.upgrade, "upgrading to"
		case !errors.Is(err, driver.ErrReleaseNotFound):
			return outcome{}, fmt.Errorf("looking for %s: %w", s, explain(err))
		}
	}
	p.progress(op.urn, fmt.Sprintf("%s chart %s", progress, s.source))
	started := time.Now()
	installed, err := run(ctx, config, ch)
	if err == nil {
		return outcome{id: s.id(), outputs: releaseOutputs(op.inputs, installed)}, nil
	}
	err = explain(fmt.Errorf("%s of %s failed after %s: %w", step, s, time.Since(started).Round(time.Second), err))
	if installed == nil {
		return outcome{}, err // refused: nothing was begun
	}
	return p.failedRelease(ctx, c, config, s, op, installed, err)
}

// failedRelease returns the reasons of a failure. It undoes the attempt (atomic), or reports that the release exists in
// another state than requested.
func (p *Provider) failedRelease(
	ctx context.Context, c *cluster, config *action.Configuration, s releaseSpec, op change, attempt *release.Release, cause error,
) (outcome, error) {
	ctx = context.WithoutCancel(ctx)
	reasons := append([]string{cause.Error()}, releaseTroubles(ctx, c, attempt)...)
	stored, err := config.Releases.Last(s.name)
	if err != nil {
		return outcome{}, errors.New(strings.Join(reasons, "\n"))
	}
	if !s.atomic {
		return outcome{id: s.id(), outputs: releaseOutputs(op.inputs, stored), notYet: reasons}, nil
	}
	p.progress(op.urn, "undoing the failed attempt")
	if attempt.Version == 1 {
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

func (s releaseSpec) install(ctx context.Context, config *action.Configuration, ch *chart.Chart) (*release.Release, error) {
	a := action.NewInstall(config)
	a.ReleaseName, a.Namespace, a.CreateNamespace = s.name, s.namespace, s.createNamespace
	a.Timeout, a.Wait, a.WaitForJobs = s.timeout, !s.skipAwait, s.waitForJobs
	a.SkipCRDs, a.DisableHooks, a.DisableOpenAPIValidation = s.skipCRDs, s.disableHooks, s.disableOpenAPI
	a.Description = s.description
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
