package eks

import "time"

// Keys are the keys that only Amazon EKS has, below eks. The tags are those of stacks/config.Config. The zero value of a
// field means its default.
type Keys struct {
	// Region is an AWS region outside China.
	Region string `key:"region" pattern:"^[a-z]{2}(-[a-z]+)+-[0-9]$" example:"eu-central-1" allowed:"an AWS region such as eu-central-1"`
	// AccountID is the account that the credentials have to belong to.
	AccountID string `key:"accountId" unset:"not checked" pattern:"^[0-9]{12}$" example:"123456789012" allowed:"an AWS account: 12 digits"`
	// Profile is a profile of the AWS configuration files.
	Profile string `key:"profile" unset:"the default credentials" example:"production"`
	// RoleARN is a role to assume.
	RoleARN string `key:"roleArn" pattern:"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$" example:"arn:aws:iam::123456789012:role/deploy" allowed:"the ARN of an IAM role: arn:aws:iam::<account>:role/<name>"`
	// Tags are on every AWS resource. The key Name is the program's own.
	Tags map[string]string `key:"tags" example:"{team: ml}"`
	// ExtendedSupport keeps an old version, at a price.
	ExtendedSupport bool `key:"extendedSupport" when:"create"`
	// VPCCIDR is the range of the VPC that is created, /16 to /20.
	VPCCIDR string `key:"vpcCidr" when:"create" pattern:"^[0-9.]+/(16|17|18|19|20)$" default:"10.0.0.0/16" example:"10.1.0.0/16" allowed:"an IPv4 network of size /16 to /20"`
	// Zones are two to four zones of the VPC that is created; these or eks.subnetIds have to be set.
	Zones []string `key:"zones" when:"create" example:"[us-east-1a, us-east-1b, us-east-1c]"`
	// NATPerZone is true for a NAT gateway in each zone.
	NATPerZone bool `key:"natPerZone" when:"create"`
	// SubnetIDs are private subnets in at least two zones.
	SubnetIDs []string `key:"subnetIds" unset:"a VPC is created; with cluster.existing the cluster's own" pattern:"^subnet-[0-9a-f]+$" example:"[subnet-0a, subnet-0b]" allowed:"ids of subnets: subnet-..."`
	// GPUSubnetIDs are those of the given subnets that GPU nodes may use.
	GPUSubnetIDs []string `key:"gpuSubnetIds" unset:"all" pattern:"^subnet-[0-9a-f]+$" example:"[subnet-0a]" allowed:"ids of subnets: subnet-..."`
	// Admins are ARNs of roles and users that administrate the cluster.
	Admins []string `key:"admins" when:"create" pattern:"^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$" example:"[\"arn:aws:iam::123456789012:role/admin\"]" allowed:"ARNs of IAM roles and users: arn:aws:iam::<account>:role/<name>"`
	// Viewers are ARNs of roles and users that read it.
	Viewers []string `key:"viewers" when:"create" pattern:"^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$" example:"[\"arn:aws:iam::123456789012:role/viewer\"]" allowed:"ARNs of IAM roles and users: arn:aws:iam::<account>:role/<name>"`
	// ControlPlaneLogs are the logs of the control plane that CloudWatch keeps.
	ControlPlaneLogs []string `key:"controlPlaneLogs" when:"create" values:"api audit authenticator controllerManager scheduler" default:"[api, audit, authenticator]" example:"[api]"`
	// LogRetentionDays is how long they are kept, a number that CloudWatch allows.
	LogRetentionDays int `key:"logRetentionDays" unit:"days" when:"create" values:"1 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653" default:"30" example:"90"`
	// SecretsKeyARN is a KMS key for Kubernetes Secrets.
	SecretsKeyARN string `key:"secretsKeyArn" when:"create" unset:"one is created" pattern:"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$" example:"arn:aws:kms:us-east-1:123456789012:key/k" allowed:"the ARN of a KMS key: arn:aws:kms:<region>:<account>:key/<id>"`
	// AddonVersions are versions of EKS add-ons, by name. Without it an add-on keeps the version with which it was created.
	AddonVersions map[string]string `key:"addonVersions" when:"create" unset:"AWS' recommendation at the creation" example:"{vpc-cni: v1.20.4-eksbuild.1}"`
	// ReleaseVersion is a release of the image of the GPU nodes. Without it nodes keep theirs until the Kubernetes version or
	// the launch template changes.
	ReleaseVersion string `key:"releaseVersion" unset:"the newest at the creation" pattern:"^[0-9]+[.][0-9]+[.][0-9]+-[0-9a-f]+$" example:"1.34.2-20251209" allowed:"a release of the image, such as 1.34.2-20251209, or 1.50.0-a1b2c3d4 for Bottlerocket"`
	// SystemReleaseVersion is the same for the nodes of nodePools.system.
	SystemReleaseVersion string `key:"systemReleaseVersion" when:"create" unset:"the newest at the creation" pattern:"^[0-9]+[.][0-9]+[.][0-9]+-[0-9]{8}$" example:"1.34.2-20251209" allowed:"a release of the Amazon Linux image, such as 1.34.2-20251209"`
	// AMIType is the image of the GPU nodes. Both bring NVIDIA's driver.
	AMIType string `key:"amiType" values:"AL2023_x86_64_NVIDIA BOTTLEROCKET_x86_64_NVIDIA" hint:"both bring NVIDIA's driver"`
	// LocalStorage keeps images and the volumes of pods on the NVMe disks of the GPU machines, as one array, instead of on a disk of
	// nodePools.gpu.diskGiB. They cost nothing beyond the machine, and are empty on a new node.
	LocalStorage bool `key:"localStorage"`
	// FastImagePull downloads and unpacks several layers of an image at a time (SOCI), with a faster disk where images are not on the
	// NVMe disks of eks.localStorage. AWS calls it experimental.
	FastImagePull bool `key:"fastImagePull"`
	// AlternativeInstanceTypes are further types for the GPU nodes besides nodePools.gpu.machineType,
	// with as many GPUs of no less memory.
	AlternativeInstanceTypes []string `key:"alternativeInstanceTypes" example:"[g5.xlarge]"`
	// CapacityReservation is an On-Demand Capacity Reservation that the GPU nodes come from: its id, or the ARN of a resource group of
	// several. With an id, nodes come from it or not at all.
	CapacityReservation string `key:"capacityReservation" unset:"none" pattern:"^(cr-[0-9a-f]+|arn:aws[a-z-]*:resource-groups:[a-z0-9-]+:[0-9]{12}:group/[A-Za-z0-9_.-]+)$" example:"cr-0123456789abcdef0" allowed:"the id of a Capacity Reservation (cr-...), or the ARN of a resource group of them (arn:aws:resource-groups:<region>:<account>:group/<name>)" hint:"run 'aws ec2 describe-capacity-reservations' to see yours"`
	// CapacityBlock is the id of a Capacity Block for ML that the GPU nodes come from. Without nodes outside of its time.
	CapacityBlock string `key:"capacityBlock" unset:"none" pattern:"^cr-[0-9a-f]+$" example:"cr-0123456789abcdef1" allowed:"the id of a Capacity Block: cr-..." hint:"run 'aws ec2 describe-capacity-reservations --filters Name=reservation-type,Values=capacity-block' to see yours"`
	// IdleTime is how long a node without a GPU pod is kept.
	IdleTime time.Duration `key:"idleTime" default:"10m" min:"0s" example:"20m"`
	// NodeSecurityGroupIDs are security groups that the GPU nodes get besides the cluster's own: those of the other nodes,
	// where these do not have the cluster's.
	NodeSecurityGroupIDs []string `key:"nodeSecurityGroupIds" when:"attach" pattern:"^sg-[0-9a-f]+$" example:"[sg-0a]" allowed:"ids of security groups: sg-..."`
	// NodeAutoscalerInstalled is true where the cluster has cluster-autoscaler. It is false with Karpenter, which scales no
	// node group.
	NodeAutoscalerInstalled bool `key:"nodeAutoscalerInstalled" when:"attach"`
	// DevicePluginInstalled is true where the cluster has NVIDIA's device plugin.
	DevicePluginInstalled bool `key:"devicePluginInstalled" when:"attach"`
}
