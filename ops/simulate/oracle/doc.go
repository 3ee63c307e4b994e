// Package oracle estimates the fewest GPU-hours that a load needs when its future is known: a plan of replicas over time, run by
// package simulate with the same cold start, nodes and routing as an autoscaler.
//
// The plan is found so:
//
//  1. Each constant number of replicas is run. For each window of 15 to 60 seconds this gives the requests that arrive in it and
//     miss the objective with that number.
//  2. Dynamic programming finds the number for each window that minimizes node-seconds plus a price for each miss. Replicas that
//     are added are asked for a cold start earlier and billed from then on; a node whose replica is removed is billed until the
//     node autoscaler removes it.
//  3. The plans of several prices are run, and the cheapest that keeps the objective is kept, with the plans of the candidates that
//     the caller knows: constant numbers, and what autoscalers asked for.
//  4. Steps of that plan are left out, lowered and moved, as long as it still keeps the objective and gets cheaper.
//
// So the oracle never takes more GPU-hours than a known candidate that keeps the objective. It is no proof that fewer are
// impossible: the windows of step 1 ignore the queue that a window with fewer replicas leaves to the next one, and step 4 is a
// local search. Which requests go to which replica is still a matter of chance.
package oracle
