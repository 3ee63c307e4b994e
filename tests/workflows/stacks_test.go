package workflows

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDestroyIsConfirmedByName(t *testing.T) {
	repo := newCheckout(t)
	for _, c := range []struct {
		stack, confirm, stacks, message string
	}{
		{"gke", "gke", "gke eks", ""},
		{"gke", "gke", "", ""},
		{"gke", "eks", "gke eks", `the names typed are not the same: "gke" and "eks"; nothing is destroyed`},
		{"gke", "", "gke eks", "not the same"},
		{"gke", "gke ", "gke eks", "not the same"},
		{"gke", "GKE", "gke eks", "not the same"},
		{"", "", "gke eks", "name a stack"},
		{"aks", "aks", "gke eks", "not one of the stacks that CI looks after"},
		{"prod", "prod", "prod", "there is no Pulumi.prod.yaml"},
		{"gke;reboot", "gke;reboot", "", "name a stack"},
	} {
		env := map[string]string{"STACK": c.stack, "CONFIRM": c.confirm, "CI_STACKS": c.stacks}
		got := repo.script("confirm-destroy", env)
		if c.message == "" {
			require.NoError(t, got.err, got.stderr)
			assert.Equal(t, map[string]string{"stack": "gke", "cloud": "gke"}, got.outputs)
			continue
		}
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, c.message)
		assert.Empty(t, got.outputs)

		// The job that destroys checks again before it calls anything.
		pulumi, calls := fakePulumi(t)
		env["PATH"] = pulumi + ":" + os.Getenv("PATH")
		env["PULUMI_BACKEND_URL"] = "file:///tmp"
		got = repo.script("destroy", env)
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, c.message)
		assert.Empty(t, calls())
	}
}

func TestStacksOfPulumiCloudAreTheOrganizations(t *testing.T) {
	repo := newCheckout(t)
	pulumi, calls := fakePulumi(t)
	// The command destroy, which calls the CLI, is not in the checkout.
	repo.write("ops/README", "")
	const compile = "#!/bin/sh\nmkdir -p ../bin && printf '#!/bin/sh\\nexec pulumi destroy \"$@\"\\n' >../bin/destroy && chmod +x ../bin/destroy\n"
	require.NoError(t, os.WriteFile(filepath.Join(pulumi, "go"), []byte(compile), 0o755))
	for _, env := range []map[string]string{
		{"PULUMI_ACCESS_TOKEN": "x", "PULUMI_ORGANIZATION": "team"},
		{"PULUMI_BACKEND_URL": "gs://bucket", "PULUMI_ORGANIZATION": "team"},
		{"PULUMI_ACCESS_TOKEN": "x", "PULUMI_BACKEND_URL": ""},
	} {
		env["PATH"], env["STACK"], env["CONFIRM"] = pulumi+":"+os.Getenv("PATH"), "gke", "gke"
		got := repo.script("destroy", env)
		require.NoError(t, got.err, got.stderr)
	}
	assert.Equal(t, []string{
		"org set-default team",
		"destroy --yes --stack gke",
		"destroy --yes --stack gke",
		"destroy --yes --stack gke",
	}, calls())
	got := repo.script("destroy", map[string]string{"STACK": "gke", "CONFIRM": "gke"})
	require.Error(t, got.err)
	assert.Contains(t, got.stderr, "set the variable PULUMI_BACKEND_URL")
}

func TestStackInitRefusesWhatCICouldNotUse(t *testing.T) {
	repo := newCheckout(t)
	const kms = "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k"
	for _, c := range []struct{ stack, backend, provider, message string }{
		{"gke", "gs://bucket", "", "PULUMI_SECRETS_PROVIDER is empty"},
		{"gke", "s3://bucket", "passphrase", "a passphrase would have to be stored in CI"},
		{"gke", "gs://bucket", "vault://x", "gcpkms://, awskms:// or azurekeyvault:// is needed"},
		{"gke", "ftp://bucket", kms, "gs://, s3:// or azblob:// is needed"},
		{"prod", "gs://bucket", kms, "there is no Pulumi.prod.yaml"},
		{"", "gs://bucket", kms, "name a stack"},
	} {
		pulumi, calls := fakePulumi(t)
		got := repo.script("stack-init", map[string]string{
			"PATH": pulumi + ":" + os.Getenv("PATH"), "PULUMI_BACKEND_URL": c.backend, "PULUMI_SECRETS_PROVIDER": c.provider,
		}, c.stack)
		require.Error(t, got.err)
		assert.Contains(t, got.stderr, c.message)
		assert.Empty(t, calls())
	}
	pulumi, calls := fakePulumi(t)
	for _, env := range []map[string]string{
		{"PULUMI_BACKEND_URL": "azblob://state?storage_account=a", "PULUMI_SECRETS_PROVIDER": "azurekeyvault://v.vault.azure.net/keys/k"},
		{"PULUMI_ORGANIZATION": "team"},
	} {
		env["PATH"] = pulumi + ":" + os.Getenv("PATH")
		got := repo.script("stack-init", env, "gke")
		require.NoError(t, got.err, got.stderr)
		assert.Contains(t, got.stdout, "Commit Pulumi.gke.yaml")
	}
	assert.Equal(t, []string{
		"stack init gke --non-interactive --no-select --secrets-provider azurekeyvault://v.vault.azure.net/keys/k",
		"stack init team/gke --non-interactive --no-select",
	}, calls())
}
