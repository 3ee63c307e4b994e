// Package rightgpu compares the machine types of a cloud by what a thousand requests cost on them, for a stack's model and objective.
// Nothing of it is measured: how fast a replica is follows from data sheets (package speed).
package rightgpu
