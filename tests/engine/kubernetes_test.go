package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/blang/semver"
	"github.com/pulumi/pulumi/pkg/v3/resource/deploy/deploytest"
	"github.com/pulumi/pulumi/pkg/v3/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// kubernetesVersion is that of the SDK in the program's go.mod; the engine requires this plugin.
var kubernetesVersion = semver.MustParse("4.30.0")

const (
	releaseType   = "kubernetes:helm.sh/v3:Release"
	namespaceType = "kubernetes:core/v1:Namespace"
)

// fakeCluster holds the objects of the double of the Kubernetes provider. It enforces the rules of a real API server that a
// wrong order or name violates: no object without its namespace, no two objects with one name, no deletion of a namespace
// that is not empty.
type fakeCluster struct {
	mutex   sync.Mutex
	objects map[resource.ID]tokens.Type
	// created, updated and deleted list objects in order, as "Kind name".
	created, updated, deleted []string
	// failAt makes the n-th change from now fail, counted from 1; 0 makes none fail.
	failAt int
	// clusters are the clusters by identifier where the test has several; nil sends every provider to this one.
	clusters map[string]*fakeCluster
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{objects: map[resource.ID]tokens.Type{}}
}

// change counts towards failAt. The caller holds the mutex.
func (c *fakeCluster) change(what string) error {
	if c.failAt == 0 {
		return nil
	}
	c.failAt--
	if c.failAt == 0 {
		return fmt.Errorf("the API server went away during %s", what)
	}
	return nil
}

func (c *fakeCluster) forget() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.created, c.updated, c.deleted = nil, nil, nil
}

// remaining lists what is left in the cluster, sorted.
func (c *fakeCluster) remaining() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var left []string
	for id, typ := range c.objects {
		left = append(left, fmt.Sprintf("%s %s", typ, id))
	}
	return slices.Sorted(slices.Values(left))
}

// provider is one instance of the double, as the engine loads it.
func (c *fakeCluster) provider() (plugin.Provider, error) {
	made := &deploytest.Provider{
		Package: "kubernetes", Version: kubernetesVersion,
		CheckF: c.check, DiffF: c.diff, DiffConfigF: c.diffConfig,
		CreateF: c.create, UpdateF: c.update, DeleteF: c.delete,
	}
	if c.clusters != nil {
		made.ConfigureF = func(_ context.Context, req plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
			of := c.named(text(req.Inputs, "clusterIdentifier"))
			made.CreateF, made.UpdateF, made.DeleteF = of.create, of.update, of.delete
			return plugin.ConfigureResponse{}, nil
		}
	}
	return made, nil
}

// named returns the cluster of an identifier.
func (c *fakeCluster) named(identifier string) *fakeCluster {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.clusters[identifier] == nil {
		c.clusters[identifier] = newFakeCluster()
	}
	return c.clusters[identifier]
}

// check refuses the inputs that the real provider and the API server refuse.
func (c *fakeCluster) check(_ context.Context, req plugin.CheckRequest) (plugin.CheckResponse, error) {
	response := plugin.CheckResponse{Properties: req.News}
	fail := func(property, reason string) {
		response.Failures = append(response.Failures, plugin.CheckFailure{Property: resource.PropertyKey(property), Reason: reason})
	}
	if nameOf(req.URN.Type(), req.News) == "" {
		fail("metadata.name", "every object has a fixed name: an invented one changes with each replacement")
	}
	if strings.HasSuffix(string(req.URN.QualifiedType()), ":VLLM$kubernetes:apps/v1:Deployment") && has(req.News, "spec.replicas") {
		fail("spec.replicas", "the autoscaler owns the replicas")
	}
	return response, nil
}

// diff compares inputs like the real provider, and replaces an object that Kubernetes cannot update.
func (c *fakeCluster) diff(_ context.Context, req plugin.DiffRequest) (plugin.DiffResult, error) {
	return diffInputs(req.OldInputs, req.NewInputs, immutable(req.URN.Type())), nil
}

// diffConfig replaces the provider only when the identifier of the cluster changes.
func (c *fakeCluster) diffConfig(_ context.Context, req plugin.DiffConfigRequest) (plugin.DiffConfigResponse, error) {
	return diffInputs(req.OldInputs, req.NewInputs, []string{"clusterIdentifier"}), nil
}

// immutable lists the properties whose change replaces an object.
func immutable(typ tokens.Type) []string {
	if typ == releaseType {
		return []string{"name", "namespace"}
	}
	fields := []string{"metadata.name", "metadata.namespace"}
	if typ == "kubernetes:apps/v1:Deployment" {
		fields = append(fields, "spec.selector")
	}
	return fields
}

func diffInputs(before, after resource.PropertyMap, replacing []string) plugin.DiffResult {
	delta := before.Diff(after)
	if delta == nil {
		return plugin.DiffResult{Changes: plugin.DiffNone}
	}
	detailed := plugin.NewDetailedDiffFromObjectDiff(delta, true)
	result := plugin.DiffResult{Changes: plugin.DiffSome, ChangedKeys: delta.Keys(), DetailedDiff: map[string]plugin.PropertyDiff{}}
	for path, change := range detailed {
		for _, field := range replacing {
			if path == field || strings.HasPrefix(path, field+".") {
				change = change.ToReplace()
				top, _, _ := strings.Cut(path, ".")
				result.ReplaceKeys = append(result.ReplaceKeys, resource.PropertyKey(top))
				// With a fixed name, the new object would collide with the old one.
				result.DeleteBeforeReplace = true
			}
		}
		result.DetailedDiff[path] = change
	}
	return result
}

func (c *fakeCluster) create(_ context.Context, req plugin.CreateRequest) (plugin.CreateResponse, error) {
	outputs := maps.Clone(req.Properties)
	if req.URN.Type() == releaseType {
		outputs["status"] = resource.NewProperty(resource.PropertyMap{"status": resource.NewProperty("deployed")})
	}
	if req.Preview {
		return plugin.CreateResponse{Properties: req.Properties, Status: resource.StatusOK}, nil
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	id, what := idOf(req.URN.Type(), req.Properties), describe(req.URN.Type(), req.Properties)
	if err := c.change("creation of " + what); err != nil {
		return plugin.CreateResponse{}, err
	}
	key := keyOf(req.URN.Type(), id)
	if _, exists := c.objects[key]; exists {
		return plugin.CreateResponse{}, fmt.Errorf("%s already exists", what)
	}
	// Every cluster has kube-system.
	if namespace, _, ok := strings.Cut(string(id), "/"); ok && namespace != "kube-system" {
		if _, exists := c.objects[keyOf(namespaceType, resource.ID(namespace))]; !exists {
			return plugin.CreateResponse{}, fmt.Errorf("%s: namespace %q not found", what, namespace)
		}
	}
	c.objects[key] = req.URN.Type()
	c.created = append(c.created, what)
	return plugin.CreateResponse{ID: id, Properties: outputs, Status: resource.StatusOK}, nil
}

func (c *fakeCluster) update(_ context.Context, req plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	if req.Preview {
		return plugin.UpdateResponse{Properties: req.NewInputs, Status: resource.StatusOK}, nil
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	what := describe(req.URN.Type(), req.NewInputs)
	if err := c.change("update of " + what); err != nil {
		return plugin.UpdateResponse{}, err
	}
	c.updated = append(c.updated, what)
	return plugin.UpdateResponse{Properties: req.NewInputs, Status: resource.StatusOK}, nil
}

func (c *fakeCluster) delete(_ context.Context, req plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	what := describe(req.URN.Type(), req.Inputs)
	if err := c.change("deletion of " + what); err != nil {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, err
	}
	if req.URN.Type() == namespaceType {
		for key, typ := range c.objects {
			if strings.HasPrefix(string(key), string(typ)+" "+string(req.ID)+"/") {
				return plugin.DeleteResponse{Status: resource.StatusUnknown}, fmt.Errorf("%s still holds %s", what, key)
			}
		}
	}
	key := keyOf(req.URN.Type(), req.ID)
	if _, exists := c.objects[key]; !exists {
		return plugin.DeleteResponse{Status: resource.StatusUnknown}, fmt.Errorf("%s is not there", what)
	}
	delete(c.objects, key)
	c.deleted = append(c.deleted, what)
	return plugin.DeleteResponse{Status: resource.StatusOK}, nil
}

// keyOf returns a key that differs between kinds with the same name.
func keyOf(typ tokens.Type, id resource.ID) resource.ID { return resource.ID(typ) + " " + id }

// idOf returns an object's ID like the real provider: namespace/name, or the name.
func idOf(typ tokens.Type, inputs resource.PropertyMap) resource.ID {
	path := "metadata.namespace"
	if typ == releaseType {
		path = "namespace"
	}
	if namespace := text(inputs, path); namespace != "" {
		return resource.ID(namespace + "/" + nameOf(typ, inputs))
	}
	return resource.ID(nameOf(typ, inputs))
}

func nameOf(typ tokens.Type, inputs resource.PropertyMap) string {
	if typ == releaseType {
		return text(inputs, "name")
	}
	return text(inputs, "metadata.name")
}

// describe returns an object's kind and name, such as "Deployment vllm".
func describe(typ tokens.Type, inputs resource.PropertyMap) string {
	return string(typ.Name()) + " " + nameOf(typ, inputs)
}

// at returns the property at a dotted path, secret or not.
func at(properties resource.PropertyMap, path string) (resource.PropertyValue, bool) {
	value := resource.NewProperty(properties)
	for key := range strings.SplitSeq(path, ".") {
		if value.IsSecret() {
			value = value.SecretValue().Element
		}
		if !value.IsObject() {
			return resource.PropertyValue{}, false
		}
		next, ok := value.ObjectValue()[resource.PropertyKey(key)]
		if !ok {
			return resource.PropertyValue{}, false
		}
		value = next
	}
	return value, true
}

func has(properties resource.PropertyMap, path string) bool {
	_, ok := at(properties, path)
	return ok
}

func text(properties resource.PropertyMap, path string) string {
	value, ok := at(properties, path)
	if ok && value.IsString() {
		return value.StringValue()
	}
	return ""
}
