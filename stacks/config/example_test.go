package config_test

import (
	"fmt"

	"vllm-autoscaling/stacks/config"
)

// A configuration is read from the values that the Pulumi CLI hands to the program; everything that it leaves out gets
// its default.
func ExampleRead() {
	c, err := config.Read(config.Source{
		Project: "vllm-autoscaling", Stack: "local",
		Values: map[string]string{"vllm-autoscaling:autoscaling": `{"maxReplicas": 3}`},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Cloud, c.Model.ID, c.Autoscaling.MinReplicas, c.Autoscaling.MaxReplicas)
	// Output: local google/gemma-3-1b-it 1 3
}

// All problems are reported in one error, each with its key, what is allowed and a fix.
func ExampleRead_problems() {
	_, err := config.Read(config.Source{
		Project: "vllm-autoscaling", Stack: "local",
		Values: map[string]string{
			"vllm-autoscaling:autoscaling": `{"minReplicas": 4, "maxReplicas": 2}`,
			"vllm-autoscaling:model":       `{"maxNumSeq": 32}`,
		},
	})
	fmt.Println(err)
	// Output:
	// the configuration of stack "local" has 2 problems; nothing was created or changed
	//
	//   vllm-autoscaling:autoscaling.maxReplicas = 2
	//     allowed: at least autoscaling.minReplicas (4)
	//     fix:     raise it, or lower autoscaling.minReplicas
	//
	//   vllm-autoscaling:model.maxNumSeq
	//     allowed: only keys that docs/configuration.md lists
	//     fix:     no such key; the nearest is vllm-autoscaling:model.maxNumSeqs
}
