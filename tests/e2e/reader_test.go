package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/workflows"
)

// restrict gives the readers in the cluster the roles of the guide. Until then, every workflow is the cluster's administrator.
func (p *pipeline) restrict(t *testing.T, l *lab.Lab, program string) {
	t.Helper()
	ctx, client := testContext(t), l.Client()
	roles, err := workflows.GuideRoles(environment.root)
	require.NoError(t, err)
	p.readers = map[string]string{}
	for name, rules := range roles {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for _, r := range rules {
			role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames, Verbs: r.Verbs})
		}
		_, err = client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
		require.NoError(t, err)
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err = client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Create(ctx, account, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceDefault, Name: name}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		token, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		require.NoError(t, err)
		p.readers[name] = filepath.Join(p.folder, name)
		require.NoError(t, os.MkdirAll(p.readers[name], 0o700))
		credential := fmt.Sprintf(`{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":%q}}`, token.Status.Token)
		require.NoError(t, os.WriteFile(filepath.Join(p.readers[name], program), []byte("#!/bin/sh\necho '"+credential+"'\n"), 0o700))

		may := func(verb, group, resource string) bool {
			review, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{
					User: "system:serviceaccount:default:" + name, Groups: []string{"system:serviceaccounts", "system:authenticated"},
					ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "monitoring", Verb: verb, Group: group, Resource: resource},
				},
			}, metav1.CreateOptions{})
			return err == nil && review.Status.Allowed
		}
		require.Eventually(t, func() bool { return may("list", "apiregistration.k8s.io", "apiservices") }, 30*time.Second, 100*time.Millisecond,
			"%s: the authorizer has not seen the role", name)
		for _, verb := range []string{"get", "list", "watch"} {
			assert.False(t, may(verb, "", "secrets"), "%s: %s secrets", name, verb)
		}
		assert.False(t, may("patch", "apps", "deployments"), name)
	}
}

// unrestrict deletes what restrict created.
func (p *pipeline) unrestrict(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx, client := testContext(t), l.Client()
	for name := range p.readers {
		require.NoError(t, client.RbacV1().ClusterRoleBindings().Delete(ctx, name, metav1.DeleteOptions{}))
		require.NoError(t, client.RbacV1().ClusterRoles().Delete(ctx, name, metav1.DeleteOptions{}))
		require.NoError(t, client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Delete(ctx, name, metav1.DeleteOptions{}))
	}
	p.readers = nil
}

// as lets the workflows that follow log in to the cluster as one of the guide's readers, until the function that it returns is called.
func (p *pipeline) as(reader string) func() {
	require.NotEmpty(p.t, p.readers[reader], "no reader %s", reader)
	p.programs = p.readers[reader]
	return func() { p.programs = "" }
}
