package policies

import (
	"fmt"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/simulate/compare"
	"vllm-autoscaling/ops/simulate/deployment"
	"vllm-autoscaling/ops/simulate/search"
	"vllm-autoscaling/stacks/config"
)

// MostReplicas is autoscaling.maxReplicas of every subject: more than a policy needs for a load of a few replicas.
const MostReplicas = 30

// Subject is a model on a machine of a cloud.
type Subject struct {
	Name string
	// Cloud is the value of the key cloud.
	Cloud string
	// Machine and Model are those of the keys; empty for the program's default.
	Machine, Model string
	// GPUs is the number of GPUs of a replica.
	GPUs int
}

// Subjects returns the program's subjects.
func Subjects() []Subject {
	return []Subject{
		{"gke-1b-l4", config.CloudGKE, "g2-standard-4", "google/gemma-3-1b-it", 1},
		{"gke-4b-l4", config.CloudGKE, "g2-standard-4", "google/gemma-3-4b-it", 1},
		{"gke-12b-2xl4", config.CloudGKE, "g2-standard-24", "google/gemma-3-12b-it", 2},
		{"gke-4b-a100-40", config.CloudGKE, "a2-highgpu-1g", "google/gemma-3-4b-it", 1},
		{"gke-12b-a100-40", config.CloudGKE, "a2-highgpu-1g", "google/gemma-3-12b-it", 1},
		{"gke-12b-a100-80", config.CloudGKE, "a2-ultragpu-1g", "google/gemma-3-12b-it", 1},
		{"eks-default", config.CloudEKS, "", "", 1},
		{"aks-default", config.CloudAKS, "", "", 1},
	}
}

// source returns the configuration of the subject, in which everything else is a default.
func (s Subject) source() (config.Source, error) {
	const token = project.Name + ":huggingFaceToken"
	source := config.Source{Project: project.Name, Stack: s.Cloud, Values: map[string]string{
		token: "unused", "pulumi:disable-default-providers": `["*"]`,
	}, Secret: func(key string) bool { return key == token }}
	cloud, ok := config.FindCloud(s.Cloud)
	if !ok {
		return source, fmt.Errorf("subject %s: there is no cloud %q", s.Name, s.Cloud)
	}
	assignments := []string{
		"cluster.apiAccessCidrs=[1.2.3.4/32]",
		fmt.Sprint("gpu.perReplica=", s.GPUs),
		// One node more than replicas, as the stack files have it: an update then costs no serving replica.
		fmt.Sprint("nodePools.gpu.maxNodes=", MostReplicas+1),
		fmt.Sprint("autoscaling.maxReplicas=", MostReplicas),
	}
	for key, value := range cloud.Required {
		text, err := config.FileText(value)
		if err != nil {
			return source, fmt.Errorf("subject %s: %s: %w", s.Name, key, err)
		}
		assignments = append(assignments, key+"="+text)
	}
	if s.Machine != "" {
		assignments = append(assignments, "nodePools.gpu.machineType="+s.Machine)
	}
	if s.Model != "" {
		assignments = append(assignments, "model.id="+s.Model)
	}
	return project.With(source, assignments)
}

// decoder returns the deployments of the subject with assignments KEY=VALUE.
func (s Subject) decoder(objective compare.Objective, seed uint64) (func(assignments []string) (search.Decoded, error), error) {
	source, err := s.source()
	if err != nil {
		return nil, err
	}
	return func(assignments []string) (search.Decoded, error) {
		changed, err := project.With(source, assignments)
		if err != nil {
			return search.Decoded{}, err
		}
		c, err := config.Read(changed)
		if err != nil {
			return search.Decoded{}, fmt.Errorf("subject %s: %w", s.Name, err)
		}
		settings, err := deployment.Of(c, deployment.Defaults())
		if err != nil {
			return search.Decoded{}, fmt.Errorf("subject %s: %w", s.Name, err)
		}
		settings.Objective, settings.Seed = objective.Limits(), seed
		return search.Decoded{Settings: settings, Values: search.ValuesOf(c)}, nil
	}, nil
}

// Describe returns the model and the machine with their GPUs.
func (s Subject) Describe() (string, error) {
	source, err := s.source()
	if err != nil {
		return "", err
	}
	c, err := config.Read(source)
	if err != nil {
		return "", fmt.Errorf("subject %s: %w", s.Name, err)
	}
	pool := c.NodePools.GPU
	return fmt.Sprintf("%s on %s (%d %s)", c.Model.ID, pool.MachineType, c.GPU.PerReplica, pool.Accelerator), nil
}
