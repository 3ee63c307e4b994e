package cloud

import (
	"encoding/json"
	"fmt"
	"slices"
)

// The types of AWS' resources.
const (
	EKSCluster     = "aws:eks/cluster:Cluster"
	EKSNodeGroup   = "aws:eks/nodeGroup:NodeGroup"
	EKSAddon       = "aws:eks/addon:Addon"
	AWSVpc         = "aws:ec2/vpc:Vpc"
	AWSSubnet      = "aws:ec2/subnet:Subnet"
	AWSRole        = "aws:iam/role:Role"
	AWSRolePolicy  = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
	AWSTemplate    = "aws:ec2/launchTemplate:LaunchTemplate"
	awsEntry       = "aws:eks/accessEntry:AccessEntry"
	awsEntryPolicy = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
	awsPodIdentity = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
	awsGateway     = "aws:ec2/internetGateway:InternetGateway"
	awsTable       = "aws:ec2/routeTable:RouteTable"
	awsRoute       = "aws:ec2/route:Route"
	awsAssociation = "aws:ec2/routeTableAssociation:RouteTableAssociation"
	awsEIP         = "aws:ec2/eip:Eip"
	awsNAT         = "aws:ec2/natGateway:NatGateway"
	awsInlineRole  = "aws:iam/rolePolicy:RolePolicy"
	awsTag         = "aws:autoscaling/tag:Tag"
	awsKey         = "aws:kms/key:Key"
	AWSLogGroup    = "aws:cloudwatch/logGroup:LogGroup"

	// AWSAccount is the account of the simulated AWS.
	AWSAccount = "123456789012"

	eksKubernetes = "1.34"
)

// awsDouble describes the simulated AWS.
func awsDouble() *double {
	return &double{
		name: "aws", sdk: "github.com/pulumi/pulumi-aws/sdk/v6", version: "6.83.2",
		settings:  []string{"region", "profile", "allowedAccountIds", "assumeRole", "defaultTags", "skipCredentialsValidation", "skipRegionValidation"},
		configure: configureAWS,
		kinds:     awsKinds(), invokes: awsInvokes(),
		program: "aws", token: (*Cloud).eksToken, cli: "aws", answers: awsAnswers,
		cluster: EKSCluster, machineSize: ec2MachineSize, nodeName: ec2NodeName,
		storage:     storage{class: "ebs-csi-default-sc", driver: "ebs.csi.aws.com"},
		storageRuns: (*Cloud).ebsRuns,
		autoscaler:  &installedAutoscaler{runs: (*Cloud).clusterAutoscalerRuns, tags: (*Cloud).autoscalingTags},
	}
}

// configureAWS refuses a configuration without a region and one that does not allow the account.
func configureAWS(s Settings) error {
	if s["region"] == "" {
		return fmt.Errorf("invalid AWS Region: none is set")
	}
	var accounts []string
	if text := s["allowedAccountIds"]; text != "" {
		if err := json.Unmarshal([]byte(text), &accounts); err != nil {
			return fmt.Errorf("allowedAccountIds: %w", err)
		}
	}
	if len(accounts) > 0 && !slices.Contains(accounts, AWSAccount) {
		return fmt.Errorf("AWS account ID not allowed: %s", AWSAccount)
	}
	return nil
}

// awsKinds lists the simulated resource types of AWS.
func awsKinds() []*kind {
	return slices.Concat(awsEC2Kinds(), awsIAMKinds(), awsKMSKinds(), awsLogsKinds(), awsEKSKinds(), awsAutoscalingKinds())
}

// awsID sets the id of a resource, such as vpc-0123, and its ARN.
func awsID(r *Resource, s Settings, prefix, service, path string) error {
	r.Region = s["region"]
	r.ID = prefix + "-0" + randomHex(16)
	r.Outputs["arn"] = fmt.Sprintf("arn:aws:%s:%s:%s:%s%s", service, r.Region, AWSAccount, path, r.ID)
	return nil
}
