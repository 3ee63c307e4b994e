package components

import "maps"

// Project is the value of the label app.kubernetes.io/part-of on every object of this program.
const Project = "vllm-autoscaling"

// partOfLabel marks every object of this program.
const partOfLabel = "app.kubernetes.io/part-of"

// The labels by which the charts and this program select pods.
const (
	nameLabel     = "app.kubernetes.io/name"
	instanceLabel = "app.kubernetes.io/instance"
)

// commonLabels returns the labels of every object that this program writes itself.
func commonLabels() map[string]string {
	return map[string]string{
		partOfLabel:                    Project,
		"app.kubernetes.io/managed-by": "pulumi",
	}
}

// withLabels returns the common labels and more.
func withLabels(more map[string]string) map[string]string {
	labels := commonLabels()
	maps.Copy(labels, more)
	return labels
}
