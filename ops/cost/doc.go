// Package cost estimates the hourly cost of a stack's resources, with the fewest and with the most nodes that its
// replicas need.
package cost
