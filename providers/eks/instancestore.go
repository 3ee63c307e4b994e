package eks

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"vllm-autoscaling/providers"
)

// instanceStoreGB are the sizes of the NVMe disks that instance types of the catalogue bring, together and in 10^9 bytes. The families
// that are not listed, such as P3, have none. From Karpenter's table, which is made from AWS' API
// (github.com/aws/karpenter-provider-aws 1d92708: website/content/en/docs/reference/instance-types.md, label instance-local-nvme).
var instanceStoreGB = map[string]int{
	"g4dn.xlarge": 125, "g4dn.2xlarge": 225, "g4dn.4xlarge": 225, "g4dn.8xlarge": 900, "g4dn.12xlarge": 900, "g4dn.16xlarge": 900,
	"g4dn.metal": 1800,
	"g5.xlarge":  250, "g5.2xlarge": 450, "g5.4xlarge": 600, "g5.8xlarge": 900, "g5.12xlarge": 3800, "g5.16xlarge": 1900,
	"g5.24xlarge": 3800, "g5.48xlarge": 7600,
	"g6.xlarge": 250, "g6.2xlarge": 450, "g6.4xlarge": 600, "g6.8xlarge": 900, "g6.12xlarge": 3760, "g6.16xlarge": 1880,
	"g6.24xlarge": 3760, "g6.48xlarge": 7520, "gr6.4xlarge": 600, "gr6.8xlarge": 900,
	"g6e.xlarge": 250, "g6e.2xlarge": 450, "g6e.4xlarge": 600, "g6e.8xlarge": 900, "g6e.12xlarge": 3800, "g6e.16xlarge": 1900,
	"g6e.24xlarge": 3800, "g6e.48xlarge": 7600,
	"g7.2xlarge": 440, "g7.4xlarge": 875, "g7.8xlarge": 930, "g7.12xlarge": 1900, "g7.24xlarge": 3800, "g7.48xlarge": 7600,
	"g7e.2xlarge": 1900, "g7e.4xlarge": 1900, "g7e.8xlarge": 1900, "g7e.12xlarge": 3800, "g7e.24xlarge": 7600, "g7e.48xlarge": 15200,
	"p4d.24xlarge": 8000, "p4de.24xlarge": 8000, "p5.4xlarge": 3800, "p5.48xlarge": 30400, "p5e.48xlarge": 30400, "p5en.48xlarge": 30400,
	"p6-b200.48xlarge": 30400, "p6-b300.48xlarge": 30400,
}

// The disk of a node that pulls and unpacks several layers at a time. AWS recommends at least 600 MiB/s for it, and up to 1000 MiB/s
// (github.com/awslabs/amazon-eks-ami 81fec2e: nodeadm/doc/examples.md); gp3 has 0.25 MiB/s for each I/O operation.
const parallelPullThroughput, parallelPullIOPS = 1000, 4000

// localDisk returns the size in GiB of the disk on which a node keeps images and volumes instead of nodePools.gpu.diskGiB; 0 where it
// keeps them there, or where the machine type is not known.
func localDisk(keys any, machineType string) int {
	own, ok := keys.(*Keys)
	if !ok || !own.LocalStorage {
		return 0
	}
	return instanceStoreGB[machineType] * 1e9 / (1 << 30)
}

// podDisk returns the size in GiB of the disk that the pods of a node use.
func (a *Args) podDisk(pool *providers.ServingPool) int {
	if local := localDisk(&a.Keys, pool.MachineType); local > 0 {
		return local
	}
	return pool.DiskGiB
}

// nodeSettings are what the image of a GPU node is configured with at its start, beside what EKS itself adds.
type nodeSettings struct{ localStorage, fastImagePull bool }

// gpuNodeSettings returns the settings of the nodes of a GPU pool.
func (a *Args) gpuNodeSettings(pool *providers.ServingPool) nodeSettings {
	return nodeSettings{localStorage: a.LocalStorage && hasInstanceStore(pool.MachineType), fastImagePull: a.FastImagePull}
}

// hasInstanceStore reports whether machines of a type bring disks; of a type that is not in the catalogue that is assumed.
func hasInstanceStore(machineType string) bool {
	_, known := machines.Find(machineType)
	return !known || instanceStoreGB[machineType] > 0
}

// userData returns the NodeConfig that nodeadm, on Amazon Linux 2023, merges with the one that EKS adds to a managed node group; "" for
// none.
func (s nodeSettings) userData() string {
	var spec []string
	if s.localStorage {
		// Images, containers and volumes of pods move to an array of all disks.
		spec = append(spec, "  instance:", "    localStorage:", "      strategy: RAID0")
	}
	if s.fastImagePull {
		spec = append(spec, "  featureGates:", "    FastImagePull: true")
	}
	if len(spec) == 0 {
		return ""
	}
	lines := append([]string{
		"MIME-Version: 1.0", `Content-Type: multipart/mixed; boundary="BOUNDARY"`, "",
		"--BOUNDARY", "Content-Type: application/node.eks.aws", "",
		"---", "apiVersion: node.eks.aws/v1alpha1", "kind: NodeConfig", "spec:",
	}, spec...)
	return strings.Join(append(lines, "", "--BOUNDARY--", ""), "\n")
}

// addTo adds the settings to a launch template.
func (s nodeSettings) addTo(args *ec2.LaunchTemplateArgs) {
	if data := s.userData(); data != "" {
		args.UserData = pulumi.String(base64.StdEncoding.EncodeToString([]byte(data)))
	}
}

// disk changes a node's volume so that it is fast enough for the settings.
func (s nodeSettings) disk(data *ec2.LaunchTemplateBlockDeviceMappingEbsArgs) {
	if s.fastImagePull && !s.localStorage {
		data.Throughput, data.Iops = pulumi.Int(parallelPullThroughput), pulumi.Int(parallelPullIOPS)
	}
}

// validateNodeSettings refuses settings that the image or the machines of the GPU nodes do not have.
func (a *Args) validateNodeSettings(p *providers.Problems) {
	if !a.LocalStorage && !a.FastImagePull {
		return
	}
	for _, setting := range []struct {
		key string
		on  bool
	}{{"eks.localStorage", a.LocalStorage}, {"eks.fastImagePull", a.FastImagePull}} {
		switch {
		case !setting.on:
		case !a.CreatesGPUPools():
			p.Add(setting.key, true, "only with a GPU pool that is created", "remove it, or set "+providers.KeyCreateGPUPool+" to true")
		case a.AMIType != AL2023:
			p.Add(setting.key, true, fmt.Sprintf("only with eks.amiType %s: it is a setting of its nodeadm", AL2023), "remove it, or eks.amiType")
		}
	}
	if !a.LocalStorage || !a.CreatesGPUPools() {
		return
	}
	for _, pool := range a.GPUPools() {
		for _, name := range a.instanceTypes(pool) {
			if !hasInstanceStore(name) {
				p.Add("eks.localStorage", true, fmt.Sprintf("only with machines that bring NVMe disks: %s has none", name),
					"remove it, or choose a type of the families G4dn to G7e, P4 and later")
			}
		}
	}
}
