// Package agreement compares what a load met on the lab with what package simulate computes for the same load.
//
// Both get the same requests, the same configuration of the stack and the same server: Server describes one as flags of the
// lab's server simulator and as a profile of package simulate.
package agreement
