package cloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"vllm-autoscaling/tests/lab/cloud/schema"
)

// gcpComputeKinds lists the simulated resource types of Compute Engine.
func gcpComputeKinds() []*kind {
	return []*kind{gcpNetworkKind(), gcpSubnetworkKind(), gcpRouterKind(), gcpRouterNATKind()}
}

// gcpLinks are the outputs by which other resources name a network or subnetwork.
var gcpLinks = []string{"selfLink", "name"}

// gcpCompute returns the creation of a resource that has only a name in a project and perhaps a region.
func gcpCompute(collection string) func(*Cloud, *Resource, Settings) error {
	return func(_ *Cloud, r *Resource, s Settings) error {
		in := object(r.Inputs)
		project := orElse(in.text("project"), s["project"])
		if project == "" {
			return errors.New("googleapi: Error 400: project is required")
		}
		if strings.Contains(collection, "{region}") {
			if r.Region = orElse(in.text("region"), s["region"]); r.Region == "" {
				return errors.New("googleapi: Error 400: region is required")
			}
			r.Outputs["region"] = r.Region
		}
		r.ID = fmt.Sprintf("projects/%s/%s/%s", project, strings.ReplaceAll(collection, "{region}", r.Region), in.text("name"))
		r.Outputs["project"], r.Outputs["selfLink"] = project, googleCompute+r.ID
		return nil
	}
}

func gcpNetworkKind() *kind {
	return &kind{
		token: gcpNetwork, name: "name", replace: []string{"name", "project", "autoCreateSubnetworks"}, computed: []string{"selfLink"},
		schema: computeSchema("", map[string]*schema.Type{
			"name": textType, "project": textType, "description": textType, "autoCreateSubnetworks": flagType,
			"routingMode": textType, "mtu": wholeType, "deleteDefaultRoutesOnCreate": flagType,
		}),
		create: gcpCompute("global/networks"),
	}
}

func gcpSubnetworkKind() *kind {
	return &kind{
		token: gcpSubnetwork, name: "name", computed: []string{"selfLink", "gatewayAddress"},
		replace: []string{"name", "project", "region", "network"},
		schema: computeSchema("network ipCidrRange", map[string]*schema.Type{
			"name": textType, "project": textType, "region": textType, "network": textType, "ipCidrRange": textType,
			"privateIpGoogleAccess": flagType, "description": textType, "purpose": textType,
			"secondaryIpRanges": listType(computeSchema("rangeName ipCidrRange", map[string]*schema.Type{
				"rangeName": textType, "ipCidrRange": textType})),
		}),
		references: []reference{{path: "network", token: gcpNetwork, by: gcpLinks}},
		create: func(c *Cloud, r *Resource, s Settings) error {
			in := object(r.Inputs)
			ranges := append([]string{in.text("ipCidrRange")}, in.texts("secondaryIpRanges.ipCidrRange")...)
			if err := disjoint(ranges); err != nil {
				return fmt.Errorf("googleapi: Error 400: Invalid value for field 'resource.ipCidrRange': %w", err)
			}
			return gcpCompute("regions/{region}/subnetworks")(c, r, s)
		},
	}
}

func gcpRouterKind() *kind {
	return &kind{
		token: gcpRouter, name: "name", computed: []string{"selfLink"}, replace: []string{"name", "project", "region", "network"},
		schema: computeSchema("network", map[string]*schema.Type{
			"name": textType, "project": textType, "region": textType, "network": textType, "description": textType,
		}),
		references: []reference{{path: "network", token: gcpNetwork, by: gcpLinks}},
		create:     gcpCompute("regions/{region}/routers"),
	}
}

func gcpRouterNATKind() *kind {
	return &kind{
		token: gcpRouterNAT, name: "name", replace: []string{"name", "project", "region", "router"},
		schema: computeSchema("router sourceSubnetworkIpRangesToNat", map[string]*schema.Type{
			"name": textType, "project": textType, "region": textType, "router": textType,
			"natIpAllocateOption": textType, "sourceSubnetworkIpRangesToNat": textType, "minPortsPerVm": wholeType,
			"logConfig": computeSchema("enable filter", map[string]*schema.Type{"enable": flagType, "filter": textType}),
		}),
		validate: func(in object) []string {
			return slices.Concat(
				oneOf(in, "natIpAllocateOption", "AUTO_ONLY", "MANUAL_ONLY"),
				oneOf(in, "sourceSubnetworkIpRangesToNat", "ALL_SUBNETWORKS_ALL_IP_RANGES", "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES", "LIST_OF_SUBNETWORKS"),
				oneOf(in, "logConfig.filter", "ERRORS_ONLY", "TRANSLATIONS_ONLY", "ALL"))
		},
		references: []reference{{path: "router", token: gcpRouter, by: []string{"name"}, then: follows}},
		create: func(_ *Cloud, r *Resource, s Settings) error {
			in := object(r.Inputs)
			r.Region = orElse(in.text("region"), s["region"])
			r.ID = fmt.Sprintf("%s/%s/%s/%s", orElse(in.text("project"), s["project"]), r.Region, in.text("router"), in.text("name"))
			return nil
		},
	}
}
