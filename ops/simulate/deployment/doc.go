// Package deployment derives what package simulate runs from a stack's configuration: how fast a replica is, from the
// catalogues of GPUs and models; the autoscaler, as the program registers it; the node pool; and how long a new replica takes.
//
// How fast a replica is, is computed and not measured: see Roofline.
package deployment
