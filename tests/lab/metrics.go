package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"vllm-autoscaling/tests/lab/cloud"
)

// google provides Google Cloud's endpoints to the pod runtime, which starts before the simulated clouds.
type google struct{ lab *Lab }

func (g google) MetadataServer(namespace, serviceAccount string) (string, error) {
	if g.lab.clouds == nil {
		return "", errors.New("the lab simulates no cloud")
	}
	return g.lab.clouds.MetadataServer(namespace, serviceAccount)
}

func (g google) MonitoringURL() string {
	if g.lab.clouds == nil {
		return ""
	}
	return g.lab.clouds.MonitoringURL()
}

// collected evaluates an expression on the managed collection's collector.
func (l *Lab) collected(ctx context.Context, promql string, at time.Time) (model.Vector, error) {
	pods, err := l.readyPods(ctx, cloud.CollectionNamespace, labels.SelectorFromSet(cloud.CollectorLabels).String())
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("query %s: no ready collector in %s", promql, cloud.CollectionNamespace)
	}
	value, err := query(ctx, l.PodURL(pods[0].Namespace, pods[0].Name, cloud.CollectorPort), promql, at)
	if err != nil {
		return nil, err
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("query %s: a %s, not a vector", promql, value.Type())
	}
	return vector, nil
}

// prometheusPods selects the pods that the operator creates for a Prometheus object.
const (
	prometheusPods = "app.kubernetes.io/name=prometheus,operator.prometheus.io/name"
	prometheusPort = 9090
)

// Metric returns the current value of an expression in the cluster's Prometheus.
func (l *Lab) Metric(ctx context.Context, promql string) (model.Value, error) {
	pods, err := l.readyPods(ctx, metav1.NamespaceAll, prometheusPods)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("query %s: no ready Prometheus in the cluster (pods with labels %s)", promql, prometheusPods)
	}
	return query(ctx, l.PodURL(pods[0].Namespace, pods[0].Name, prometheusPort), promql, time.Time{})
}

// query evaluates an expression on a Prometheus; the zero time means now.
func query(ctx context.Context, address, promql string, at time.Time) (model.Value, error) {
	client, err := api.NewClient(api.Config{Address: address})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", promql, err)
	}
	value, _, err := prometheusv1.NewAPI(client).Query(ctx, promql, at)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", promql, err)
	}
	return value, nil
}

// SetGPUUtilization sets the utilization of GPUs in percent as a function of a pod and its number of running requests. Nil
// restores the default: 0 without requests, otherwise 92 to 99.
func (l *Lab) SetGPUUtilization(f func(pod string, running int) float64) {
	l.runtime.SetGPUUtilization(f)
}
