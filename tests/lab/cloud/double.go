package cloud

import "slices"

// double describes one simulated cloud. A further cloud is one of these in a file of its own, with the files of its
// services beside it, and a row in doubles.
type double struct {
	// name is the package of the cloud's Pulumi provider, with which the types of its resources begin.
	name string
	// sdk is the Go module of the provider's SDK, version the one that the program is built with.
	sdk, version string
	// settings are the keys of the provider's configuration that a stack may use.
	settings []string
	// configure validates the provider's configuration; nil accepts any.
	configure func(s Settings) error
	// updateForgets reports that the provider's preview of an update shows every computed output as unknown.
	updateForgets bool
	// comparesByIndex reports that a refresh of the provider compares lists element by element, in the order in which the
	// cloud returns them, and changes the inputs by what it finds.
	comparesByIndex bool
	// kinds are the resource types and invokes the functions of the provider, by token.
	kinds   []*kind
	invokes map[string]invoke

	// program is the authentication program that the kubeconfigs of the cloud's clusters call. token returns what it
	// prints, with the lock held.
	program string
	token   func(c *Cloud, call Call) (string, error)
	// cli is the cloud's own CLI, answers what it prints of the account.
	cli     string
	answers answers

	// cluster is the type of the cloud's Kubernetes clusters.
	cluster string
	// machineSize returns the vCPUs and the memory in GiB of a machine type.
	machineSize func(machineType string) (cpus, memoryGiB int)
	// drainStrictly reports that a node which a PodDisruptionBudget keeps from being drained fails the deletion of its pool;
	// the other clouds then end the pods.
	drainStrictly bool
	// nodeName names the node of a pool with that index; nil appends six hexadecimal digits to the pool's prefix.
	nodeName func(p *pool, index int) string
	// storage is how the cloud makes volumes.
	storage storage
	// storageRuns reports whether the CSI driver runs in a cluster, with the lock held; nil means always.
	storageRuns func(c *Cloud, cluster string) bool
	// autoscaler is the node autoscaler that has to be installed in a cluster; nil means that the cloud runs its own.
	autoscaler *installedAutoscaler
}

// doubles returns the simulated clouds.
func doubles() []*double {
	return []*double{gcpDouble(), awsDouble(), azureDouble()}
}

// doubleOf returns the cloud that a type or function belongs to, nil for none.
func (c *Cloud) doubleOf(token string) *double { return c.doubles[packageOf(token)] }

// Plugins returns the names of the clouds' Pulumi providers with their versions.
func Plugins() map[string]string {
	plugins := map[string]string{}
	for _, d := range doubles() {
		plugins[d.name] = d.version
	}
	return plugins
}

// Programs returns the names of the clouds' CLIs and of the authentication programs that the kubeconfigs of their clusters
// call.
func Programs() []string {
	var names []string
	for _, d := range doubles() {
		names = append(names, d.program, d.cli)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
