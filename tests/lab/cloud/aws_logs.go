package cloud

import (
	"fmt"
	"strings"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// awsLogsKinds lists the simulated resource types of Amazon CloudWatch Logs.
func awsLogsKinds() []*kind {
	return []*kind{awsLogGroupKind()}
}

func awsLogGroupKind() *kind {
	return &kind{
		token: awsLogGroup, name: "name", replace: []string{"name", "namePrefix"}, computed: []string{"arn"},
		schema: computeSchema("", map[string]*schema.Type{
			"name": textType, "namePrefix": textType, "retentionInDays": wholeType, "tags": tagsType, "kmsKeyId": textType, "skipDestroy": flagType,
		}),
		create: func(_ *Cloud, r *Resource, s Settings) error {
			r.ID, r.Region = object(r.Inputs).text("name"), s["region"]
			r.Outputs["arn"] = fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", r.Region, AWSAccount, r.ID)
			return nil
		},
		refuseDelete: func(c *Cloud, r *Resource) error {
			// EKS would create it again, outside of the stack.
			name := strings.TrimSuffix(strings.TrimPrefix(r.ID, "/aws/eks/"), "/cluster")
			if cluster := c.find(EKSCluster, "name", name); cluster != nil && len(object(cluster.Inputs).list("enabledClusterLogTypes")) > 0 {
				return fmt.Errorf("cluster %s still writes to it", name)
			}
			return nil
		},
	}
}
