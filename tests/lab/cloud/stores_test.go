package cloud

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// grants are the resources that let ServiceAccount vllm/vllm read and vllm/vllm-stager write, on each cloud.
func grants() []*Resource {
	made := func(token, id string, inputs, outputs map[string]any) *Resource {
		all := map[string]any{}
		for _, properties := range []map[string]any{inputs, outputs} {
			for key, value := range properties {
				all[key] = value
			}
		}
		return &Resource{Token: token, ID: id, Inputs: inputs, Outputs: all}
	}
	const pool = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p.svc.id.goog/subject/ns/vllm/sa/"
	var all []*Resource
	for account, role := range map[string]string{"vllm": "roles/storage.objectViewer", "vllm-stager": "roles/storage.objectUser"} {
		for _, each := range []string{role, "roles/storage.bucketViewer"} {
			all = append(all, made(gcpBucketMember, account+each, map[string]any{"bucket": "models", "role": each, "member": pool + account}, nil))
		}
		action := `"s3:GetObject"`
		if account == "vllm-stager" {
			action = `"s3:GetObject","s3:PutObject"`
		}
		policy := `{"Statement":[{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::models"],"Condition":{"StringLike":{"s3:prefix":"a/gemma/*"}}},` +
			`{"Effect":"Allow","Action":[` + action + `],"Resource":["arn:aws:s3:::models/a/gemma/*"]}]}`
		definition := "/x/roleDefinitions/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
		if account == "vllm-stager" {
			definition = "/x/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe"
		}
		all = append(all,
			made(AWSRole, account, nil, map[string]any{"arn": "arn:" + account}),
			made(awsInlineRole, account, map[string]any{"role": account, "policy": policy}, nil),
			made(awsPodIdentity, account, map[string]any{"namespace": "vllm", "serviceAccount": account, "roleArn": "arn:" + account}, nil),
			made(azureIdentity, account, nil, map[string]any{"name": account, "clientId": "client-" + account, "principalId": "principal-" + account}),
			made(azureCredential, account, map[string]any{"resourceName": account, "subject": "system:serviceaccount:vllm:" + account}, nil),
			made(azureRoleAssignment, account, map[string]any{
				"scope":            "/s/providers/Microsoft.Storage/storageAccounts/account/blobServices/default/containers/models",
				"roleDefinitionId": definition, "principalId": "principal-" + account,
			}, nil))
	}
	return all
}

// newStores returns object stores with a bucket on each cloud.
func newStores(t *testing.T) *Cloud {
	t.Helper()
	client := fake.NewClientset()
	for _, name := range []string{"vllm", "vllm-stager"} {
		_, err := client.CoreV1().ServiceAccounts("vllm").Create(t.Context(), &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"azure.workload.identity/client-id": "client-" + name}}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	for name, labels := range map[string]map[string]string{"pod": {"azure.workload.identity/use": "true"}, "unlabelled": nil} {
		_, err := client.CoreV1().Pods("vllm").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	c := &Cloud{options: Options{ControlPlane: &fakeControlPlane{client: client}}, resources: grants()}
	c.stores = &Stores{cloud: c, dir: t.TempDir()}
	for _, l := range []Location{{Scheme: "gs", Bucket: "models"}, {Scheme: "s3", Bucket: "models"}, {Scheme: "az", Account: "account", Bucket: "models"}} {
		require.NoError(t, c.MakeBucket(l))
	}
	return c
}

// request sends a request of a pod and returns the status and the body.
func (c *Cloud) request(t *testing.T, method, path, pod, account string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("content"))
	r.Header.Set(NamespaceHeader, "vllm")
	r.Header.Set(PodHeader, pod)
	r.Header.Set(AccountHeader, account)
	recorder := httptest.NewRecorder()
	c.stores.ServeHTTP(recorder, r)
	return recorder.Code, recorder.Body.String()
}

// TestObjectStores checks who may do what in a bucket: the server reads, its stager writes, and nobody else does anything.
func TestObjectStores(t *testing.T) {
	for _, bucket := range []string{"/gs/models", "/s3/models", "/az/account/models"} {
		t.Run(bucket, func(t *testing.T) {
			c := newStores(t)
			folder, file := bucket+"/a/gemma/", bucket+"/a/gemma/config.json"
			code, body := c.request(t, http.MethodPut, file, "pod", "vllm")
			assert.Equal(t, http.StatusForbidden, code, "the server only reads")
			var refused StoreError
			require.NoError(t, json.Unmarshal([]byte(body), &refused))
			assert.NotEmpty(t, refused.Exception)
			code, body = c.request(t, http.MethodPut, file, "pod", "vllm-stager")
			require.Equal(t, http.StatusOK, code, body)

			code, body = c.request(t, http.MethodGet, folder, "pod", "vllm")
			require.Equal(t, http.StatusOK, code, body)
			var objects []StoredObject
			require.NoError(t, json.Unmarshal([]byte(body), &objects))
			assert.Equal(t, []StoredObject{{"a/gemma/config.json", 7}}, objects)
			code, body = c.request(t, http.MethodGet, file, "pod", "vllm")
			assert.Equal(t, http.StatusOK, code)
			assert.Equal(t, "content", body)
			code, _ = c.request(t, http.MethodGet, bucket+"/a/gemma/missing", "pod", "vllm")
			assert.Equal(t, http.StatusNotFound, code)
			for _, stranger := range []string{"default", "vllm-sta"} {
				code, _ = c.request(t, http.MethodGet, folder, "pod", stranger)
				assert.Equal(t, http.StatusForbidden, code, stranger)
			}
			code, _ = c.request(t, http.MethodGet, strings.Replace(folder, "models", "others", 1), "pod", "vllm")
			assert.Equal(t, http.StatusForbidden, code, "no such bucket")
			c.resources = nil
			code, _ = c.request(t, http.MethodGet, folder, "pod", "vllm")
			assert.Equal(t, http.StatusForbidden, code, "nothing is granted")
		})
	}
	c := newStores(t)
	code, body := c.request(t, http.MethodGet, "/s3/models/b/", "pod", "vllm")
	assert.Equal(t, http.StatusForbidden, code, "another folder of the bucket")
	assert.Contains(t, body, "AccessDenied")
	code, body = c.request(t, http.MethodGet, "/az/account/models/a/", "unlabelled", "vllm")
	assert.Equal(t, http.StatusForbidden, code, "AKS gives the pod no token")
	assert.Contains(t, body, "DefaultAzureCredential failed")
	code, _ = c.request(t, http.MethodGet, "/gs/models/../../etc/passwd", "pod", "vllm")
	assert.Equal(t, http.StatusBadRequest, code)
}

// TestRightsToABucket checks what the clouds refuse of the resources that grant rights to a bucket.
func TestRightsToABucket(t *testing.T) {
	c, _ := newTestCloud(t)
	c.stores = &Stores{cloud: c, dir: t.TempDir()}
	member := map[string]any{"bucket": "models", "role": "roles/storage.objectViewer", "member": "serviceAccount:a@p.iam.gserviceaccount.com"}
	_, err := c.Make(gcpBucketMember, settings, member)
	require.ErrorContains(t, err, "The specified bucket does not exist")
	require.NoError(t, c.MakeBucket(Location{Scheme: "gs", Bucket: "models"}))
	mustMake(t, c, gcpBucketMember, member)
	_, err = c.Make(gcpBucketMember, settings, with(member, map[string]any{"member": "principal://x/workloadIdentityPools/p.svc.id.goog/subject/ns/a/sa/b"}))
	require.ErrorContains(t, err, "Identity Pool does not exist")

	mustMake(t, c, AzureResourceGroup, map[string]any{"resourceGroupName": "g", "location": "westeurope"})
	cluster := mustMake(t, c, AKSCluster, with(aksInputs, map[string]any{"oidcIssuerProfile": map[string]any{"enabled": true}}))
	identity := mustMake(t, c, azureIdentity, map[string]any{"resourceGroupName": "g", "resourceName": "i", "location": "westeurope"})
	credential := map[string]any{"resourceGroupName": "g", "resourceName": "i", "federatedIdentityCredentialResourceName": "f",
		"issuer": aksIssuer(cluster), "subject": "system:serviceaccount:vllm:vllm", "audiences": []any{"api://AzureADTokenExchange"}}
	_, err = c.Make(azureCredential, settings, with(credential, map[string]any{"issuer": "https://other"}))
	require.ErrorContains(t, err, "is that of no cluster")
	mustMake(t, c, azureCredential, credential)
	assignment := map[string]any{"scope": "/s/providers/Microsoft.Storage/storageAccounts/account/blobServices/default/containers/models",
		"roleDefinitionId": "/s/roleDefinitions/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "principalId": named(identity, "principalId"), "principalType": "ServicePrincipal"}
	_, err = c.Make(azureRoleAssignment, settings, assignment)
	require.ErrorContains(t, err, "was not found")
	require.NoError(t, c.MakeBucket(Location{Scheme: "az", Account: "account", Bucket: "models"}))
	_, err = c.Make(azureRoleAssignment, settings, with(assignment, map[string]any{"roleDefinitionId": "/s/roleDefinitions/none"}))
	require.ErrorContains(t, err, "RoleDefinitionDoesNotExist")
	mustMake(t, c, azureRoleAssignment, assignment)
	assert.Contains(t, outputsOf(t, c, cluster)["oidcIssuerProfile"], "issuerURL")
}
