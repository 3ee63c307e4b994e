package cloud

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Call is a call of an authentication program.
type Call struct {
	// Program is gke-gcloud-auth-plugin, aws or kubelogin.
	Program string
	// Args are its arguments, Info the value of KUBERNETES_EXEC_INFO.
	Args []string
	Info string
}

// Answer is what the program prints and how it ends.
type Answer struct {
	Stdout, Stderr string
	Code           int
}

// credentials answers as the program would, with the lab's credentials for the cluster that is meant. Where the real
// program hands out a token that the cluster then refuses, so does this one.
func (c *Cloud) credentials(call Call) Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var token string
	var err error
	switch call.Program {
	case "gke-gcloud-auth-plugin":
		token, err = c.gkeToken(call)
	case "aws":
		token, err = c.eksToken(call)
	case "kubelogin":
		token, err = c.aksToken(call)
	default:
		err = fmt.Errorf("no program %q in the lab", call.Program)
	}
	if err != nil {
		return Answer{Stderr: fmt.Sprintf("%s: %v\n", call.Program, err), Code: 1}
	}
	credential, err := json.Marshal(map[string]any{
		"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": map[string]any{"token": token},
	})
	if err != nil {
		return Answer{Stderr: err.Error(), Code: 1}
	}
	return Answer{Stdout: string(credential) + "\n"}
}

// token is the administrator's, or for a cluster that there is not one that no API server takes.
func (c *Cloud) token(cluster *Resource) string {
	if cluster == nil {
		return "refused-" + randomHex(32)
	}
	return c.options.ControlPlane.Config().BearerToken
}

// gkeToken: the plugin takes no arguments that say which cluster; kubectl tells it when asked to.
func (c *Cloud) gkeToken(call Call) (string, error) {
	if len(call.Args) > 0 {
		return "", fmt.Errorf("unknown argument %q", call.Args[0])
	}
	var info struct {
		Spec struct{ Cluster struct{ Server string } }
	}
	if err := json.Unmarshal([]byte(call.Info), &info); err != nil || info.Spec.Cluster.Server == "" {
		return "", fmt.Errorf("KUBERNETES_EXEC_INFO does not tell the cluster: set provideClusterInfo")
	}
	server, err := url.Parse(info.Spec.Cluster.Server)
	if err != nil {
		return "", err
	}
	cluster := c.clusterAt(server.Host)
	if cluster != nil && cluster.Token != GKECluster {
		cluster = nil
	}
	return c.token(cluster), nil
}

// eksToken: the token is signed for a cluster's name in a region, and another cluster refuses it.
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

// aksToken: the token is made out to all AKS clusters of a tenant.
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
		return "", fmt.Errorf("login %q asks a person, and there is none", flags["--login"])
	case !slices.Contains(logins, flags["--login"]):
		return "", fmt.Errorf("'%s' is not a supported login method. Supported method is one of devicecode, interactive, %s", flags["--login"], strings.Join(logins, ", "))
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

// parseFlags divides arguments into words and flags with a value, all of which must be known.
func parseFlags(args []string, known ...string) (words []string, flags map[string]string, err error) {
	flags = map[string]string{}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(args[i], "-"):
			words = append(words, args[i])
			continue
		case !slices.Contains(known, name):
			return nil, nil, fmt.Errorf("unknown flag: %s", name)
		case !joined && i+1 == len(args):
			return nil, nil, fmt.Errorf("flag needs an argument: %s", name)
		case !joined:
			i++
			value = args[i]
		}
		flags[name] = value
	}
	return words, flags, nil
}
