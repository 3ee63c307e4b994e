package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vllm-autoscaling/components/signals"
	"vllm-autoscaling/tests/lab"
	"vllm-autoscaling/tests/networkpolicy"
)

const (
	// watched is a namespace of another team whose rules the stack's Prometheus reads; ignored is one whose rules it does not.
	watched, ignored = "apps", "default"
	// foreign is a namespace with a Prometheus and an Alertmanager of another team.
	foreign = "their-monitoring"

	// untouched is how long an object of another team is watched. An operator that manages it needs seconds.
	untouched = 30 * time.Second

	monitoringAPI = "/apis/monitoring.coreos.com/v1/namespaces"
)

// neighbours are the objects of other teams in the cluster of a stack.
type neighbours struct {
	lab     *lab.Lab
	created time.Time
}

// newNeighbours creates a Prometheus and an Alertmanager in a namespace of their own, and rules that pretend to be the server's
// signals.
func newNeighbours(t *testing.T, l *lab.Lab) *neighbours {
	t.Helper()
	o := &neighbours{lab: l}
	for _, name := range []string{foreign, watched} {
		_, err := l.Client().CoreV1().Namespaces().Create(testContext(t), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	o.create(t, foreign, "prometheuses", `{"kind": "Prometheus", "spec": {"serviceAccountName": "default"}}`)
	o.create(t, foreign, "alertmanagers", `{"kind": "Alertmanager", "spec": {"replicas": 1}}`)
	for _, namespace := range []string{watched, ignored} {
		// Many times the target, so that the HPA would go to its maximum.
		o.create(t, namespace, "prometheusrules", fmt.Sprintf(`{"kind": "PrometheusRule", "spec": {"groups": [{
			"name": "pretended-by-%s", "interval": "2s", "rules": [{
				"record": %q, "expr": "vector(1000)", "labels": {"namespace": %q, "pod": "pretended"}}]}]}}`,
			namespace, signals.RecordRequestsInFlight, serving))
	}
	o.created = time.Now()
	return o
}

func (o *neighbours) create(t *testing.T, namespace, resource, object string) {
	t.Helper()
	body := strings.Replace(object, "{", `{"apiVersion": "monitoring.coreos.com/v1", "metadata": {"name": "theirs"}, `, 1)
	require.NoError(t, o.lab.Client().CoreV1().RESTClient().Post().AbsPath(monitoringAPI, namespace, resource).
		SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(testContext(t)).Error(), "%s in %s", resource, namespace)
}

// areApart checks that the stack's operator runs nothing of other teams, that rules which it was not told to read have no
// effect, that those which it was write to their own namespace, and removes all of them.
func (o *neighbours) areApart(t *testing.T) {
	ctx := testContext(t)
	defer o.remove(t)

	// The rule of the watched namespace shows that the operator has looked at rules since.
	eventuallyNoError(t, 2*time.Minute, func(ctx context.Context) error {
		samples, err := vector(ctx, o.lab, signals.RecordRequestsInFlight+`{pod="pretended"}`)
		if err == nil && len(samples) == 0 {
			err = fmt.Errorf("Prometheus does not read the rules of namespace %s", watched)
		}
		return err
	})
	samples, err := vector(ctx, o.lab, signals.RecordRequestsInFlight+`{pod="pretended"}`)
	require.NoError(t, err)
	for _, sample := range samples {
		assert.Equal(t, watched, string(sample.Metric["namespace"]), "a rule wrote a signal of another namespace: %v", sample)
	}
	groups, err := vector(ctx, o.lab, `prometheus_rule_group_rules{rule_group=~".*pretended-by-.*"}`)
	require.NoError(t, err)
	for _, group := range groups {
		assert.Contains(t, string(group.Metric["rule_group"]), "pretended-by-"+watched, "Prometheus reads the rules of another namespace")
	}

	ours, err := o.lab.Client().AppsV1().StatefulSets(monitoring).List(ctx, listAll)
	require.NoError(t, err)
	assert.Len(t, ours.Items, 2, "Prometheus and Alertmanager of the stack")
	select {
	case <-time.After(time.Until(o.created.Add(untouched))):
	case <-ctx.Done():
		require.NoError(t, context.Cause(ctx))
	}
	theirs, err := o.lab.Client().AppsV1().StatefulSets(foreign).List(ctx, listAll)
	require.NoError(t, err)
	for _, set := range theirs.Items {
		t.Errorf("after %s the stack's operator runs %s/%s of another team", untouched, foreign, set.Name)
	}
	for resource, kind := range map[string]string{"prometheuses": "Prometheus", "alertmanagers": "Alertmanager"} {
		var object struct {
			Status struct{ Conditions []metav1.Condition }
		}
		require.NoError(t, o.read(ctx, &object, foreign, resource), kind)
		assert.Empty(t, object.Status.Conditions, "the stack's operator has written the status of their %s", kind)
	}
	scale, err := o.lab.Client().AppsV1().Deployments(serving).GetScale(ctx, "vllm", metav1.GetOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, 1, scale.Spec.Replicas, "a rule of another team has scaled the server")
}

func (o *neighbours) read(ctx context.Context, into any, namespace, resource string) error {
	raw, err := o.lab.Client().CoreV1().RESTClient().Get().AbsPath(monitoringAPI, namespace, resource, "theirs").DoRaw(ctx)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// remove deletes what newNeighbours has created, and waits until it is gone.
func (o *neighbours) remove(t *testing.T) {
	t.Helper()
	ctx, client := testContext(t), o.lab.Client().CoreV1()
	require.NoError(t, client.RESTClient().Delete().AbsPath(monitoringAPI, ignored, "prometheusrules", "theirs").Do(ctx).Error())
	for _, name := range []string{foreign, watched} {
		require.NoError(t, client.Namespaces().Delete(ctx, name, metav1.DeleteOptions{}))
	}
	eventuallyNoError(t, time.Minute, func(ctx context.Context) error {
		for _, name := range []string{foreign, watched} {
			if _, err := client.Namespaces().Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("namespace %s is still there: %v", name, err) //nolint:errorlint // It may be nil.
			}
		}
		return nil
	})
}

// nobodyReadsSecrets asks the API server what the accounts of the monitoring namespace may read.
func nobodyReadsSecrets(t *testing.T, l *lab.Lab) {
	ctx := testContext(t)
	may := func(account, resource, namespace string) bool {
		review, err := l.Client().AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:" + monitoring + ":" + account,
				Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + monitoring, "system:authenticated"},
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: resource, Namespace: namespace},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		return review.Status.Allowed
	}
	accounts, err := l.Client().CoreV1().ServiceAccounts(monitoring).List(ctx, listAll)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(accounts.Items), 6)
	for _, account := range accounts.Items {
		for _, namespace := range []string{"", serving, monitoring, "kube-system"} {
			assert.Equal(t, account.Name == "kps-operator", may(account.Name, "secrets", namespace), "%s: Secrets of namespace %q", account.Name, namespace)
		}
	}
	assert.True(t, may("kps-grafana", "configmaps", monitoring), "dashboards are ConfigMaps")
	assert.False(t, may("kps-grafana", "configmaps", serving))
}

// policiesAdmit evaluates the policies in the cluster for its pods, whose labels come from charts and operator.
func policiesAdmit(t *testing.T, l *lab.Lab) {
	ctx := testContext(t)
	policies, err := l.Client().NetworkingV1().NetworkPolicies(monitoring).List(ctx, listAll)
	require.NoError(t, err)
	pods, err := l.Client().CoreV1().Pods(monitoring).List(ctx, listAll)
	require.NoError(t, err)
	find := func(prefix string) networkpolicy.Pod {
		for _, pod := range pods.Items {
			if strings.HasPrefix(pod.Name, prefix) {
				ports := map[string]int32{}
				for _, container := range pod.Spec.Containers {
					for _, port := range container.Ports {
						ports[port.Name] = port.ContainerPort
					}
				}
				return networkpolicy.Pod{Namespace: pod.Namespace, Labels: pod.Labels, Ports: ports}
			}
		}
		require.Fail(t, "no pod "+prefix)
		return networkpolicy.Pod{}
	}
	prometheus, alertmanager, grafana := find("prometheus-kps-prometheus-"), find("alertmanager-kps-alertmanager-"), find("kps-grafana-")
	adapter, exporter := find("prometheus-adapter-"), find("dcgm-exporter-")
	stranger := networkpolicy.Pod{Namespace: watched, Labels: prometheus.Labels}
	for _, c := range []struct {
		what     string
		from, to networkpolicy.Pod
		port     int32
		want     bool
	}{
		{"the adapter queries Prometheus", adapter, prometheus, 9090, true},
		{"Grafana queries Prometheus", grafana, prometheus, 9090, true},
		{"Prometheus scrapes the exporter", prometheus, exporter, 9400, true},
		{"Prometheus sends alerts", prometheus, alertmanager, 9093, true},
		{"the API server calls the adapter", networkpolicy.Pod{Address: "172.16.0.2"}, adapter, adapter.Ports["https"], true},
		{"a stranger stops Prometheus", stranger, prometheus, 9090, false},
		{"a stranger silences alerts", stranger, alertmanager, 9093, false},
		{"a stranger opens Grafana", stranger, grafana, 3000, false},
		{"the exporter queries Prometheus", exporter, prometheus, 9090, false},
	} {
		admitted, err := networkpolicy.Admits(policies.Items, c.from, c.to, networkpolicy.TCP(c.port))
		require.NoError(t, err)
		assert.Equal(t, c.want, admitted, c.what)
	}
}
