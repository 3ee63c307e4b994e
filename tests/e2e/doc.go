// Package e2e tests the whole pipeline: the real Pulumi CLI deploys the real program to a real control plane, requests load
// the simulated model servers, and the decisions of the real HPA controller are recorded and checked.
package e2e
