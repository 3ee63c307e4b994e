package eks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryResourceHasParentAndProvider(t *testing.T) {
	withEverything := created()
	withEverything.Admins = []string{"arn:aws:iam::123456789012:role/ops"}
	for name, args := range map[string]*Args{"created": withEverything, "attached": attached()} {
		t.Run(name, func(t *testing.T) {
			r := &record{answers: existingCluster(nil)}
			_, err := r.run(args)
			require.NoError(t, err)
			checked := 0
			for _, reg := range r.Registered {
				if reg.Type == componentType {
					continue
				}
				assert.True(t, strings.HasSuffix(reg.Parent(), "::"+componentType+"::llm"), "parent of %s %q: %s", reg.Type, reg.Name, reg.Parent())
				if !strings.HasPrefix(reg.Type, "pulumi:providers:") {
					checked++
					assert.Contains(t, reg.Args.Provider, awsProviderType+"::llm-aws::", "provider of %s %q", reg.Type, reg.Name)
				}
			}
			assert.Greater(t, checked, 10)
		})
	}
}

func TestAWSProviderIsTheStacks(t *testing.T) {
	args := created()
	args.Profile, args.AccountID, args.RoleARN = "work", "123456789012", "arn:aws:iam::123456789012:role/deploy"
	args.Tags = map[string]string{"team": "ml"}
	r, _ := run(t, args)
	inputs := plain(r.One(t, awsProviderType, "llm-aws"))
	assert.Equal(t, "eu-central-1", inputs["region"])
	assert.Equal(t, "work", inputs["profile"])
	assert.Equal(t, []any{"123456789012"}, inputs["allowedAccountIds"])
	assert.Equal(t, map[string]any{"roleArn": "arn:aws:iam::123456789012:role/deploy"}, inputs["assumeRole"])
	assert.Equal(t, map[string]any{"tags": map[string]any{"team": "ml"}}, inputs["defaultTags"])
}

// TestNewLeavesItsArgumentsAlone guards against defaults that leak into the caller's configuration.
func TestNewLeavesItsArgumentsAlone(t *testing.T) {
	args := created()
	run(t, args)
	assert.Equal(t, created(), args)
}
