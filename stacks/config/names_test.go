package config

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nameRule is what a cloud requires of a name that is made of the cluster's.
type nameRule struct {
	what    string
	name    func(cluster string) string
	longest int
	form    *regexp.Regexp
}

func same(name string) string { return name }

// nameRules are those of the clouds' documentation, which the providers' own checks are not used for.
var nameRules = map[string][]nameRule{
	CloudGKE: {
		{"cluster", same, 40, regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)},
		{"network", same, 63, regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)},
		{"service account", func(c string) string { return c + "-nodes" }, 30, regexp.MustCompile(`^[a-z]([-a-z0-9]{4,}[a-z0-9])$`)},
		{"node pool", func(c string) string { return c + "-gpu" }, 40, regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)},
	},
	CloudEKS: {
		{"cluster", same, 100, regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]*$`)},
		{"log group", func(c string) string { return "/aws/eks/" + c + "/cluster" }, 512, regexp.MustCompile(`^[.\-_/#A-Za-z0-9]+$`)},
		{"tag", func(c string) string { return c + "-vpc" }, 256, regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)},
	},
	CloudAKS: {
		{"cluster", same, 63, regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$`)},
		{"resource group", func(c string) string { return c + "-rg" }, 90, regexp.MustCompile(`^[A-Za-z0-9_().-]*[A-Za-z0-9_()-]$`)},
		{"resource group of the nodes", func(c string) string { return "MC_" + c + "-rg_" + c + "_eastus" }, 80, regexp.MustCompile(`^[A-Za-z0-9_().-]*[A-Za-z0-9_()-]$`)},
		{"lock", func(c string) string { return c + "-no-delete" }, 90, regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)},
	},
}

// stackNames returns names of stacks that Pulumi allows: 1 to 100 letters, digits, dashes, underscores and full stops.
func stackNames(random *rand.Rand, count int) []string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	names := []string{"dev", "Prod", "prod", "PROD", "prod.eu", "prod_eu", "prod-eu", "1", "-", ".", "_", "--", "a-", "-a", "0.0", strings.Repeat("a", 100),
		strings.Repeat("-", 100), strings.Repeat("a", 99) + "b", strings.Repeat("a", 19), strings.Repeat("a", 20), strings.Repeat("b", 28), strings.Repeat("b", 60)}
	for range count {
		name := make([]byte, 1+random.IntN(100))
		for i := range name {
			name[i] = letters[random.IntN(len(letters))]
		}
		names = append(names, string(name))
	}
	return names
}

// TestNamesFromTheStack checks that every name that is derived from the stack's is valid on its cloud and differs from those of
// other stacks, and that no stack whose name was valid before is renamed.
func TestNamesFromTheStack(t *testing.T) {
	random := rand.New(rand.NewPCG(20261129, 1))
	names := stackNames(random, 3000)
	for _, cloud := range []string{CloudGKE, CloudEKS, CloudAKS} {
		base := read(t, cloud, onCloud(cloud, nil))
		stacks := map[string]string{}
		for _, stack := range names {
			name := base.renamed(stack)
			for _, rule := range nameRules[cloud] {
				made := rule.name(name)
				assert.LessOrEqual(t, len(made), rule.longest, "%s of %s for stack %q: %s", rule.what, cloud, stack, made)
				assert.Regexp(t, rule.form, made, "%s of %s for stack %q", rule.what, cloud, stack)
			}
			if other, taken := stacks[name]; taken && other != stack {
				t.Errorf("stacks %q and %q both have the cluster %s on %s", stack, other, name, cloud)
			}
			stacks[name] = stack
			if before := nameBefore(stack); valid(cloud, before) {
				assert.Equal(t, before, name, "stack %q on %s is not renamed", stack, cloud)
			}
		}
	}
}

// nameBefore returns the name that every stack had before names were checked.
func nameBefore(stack string) string {
	if name := project + "-" + stack; len(name) <= 24 {
		return name
	}
	return "vllm-" + stack
}

// valid reports whether a cloud accepts a name and everything that is named after it.
func valid(cloud, name string) bool {
	for _, rule := range nameRules[cloud] {
		if made := rule.name(name); len(made) > rule.longest || !rule.form.MatchString(made) {
			return false
		}
	}
	return true
}

// TestNoProblemWithTheNameOfAStack checks that no message is about a name that the file does not have.
func TestNoProblemWithTheNameOfAStack(t *testing.T) {
	for _, stack := range stackNames(rand.New(rand.NewPCG(20261129, 2)), 20) {
		for _, cloud := range []string{CloudGKE, CloudEKS, CloudAKS} {
			for _, keys := range []map[string]any{onCloud(cloud, nil), attached(cloud, nil)} {
				_, err := Read(source(t, stack, keys))
				require.NoError(t, err, "stack %q on %s", stack, cloud)
			}
		}
	}
	refused := problemsOf(t, source(t, "aks", onCloud(CloudAKS, map[string]any{"cluster.name": strings.Repeat("n", 40)})))
	require.Len(t, refused.Problems, 1)
	assert.Contains(t, refused.Problems[0].Allowed, "at most 80 characters; it has 94")
	assert.Contains(t, refused.Problems[0].Fix, "aks.nodeResourceGroup")
}

func TestHashedName(t *testing.T) {
	assert.Equal(t, "vllm-prod-eu-8968ee5a", hashedName("vllm", "p/Prod.EU", "Prod.EU", 24))
}
