// Package report shows the candidates of a simulation as a picture and as a page: the frontier of attainment against GPU-hours,
// and the chosen candidates over time.
package report
