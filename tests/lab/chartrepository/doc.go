// Package chartrepository serves the lab's charts as a Helm repository over HTTP on 127.0.0.1, so that a stack installs them
// like published ones.
//
// The charts are those of package charts, or unpacked published charts from the folder that $LAB_CHARTS names.
package chartrepository
