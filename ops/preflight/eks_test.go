package preflight

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preview/plan"
)

const (
	eksClusterInputs = `{"name": "vllm-eks", "roleArn": "UNKNOWN", "encryptionConfig": {"provider": {"keyArn": "UNKNOWN"}},
		"upgradePolicy": {"supportType": "STANDARD"}, "vpcConfig": {"subnetIds": ["UNKNOWN", "UNKNOWN"]}}`
	eksSystemInputs = `{"amiType": "AL2023_x86_64_STANDARD", "capacityType": "ON_DEMAND", "instanceTypes": ["m6i.large"], "subnetIds": ["UNKNOWN"],
		"scalingConfig": {"desiredSize": 2, "maxSize": 4, "minSize": 2}}`
	eksGPUInputs = `{"amiType": "AL2023_x86_64_NVIDIA", "capacityType": "ON_DEMAND", "instanceTypes": ["g6.xlarge"], "subnetIds": ["UNKNOWN", "UNKNOWN"],
		"scalingConfig": {"desiredSize": 0, "maxSize": 4, "minSize": 0}}`
)

// eksSteps are the steps that create a stack on AWS, as its recorded preview has them.
func eksSteps(t *testing.T) []plan.Step {
	return []plan.Step{
		create(t, "pulumi:providers:aws", "cluster-aws", `{"region": "us-east-1"}`),
		create(t, eksVPC, "cluster-vpc", `{"cidrBlock": "10.0.0.0/16"}`),
		create(t, eksAddress, "cluster-nat-a", `{"domain": "vpc"}`),
		create(t, eksSubnet, "cluster-private-a", `{"availabilityZone": "us-east-1a", "vpcId": "UNKNOWN"}`),
		create(t, eksSubnet, "cluster-private-b", `{"availabilityZone": "us-east-1b", "vpcId": "UNKNOWN"}`),
		create(t, eksLogGroup, "cluster-logs", `{"name": "/aws/eks/vllm-eks/cluster"}`),
		create(t, eksLaunchTemplate, "cluster-gpu", `{"blockDeviceMappings": [{"ebs": {"encrypted": "true"}}]}`),
		create(t, eksCluster, "cluster-cluster", eksClusterInputs),
		create(t, eksPool, "cluster-gpu", eksGPUInputs),
		create(t, eksPool, "cluster-system", eksSystemInputs),
	}
}

// eksQuota has the form of `aws service-quotas get-service-quota`
// (https://docs.aws.amazon.com/cli/latest/reference/service-quotas/get-service-quota.html).
func eksQuota(value string) string {
	return `{"Quota": {"ServiceCode": "ec2", "QuotaCode": "L-0", "QuotaName": "name", "Value": ` + value + `, "Unit": "None", "Adjustable": true}}`
}

// eksOffers has the form of `aws ec2 describe-instance-type-offerings`
// (https://docs.aws.amazon.com/cli/latest/reference/ec2/describe-instance-type-offerings.html).
func eksOffers(zones ...string) string {
	var all []string
	for _, zone := range zones {
		all = append(all, `{"InstanceType": "g6.xlarge", "LocationType": "availability-zone", "Location": "`+zone+`"}`)
	}
	return `{"InstanceTypeOfferings": [` + strings.Join(all, ", ") + `]}`
}

// eksZone has the form of `aws ec2 describe-availability-zones`
// (https://docs.aws.amazon.com/cli/latest/reference/ec2/describe-availability-zones.html).
func eksZone(name, id string) string {
	return `{"AvailabilityZones": [{"State": "available", "ZoneName": "` + name + `", "ZoneId": "` + id + `", "ZoneType": "availability-zone"}]}`
}

// eksTypes has the form of `aws ec2 describe-instance-types`
// (https://docs.aws.amazon.com/cli/latest/reference/ec2/describe-instance-types.html).
const eksTypes = `{"InstanceTypes": [
	{"InstanceType": "g6.xlarge", "VCpuInfo": {"DefaultVCpus": 4, "DefaultCores": 2, "DefaultThreadsPerCore": 2}},
	{"InstanceType": "g5.2xlarge", "VCpuInfo": {"DefaultVCpus": 8}}, {"InstanceType": "m6i.large", "VCpuInfo": {"DefaultVCpus": 2}}]}`

// eksInstances has the form of `aws ec2 describe-instances`
// (https://docs.aws.amazon.com/cli/latest/reference/ec2/describe-instances.html): two vCPUs of standard machines, 8 of G machines
// on demand and 4 on spot.
const eksInstances = `{"Reservations": [{"Instances": [
	{"InstanceType": "m5.large", "State": {"Name": "running"}, "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 2}},
	{"InstanceType": "g5.2xlarge", "CpuOptions": {"CoreCount": 4, "ThreadsPerCore": 2}}]},
	{"Instances": [{"InstanceType": "g6.xlarge", "InstanceLifecycle": "spot", "CpuOptions": {"CoreCount": 2, "ThreadsPerCore": 2}}]}]}`

// eksVersions has the form of `aws eks describe-cluster-versions`
// (https://docs.aws.amazon.com/cli/latest/reference/eks/describe-cluster-versions.html).
const eksVersions = `{"clusterVersions": [
	{"clusterVersion": "1.34", "clusterType": "eks", "defaultVersion": true, "status": "standard-support", "versionStatus": "STANDARD_SUPPORT"},
	{"clusterVersion": "1.31", "clusterType": "eks", "defaultVersion": false, "versionStatus": "EXTENDED_SUPPORT"}]}`

// eksMissing returns the message of the AWS CLI for something that does not exist.
func eksMissing(code, operation string) string {
	return "error: \nAn error occurred (" + code + ") when calling the " + operation + " operation: it does not exist\n"
}

// eksAccount answers for an account that has everything.
func eksAccount(t *testing.T) *fake {
	return (&fake{t: t, programs: []string{"aws"}}).with(map[string]string{
		// https://docs.aws.amazon.com/cli/latest/reference/sts/get-caller-identity.html
		"sts get-caller-identity":                  `{"UserId": "AIDA", "Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"}`,
		"service-quotas get-service-quota":         eksQuota("64.0"),
		"ec2 describe-instance-type-offerings":     eksOffers("us-east-1a", "us-east-1b"),
		"ec2 describe-instance-types":              eksTypes,
		"ec2 describe-instances":                   eksInstances,
		"ec2 describe-vpcs":                        `{"Vpcs": [{"VpcId": "vpc-1", "IsDefault": true}]}`,
		"ec2 describe-addresses":                   `{"Addresses": []}`,
		"describe-availability-zones --zone-names": eksZone("us-east-1a", "use1-az1"),
		"ec2 get-ebs-default-kms-key-id":           `{"KmsKeyId": "alias/aws/ebs"}`,
		"eks describe-cluster --name":              eksMissing("ResourceNotFoundException", "DescribeCluster"),
		"eks describe-cluster-versions":            eksVersions,
		"logs describe-log-groups":                 `{"logGroups": []}`,
		"iam get-role --role-name admin":           `{"Role": {"RoleName": "admin"}}`,
		"kms describe-key":                         `{"KeyMetadata": {"KeyId": "k", "Enabled": true, "KeyState": "Enabled"}}`,
		// https://docs.aws.amazon.com/cli/latest/reference/ec2/describe-subnets.html
		"ec2 describe-subnets": `{"Subnets": [
			{"SubnetId": "subnet-0a", "VpcId": "vpc-1", "AvailabilityZone": "us-east-1a", "AvailabilityZoneId": "use1-az1", "AvailableIpAddressCount": 251},
			{"SubnetId": "subnet-0b", "VpcId": "vpc-1", "AvailabilityZone": "us-east-1b", "AvailabilityZoneId": "use1-az2"}]}`,
	})
}

func TestEKSAccountWithEverything(t *testing.T) {
	account := eksAccount(t)
	result := check(t, planOf(nil, eksSteps(t)...), account)
	assert.Empty(t, result.problems())
	assert.Equal(t, []string{"disk-key", "gpu-quota", "login", "machine-types", "names-free", "network-quota", "zones"}, result.names())
	for _, call := range account.calls {
		assert.Regexp(t, `^aws [a-z0-9-]+ (describe|get)-[a-z-]+ .*--region us-east-1 --output json$`, call, "only reading, in the stack's region")
	}
	assert.Len(t, account.calls, len(unique(account.calls)), "the same question once")
}

// edited returns the steps of eksSteps with another text in the inputs of a resource.
func edited(steps func(*testing.T) []plan.Step, t *testing.T, name, text string) []plan.Step {
	all := steps(t)
	for i := range all {
		if all[i].Name == name {
			all[i].New.Inputs = inputs(t, text)
		}
	}
	return all
}

func TestEKS(t *testing.T) {
	const raiseG = "aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 --quota-code L-DB2E81BA --desired-value "
	for name, test := range map[string]struct {
		// resource is the name of a resource, inputs are its other inputs.
		resource, inputs string
		keys             map[string]string
		answers          map[string]string
		check            string
		want             []string
	}{
		"no vCPUs of G machines": {
			answers: map[string]string{"--quota-code L-DB2E81BA": eksQuota("0.0"), "ec2 describe-instances": `{"Reservations": []}`}, check: "gpu-quota",
			want: []string{"failed Running On-Demand G and VT instances (L-DB2E81BA) in us-east-1: 0 vCPUs of 0 free: " +
				"the first nodes need 4, the pools at their maximum 16; " + raiseG + "16"},
		},
		"others use them": {
			answers: map[string]string{"--quota-code L-DB2E81BA": eksQuota("16.0")}, check: "gpu-quota",
			want: []string{"warning Running On-Demand G and VT instances (L-DB2E81BA) in us-east-1: 8 vCPUs of 16 free: " +
				"enough to start, but the pools at their maximum need 16; " + raiseG + "24"},
		},
		"AWS' default, as the account has no value of its own": {
			answers: map[string]string{
				"get-service-quota --service-code ec2 --quota-code L-DB2E81BA":             eksMissing("NoSuchResourceException", "GetServiceQuota"),
				"get-aws-default-service-quota --service-code ec2 --quota-code L-DB2E81BA": eksQuota("0.0"),
				"ec2 describe-instances": eksMissing("UnauthorizedOperation", "DescribeInstances"),
			}, check: "gpu-quota",
			want: []string{"failed Running On-Demand G and VT instances (L-DB2E81BA) in us-east-1: limit 0 vCPUs: " +
				"the first nodes need 4, the pools at their maximum 16; " + raiseG + "16"},
		},
		"spot machines of two types, of which the larger counts": {
			resource: "cluster-gpu", inputs: strings.NewReplacer("ON_DEMAND", "SPOT", `["g6.xlarge"]`, `["g6.xlarge", "g5.2xlarge"]`).Replace(eksGPUInputs),
			answers: map[string]string{"--quota-code L-3819A6DF": eksQuota("8.0")}, check: "gpu-quota",
			want: []string{"failed All G and VT Spot Instance Requests (L-3819A6DF) in us-east-1: 4 vCPUs of 8 free: " +
				"the first nodes need 8, the pools at their maximum 32; " +
				"aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 --quota-code L-3819A6DF --desired-value 36"},
		},
		"may not read quotas": {
			answers: map[string]string{"service-quotas get-service-quota": eksMissing("AccessDeniedException", "GetServiceQuota")}, check: "gpu-quota",
			want: []string{
				"unknown Running On-Demand G and VT instances (L-DB2E81BA) in us-east-1: the login may not run `aws service-quotas get-service-quota`: " +
					"docs/preflight.md lists the permissions",
				"unknown Running On-Demand Standard instances (L-1216C47A) in us-east-1: the login may not run `aws service-quotas get-service-quota`: " +
					"docs/preflight.md lists the permissions",
			},
		},
		"instance type in one of two zones": {
			answers: map[string]string{"Values=g6.xlarge": eksOffers("us-east-1b", "us-east-1c")}, check: "machine-types",
			want: []string{"warning g6.xlarge in us-east-1a, us-east-1b: us-east-1a does not have it, and node groups over such zones can fail; " +
				"leave them out of the pool's zones under nodePools, or of eks.gpuSubnetIds"},
		},
		"instance type in the GPU pool's own zone": {
			keys:    map[string]string{"nodePools": `{"gpu": {"zones": ["us-east-1b"]}}`},
			answers: map[string]string{"Values=g6.xlarge": eksOffers("us-east-1b")}, check: "machine-types",
		},
		"instance type in none of the zones": {
			answers: map[string]string{"Values=g6.xlarge": eksOffers("us-east-1c")}, check: "machine-types",
			want: []string{"failed g6.xlarge in us-east-1a, us-east-1b: none of the zones has it; us-east-1c have; " +
				"set the pool's machineType to another, or eks.zones or eks.subnetIds to zones that have it"},
		},
		"instance type that the region lacks": {
			answers: map[string]string{"Values=g6.xlarge": eksOffers(),
				"ec2 describe-instance-types": eksMissing("InvalidInstanceType", "DescribeInstanceTypes")},
			check: "machine-types",
			want:  []string{"failed g6.xlarge in us-east-1a, us-east-1b: no zone of the region has it; set the pool's machineType to another, or eks.region"},
		},
		"version that EKS does not offer": {
			resource: "cluster-cluster", inputs: strings.Replace(eksClusterInputs, `"name"`, `"version": "1.28", "name"`, 1), check: "kubernetes-version",
			want: []string{"failed Kubernetes 1.28: EKS does not offer it; set cluster.kubernetesVersion to one of: 1.34, 1.31"},
		},
		"version in extended support": {
			resource: "cluster-cluster", inputs: strings.Replace(eksClusterInputs, `"name"`, `"version": "1.31", "name"`, 1), check: "kubernetes-version",
			want: []string{"failed Kubernetes 1.31: in extended support, which eks.extendedSupport does not allow; set cluster.kubernetesVersion to one of: " +
				"1.34, 1.31"},
		},
		"version in extended support that is wanted": {
			resource: "cluster-cluster", check: "kubernetes-version",
			inputs: strings.NewReplacer(`"name"`, `"version": "1.31", "name"`, "STANDARD", "EXTENDED").Replace(eksClusterInputs),
		},
		"zone that EKS does not take": {
			answers: map[string]string{"--zone-names us-east-1b": eksZone("us-east-1b", "use1-az3")}, check: "zones",
			want: []string{"failed zone us-east-1b: EKS has no control plane in use1-az3; set eks.zones to others of `aws ec2 describe-availability-zones " +
				"--region us-east-1`"},
		},
		"zone that does not exist": {
			answers: map[string]string{"--zone-names us-east-1b": "error: An error occurred (InvalidParameterValue) when calling the DescribeAvailabilityZones " +
				"operation: Invalid availability zone: [us-east-1b]"},
			check: "zones",
			want:  []string{"failed zone us-east-1b: does not exist; set eks.zones to others of `aws ec2 describe-availability-zones --region us-east-1`"},
		},
		"given subnets": {
			resource: "cluster-cluster", inputs: strings.Replace(eksClusterInputs, `["UNKNOWN", "UNKNOWN"]`, `["subnet-0a", "subnet-0b"]`, 1), check: "names-exist",
		},
		"given subnets that do not exist": {
			resource: "cluster-cluster", inputs: strings.Replace(eksClusterInputs, `["UNKNOWN", "UNKNOWN"]`, `["subnet-0a", "subnet-0b"]`, 1), check: "names-exist",
			answers: map[string]string{"ec2 describe-subnets": eksMissing("InvalidSubnetID.NotFound", "DescribeSubnets")},
			want: []string{"failed subnets subnet-0a, subnet-0b: does not exist; set eks.subnetIds to private subnets of `aws ec2 describe-subnets --region " +
				"us-east-1`"},
		},
		"given subnets in one zone": {
			resource: "cluster-cluster", inputs: strings.Replace(eksClusterInputs, `["UNKNOWN", "UNKNOWN"]`, `["subnet-0a", "subnet-0b"]`, 1), check: "names-exist",
			answers: map[string]string{"ec2 describe-subnets": `{"Subnets": [
				{"SubnetId": "subnet-0a", "VpcId": "v", "AvailabilityZone": "us-east-1a"}, {"SubnetId": "subnet-0b", "VpcId": "v", "AvailabilityZone": "us-east-1a"}]}`},
			want: []string{"failed subnets subnet-0a, subnet-0b: all in zone us-east-1a, and EKS needs two; set eks.subnetIds to private subnets of `aws ec2 " +
				"describe-subnets --region us-east-1`"},
		},
		"key that is disabled": {
			resource: "cluster-cluster", inputs: strings.Replace(eksClusterInputs, `{"keyArn": "UNKNOWN"}`, `{"keyArn": "arn:aws:kms:us-east-1:123456789012:key/k"}`, 1),
			check:   "names-exist",
			answers: map[string]string{"kms describe-key": `{"KeyMetadata": {"KeyState": "Disabled"}}`},
			want: []string{"failed key arn:aws:kms:us-east-1:123456789012:key/k: is Disabled; " +
				"aws kms enable-key --region us-east-1 --key-id arn:aws:kms:us-east-1:123456789012:key/k"},
		},
		"cluster and log group that are there": {
			answers: map[string]string{"eks describe-cluster " +
				"--name": `{"cluster": {"name": "vllm-eks"}}`, "logs describe-log-groups": `{"logGroups": [{"logGroupName": "/aws/eks/vllm-eks/cluster"}]}`},
			check: "names-free",
			want: []string{
				"failed cluster vllm-eks: there is one already, which the stack does not own; set another cluster.name, or attach to it with cluster.existing",
				"failed log group /aws/eks/vllm-eks/cluster: there is one already, which the stack does not own; " +
					"aws logs delete-log-group --region us-east-1 --log-group-name /aws/eks/vllm-eks/cluster",
			},
		},
		"log group of a longer name": {
			answers: map[string]string{"logs describe-log-groups": `{"logGroups": [{"logGroupName": "/aws/eks/vllm-eks/cluster-2"}]}`}, check: "names-free",
		},
		"no address left": {
			answers: map[string]string{"--quota-code L-0263D0A3": eksQuota("5.0"), "ec2 describe-addresses": `{"Addresses": [{}, {}, {}, {}, {}]}`},
			check:   "network-quota",
			want: []string{"failed EC2-VPC Elastic IPs (L-0263D0A3) in us-east-1: 0 addresses of 5 free: 1 needed; " +
				"aws service-quotas request-service-quota-increase --region us-east-1 --service-code ec2 --quota-code L-0263D0A3 --desired-value 6"},
		},
		"default key of disks that is the customer's": {
			answers: map[string]string{"get-ebs-default-kms-key-id": `{"KmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/k"}`}, check: "disk-key",
			want: []string{"warning default key of disks in us-east-1: a key of yours: machines do not start unless Auto Scaling may use it; " +
				"aws kms create-grant --region us-east-1 --key-id arn:aws:kms:us-east-1:123456789012:key/k --grantee-principal " +
				"arn:aws:iam::ACCOUNT:role/aws-service-role/" +
				"autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling --operations Encrypt Decrypt ReEncryptFrom ReEncryptTo " +
				"GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			steps := edited(eksSteps, t, test.resource, test.inputs)
			if test.resource == "" {
				steps = eksSteps(t)
			}
			result := check(t, planOf(test.keys, steps...), eksAccount(t).with(test.answers))
			assert.Equal(t, test.want, result.lines(test.check))
			assert.Contains(t, result.names(), test.check)
		})
	}
}

// The pool of one server has the zones of its own keys, and those of nodePools.gpu are for the others.
func TestEKSZonesOfAServersPool(t *testing.T) {
	own := strings.NewReplacer("g6.xlarge", "g6e.xlarge", `"amiType"`, `"tags": {"vllm-autoscaling.pool": "gpu-code"}, "amiType"`).Replace(eksGPUInputs)
	for name, test := range map[string]struct{ servers, asked string }{
		"its own":         {`{"chat": {}, "code": {"nodePool": {"zones": ["us-east-1a"]}}}`, "g6e.xlarge in us-east-1a"},
		"it has none":     {`{"chat": {}, "code": {"nodePool": {"minNodes": 1}}}`, "g6e.xlarge in us-east-1a, us-east-1b"},
		"another server":  {`{"chat": {"nodePool": {"zones": ["us-east-1a"]}}, "code": {}}`, "g6e.xlarge in us-east-1b"},
		"no server there": {``, "g6e.xlarge in us-east-1b"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := map[string]string{"nodePools": `{"gpu": {"zones": ["us-east-1b"]}}`, "servers": test.servers}
			steps := append(eksSteps(t), create(t, eksPool, "cluster-gpu-code", own))
			result := check(t, planOf(keys, steps...), eksAccount(t).with(map[string]string{
				"Values=g6.xlarge": eksOffers("us-east-1b"), "Values=g6e.xlarge": eksOffers("us-east-1c"),
			}))
			lines := result.lines("machine-types")
			require.Len(t, lines, 1, "the shared pool's zone has its machine type")
			assert.True(t, strings.HasPrefix(lines[0], "failed "+test.asked+": none of the zones has it"), lines[0])
		})
	}
}

// Nothing is concluded from the account of another login.
func TestEKSLogin(t *testing.T) {
	for name, test := range map[string]struct {
		provider string
		answers  map[string]string
		want     string
	}{
		"none": {`{"region": "us-east-1"}`, map[string]string{"sts": "error: \nUnable to locate credentials. You can configure credentials by running \"aws " +
			"configure\".\n"},
			"unknown login: aws sts get-caller-identity: aws is not logged in: run `aws sso login` or `aws configure`"},
		"another account": {`{"region": "us-east-1", "allowedAccountIds": ["999999999999"]}`, nil,
			"failed login: aws sts get-caller-identity: account 123456789012, and eks.accountId allows 999999999999 only; log in to that account, or set eks.profile"},
		"a role of another account": {`{"region": "us-east-1", "assumeRole": {"roleArn": "arn:aws:iam::999999999999:role/deploy"}}`, nil,
			"unknown login: aws sts get-caller-identity: the login is of account 123456789012, the stack assumes a role of account 999999999999: " +
				"run it with a profile that assumes the role (AWS_PROFILE)"},
	} {
		t.Run(name, func(t *testing.T) {
			account := eksAccount(t).with(test.answers)
			result := check(t, planOf(nil, edited(eksSteps, t, "cluster-aws", test.provider)...), account)
			assert.Equal(t, []string{test.want}, result.problems())
			assert.Len(t, account.calls, 1, "nothing else is asked")
		})
	}
	account := eksAccount(t)
	result := check(t, planOf(nil, edited(eksSteps, t, "cluster-aws", `{"region": "us-east-1", "profile": "prod",
		"assumeRole": {"roleArn": "arn:aws:iam::123456789012:role/deploy"}}`)...), account)
	assert.Empty(t, result.problems())
	for _, call := range account.calls {
		assert.True(t, strings.HasSuffix(call, " --profile prod"), call)
	}
}

func TestEKSQuotaOfMachines(t *testing.T) {
	for machineType, want := range map[string][2]awsQuota{
		"g6.xlarge": {onDemandG, spotG}, "gr6.4xlarge": {onDemandG, spotG}, "g6e.xlarge": {onDemandG, spotG}, "vt1.3xlarge": {onDemandG, spotG},
		"p4d.24xlarge": {onDemandP, spotP}, "p5.48xlarge": {onDemandP, spotP5}, "p5en.48xlarge": {onDemandP, spotP5}, "p6-b200.48xlarge": {onDemandP, {}},
		"m6i.large": {onDemandStandard, spotStandard}, "t3.large": {onDemandStandard, spotStandard}, "c7g.xlarge": {onDemandStandard, spotStandard},
		"inf2.xlarge": {}, "trn1.2xlarge": {}, "hpc7a.12xlarge": {}, "x2idn.16xlarge": {}, "dl1.24xlarge": {}, "u-6tb1.metal": {},
	} {
		for i, spot := range []bool{false, true} {
			got, ok := quotaOf(machineType, spot)
			assert.Equal(t, want[i], got, machineType)
			assert.Equal(t, want[i] != awsQuota{}, ok, machineType)
		}
	}
}

// A GPU pool that is added to an existing cluster: subnets are named, and the cluster is not checked.
func TestEKSAttached(t *testing.T) {
	steps := []plan.Step{
		create(t, "pulumi:providers:aws", "cluster-aws", `{"region": "us-east-1"}`),
		create(t, eksPool, "cluster-gpu", strings.Replace(eksGPUInputs, `["UNKNOWN", "UNKNOWN"]`, `["subnet-0a", "subnet-0b"]`, 1)),
	}
	result := check(t, planOf(nil, steps...), eksAccount(t).with(map[string]string{"Values=g6.xlarge": eksOffers("us-east-1a")}))
	assert.Equal(t, []string{"gpu-quota", "login", "machine-types"}, result.names())
	assert.Equal(t, []string{"warning g6.xlarge in us-east-1a, us-east-1b: us-east-1b does not have it, and node groups over such zones can fail; " +
		"leave them out of the pool's zones under nodePools, or of eks.gpuSubnetIds"}, result.lines("machine-types"))
}
