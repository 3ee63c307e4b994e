// Package calibrate measures how long one idle replica takes: for prompts of several lengths, and for answers to several requests at
// once. Package profile fits its constants to the times.
package calibrate
