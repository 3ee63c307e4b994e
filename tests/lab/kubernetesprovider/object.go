package kubernetesprovider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// operationTimeout is how long to wait by default until an object is ready or deleted, as in the upstream provider.
const operationTimeout = 10 * time.Minute

// managerKey is the output with the owner of the object's fields.
const managerKey = "__fieldManager"

// checkObject sets apiVersion, kind, name and, if the provider has one, the namespace.
func (p *Provider) checkObject(
	ctx context.Context, t token, n names, olds, news resource.PropertyMap,
) (resource.PropertyMap, []*pulumirpc.CheckFailure, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return nil, nil, err
	}
	inputs := news.Copy()
	var failures []*pulumirpc.CheckFailure
	for key, want := range map[resource.PropertyKey]string{"apiVersion": t.apiVersion(), "kind": t.gvk.Kind} {
		switch got := reveal(inputs[key]); {
		case got.IsNull():
			inputs[key] = resource.NewStringProperty(want)
		case got.IsString() && got.StringValue() != want:
			failures = append(failures, &pulumirpc.CheckFailure{
				Property: string(key),
				Reason:   fmt.Sprintf("%s %q does not belong to a resource of type %s %s", key, got.StringValue(), t.apiVersion(), t.gvk.Kind),
			})
		}
	}
	metadata := resource.PropertyMap{}
	switch given := reveal(inputs["metadata"]); {
	case given.IsObject():
		metadata = given.ObjectValue().Copy()
	case isUnknown(given):
		return inputs, failures, nil
	case !given.IsNull():
		return inputs, append(failures, &pulumirpc.CheckFailure{Property: "metadata", Reason: "metadata must be an object"}), nil
	}
	if metadata["name"].IsNull() {
		metadata, failures = nameObject(metadata, n, olds, failures)
	}
	if metadata["namespace"].IsNull() && c.settings.namespace != "" {
		if m, err := c.mapping(t.gvk); err == nil && m.Scope.Name() == meta.RESTScopeNameNamespace {
			metadata["namespace"] = resource.NewStringProperty(c.settings.namespace)
		}
	}
	inputs["metadata"] = resource.NewObjectProperty(metadata)
	return inputs, failures, nil
}

// nameObject sets the name of an object without one, and keeps an earlier generated name.
func nameObject(
	metadata resource.PropertyMap, n names, olds resource.PropertyMap, failures []*pulumirpc.CheckFailure,
) (resource.PropertyMap, []*pulumirpc.CheckFailure) {
	name := text(object(olds, "metadata"), "name")
	if name == "" || annotation(olds, autonamedAnnotation) != "true" {
		if n.disabled {
			return metadata, append(failures, &pulumirpc.CheckFailure{
				Property: "metadata.name", Reason: "metadata.name is required, automatic naming is turned off for this stack",
			})
		}
		name = n.name()
		if prefix := text(metadata, "generateName"); prefix != "" {
			name = prefix + strings.TrimPrefix(autoName("", n.seed), "-")
		}
	}
	annotations := resource.PropertyMap{}
	switch given := reveal(metadata["annotations"]); {
	case given.IsObject():
		annotations = given.ObjectValue().Copy()
	case isUnknown(given):
		metadata["name"] = resource.NewStringProperty(name)
		return metadata, failures
	}
	annotations[autonamedAnnotation] = resource.NewStringProperty("true")
	metadata["annotations"] = resource.NewObjectProperty(annotations)
	metadata["name"] = resource.NewStringProperty(name)
	return metadata, failures
}

// createObject creates the object and waits until it is ready. In a preview it is only a dry run of the API server.
func (p *Provider) createObject(ctx context.Context, op change) (outcome, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return outcome{}, err
	}
	if op.preview {
		return p.previewObject(ctx, c, op)
	}
	ctx, cancel := context.WithTimeout(ctx, op.waitTime())
	defer cancel()
	m, err := c.awaitMapping(ctx, op.token.gvk)
	if err != nil {
		return outcome{}, err
	}
	target := newTarget(c, m, op)
	if err := p.makeRoom(ctx, target, op); err != nil {
		return outcome{}, err
	}
	live, err := target.apply(ctx, metav1.PatchOptions{})
	if err != nil {
		return outcome{}, err
	}
	return p.settle(ctx, c, target, op, live)
}

// makeRoom makes sure that no other object has the name. It waits for one that is being deleted; any other is an error, as
// upstream since 4.29, also one that a killed update of this resource has left.
func (p *Provider) makeRoom(ctx context.Context, t target, op change) error {
	for {
		existing, err := t.client.Get(ctx, t.name(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return t.describe("looking for", err)
		}
		if existing.GetDeletionTimestamp() == nil {
			return t.exists(p.currentSettings())
		}
		p.progress(op.urn, "waiting until the earlier object of this name is gone")
		if err := sleep(ctx, pollInterval); err != nil {
			return fmt.Errorf("%s is still being deleted, %s: %w", t, blockers(existing), err)
		}
	}
}

// exists returns the API server's refusal to create an object that exists, nil when the settings take such an object over.
func (t target) exists(s settings) error {
	if s.upsertExisting {
		return nil
	}
	return fmt.Errorf("resource %s was not successfully created by the Kubernetes API server: %w", t.id(),
		apierrors.NewAlreadyExists(t.mapping.Resource.GroupResource(), t.name()))
}

// updateObject changes the object in place and waits until it is ready.
func (p *Provider) updateObject(ctx context.Context, op change) (outcome, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return outcome{}, err
	}
	if op.preview {
		return p.previewObject(ctx, c, op)
	}
	ctx, cancel := context.WithTimeout(ctx, op.waitTime())
	defer cancel()
	m, err := c.awaitMapping(ctx, op.token.gvk)
	if err != nil {
		return outcome{}, err
	}
	target := newTarget(c, m, op)
	live, err := target.apply(ctx, metav1.PatchOptions{})
	if err != nil {
		return outcome{}, err
	}
	return p.settle(ctx, c, target, op, live)
}

// settle waits until the object is ready and returns its outcome.
func (p *Provider) settle(ctx context.Context, c *cluster, t target, op change, live *unstructured.Unstructured) (outcome, error) {
	last, reasons := p.awaitReady(ctx, c, t, op, live)
	outputs := liveOutputs(last.Object, op.inputs)
	outputs[managerKey] = resource.NewStringProperty(t.manager)
	return outcome{id: t.id(), outputs: outputs, notYet: reasons}, nil
}

// previewObject validates the change by a dry run of the API server. Where that is impossible (unknown inputs, a kind whose
// CRD is part of this update, no permission to write), the inputs are accepted.
func (p *Provider) previewObject(ctx context.Context, c *cluster, op change) (outcome, error) {
	outputs := op.inputs
	if op.id != "" {
		outputs = overlay(op.olds, op.inputs)
	}
	expected := outcome{id: op.id, outputs: outputs}
	if op.inputs.ContainsUnknowns() {
		return expected, nil
	}
	m, err := c.mapping(op.token.gvk)
	if isUnknownKind(err) {
		return expected, nil
	}
	if err != nil {
		return outcome{}, err
	}
	t := newTarget(c, m, op)
	if op.id == "" {
		existing, err := t.client.Get(ctx, t.name(), metav1.GetOptions{})
		if err == nil && existing.GetDeletionTimestamp() == nil {
			if err := t.exists(c.settings); err != nil {
				return outcome{}, err
			}
		}
	}
	live, err := t.apply(ctx, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if namespaceMissing(err, t.namespace) {
		// The namespace is part of this update; a misspelled field is found in any namespace.
		elsewhere := t.in(c, metav1.NamespaceDefault)
		_, err := elsewhere.apply(ctx, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		if isInvalid(err) {
			return outcome{}, err
		}
		return expected, nil
	}
	switch {
	case err == nil:
	case apierrors.IsForbidden(err), cannotTry(err):
		return expected, nil
	default:
		return outcome{}, err
	}
	if op.id != "" {
		expected.outputs = liveOutputs(live.Object, op.inputs)
		expected.outputs[managerKey] = resource.NewStringProperty(t.manager)
	}
	return expected, nil
}

// readObject returns the live object. The inputs stay as they are as long as applying them again would change nothing; after
// a drift they have the live values.
func (p *Provider) readObject(ctx context.Context, op change) (outcome, error) {
	c, err := p.reach(ctx)
	if err != nil {
		return outcome{}, err
	}
	m, err := c.mapping(op.token.gvk)
	if isUnknownKind(err) {
		return outcome{}, nil // no such kind, so no such object
	}
	if err != nil {
		return outcome{}, err
	}
	t := newTarget(c, m, op)
	namespace, name := splitID(op.id)
	t = t.in(c, namespace)
	live, err := t.client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return outcome{}, nil
	}
	if err != nil {
		return outcome{}, t.describe("reading", err)
	}
	inputs := op.inputs
	if len(inputs) == 0 {
		inputs = importedInputs(live)
	} else if wanted := t.reapplied(ctx, live); wanted != nil {
		inputs = drift(live.Object, wanted, inputs)
	}
	outputs := liveOutputs(live.Object, op.inputs)
	outputs[managerKey] = resource.NewStringProperty(t.manager)
	return outcome{id: op.id, outputs: outputs, inputs: inputs, notYet: unready(t, op, live)}, nil
}

// unready returns why an object that is read is not ready. The engine stores it, and plans an update at the next one.
func unready(t target, op change, live *unstructured.Unstructured) []string {
	ready := readinessOf(t.mapping.GroupVersionKind.GroupKind())
	if ready == nil || annotation(op.inputs, "pulumi.com/skipAwait") == "true" {
		return nil
	}
	missing, err := ready(live.Object)
	switch {
	case err != nil:
		return []string{fmt.Sprintf("%s: %v", t, err)}
	case missing != "":
		return []string{fmt.Sprintf("%s: %s", t, missing)}
	}
	return nil
}

// reapplied returns the object as it would be if the inputs were applied again, nil when nothing would change or there is no
// permission for a dry run.
func (t target) reapplied(ctx context.Context, live *unstructured.Unstructured) map[string]any {
	t.force = true // a field that another manager has taken over is drift, not a conflict
	again, err := t.apply(ctx, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil || reflect.DeepEqual(stable(live), stable(again)) {
		return nil
	}
	return again.Object
}

// stable returns an object without the fields that change on every write.
func stable(o *unstructured.Unstructured) map[string]any {
	c := o.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(c.Object, "metadata", field)
	}
	return c.Object
}

// importedInputs returns the inputs of a program that would create the live object.
func importedInputs(live *unstructured.Unstructured) resource.PropertyMap {
	c := live.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(c.Object, "metadata", field)
	}
	delete(c.Object, "status")
	return liveOutputs(c.Object, nil)
}

// deleteObject deletes the object and the objects that it owns, and waits until they are deleted.
func (p *Provider) deleteObject(ctx context.Context, op change) error {
	c, err := p.reach(ctx)
	if err != nil {
		return err
	}
	m, err := c.mapping(op.token.gvk)
	if isUnknownKind(err) {
		return nil // the kind is gone, and its objects with it
	}
	if err != nil {
		return err
	}
	described := op
	if len(described.inputs) == 0 {
		described.inputs = op.olds
	}
	namespace, name := splitID(op.id)
	t := newTarget(c, m, described).in(c, namespace)
	t.object.SetName(name)

	wait := described.waitTime()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	policy := metav1.DeletePropagationForeground
	switch annotation(described.inputs, "pulumi.com/deletionPropagationPolicy") {
	case "orphan":
		policy = metav1.DeletePropagationOrphan
	case "background":
		policy = metav1.DeletePropagationBackground
	}
	options := metav1.DeleteOptions{PropagationPolicy: &policy}
	if uid := text(object(op.olds, "metadata"), "uid"); uid != "" {
		// A newer object of the same name has another owner.
		known := types.UID(uid)
		options.Preconditions = &metav1.Preconditions{UID: &known}
	}
	switch err := t.client.Delete(ctx, name, options); {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsConflict(err):
		p.log(pulumirpc.LogSeverity_WARNING, op.urn, fmt.Sprintf("%s was replaced by somebody else, it is left alone", t))
		return nil
	case err != nil:
		return t.describe("deleting", err)
	}
	if annotation(described.inputs, "pulumi.com/skipAwait") == "true" {
		return nil
	}
	return p.awaitGone(ctx, t, op, wait)
}

// waitTime returns how long the change may take: the program's timeout, or the default.
func (op change) waitTime() time.Duration {
	if op.timeout > 0 {
		return op.timeout
	}
	if s, err := strconv.Atoi(annotation(op.inputs, "pulumi.com/timeoutSeconds")); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	return operationTimeout
}

// target is an object with the client for its kind.
type target struct {
	mapping   *meta.RESTMapping
	client    dynamic.ResourceInterface
	namespace string // "" for cluster-scoped objects
	object    *unstructured.Unstructured
	manager   string
	force     bool
}

func newTarget(c *cluster, m *meta.RESTMapping, op change) target {
	body := plain(op.inputs, false)
	encodeStringData(body)
	o := &unstructured.Unstructured{Object: body}
	o.SetGroupVersionKind(op.token.gvk)
	t := target{mapping: m, object: o, manager: text(op.olds, managerKey)}
	if t.manager == "" {
		t.manager = fieldManager(op.urn)
	}
	t.force = c.settings.patchForce || annotation(op.inputs, "pulumi.com/patchForce") == "true"
	return t.in(c, o.GetNamespace())
}

// in returns the same object in another namespace.
func (t target) in(c *cluster, namespace string) target {
	t.object = t.object.DeepCopy()
	t.client, t.namespace = c.resource(t.mapping, namespace)
	if t.namespace != "" {
		t.object.SetNamespace(t.namespace)
	}
	return t
}

func (t target) name() string { return t.object.GetName() }

func (t target) id() string { return identify(t.namespace, t.name()) }

// String returns the object's name as kubectl writes it.
func (t target) String() string {
	return fmt.Sprintf("%s %q", t.mapping.GroupVersionKind.Kind, t.id())
}

// apply sends the object by server-side apply with strict field validation. A 404 for the type itself is retried, because an
// API server serves a new CRD a moment after it lists it.
func (t target) apply(ctx context.Context, options metav1.PatchOptions) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(t.object.Object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", t, err)
	}
	options.FieldManager = t.manager
	options.Force = &t.force
	options.FieldValidation = metav1.FieldValidationStrict
	deadline := time.Now().Add(mappingTimeout)
	for {
		live, err := t.client.Patch(ctx, t.name(), types.ApplyPatchType, body, options)
		if err == nil {
			return live, nil
		}
		if !apierrors.IsNotFound(err) || namespaceMissing(err, t.namespace) || len(options.DryRun) > 0 || time.Now().After(deadline) {
			return nil, t.describe("applying", err)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, t.describe("applying", err)
		}
	}
}

// describe adds the operation, the object and a remedy to an error.
func (t target) describe(doing string, err error) error {
	err = explain(err)
	var unreachable *unreachableError
	if errors.As(err, &unreachable) {
		return err
	}
	if apierrors.IsConflict(err) && doing == "applying" {
		return fmt.Errorf("applying %s: somebody else owns a field of it; give the field up or set the annotation pulumi.com/patchForce: %w", t, err)
	}
	return fmt.Errorf("%s %s: %w", doing, t, err)
}

// namespaceMissing reports whether a request failed because the object's namespace does not exist.
func namespaceMissing(err error, namespace string) bool {
	return namespace != "" && apierrors.IsNotFound(err) &&
		strings.Contains(err.Error(), fmt.Sprintf("namespaces %q not found", namespace))
}

// isInvalid reports whether the API server refused the object's content, independent of its namespace.
func isInvalid(err error) bool {
	if err == nil || cannotTry(err) {
		return false
	}
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) ||
		strings.Contains(err.Error(), "failed to create typed patch object")
}

// cannotTry reports whether an error means that a dry run is impossible, not that the change is invalid.
func cannotTry(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run")
}
