package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/ops/preview/plan"
)

// Types of AWS' resources.
const (
	eksCluster        = "aws:eks/cluster:Cluster"
	eksPool           = "aws:eks/nodeGroup:NodeGroup"
	eksAccess         = "aws:eks/accessEntry:AccessEntry"
	eksLogGroup       = "aws:cloudwatch/logGroup:LogGroup"
	eksVPC            = "aws:ec2/vpc:Vpc"
	eksSubnet         = "aws:ec2/subnet:Subnet"
	eksAddress        = "aws:ec2/eip:Eip"
	eksLaunchTemplate = "aws:ec2/launchTemplate:LaunchTemplate"
)

var eks = cloud{
	name: "eks", program: "aws", questions: eksQuestions,
	errors: messages{
		loggedOut: []string{
			"Unable to locate credentials", "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure",
			"The config profile", "Error loading SSO Token", "Token has expired", "session has expired",
		},
		denied:   []string{"AccessDenied", "UnauthorizedOperation", "not authorized"},
		disabled: []string{"OptInRequired", "SubscriptionRequiredException"},
		missing: []string{
			"ResourceNotFoundException", "NoSuchEntity", "NoSuchResourceException", ".NotFound", "NotFoundException",
			"Invalid availability zone", "InvalidInstanceType",
		},
		logIn: "aws sso login` or `aws configure",
	},
}

// eksPlan is what a plan needs of AWS.
type eksPlan struct {
	region, profile, role     string
	accounts                  []string
	clusters, pools           []planned
	logs, vpcs, addresses     []planned
	subnets, access, template []planned
	// gpuZones are the zones of the GPU pool, where the stack names them.
	gpuZones []string
	// ownZones are those of the GPU pools of single servers, by the name of the pool.
	ownZones map[string][]string
}

func eksQuestions(p *plan.Plan) (*question, []question) {
	account, ok := provider(p, "aws")
	if !ok || destroys(p) {
		return nil, nil
	}
	e := &eksPlan{
		region: known(account, "region"), profile: known(account, "profile"), role: known(account, "assumeRole.roleArn"),
		accounts: knownList(account, "allowedAccountIds"),
		clusters: creating(p, is(eksCluster)), pools: changing(p, is(eksPool)),
		logs: creating(p, is(eksLogGroup)), vpcs: creating(p, is(eksVPC)), addresses: creating(p, is(eksAddress)),
		subnets: creating(p, is(eksSubnet)), access: creating(p, is(eksAccess)), template: creating(p, is(eksLaunchTemplate)),
		gpuZones: poolZones(p, "gpu"), ownZones: ownPoolZones(p),
	}
	e.pools = slices.DeleteFunc(e.pools, func(r planned) bool {
		return r.op == plan.OpUpdate && (r.old == nil || count(r.Resource, "scalingConfig.maxSize") <= count(*r.old, "scalingConfig.maxSize"))
	})
	if len(e.clusters)+len(e.pools) == 0 || e.region == "" {
		return nil, nil
	}
	questions := []question{{"machine-types", e.instanceTypes}, {"gpu-quota", e.vcpuQuotas}, {"disk-key", e.diskKey}}
	if len(e.clusters) > 0 {
		questions = append(questions,
			question{"kubernetes-version", e.version}, question{"zones", e.zones}, question{"names-exist", e.namesExist},
			question{"names-free", e.namesFree}, question{"network-quota", e.networkQuotas})
	}
	return &question{"login", e.login}, questions
}

// aws returns the arguments of a command, in the stack's region and with its profile.
func (e *eksPlan) aws(args ...string) []string {
	args = append(args, "--region", e.region, "--output", "json")
	if e.profile != "" {
		args = append(args, "--profile", e.profile)
	}
	return args
}

// login checks whose credentials the CLI has.
func (e *eksPlan) login(ctx context.Context, c *cli) []Check {
	var caller struct {
		Account string `json:"Account"`
		Arn     string `json:"Arn"`
	}
	const asked = "aws sts get-caller-identity"
	if err := c.read(ctx, &caller, e.aws("sts", "get-caller-identity")...); err != nil {
		return []Check{unknown(asked, err)}
	}
	if e.role != "" {
		// The stack acts as this role; the login's own account may be another one.
		if account := accountOf(e.role); account != caller.Account {
			return []Check{unknown(asked, fmt.Errorf("the login is of account %s, the stack assumes a role of account %s: "+
				"run it with a profile that assumes the role (AWS_PROFILE)", caller.Account, account))}
		}
	}
	if len(e.accounts) > 0 && !slices.Contains(e.accounts, caller.Account) {
		return []Check{failed(asked, fmt.Sprintf("account %s, and eks.accountId allows %s only", caller.Account, strings.Join(e.accounts, ", ")),
			"log in to that account, or set eks.profile")}
	}
	return []Check{passed(asked, "account %s", caller.Account)}
}

// accountOf returns the account of an ARN.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// version checks that EKS creates clusters of the version.
func (e *eksPlan) version(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, cluster := range e.clusters {
		version := known(cluster.Resource, "version")
		if version == "" {
			continue // EKS' default.
		}
		var answer struct {
			ClusterVersions []struct {
				ClusterVersion string `json:"clusterVersion"`
				VersionStatus  string `json:"versionStatus"`
			} `json:"clusterVersions"`
		}
		asked := "Kubernetes " + version
		if err := c.read(ctx, &answer, e.aws("eks", "describe-cluster-versions")...); err != nil {
			checks = append(checks, unknown(asked, err))
			continue
		}
		status := ""
		var offered []string
		for _, v := range answer.ClusterVersions {
			offered = append(offered, v.ClusterVersion)
			if v.ClusterVersion == version {
				status = v.VersionStatus
			}
		}
		fix := "set cluster.kubernetesVersion to one of: " + strings.Join(offered, ", ")
		switch {
		case status == "" || status == "UNSUPPORTED":
			checks = append(checks, failed(asked, "EKS does not offer it", fix))
		case status == "EXTENDED_SUPPORT" && known(cluster.Resource, "upgradePolicy.supportType") != "EXTENDED":
			checks = append(checks, failed(asked, "in extended support, which eks.extendedSupport does not allow", fix))
		default:
			checks = append(checks, passed(asked, "%s", strings.ToLower(strings.ReplaceAll(status, "_", " "))))
		}
	}
	return checks
}

// noControlPlane are the zones in which EKS takes no subnets for a cluster, by id: names differ between accounts (EKS user guide,
// "VPC and subnet requirements").
var noControlPlane = []string{"use1-az3", "usw1-az2", "cac1-az3"}

// zones checks the zones of the VPC that is created.
func (e *eksPlan) zones(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, zone := range e.plannedZones() {
		var answer struct {
			AvailabilityZones []struct {
				State    string `json:"State"`
				ZoneID   string `json:"ZoneId"`
				ZoneType string `json:"ZoneType"`
			} `json:"AvailabilityZones"`
		}
		asked := "zone " + zone
		list := fmt.Sprintf("set eks.zones to others of `aws ec2 describe-availability-zones --region %s`", e.region)
		err := c.read(ctx, &answer, e.aws("ec2", "describe-availability-zones", "--zone-names", zone)...)
		switch {
		case err != nil || len(answer.AvailabilityZones) == 0:
			checks = append(checks, exists(asked, err, list))
		case answer.AvailabilityZones[0].State != "available":
			checks = append(checks, failed(asked, answer.AvailabilityZones[0].State, list))
		case slices.Contains(noControlPlane, answer.AvailabilityZones[0].ZoneID):
			checks = append(checks, failed(asked, "EKS has no control plane in "+answer.AvailabilityZones[0].ZoneID, list))
		case answer.AvailabilityZones[0].ZoneType != "" && answer.AvailabilityZones[0].ZoneType != "availability-zone":
			checks = append(checks, failed(asked, "is a "+answer.AvailabilityZones[0].ZoneType, list))
		default:
			checks = append(checks, passed(asked, "available"))
		}
	}
	return checks
}

// plannedZones returns the zones of the subnets that are created.
func (e *eksPlan) plannedZones() []string {
	var zones []string
	for _, subnet := range e.subnets {
		zones = append(zones, known(subnet.Resource, "availabilityZone"))
	}
	return unique(zones)
}

// namesExist checks what the stack names and does not create: subnets, roles and users with access, and the key of secrets.
func (e *eksPlan) namesExist(ctx context.Context, c *cli) []Check {
	checks := e.givenSubnets(ctx, c)
	for _, entry := range e.access {
		arn := known(entry.Resource, "principalArn")
		_, path, _ := strings.Cut(arn, ":iam::")
		_, path, _ = strings.Cut(path, ":")
		kind, _, _ := strings.Cut(path, "/")
		var found struct{}
		switch kind {
		case "role":
			err := c.read(ctx, &found, e.aws("iam", "get-role", "--role-name", lastPart(path))...)
			checks = append(checks, exists("role "+arn, err, "correct eks.admins or eks.viewers: `aws iam list-roles` lists the account's"))
		case "user":
			err := c.read(ctx, &found, e.aws("iam", "get-user", "--user-name", lastPart(path))...)
			checks = append(checks, exists("user "+arn, err, "correct eks.admins or eks.viewers: `aws iam list-users` lists the account's"))
		}
	}
	for _, cluster := range e.clusters {
		key := known(cluster.Resource, "encryptionConfig.provider.keyArn")
		if key == "" {
			continue
		}
		var answer struct {
			KeyMetadata struct {
				KeyState string `json:"KeyState"`
			} `json:"KeyMetadata"`
		}
		err := c.read(ctx, &answer, e.aws("kms", "describe-key", "--key-id", key)...)
		check := exists("key "+key, err, fmt.Sprintf("set eks.secretsKeyArn to one of `aws kms list-keys --region %s`", e.region))
		if err == nil && answer.KeyMetadata.KeyState != "Enabled" {
			check = failed("key "+key, "is "+answer.KeyMetadata.KeyState, "aws kms enable-key --region "+e.region+" --key-id "+key)
		}
		checks = append(checks, check)
	}
	return checks
}

// givenSubnets checks the subnets of eks.subnetIds: they exist, are of one VPC and in two zones that have a control plane.
func (e *eksPlan) givenSubnets(ctx context.Context, c *cli) []Check {
	var ids []string
	for _, cluster := range e.clusters {
		ids = append(ids, knownList(cluster.Resource, "vpcConfig.subnetIds")...)
	}
	if ids = unique(ids); len(ids) == 0 {
		return nil
	}
	asked := "subnets " + strings.Join(ids, ", ")
	fix := fmt.Sprintf("set eks.subnetIds to private subnets of `aws ec2 describe-subnets --region %s`", e.region)
	subnets, err := e.subnetsOf(ctx, c, ids)
	if err != nil {
		return []Check{exists(asked, err, fix)}
	}
	var vpcs, zones []string
	for _, s := range subnets {
		vpcs, zones = append(vpcs, s.VPC), append(zones, s.Zone)
		if slices.Contains(noControlPlane, s.ZoneID) {
			return []Check{failed("subnet "+s.ID, "EKS has no control plane in "+s.ZoneID, fix)}
		}
	}
	switch {
	case len(unique(vpcs)) > 1:
		return []Check{failed(asked, "of several VPCs: "+strings.Join(unique(vpcs), ", "), fix)}
	case len(unique(zones)) < 2:
		return []Check{failed(asked, "all in zone "+strings.Join(unique(zones), ", ")+", and EKS needs two", fix)}
	}
	return []Check{passed(asked, "exist, in zones %s", strings.Join(unique(zones), ", "))}
}

// subnet is an entry of the CLI's list of subnets.
type subnet struct {
	ID     string `json:"SubnetId"`
	VPC    string `json:"VpcId"`
	Zone   string `json:"AvailabilityZone"`
	ZoneID string `json:"AvailabilityZoneId"`
}

func (e *eksPlan) subnetsOf(ctx context.Context, c *cli, ids []string) ([]subnet, error) {
	var answer struct {
		Subnets []subnet `json:"Subnets"`
	}
	err := c.read(ctx, &answer, e.aws(append([]string{"ec2", "describe-subnets", "--subnet-ids"}, ids...)...)...)
	return answer.Subnets, err
}

// namesFree checks that nothing has the fixed names of what is created: the cluster, and its log group, which outlives a
// cluster that was deleted while it still wrote logs.
func (e *eksPlan) namesFree(ctx context.Context, c *cli) []Check {
	var checks []Check
	for _, cluster := range e.clusters {
		name := known(cluster.Resource, "name")
		if name == "" || !cluster.created() {
			continue
		}
		var found struct{}
		err := c.read(ctx, &found, e.aws("eks", "describe-cluster", "--name", name)...)
		checks = append(checks, taken("cluster "+name, err, "set another cluster.name, or attach to it with cluster.existing"))
	}
	for _, group := range e.logs {
		name := known(group.Resource, "name")
		if name == "" || !group.created() {
			continue
		}
		var answer struct {
			LogGroups []struct {
				Name string `json:"logGroupName"`
			} `json:"logGroups"`
		}
		err := c.read(ctx, &answer, e.aws("logs", "describe-log-groups", "--log-group-name-prefix", name)...)
		if err == nil && !slices.ContainsFunc(answer.LogGroups, func(g struct {
			Name string `json:"logGroupName"`
		}) bool {
			return g.Name == name
		}) {
			err = errMissing
		}
		checks = append(checks, taken("log group "+name, err, fmt.Sprintf("aws logs delete-log-group --region %s --log-group-name %s", e.region, name)))
	}
	return checks
}

// defaultDiskKey is the alias of the key that AWS manages for disks.
const defaultDiskKey = "alias/aws/ebs"

// diskKey checks the account's default key of disks, which the nodes' encrypted volumes use.
func (e *eksPlan) diskKey(ctx context.Context, c *cli) []Check {
	own := slices.ContainsFunc(e.template, func(t planned) bool { return t.Has("blockDeviceMappings[0].ebs.kmsKeyId") })
	if own || len(e.template) == 0 {
		return nil
	}
	var answer struct {
		KmsKeyID string `json:"KmsKeyId"`
	}
	asked := "default key of disks in " + e.region
	err := c.read(ctx, &answer, e.aws("ec2", "get-ebs-default-kms-key-id")...)
	switch {
	case err != nil:
		return []Check{unknown(asked, err)}
	case answer.KmsKeyID == "" || strings.HasSuffix(answer.KmsKeyID, defaultDiskKey):
		return []Check{passed(asked, "AWS' own")}
	}
	return []Check{warning(asked, "a key of yours: machines do not start unless Auto Scaling may use it",
		fmt.Sprintf("aws kms create-grant --region %s --key-id %s --grantee-principal arn:aws:iam::ACCOUNT:role/aws-service-role/"+
			"autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling --operations Encrypt Decrypt ReEncryptFrom ReEncryptTo "+
			"GenerateDataKey GenerateDataKeyWithoutPlaintext DescribeKey CreateGrant", e.region, answer.KmsKeyID))}
}
