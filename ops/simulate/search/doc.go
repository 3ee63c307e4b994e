// Package search looks for the cheapest configuration of a stack that keeps an objective on a load.
//
// A candidate is a list of assignments KEY=VALUE, which the program's own code decodes and validates. It is run by package
// simulate. The keys are those of space.go: maxNumSeqs, the signals and their targets, the limits of the replicas, and the rules
// of scaling.
//
// The first half of the candidates is the configured one, some constant numbers of replicas, and a Latin hypercube sample. The
// second half are neighbours of the best candidates: one value is changed at a time, in batches whose size does not depend on the
// number of cores, so that neither does the result.
//
// A load that is long enough is cut into blocks of equal length. The first three quarters of the candidates are compared by the
// requests of every other block; the best of them is then judged on the other blocks, which tells how far a choice by one part of
// the load holds for the rest. The last quarter is compared by all of the load.
//
// Of the candidates that keep the objective and take at most 10 % more GPU-hours than the cheapest, the one is recommended that
// also keeps it in the most trials: with other seeds, and with the load shifted in time. It is never dearer than the configured
// one or a constant number of replicas that keeps the objective. At last every change that has no use is taken back.
package search
