// Package stagemodel fills the bucket or the claim that a server reads its weights from, once, by a Job in the serving namespace that
// copies the model from the Hugging Face hub. The Job goes on without the command, and a second command follows the Job that runs.
package stagemodel
