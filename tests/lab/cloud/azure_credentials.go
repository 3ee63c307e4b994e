package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// aksToken returns a token as kubelogin does: valid for all AKS clusters of a tenant.
func (c *Cloud) aksToken(call Call) (string, error) {
	words, flags, err := parseFlags(call.Args, "--login", "--server-id", "--tenant-id", "--environment", "--client-id")
	if err != nil {
		return "", err
	}
	if !slices.Equal(words, []string{"get-token"}) {
		return "", fmt.Errorf("unknown command %q", strings.Join(words, " "))
	}
	logins := []string{"azurecli", "workloadidentity", "spn", "msi"}
	switch {
	case flags["--login"] == "" || flags["--login"] == "devicecode" || flags["--login"] == "interactive":
		return "", fmt.Errorf("login %q is interactive", flags["--login"])
	case !slices.Contains(logins, flags["--login"]):
		return "", fmt.Errorf("'%s' is not a supported login method. Supported method is one of devicecode, interactive, %s", flags["--login"],
			strings.Join(logins, ", "))
	case flags["--server-id"] == "":
		return "", fmt.Errorf("--server-id is required")
	}
	clusters := c.all(AKSCluster, func(r *Resource) bool {
		in := object(r.Inputs)
		tenant := orElse(in.text("aadProfile.tenantID"), AzureTenant)
		return in.has("aadProfile") && (flags["--tenant-id"] == "" || flags["--tenant-id"] == tenant)
	})
	if len(clusters) == 0 || flags["--server-id"] != aksServerApplication {
		return c.token(nil), nil
	}
	return c.token(clusters[0]), nil
}
