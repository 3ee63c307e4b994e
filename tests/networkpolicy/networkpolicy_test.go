package networkpolicy

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

func TestAdmits(t *testing.T) {
	const denyAll = `
metadata: {namespace: monitoring}
spec: {podSelector: {}, policyTypes: [Ingress]}`
	rule := func(rule string) string {
		return `
metadata: {namespace: monitoring}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress: [` + rule + `]`
	}
	server := Pod{Namespace: "monitoring", Labels: map[string]string{"app": "server"}, Ports: map[string]int32{"https": 10250}}
	client := Pod{Namespace: "monitoring", Labels: map[string]string{"app": "client"}}
	other := Pod{Namespace: "apps", Labels: map[string]string{"app": "client"}}
	for name, test := range map[string]struct {
		policies []string
		from     Pod
		port     int32
		want     bool
	}{
		"no policy":                         {nil, other, 80, true},
		"nothing admitted":                  {[]string{denyAll}, client, 80, false},
		"a policy for outgoing traffic":     {[]string{`{metadata: {namespace: monitoring}, spec: {podSelector: {}, policyTypes: [Egress]}}`}, other, 80, true},
		"a policy of another namespace":     {[]string{`{metadata: {namespace: apps}, spec: {podSelector: {}, policyTypes: [Ingress]}}`}, other, 80, true},
		"everybody":                         {[]string{denyAll, rule(`{}`)}, other, 80, true},
		"a pod":                             {[]string{denyAll, rule(`{from: [{podSelector: {matchLabels: {app: client}}}]}`)}, client, 80, true},
		"a pod of another namespace":        {[]string{denyAll, rule(`{from: [{podSelector: {matchLabels: {app: client}}}]}`)}, other, 80, false},
		"a namespace":                       {[]string{rule(`{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: apps}}}]}`)}, other, 80, true},
		"every namespace":                   {[]string{rule(`{from: [{namespaceSelector: {}}]}`)}, other, 80, true},
		"every namespace is in the cluster": {[]string{rule(`{from: [{namespaceSelector: {}}]}`)}, Pod{Address: "10.0.0.1"}, 80, false},
		"a network":                         {[]string{rule(`{from: [{ipBlock: {cidr: 10.0.0.0/16}}]}`)}, Pod{Address: "10.0.0.1"}, 80, true},
		"outside of the network":            {[]string{rule(`{from: [{ipBlock: {cidr: 10.0.0.0/16}}]}`)}, Pod{Address: "10.1.0.1"}, 80, false},
		"excepted":                          {[]string{rule(`{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.0.0.0/24]}}]}`)}, Pod{Address: "10.0.0.1"}, 80, false},
		"the port by number":                {[]string{rule(`{ports: [{port: 80}]}`)}, other, 80, true},
		"another port":                      {[]string{rule(`{ports: [{port: 80}]}`)}, other, 81, false},
		"a port of another protocol":        {[]string{rule(`{ports: [{port: 80, protocol: UDP}]}`)}, other, 80, false},
		"the port by name":                  {[]string{rule(`{ports: [{port: https}]}`)}, other, 10250, true},
		"a name that the pod does not have": {[]string{rule(`{ports: [{port: http}]}`)}, other, 10250, false},
		"one policy of two is enough":       {[]string{rule(`{ports: [{port: 80}]}`), rule(`{ports: [{port: 81}]}`)}, other, 81, true},
		"the peer of one rule is not for the port of another": {[]string{
			rule(`{ports: [{port: 80}], from: [{podSelector: {}}]}, {ports: [{port: 81}], from: [{namespaceSelector: {}}]}`)}, other, 80, false},
	} {
		t.Run(name, func(t *testing.T) {
			var policies []networkingv1.NetworkPolicy
			for _, text := range test.policies {
				var policy networkingv1.NetworkPolicy
				require.NoError(t, yaml.UnmarshalStrict([]byte(text), &policy))
				policies = append(policies, policy)
			}
			got, err := Admits(policies, test.from, server, TCP(test.port))
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}
