package cloud

import (
	"context"
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
		token: AWSLogGroup, name: "name", replace: []string{"name", "namePrefix"}, computed: []string{"arn"},
		schema: computeSchema("", map[string]*schema.Type{
			"name": textType, "namePrefix": textType, "retentionInDays": wholeType, "tags": tagsType, "kmsKeyId": textType, "skipDestroy": flagType,
		}),
		create: func(c *Cloud, r *Resource, s Settings) error {
			r.ID, r.Region = object(r.Inputs).text("name"), s["region"]
			if c.find(AWSLogGroup, "", r.ID) != nil {
				return fmt.Errorf("creating CloudWatch Logs Log Group (%s): api error ResourceAlreadyExistsException: The specified log group already exists", r.ID)
			}
			r.Outputs["arn"] = logGroupARN(r)
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
		vanish: func(_ context.Context, c *Cloud, r *Resource) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.lateLogs[r.ID] {
				delete(c.lateLogs, r.ID)
				c.createLogGroup(r.ID, r.Region)
			}
			return nil
		},
	}
}

func logGroupARN(r *Resource) string {
	return fmt.Sprintf("arn:aws:logs:%s:%s:log-group:%s", r.Region, AWSAccount, r.ID)
}

// createLogGroup creates a log group for a service that writes to it. Nothing of the deleted group of the name, such as its
// tags and its retention, comes back. The caller holds the lock.
func (c *Cloud) createLogGroup(name, region string) {
	r := &Resource{Token: AWSLogGroup, ID: name, Region: region, Inputs: map[string]any{"name": name}, Outputs: map[string]any{"name": name}}
	r.Outputs["arn"] = logGroupARN(r)
	c.resources = append(c.resources, r)
}
