package components

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	rbacv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/rbac/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	grafanaUserKey     = "admin-user"
	grafanaPasswordKey = "admin-password"

	// GrafanaRole is the Role by which Grafana's sidecars read dashboards and datasources.
	GrafanaRole = GrafanaService + "-configmaps"
)

func newGrafanaAdmin(ctx *pulumi.Context, parent pulumi.Resource, args *KubePrometheusStackArgs) (*corev1.Secret, error) {
	var password pulumi.StringInput
	var extra []pulumi.ResourceOption
	if args.GrafanaPassword != nil {
		password = args.GrafanaPassword.ToStringPtrOutput().Elem()
	} else {
		password = pulumi.String(rand.Text())
		// The password generated on the first run stays; those of later runs are dropped.
		extra = append(extra, pulumi.IgnoreChanges([]string{"data"}))
	}
	secret, err := newSecret(ctx, args.Namespace, GrafanaAdminSecret, map[string]pulumi.StringInput{
		grafanaUserKey:     pulumi.String(GrafanaAdminUser),
		grafanaPasswordKey: password,
	}, childOptions(parent, args.DependsOn, extra...))
	if err != nil {
		return nil, err
	}
	return secret, nil
}

// newGrafanaRights lets Grafana's sidecars read the ConfigMaps of the namespace. The chart's own role includes the
// Secrets, of the whole cluster by default: the API key, the hub's token, the values of every Helm release.
func newGrafanaRights(ctx *pulumi.Context, parent pulumi.Resource, args *KubePrometheusStackArgs) (pulumi.Resource, error) {
	metadata := metav1.ObjectMetaArgs{
		Name:      pulumi.String(GrafanaRole),
		Namespace: pulumi.String(args.Namespace),
		Labels:    pulumi.ToStringMap(commonLabels()),
	}
	role, err := rbacv1.NewRole(ctx, GrafanaRole, &rbacv1.RoleArgs{
		Metadata: metadata,
		Rules: rbacv1.PolicyRuleArray{rbacv1.PolicyRuleArgs{
			ApiGroups: pulumi.ToStringArray([]string{""}),
			Resources: pulumi.ToStringArray([]string{"configmaps"}),
			Verbs:     pulumi.ToStringArray([]string{"get", "list", "watch"}),
		}},
	}, childOptions(parent, args.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering Role %s/%s: %w", args.Namespace, GrafanaRole, err)
	}
	binding, err := rbacv1.NewRoleBinding(ctx, GrafanaRole, &rbacv1.RoleBindingArgs{
		Metadata: metadata,
		RoleRef: rbacv1.RoleRefArgs{
			ApiGroup: pulumi.String("rbac.authorization.k8s.io"), Kind: pulumi.String("Role"), Name: pulumi.String(GrafanaRole),
		},
		Subjects: rbacv1.SubjectArray{rbacv1.SubjectArgs{
			Kind: pulumi.String("ServiceAccount"), Name: pulumi.String(GrafanaService), Namespace: pulumi.String(args.Namespace),
		}},
	}, childOptions(parent, append(slices.Clone(args.DependsOn), role))...)
	if err != nil {
		return nil, fmt.Errorf("registering RoleBinding %s/%s: %w", args.Namespace, GrafanaRole, err)
	}
	return binding, nil
}

func decodeBase64(encoded string) (string, error) {
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", fmt.Errorf("decoding key %q of Secret %q: %w", grafanaPasswordKey, GrafanaAdminSecret, err)
	}
	return string(plain), nil
}

func grafanaValues(a *KubePrometheusStackArgs) map[string]any {
	if !a.Grafana {
		return map[string]any{"enabled": false}
	}
	return map[string]any{
		"enabled":          true,
		"fullnameOverride": GrafanaService,
		"admin": map[string]any{
			"existingSecret": GrafanaAdminSecret,
			"userKey":        grafanaUserKey,
			"passwordKey":    grafanaPasswordKey,
		},
		"resources":       resourceValues("50m", "192Mi", "512Mi"),
		"securityContext": podSecurityValues(472, 472),
		"containerSecurityContext": map[string]any{
			"allowPrivilegeEscalation": false,
			"capabilities":             map[string]any{"drop": []any{"ALL"}},
		},
		// The rights are the program's own (newGrafanaRights).
		"rbac": map[string]any{"create": false, "namespaced": true},
		"sidecar": map[string]any{
			"resources": resourceValues("10m", "96Mi", "192Mi"),
			"dashboards": map[string]any{
				"enabled":         true,
				"label":           dashboardLabel,
				"labelValue":      dashboardLabelValue,
				"searchNamespace": a.Namespace,
				"resource":        "configmap",
			},
			"datasources": map[string]any{"searchNamespace": a.Namespace, "resource": "configmap"},
		},
	}
}
