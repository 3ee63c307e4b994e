// Package podruntime runs the programs of the lab's pods.
//
// The lab's nodes are simulated: pods on them have a status, but nothing runs. For every pod whose container image is known,
// the runtime starts the real program as a process of this machine, with the permissions of the pod's ServiceAccount, and
// sets an annotation on the pod when the program is ready. The configuration of charts and Deployments is used as it is;
// only addresses, files and credentials are translated.
//
// Which program runs for an image is the table in images.go. Each program has a file that translates its command line.
package podruntime
