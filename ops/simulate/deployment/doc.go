// Package deployment derives what package simulate runs from a stack's configuration: how fast a replica is, from the
// catalogues of GPUs and models; the autoscaler, as the program registers it; and the node pool.
//
// How fast a replica is, is computed and not measured: see Roofline.
package deployment
