package cloud

import (
	"encoding/json"
	"fmt"
	"net/url"
)

// gkeToken returns a token as Google's plugin does, which reads the cluster from KUBERNETES_EXEC_INFO, not from arguments.
func (c *Cloud) gkeToken(call Call) (string, error) {
	if len(call.Args) > 0 {
		return "", fmt.Errorf("unknown argument %q", call.Args[0])
	}
	var info struct {
		Spec struct{ Cluster struct{ Server string } }
	}
	if err := json.Unmarshal([]byte(call.Info), &info); err != nil || info.Spec.Cluster.Server == "" {
		return "", fmt.Errorf("KUBERNETES_EXEC_INFO does not contain the cluster: set provideClusterInfo")
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
