// Package gateway reaches a deployed server through the Gateway of its stack (Gateway API), as its clients do.
package gateway
