// Package process starts the lab's programs and makes sure that none of them outlives the lab.
//
// Every program runs in a session of its own, so that ending it also ends the processes that it started. On Linux a
// program also ends when the lab is killed: the kernel kills the program, and a guardian process kills the rest of its
// session.
package process
