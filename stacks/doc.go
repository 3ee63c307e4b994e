// Package stacks registers a stack: the cluster, the metrics pipeline, the server, its autoscaler, what people observe
// it with, and the stack's outputs, all from the configuration of package config.
package stacks
