package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// eksToken returns a token as "aws eks get-token" does: signed for a cluster's name in a region, and refused elsewhere.
func (c *Cloud) eksToken(call Call) (string, error) {
	words, flags, err := parseFlags(call.Args, "--region", "--cluster-name", "--output", "--role-arn", "--profile", "--cluster-id")
	if err != nil {
		return "", err
	}
	if !slices.Equal(words, []string{"eks", "get-token"}) {
		return "", fmt.Errorf("argument operation: Invalid choice: %s", strings.Join(words, " "))
	}
	switch {
	case flags["--cluster-name"] == "" && flags["--cluster-id"] == "":
		return "", fmt.Errorf("Either parameter --cluster-name or --cluster-id must be specified") //nolint:staticcheck // the program's words
	case flags["--region"] == "":
		return "", fmt.Errorf("You must specify a region. You can also configure your region by running \"aws configure\"") //nolint:staticcheck // the program's words
	case flags["--output"] != "" && flags["--output"] != "json":
		return "", fmt.Errorf("output %s is no ExecCredential that kubectl reads", flags["--output"])
	}
	cluster := c.find(EKSCluster, "", flags["--cluster-name"])
	if cluster != nil && cluster.Region != flags["--region"] {
		cluster = nil
	}
	return c.token(cluster), nil
}
