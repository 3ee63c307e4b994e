package cloud

import (
	"errors"
	"fmt"
	"strings"
)

// awsAnswers are the answers of the AWS CLI: an account that has everything, and what stacks have created in it.
var awsAnswers = answers{
	"sts get-caller-identity": func(*Cloud, question) (any, error) {
		return map[string]any{"Account": AWSAccount, "UserId": "AIDALAB", "Arn": "arn:aws:iam::" + AWSAccount + ":user/lab"}, nil
	},
	"service-quotas get-service-quota": func(_ *Cloud, q question) (any, error) {
		return map[string]any{"Quota": map[string]any{"QuotaCode": q.flag("--quota-code"), "Value": float64(plenty)}}, nil
	},
	"ec2 describe-instances": func(*Cloud, question) (any, error) { return map[string]any{"Reservations": []any{}}, nil },
	"ec2 describe-instance-types": func(_ *Cloud, q question) (any, error) {
		list := []any{}
		for _, name := range q.flags["--instance-types"] {
			cpus, _ := ec2MachineSize(name)
			list = append(list, map[string]any{"InstanceType": name, "VCpuInfo": map[string]any{"DefaultVCpus": cpus}})
		}
		return map[string]any{"InstanceTypes": list}, nil
	},
	"ec2 describe-instance-type-offerings": func(_ *Cloud, q question) (any, error) {
		_, machineType, ok := strings.Cut(q.flag("--filters"), "Name=instance-type,Values=")
		if !ok || q.flag("--location-type") != "availability-zone" {
			return nil, fmt.Errorf("the lab does not evaluate the filter %q", q.flag("--filters"))
		}
		list := []any{}
		for _, letter := range "abcd" {
			list = append(list, map[string]any{"InstanceType": machineType, "Location": q.flag("--region") + string(letter)})
		}
		return map[string]any{"InstanceTypeOfferings": list}, nil
	},
	"ec2 describe-availability-zones": func(_ *Cloud, q question) (any, error) {
		name := q.flag("--zone-names")
		if !strings.HasPrefix(name, q.flag("--region")) {
			return nil, fmt.Errorf("an error occurred (InvalidParameterValue) when calling the DescribeAvailabilityZones operation: Invalid availability zone: "+
				"[%s]", name)
		}
		// The ids of zones are those of no zone that EKS refuses.
		zone := map[string]any{"ZoneName": name, "ZoneId": "lab-" + name, "State": "available", "ZoneType": "availability-zone"}
		return map[string]any{"AvailabilityZones": []any{zone}}, nil
	},
	"ec2 describe-capacity-reservations": func(c *Cloud, q question) (any, error) {
		id := q.flag("--capacity-reservation-ids")
		r, ok := c.reservations[id]
		if !ok {
			return nil, fmt.Errorf("an error occurred (InvalidCapacityReservationId.NotFound) when calling the DescribeCapacityReservations operation: "+
				"The capacity reservation '%s' does not exist", id)
		}
		return map[string]any{"CapacityReservations": []any{map[string]any{
			"CapacityReservationId": id, "State": "active", "ReservationType": choice(r.Block, "capacity-block", "default"), "InstanceType": r.MachineType,
			"AvailabilityZone": r.Zone, "TotalInstanceCount": r.Machines, "AvailableInstanceCount": r.Machines,
		}}}, nil
	},
	"ec2 get-ebs-default-kms-key-id": func(*Cloud, question) (any, error) { return map[string]any{"KmsKeyId": "alias/aws/ebs"}, nil },
	"ec2 describe-vpcs": func(c *Cloud, _ question) (any, error) {
		return map[string]any{"Vpcs": c.names(AWSVpc, "id", "VpcId")}, nil
	},
	"ec2 describe-addresses": func(c *Cloud, _ question) (any, error) {
		return map[string]any{"Addresses": c.names(awsEIP, "id", "AllocationId")}, nil
	},
	"ec2 describe-subnets": func(c *Cloud, q question) (any, error) {
		list := []any{}
		for i, id := range q.flags["--subnet-ids"] {
			// The doubles take any subnets that are given, each in a zone of its own.
			entry := map[string]any{"SubnetId": id, "VpcId": "vpc-given", "AvailabilityZone": q.flag("--region") + string(rune('a'+i))}
			if r := c.find(AWSSubnet, "", id); r != nil {
				entry["VpcId"], entry["AvailabilityZone"] = object(r.Inputs).text("vpcId"), object(r.Inputs).text("availabilityZone")
			}
			list = append(list, entry)
		}
		return map[string]any{"Subnets": list}, nil
	},
	"eks describe-cluster": func(c *Cloud, q question) (any, error) {
		if !c.hasName(EKSCluster, "name", q.flag("--name")) {
			return nil, errors.New("an error occurred (ResourceNotFoundException) when calling the DescribeCluster operation: No cluster found for name: " +
				"" + q.flag("--name") + ".")
		}
		return map[string]any{"cluster": map[string]any{"name": q.flag("--name"), "status": "ACTIVE"}}, nil
	},
	"eks describe-cluster-versions": func(*Cloud, question) (any, error) {
		versions := []any{}
		for _, version := range []string{"1.36", "1.35", eksKubernetes, "1.33"} {
			versions = append(versions, map[string]any{"clusterVersion": version, "versionStatus": "STANDARD_SUPPORT"})
		}
		return map[string]any{"clusterVersions": versions}, nil
	},
	"logs describe-log-groups": func(c *Cloud, q question) (any, error) {
		groups := []any{}
		for _, group := range c.names(AWSLogGroup, "name", "logGroupName") {
			if strings.HasPrefix(group.(map[string]any)["logGroupName"].(string), q.flag("--log-group-name-prefix")) {
				groups = append(groups, group)
			}
		}
		return map[string]any{"logGroups": groups}, nil
	},
	"iam get-role": func(_ *Cloud, q question) (any, error) { return map[string]any{"Role": q.flag("--role-name")}, nil },
	"iam get-user": func(_ *Cloud, q question) (any, error) { return map[string]any{"User": q.flag("--user-name")}, nil },
	"kms describe-key": func(*Cloud, question) (any, error) {
		return map[string]any{"KeyMetadata": map[string]any{"KeyState": "Enabled"}}, nil
	},
}
