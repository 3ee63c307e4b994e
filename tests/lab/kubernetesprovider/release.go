package kubernetesprovider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// releaseTimeout is how long Helm waits for a release when the program states nothing, as in the upstream
// provider.
const releaseTimeout = 300 * time.Second

// maxRevisions is how many revisions of a release are kept when the program states nothing: Helm's own default.
const maxRevisions = 10

// ownerLabel on a stored release names the resource it belongs to, so that a release which a killed update left
// is told from one of somebody else.
const ownerLabel = "vllm-autoscaling-lab/owner"

// releaseInputs are the inputs of a Release. Those marked false have no effect here.
var releaseInputs = map[resource.PropertyKey]bool{
	"allowNullValues": true, "atomic": true, "chart": true, "cleanupOnFail": true, "createNamespace": true,
	"description": true, "disableOpenapiValidation": true, "disableWebhooks": true, "forceUpdate": true,
	"maxHistory": true, "name": true, "namespace": true, "repositoryOpts": true, "reuseValues": true,
	"skipAwait": true, "skipCrds": true, "timeout": true, "values": true, "version": true, "waitForJobs": true,
	"compat": false, "dependencyUpdate": false, "devel": false, "disableCRDHooks": false, "keyring": false,
	"lint": false, "manifest": false, "recreatePods": false, "renderSubchartNotes": false, "replace": false,
	"resetValues": false, "resourceNames": false, "verify": false,
}

// releaseSpec is a Helm release as the program asks for it.
type releaseSpec struct {
	name, namespace string
	source          chartSource
	values          map[string]any
	timeout         time.Duration
	maxHistory      int
	description     string
	atomic          bool
	cleanupOnFail   bool
	createNamespace bool
	skipAwait       bool
	skipCRDs        bool
	waitForJobs     bool
	disableHooks    bool
	disableOpenAPI  bool
	forceUpdate     bool
	reuseValues     bool
	owner           string
}

func releaseFrom(op change) releaseSpec {
	in := op.inputs
	repository := object(in, "repositoryOpts")
	s := releaseSpec{
		name: text(in, "name"), namespace: text(in, "namespace"),
		source:          sourceFrom(in, repository),
		values:          plain(object(in, "values"), boolean(in, "allowNullValues")),
		timeout:         releaseTimeout,
		maxHistory:      maxRevisions,
		description:     text(in, "description"),
		atomic:          boolean(in, "atomic"),
		cleanupOnFail:   boolean(in, "cleanupOnFail"),
		createNamespace: boolean(in, "createNamespace"),
		skipAwait:       boolean(in, "skipAwait"),
		skipCRDs:        boolean(in, "skipCrds"),
		waitForJobs:     boolean(in, "waitForJobs"),
		disableHooks:    boolean(in, "disableWebhooks"),
		disableOpenAPI:  boolean(in, "disableOpenapiValidation"),
		forceUpdate:     boolean(in, "forceUpdate"),
		reuseValues:     boolean(in, "reuseValues"),
		owner:           strings.TrimPrefix(fieldManager(op.urn), fieldManagerPrefix+"-"),
	}
	if op.timeout > 0 {
		s.timeout = op.timeout
	}
	if v := reveal(in["timeout"]); v.IsNumber() && v.NumberValue() > 0 {
		s.timeout = seconds(v.NumberValue())
	}
	if v := reveal(in["maxHistory"]); v.IsNumber() && v.NumberValue() > 0 {
		s.maxHistory = int(v.NumberValue())
	}
	return s
}

func sourceFrom(in, repository resource.PropertyMap) chartSource {
	return chartSource{
		chart: text(in, "chart"), version: text(in, "version"), repository: text(repository, "repo"),
		username: text(repository, "username"), password: text(repository, "password"),
		caFile: text(repository, "caFile"), certFile: text(repository, "certFile"), keyFile: text(repository, "keyFile"),
	}
}

func (s releaseSpec) id() string { return identify(s.namespace, s.name) }

func (s releaseSpec) String() string { return fmt.Sprintf("Helm release %q", s.id()) }

// checkRelease names the release, resolves the chart's version and sees that the chart can be had.
func (p *Provider) checkRelease(ctx context.Context, n names, olds, news resource.PropertyMap) (resource.PropertyMap, []*pulumirpc.CheckFailure, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return nil, nil, err
	}
	inputs := news.Copy()
	var failures []*pulumirpc.CheckFailure
	fail := func(property, format string, args ...any) {
		failures = append(failures, &pulumirpc.CheckFailure{Property: property, Reason: fmt.Sprintf(format, args...)})
	}
	for k, v := range inputs {
		if strings.HasPrefix(string(k), "__") || v.IsNull() {
			continue
		}
		if _, known := releaseInputs[k]; !known {
			fail(string(k), "%s is not an input of a Helm release that the lab's Kubernetes provider knows", k)
		}
	}
	if inputs["name"].IsNull() {
		name := text(olds, "name")
		if name == "" {
			name = n.name()
		}
		inputs["name"] = resource.NewStringProperty(name)
	}
	if inputs["namespace"].IsNull() {
		inputs["namespace"] = resource.NewStringProperty(c.defaultNamespace())
	}
	if name := reveal(inputs["name"]); name.IsString() {
		if err := chartutil.ValidateReleaseName(name.StringValue()); err != nil {
			fail("name", "release name %q: %v", name.StringValue(), err)
		}
	}
	if isUnknown(inputs["chart"]) || isUnknown(inputs["version"]) || inputs["repositoryOpts"].ContainsUnknowns() {
		return inputs, failures, nil
	}
	if text(inputs, "chart") == "" {
		fail("chart", "chart is required")
		return inputs, failures, nil
	}
	ch, err := p.charts.load(sourceFrom(inputs, object(inputs, "repositoryOpts")))
	if err != nil {
		fail("chart", "%v", err)
		return inputs, failures, nil
	}
	inputs["version"] = resource.NewStringProperty(ch.Metadata.Version)
	return inputs, failures, nil
}

// createRelease installs the chart, or goes on with what a killed or failed update of this resource left.
func (p *Provider) createRelease(ctx context.Context, op change) (outcome, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return outcome{}, err
	}
	if op.preview {
		return p.previewRelease(c, op)
	}
	return p.converge(ctx, c, op)
}

// updateRelease upgrades the release, or installs it when somebody uninstalled it.
func (p *Provider) updateRelease(ctx context.Context, op change) (outcome, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return outcome{}, err
	}
	if op.preview {
		return p.previewRelease(c, op)
	}
	return p.converge(ctx, c, op)
}

// previewRelease renders the chart with its values, which finds values that the chart refuses.
func (p *Provider) previewRelease(c *cluster, op change) (outcome, error) {
	s := releaseFrom(op)
	expected := outcome{id: op.id, outputs: op.inputs}
	if op.id != "" {
		expected.outputs = overlay(op.olds, op.inputs)
		delete(expected.outputs, "status")
		delete(expected.outputs, "resourceNames")
	}
	if op.inputs.ContainsUnknowns() {
		return expected, nil
	}
	ch, err := p.charts.load(s.source)
	if err != nil {
		return outcome{}, err
	}
	install := action.NewInstall(&action.Configuration{Log: func(string, ...any) {}})
	install.ReleaseName, install.Namespace = s.name, s.namespace
	install.DryRun, install.ClientOnly = true, true
	install.IsUpgrade = op.id != ""
	if version, err := c.discovery.ServerVersion(); err == nil {
		install.KubeVersion, _ = chartutil.ParseKubeVersion(version.GitVersion)
	}
	if versions, err := action.GetVersionSet(c.discovery); err == nil {
		install.APIVersions = versions
	}
	if _, err := install.Run(ch, s.values); err != nil {
		return outcome{}, fmt.Errorf("rendering chart %s for %s: %w", s.source, s, err)
	}
	return expected, nil
}

// converge brings the cluster to the release that the program asks for, from whatever state it finds.
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

// failedRelease says why, then either undoes the attempt (atomic) or tells the engine that the release exists
// but is not what was asked for.
func (p *Provider) failedRelease(ctx context.Context, c *cluster, config *action.Configuration, s releaseSpec, op change, attempt *release.Release, step helmStep, cause error) (outcome, error) {
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

// helmStep is what has to be done to a release.
type helmStep string

const (
	install   helmStep = "install"
	upgrade   helmStep = "upgrade"
	reinstall helmStep = "reinstall" // uninstall what is left first
	unblock   helmStep = "unblock"   // undo an interrupted upgrade first
)

// nextStep decides by the last revision in the cluster, nil when there is none. known says that the engine has
// the release in its state.
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
	// An install or uninstall that was cut short.
	return reinstall, nil
}

// undoInterrupted goes back to the revision before an upgrade that was cut short. An upgrade from there would
// compare that revision with the new one and so keep whatever only the interrupted one had set.
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

// readRelease reports the release that Helm has stored.
func (p *Provider) readRelease(ctx context.Context, op change) (outcome, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return outcome{}, err
	}
	s := releaseFrom(op)
	s.namespace, s.name = splitID(op.id)
	config, err := p.helm(c, s, op.urn)
	if err != nil {
		return outcome{}, err
	}
	last, err := config.Releases.Last(s.name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return outcome{}, nil
	}
	if err != nil {
		return outcome{}, fmt.Errorf("reading %s: %w", s, explain(err))
	}
	inputs := op.inputs
	if len(inputs) == 0 {
		inputs = resource.NewPropertyMapFromMap(map[string]any{
			"name": s.name, "namespace": s.namespace, "chart": last.Chart.Metadata.Name,
			"version": last.Chart.Metadata.Version, "values": last.Config,
		})
	}
	return outcome{id: op.id, outputs: releaseOutputs(inputs, last), inputs: inputs}, nil
}

// deleteRelease uninstalls the release and waits until its objects are gone.
func (p *Provider) deleteRelease(ctx context.Context, op change) error {
	c, err := p.reach(ctx)
	if err != nil {
		return err
	}
	if len(op.inputs) == 0 {
		op.inputs = op.olds
	}
	s := releaseFrom(op)
	s.namespace, s.name = splitID(op.id)
	config, err := p.helm(c, s, op.urn)
	if err != nil {
		return err
	}
	return p.uninstall(ctx, config, s)
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

// helm returns Helm's configuration for one operation on a release.
func (p *Provider) helm(c *cluster, s releaseSpec, urn string) (*action.Configuration, error) {
	loader, err := c.settings.clientConfig(s.namespace)
	if err != nil {
		return nil, &unreachableError{err}
	}
	client, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return nil, &unreachableError{err}
	}
	access := &clusterAccess{config: c.config, loader: loader, discovery: memory.NewMemCacheClient(client)}
	access.mapper = restmapper.NewDeferredDiscoveryRESTMapper(access.discovery)
	// Without this Helm owns fields under the name of the binary, which is not Helm's.
	kube.ManagedFieldsManager = "helm"
	config := &action.Configuration{}
	err = config.Init(access, s.namespace, "secrets", func(format string, args ...any) {
		p.log(pulumirpc.LogSeverity_DEBUG, urn, fmt.Sprintf(format, args...))
	})
	if err != nil {
		return nil, fmt.Errorf("preparing Helm for %s: %w", s, err)
	}
	return config, nil
}

// clusterAccess is how Helm reaches the cluster.
type clusterAccess struct {
	config    *rest.Config
	loader    clientcmd.ClientConfig
	discovery discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
}

func (a *clusterAccess) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(a.config), nil }

func (a *clusterAccess) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return a.discovery, nil
}

func (a *clusterAccess) ToRESTMapper() (meta.RESTMapper, error) { return a.mapper, nil }

func (a *clusterAccess) ToRawKubeConfigLoader() clientcmd.ClientConfig { return a.loader }

// releaseOutputs are the inputs and what Helm knows of the release.
func releaseOutputs(inputs resource.PropertyMap, r *release.Release) resource.PropertyMap {
	outputs := inputs.Copy()
	status := map[string]any{
		"name": r.Name, "namespace": r.Namespace, "revision": r.Version, "status": r.Info.Status.String(),
	}
	if r.Chart != nil && r.Chart.Metadata != nil {
		status["appVersion"] = r.Chart.Metadata.AppVersion
		status["chart"] = r.Chart.Metadata.Name
		status["version"] = r.Chart.Metadata.Version
	}
	outputs["status"] = resource.NewObjectProperty(resource.NewPropertyMapFromMap(status))
	names := resource.PropertyMap{}
	for _, o := range manifestObjects(r.Manifest) {
		gvk := o.GroupVersionKind()
		key := gvk.Kind
		if gvk.Group != "" {
			key += "." + gvk.Group
		}
		k := resource.PropertyKey(key + "/" + gvk.GroupVersion().String())
		list := names[k]
		if list.IsNull() {
			list = resource.NewArrayProperty(nil)
		}
		names[k] = resource.NewArrayProperty(append(list.ArrayValue(),
			resource.NewStringProperty(identify(o.GetNamespace(), o.GetName()))))
	}
	outputs["resourceNames"] = resource.NewObjectProperty(names)
	return outputs
}

// manifestObjects parses the objects of a rendered manifest, in a fixed order.
func manifestObjects(manifest string) []*unstructured.Unstructured {
	split := releaseutil.SplitManifests(manifest)
	keys := make([]string, 0, len(split))
	for k := range split {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b) // manifest-2 before manifest-10
		}
		return strings.Compare(a, b)
	})
	var objects []*unstructured.Unstructured
	for _, k := range keys {
		o := &unstructured.Unstructured{}
		// Helm has applied this manifest, so it parses; a comment-only document leaves the object empty.
		if err := yaml.Unmarshal([]byte(split[k]), &o.Object); err == nil && o.GetKind() != "" {
			objects = append(objects, o)
		}
	}
	return objects
}

// releaseTroubles names the workloads and hook Jobs of a release that are not ready, and why.
func releaseTroubles(ctx context.Context, c *cluster, r *release.Release) []string {
	objects := manifestObjects(r.Manifest)
	for _, h := range r.Hooks {
		objects = append(objects, manifestObjects(h.Manifest)...)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var troubles []string
	for _, o := range objects {
		ready := readinessOf(o.GroupVersionKind().GroupKind())
		if ready == nil {
			continue
		}
		m, err := c.mapping(o.GroupVersionKind())
		if err != nil {
			continue
		}
		t := target{mapping: m, object: o}
		namespace := o.GetNamespace()
		if namespace == "" {
			namespace = r.Namespace
		}
		t = t.in(c, namespace)
		live, err := t.client.Get(ctx, t.name(), metav1.GetOptions{})
		if err != nil {
			continue // hooks that succeeded are gone
		}
		missing, err := ready(live.Object)
		if err != nil {
			missing = err.Error()
		}
		if missing != "" {
			troubles = append(troubles, fmt.Sprintf("%s: %s", t, missing))
			troubles = append(troubles, podTroubles(ctx, c, t, live)...)
		}
	}
	return troubles
}
