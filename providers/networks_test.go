package providers

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestAPIAccess checks that networks from which nobody reaches a public API server are refused, and all others accepted.
func TestAPIAccess(t *testing.T) {
	for cidr, use := range map[string]string{
		"10.0.0.0/8": "private", "172.16.0.0/12": "private", "172.31.9.0/24": "private", "192.168.1.7/32": "private",
		"127.0.0.1/32": "loopback", "169.254.169.254/32": "link-local", "100.64.0.0/10": "carrier-grade NAT",
		"192.0.2.0/24": "documentation", "198.51.100.7/32": "documentation", "203.0.113.7/32": "documentation", "198.18.0.0/15": "benchmarks",
		"224.0.0.1/32": "multicast", "240.0.0.0/4": "reserved", "255.255.255.255/32": "reserved", "0.0.0.0/32": "reserved",
		"0.0.0.0/0": "", "0.0.0.0/1": "", "8.0.0.0/7": "", "1.2.3.4/32": "", "172.32.0.0/11": "", "100.128.0.0/9": "", "192.0.0.0/16": "",
	} {
		var p Problems
		r := &Request{Namespace: "project", APIAccessCIDRs: []string{cidr}}
		r.CheckAccess(&p)
		if use == "" {
			assert.Empty(t, p, cidr)
			continue
		}
		if assert.Len(t, p, 1, cidr) {
			assert.Equal(t, "cluster.apiAccessCidrs[0]", p[0].Key)
			assert.Contains(t, p[0].Allowed, use, cidr)
			assert.Equal(t, `pulumi config set --path 'project:cluster.apiAccessCidrs[0]' "$(curl -s https://checkip.amazonaws.com)/32"`, p[0].Fix)
		}
	}
}

// TestAPIAccessIsAskedFor checks the networks of a cluster that is created, and none of one that is there already.
func TestAPIAccessIsAskedFor(t *testing.T) {
	var p Problems
	(&Request{}).CheckAccess(&p)
	assert.Len(t, p, 1)
	p = nil
	(&Request{Existing: "theirs", APIAccessCIDRs: []string{"10.0.0.0/8"}}).CheckAccess(&p)
	assert.Empty(t, p)
}
