// Package apiservices finds the APIs of a cluster that are registered and do not answer. One of them, whoever it belongs to, keeps
// every namespace of the cluster from being deleted.
package apiservices
