package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ContextName is the name of the one context in every kubeconfig of the lab.
const ContextName = "lab"

// writeKubeconfig writes a kubeconfig with one context that has the token and, if given, impersonates another user.
func (c *ControlPlane) writeKubeconfig(path, token, as string, groups []string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[ContextName] = &clientcmdapi.Cluster{Server: c.Server(), CertificateAuthorityData: c.pki.ca}
	config.AuthInfos[ContextName] = &clientcmdapi.AuthInfo{Token: token, Impersonate: as, ImpersonateGroups: groups}
	config.Contexts[ContextName] = &clientcmdapi.Context{Cluster: ContextName, AuthInfo: ContextName}
	config.CurrentContext = ContextName
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// KubeconfigFor returns the path of a kubeconfig that impersonates the user, whose RBAC permissions apply. A user of the
// form system:serviceaccount:<namespace>:<name> gets the groups of a service account. The first call writes the file.
func (c *ControlPlane) KubeconfigFor(user string) (string, error) {
	groups := []string{"system:authenticated"}
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		namespace, name, ok := strings.Cut(account, ":")
		if !ok || namespace == "" || name == "" {
			return "", fmt.Errorf("user %q: want system:serviceaccount:<namespace>:<name>", user)
		}
		groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	}
	// Of the characters of a user's name only the slash is not allowed in a file's name.
	path := filepath.Join(c.dir, "kubeconfigs", strings.NewReplacer("/", "_", ":", "_").Replace(user))
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return path, c.writeKubeconfig(path, c.adminToken, user, groups)
}
