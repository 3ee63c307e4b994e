// Package profile fits how fast a replica is to measured times, and keeps the result in a file.
//
// The unknowns are the constants of package replica's Profile and a time for each request outside of forward passes: parsing,
// tokenizing and streaming. They are chosen so that a replica.Engine, run on the same requests as the server, needs the measured
// times. Package calibrate measures them.
package profile
