package cloud

import (
	"fmt"
	"strings"
)

// awsInvokes returns AWS' data sources by token.
func awsInvokes() map[string]invoke {
	missing := func(kind, name string) error {
		return fmt.Errorf("reading EKS %s (%s): couldn't find resource", kind, name)
	}
	return map[string]invoke{
		"aws:eks/getCluster:getCluster": func(c *Cloud, s Settings, args object) (object, error) {
			r := c.find(EKSCluster, "", args.text("name"))
			if r == nil || r.Region != s["region"] {
				return nil, missing("Cluster", args.text("name"))
			}
			out := object(r.Outputs)
			vpc := object{"subnetIds": orEmpty(out.at("vpcConfig.subnetIds")), "vpcId": "", "clusterSecurityGroupId": eksSecurityGroup(r.ID),
				"endpointPrivateAccess": out.flag("vpcConfig.endpointPrivateAccess"), "endpointPublicAccess": out.flag("vpcConfig.endpointPublicAccess"),
				"publicAccessCidrs": orEmpty(out.at("vpcConfig.publicAccessCidrs")), "securityGroupIds": []any{}}
			return object{
				"id": r.ID, "name": r.ID, "arn": out["arn"], "endpoint": out["endpoint"], "status": out["status"], "version": out["version"], "roleArn": out["roleArn"],
				"certificateAuthorities": out["certificateAuthorities"], "computeConfigs": one(out["computeConfig"]), "vpcConfig": map[string]any(vpc),
				"accessConfigs": one(out["accessConfig"]), "enabledClusterLogTypes": orEmpty(out["enabledClusterLogTypes"]),
			}, nil
		},
		"aws:eks/getAddon:getAddon": func(c *Cloud, _ Settings, args object) (object, error) {
			id := args.text("clusterName") + ":" + args.text("addonName")
			r := c.find(EKSAddon, "", id)
			if r == nil {
				return nil, missing("Add-On", id)
			}
			return object{"id": id, "addonName": args["addonName"], "clusterName": args["clusterName"], "arn": r.Outputs["arn"],
				"addonVersion": r.Outputs["addonVersion"]}, nil
		},
		"aws:eks/getNodeGroups:getNodeGroups": func(c *Cloud, _ Settings, args object) (object, error) {
			names := []any{}
			for _, r := range c.all(EKSNodeGroup, func(r *Resource) bool { return object(r.Inputs).text("clusterName") == args.text("clusterName") }) {
				names = append(names, r.Outputs["nodeGroupName"])
			}
			return object{"id": args["clusterName"], "clusterName": args["clusterName"], "names": names}, nil
		},
		"aws:eks/getNodeGroup:getNodeGroup": func(c *Cloud, _ Settings, args object) (object, error) {
			id := args.text("clusterName") + ":" + args.text("nodeGroupName")
			r := c.find(EKSNodeGroup, "", id)
			if r == nil {
				return nil, missing("Node Group", id)
			}
			out := object(r.Outputs)
			return object{
				"id": id, "clusterName": out["clusterName"], "nodeGroupName": out["nodeGroupName"], "amiType": orElse(out.text("amiType"), "AL2023_x86_64_STANDARD"),
				"capacityType": orElse(out.text("capacityType"), "ON_DEMAND"), "instanceTypes": orEmpty(out["instanceTypes"]), "labels": out["labels"],
				"taints": orEmpty(out["taints"]), "subnetIds": orEmpty(out["subnetIds"]), "status": out["status"], "arn": out["arn"], "version": out["version"],
				"nodeRoleArn": out["nodeRoleArn"], "resources": out["resources"], "scalingConfigs": one(out["scalingConfig"]),
				"launchTemplates": one(out["launchTemplate"]),
			}, nil
		},
		"aws:ec2/getSubnet:getSubnet": func(c *Cloud, _ Settings, args object) (object, error) {
			r := c.find(AWSSubnet, "", args.text("id"))
			if r == nil {
				return nil, fmt.Errorf("reading EC2 Subnet: no matching EC2 Subnet found")
			}
			out := object(r.Outputs)
			return object{"id": r.ID, "arn": out["arn"], "availabilityZone": out["availabilityZone"], "availabilityZoneId": out["availabilityZoneId"],
				"vpcId": out["vpcId"], "cidrBlock": out["cidrBlock"]}, nil
		},
		"aws:index/getAvailabilityZone:getAvailabilityZone": func(_ *Cloud, s Settings, args object) (object, error) {
			zone := args.text("name")
			if letter, found := strings.CutPrefix(zone, s["region"]); !found || !strings.Contains("abcdef", letter) || len(letter) != 1 {
				return nil, fmt.Errorf("fetching EC2 Availability Zone: api error InvalidParameterValue: Invalid availability zone: [%s]", zone)
			}
			return object{"id": zone, "name": zone, "region": s["region"], "zoneId": awsZoneID(zone), "state": "available", "zoneType": "availability-zone"}, nil
		},
		"aws:ec2/getLaunchTemplate:getLaunchTemplate": func(c *Cloud, _ Settings, args object) (object, error) {
			r := c.find(AWSTemplate, "", args.text("id"))
			if r == nil {
				return nil, fmt.Errorf("reading EC2 Launch Template: no matching EC2 Launch Template found")
			}
			out := object(r.Outputs)
			return object{"id": r.ID, "arn": out["arn"], "name": out["name"], "vpcSecurityGroupIds": orEmpty(out["vpcSecurityGroupIds"]),
				"networkInterfaces": orEmpty(out["networkInterfaces"])}, nil
		},
		"aws:cloudwatch/getLogGroups:getLogGroups": func(c *Cloud, _ Settings, args object) (object, error) {
			names, arns := []any{}, []any{}
			for _, r := range c.all(AWSLogGroup, func(r *Resource) bool { return strings.HasPrefix(r.ID, args.text("logGroupNamePrefix")) }) {
				names, arns = append(names, r.ID), append(arns, r.Outputs["arn"])
			}
			return object{"id": "us-east-1", "logGroupNames": names, "arns": arns}, nil
		},
		"aws:cloudwatch/getLogGroup:getLogGroup": func(c *Cloud, _ Settings, args object) (object, error) {
			r := c.find(AWSLogGroup, "", args.text("name"))
			if r == nil {
				return nil, fmt.Errorf("reading CloudWatch Logs Log Group (%s): couldn't find resource", args.text("name"))
			}
			out := object(r.Outputs)
			return object{"id": r.ID, "name": r.ID, "arn": out["arn"], "retentionInDays": out.number("retentionInDays"), "tags": out.labels("tags")}, nil
		},
	}
}
