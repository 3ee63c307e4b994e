package cloud

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"vllm-autoscaling/ops/preflight"
	"vllm-autoscaling/ops/preview/plan"
)

// labCLI runs the CLIs of the clouds without processes.
type labCLI struct{ cloud *Cloud }

func (l labCLI) Has(program string) bool { return slices.Contains(Programs(), program) }

func (l labCLI) Run(_ context.Context, program string, args ...string) ([]byte, error) {
	answer := l.cloud.credentials(Call{Program: program, Args: args})
	if answer.Code != 0 {
		return nil, &preflight.ExitError{Program: program, Code: answer.Code, Stderr: answer.Stderr}
	}
	return []byte(answer.Stdout), nil
}

// checked returns the preflight's checks of a recorded preview by outcome.
func checked(t *testing.T, c *Cloud, recording string) map[preflight.Outcome][]preflight.Check {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../../ops/preview/testdata", recording+".json"))
	require.NoError(t, err)
	p, err := plan.Parse(content)
	require.NoError(t, err)
	result := preflight.Run(t.Context(), p, labCLI{c}, io.Discard)
	require.NotNil(t, result)
	byOutcome := map[preflight.Outcome][]preflight.Check{}
	for _, check := range result.Checks {
		byOutcome[check.Outcome] = append(byOutcome[check.Outcome], check)
	}
	return byOutcome
}

// The account of each cloud has what a stack needs, and every question of the preflight has an answer.
func TestAccounts(t *testing.T) {
	c, _ := newTestCloud(t)
	for _, recording := range []string{"gke.create", "gke.replace", "eks.create", "aks.create"} {
		t.Run(recording, func(t *testing.T) {
			found := checked(t, c, recording)
			assert.Empty(t, found[preflight.Failed])
			assert.Empty(t, found[preflight.Warning])
			assert.Empty(t, found[preflight.Unknown])
			assert.NotEmpty(t, found[preflight.Passed])
		})
	}
	assert.Zero(t, c.Operations(), "questions change nothing")
}

// What is in the account already takes its name.
func TestAccountsKnowWhatWasCreated(t *testing.T) {
	c, _ := newTestCloud(t)
	mustMake(t, c, gcpNetwork, map[string]any{"name": "vllm-autoscaling-gke", "autoCreateSubnetworks": false})
	mustMake(t, c, AWSLogGroup, map[string]any{"name": "/aws/eks/vllm-autoscaling-eks/cluster"})
	mustMake(t, c, AzureResourceGroup, map[string]any{"resourceGroupName": "vllm-autoscaling-aks-rg", "location": "eastus"})
	for recording, want := range map[string]string{
		"gke.create": "network vllm-autoscaling-gke", "eks.create": "log group /aws/eks/vllm-autoscaling-eks/cluster",
		"aks.create": "resource group vllm-autoscaling-aks-rg",
	} {
		found := checked(t, c, recording)
		require.Len(t, found[preflight.Failed], 1, recording)
		assert.Equal(t, "names-free", found[preflight.Failed][0].Name)
		assert.Equal(t, want, found[preflight.Failed][0].Asked)
	}
}

// A command that changes something, or that the lab does not have, is refused.
func TestAccountsRefuseOtherCommands(t *testing.T) {
	c, _ := newTestCloud(t)
	for _, call := range []Call{
		{Program: "gcloud", Args: []string{"services", "enable", "compute.googleapis.com"}},
		{Program: "aws", Args: []string{"ec2", "run-instances", "--region", "us-east-1"}},
		{Program: "az", Args: []string{"group", "delete", "--name", "g"}},
	} {
		answer := c.credentials(call)
		assert.NotZero(t, answer.Code, call)
		assert.Contains(t, answer.Stderr, "Invalid choice")
	}
}
