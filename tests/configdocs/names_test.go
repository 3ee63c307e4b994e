package configdocs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/stacks/config"
)

// names are the inputs that name something in a cloud, by type and input, with the rule of the cloud's documentation. Every
// other resource gets its name from Pulumi or from the cloud.
var names = map[string]*regexp.Regexp{
	"gcp:container/cluster:Cluster name":                        regexp.MustCompile(`^[a-z][-a-z0-9]{0,38}[a-z0-9]$`),
	"gcp:container/nodePool:NodePool name":                      regexp.MustCompile(`^[a-z][-a-z0-9]{0,38}[a-z0-9]$`),
	"gcp:compute/network:Network name":                          regexp.MustCompile(`^[a-z][-a-z0-9]{0,61}[a-z0-9]$`),
	"gcp:compute/subnetwork:Subnetwork name":                    regexp.MustCompile(`^[a-z][-a-z0-9]{0,61}[a-z0-9]$`),
	"gcp:compute/router:Router name":                            regexp.MustCompile(`^[a-z][-a-z0-9]{0,61}[a-z0-9]$`),
	"gcp:compute/routerNat:RouterNat name":                      regexp.MustCompile(`^[a-z][-a-z0-9]{0,61}[a-z0-9]$`),
	"gcp:serviceaccount/account:Account accountId":              regexp.MustCompile(`^[a-z][-a-z0-9]{4,28}[a-z0-9]$`),
	"aws:eks/cluster:Cluster name":                              regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$`),
	"aws:cloudwatch/logGroup:LogGroup name":                     regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`),
	"azure-native:resources:ResourceGroup resourceGroupName":    regexp.MustCompile(`^[A-Za-z0-9_().-]{0,89}[A-Za-z0-9_()-]$`),
	"azure-native:containerservice:ManagedCluster resourceName": regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$`),
	"azure-native:containerservice:ManagedCluster dnsPrefix":    regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,52}[A-Za-z0-9])?$`),
}

// versioned matches the version of the API in the types of azure-native.
var versioned = regexp.MustCompile(`^(azure-native:[a-z]+)/v[0-9a-z]+:`)

// named records the names of a stack's cloud resources.
type named struct {
	registered
	seen map[string]string
}

func (n *named) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	for input, value := range args.Inputs {
		what := versioned.ReplaceAllString(args.TypeToken, "$1:") + " " + string(input)
		rule, ok := names[what]
		if !ok || !value.IsString() {
			continue
		}
		n.mutex.Lock()
		n.seen[what] = value.StringValue()
		if !rule.MatchString(value.StringValue()) {
			n.wrong = append(n.wrong, fmt.Sprintf("%s = %q", what, value.StringValue()))
		}
		n.mutex.Unlock()
	}
	return n.registered.NewResource(args)
}

// TestNamesOfCloudResources checks that whatever a stack is called, each cloud accepts the names that it registers.
func TestNamesOfCloudResources(t *testing.T) {
	seen := map[string]string{}
	for _, cloud := range config.Clouds {
		if cloud == config.CloudLocal {
			continue
		}
		for _, stack := range []string{"dev", "Prod.EU", "-", "a_b", "1", strings.Repeat("a", 19) + "-", strings.Repeat("Z", 40), strings.Repeat("_", 100),
			strings.Repeat("long-", 20)} {
			record := &named{seen: map[string]string{}}
			given := Least(cloud).With(Given{"cloud": cloud, "vllm.readyTimeout": "0s"})
			require.NoError(t, deployStack(t, given, cloud, stack, record), "stack %q on %s", stack, cloud)
			assert.Empty(t, record.wrong, "stack %q on %s", stack, cloud)
			maps.Copy(seen, record.seen)
		}
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(names)), slices.Collect(maps.Keys(seen)), "each rule was tried")
}
