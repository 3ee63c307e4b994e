package kubernetesprovider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
)

// releaseTimeout is how long Helm waits for a release by default, as in the upstream provider.
const releaseTimeout = 300 * time.Second

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

// releaseSpec is the program's specification of a Helm release.
type releaseSpec struct {
	name, namespace string
	source          chartSource
	values          map[string]any
	timeout         time.Duration
	maxHistory      int // 0 keeps every revision, as upstream
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
}

func releaseFrom(op change) releaseSpec {
	in := op.inputs
	repository := object(in, "repositoryOpts")
	s := releaseSpec{
		name: text(in, "name"), namespace: text(in, "namespace"),
		source:          sourceFrom(in, repository),
		values:          plain(object(in, "values"), boolean(in, "allowNullValues")),
		timeout:         releaseTimeout,
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
	}
	if op.timeout > 0 {
		s.timeout = op.timeout
	}
	if v := reveal(in["timeout"]); v.IsNumber() && v.NumberValue() > 0 {
		s.timeout = seconds(v.NumberValue())
	}
	// Without it every revision stays, as with the upstream provider.
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

// checkRelease sets the release's name, resolves the chart's version and checks that the chart can be loaded.
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
			fail(string(k), "%s is not an input of a Helm release in the lab's Kubernetes provider", k)
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

// createRelease installs the chart. Helm refuses a name with a stored release, also one that a killed update has left.
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

// updateRelease upgrades the release, or installs it when it was uninstalled. Helm refuses to upgrade one whose last revision
// is pending.
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

// previewRelease renders the chart with its values, which fails for values that the chart refuses.
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

// readRelease returns the release that Helm has stored, with the chart's version and the values of its last revision as inputs.
// The inputs of a release without outputs, as one that was added to the state by hand, are built anew from the stored one.
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
	inputs, err := storedInputs(op, last)
	if err != nil {
		return outcome{}, fmt.Errorf("reading %s: %w", s, err)
	}
	return outcome{id: op.id, outputs: releaseOutputs(inputs, last), inputs: inputs}, nil
}

// storedInputs returns the inputs of a release as a revision has them. Secret inputs stay secret.
func storedInputs(op change, last *release.Release) (resource.PropertyMap, error) {
	live := map[string]any{"version": last.Chart.Metadata.Version, "values": last.Config}
	if len(op.inputs) == 0 || len(op.olds) == 0 {
		live["name"], live["namespace"], live["chart"] = last.Name, last.Namespace, last.Chart.Metadata.Name
		return markSecrets(resource.NewPropertyMapFromMap(live), op.inputs), nil
	}
	inputs := op.inputs.Copy()
	inputs["version"] = resource.NewStringProperty(last.Chart.Metadata.Version)
	same, err := sameJSON(plain(object(op.inputs, "values"), boolean(op.inputs, "allowNullValues")), last.Config)
	if err != nil || same {
		return inputs, err
	}
	inputs["values"] = markSecret(resource.NewPropertyValue(last.Config), op.inputs["values"])
	return inputs, nil
}

// sameJSON reports whether two objects are the same in JSON, where an integer is no different from a float and no object is an
// empty one.
func sameJSON(a, b map[string]any) (bool, error) {
	var decoded [2]map[string]any
	for i, values := range []map[string]any{a, b} {
		text, err := json.Marshal(values)
		if err != nil {
			return false, err
		}
		if err := json.Unmarshal(text, &decoded[i]); err != nil {
			return false, err
		}
	}
	return len(decoded[0]) == 0 && len(decoded[1]) == 0 || reflect.DeepEqual(decoded[0], decoded[1]), nil
}

// deleteRelease uninstalls the release and waits until its objects are deleted.
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
