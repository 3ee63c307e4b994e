package cloud

import (
	"fmt"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// awsKMSKinds lists the simulated resource types of AWS KMS.
func awsKMSKinds() []*kind {
	return []*kind{awsKeyKind()}
}

func awsKeyKind() *kind {
	return &kind{
		token: awsKey, computed: []string{"arn", "keyId"},
		schema: computeSchema("", map[string]*schema.Type{
			"description": textType, "enableKeyRotation": flagType, "deletionWindowInDays": wholeType, "tags": tagsType, "policy": textType, "multiRegion": flagType,
		}),
		validate: func(in object) []string {
			if days := in.number("deletionWindowInDays"); in.has("deletionWindowInDays") && (days < 7 || days > 30) {
				return []string{fmt.Sprintf("expected deletionWindowInDays to be in the range (7 - 30), got %d", days)}
			}
			return nil
		},
		create: func(_ *Cloud, r *Resource, s Settings) error {
			r.ID, r.Region = randomHex(8)+"-"+randomHex(4)+"-"+randomHex(4)+"-"+randomHex(4)+"-"+randomHex(12), s["region"]
			r.Outputs["keyId"], r.Outputs["arn"] = r.ID, fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", r.Region, AWSAccount, r.ID)
			return nil
		},
		refuseDelete: func(c *Cloud, r *Resource) error {
			for _, cluster := range c.all(EKSCluster, func(o *Resource) bool {
				return object(o.Inputs).text("encryptionConfig.provider.keyArn") == r.Outputs["arn"]
			}) {
				return fmt.Errorf("the Secrets of %s could not be read any more", cluster)
			}
			return nil
		},
	}
}
