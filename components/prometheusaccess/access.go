// Package prometheusaccess names the keys of a Secret that authenticates queries to a Prometheus, and where the adapter finds them. It
// has no Pulumi in it, for programs that query with the same Secret.
package prometheusaccess

// The keys of the Secret.
const (
	// CA is the certificate authority of the endpoint, in PEM.
	CA = "ca.crt"
	// Token is a bearer token.
	Token = "token"
	// Kubeconfig is a kubeconfig whose user has a login, and whose cluster a certificate authority.
	Kubeconfig = "kubeconfig"
)

// Folder is the folder of the adapter's pods in which every key of the Secret is a file.
const Folder = "/etc/prometheus-access"
