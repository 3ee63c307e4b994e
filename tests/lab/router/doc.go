// Package router makes the lab's cluster addresses reachable from local processes.
//
// Router is an HTTP server that forwards the paths of pods and Services to the local processes behind them. Egress is a
// CONNECT proxy through which the API server reaches the same processes by their cluster addresses. A Resolver maps both
// kinds of addresses to processes.
package router
