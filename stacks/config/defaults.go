package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

// applyDefaults sets every key that was not given to the default of its tag, or else to one that depends on other keys.
// Later defaults may depend on earlier ones.
func (c *Config) applyDefaults(given keySet) {
	// An unknown cloud is one problem; checks that depend on the cloud are skipped.
	if !given.refused("cloud") {
		orDefault(given, "cloud", &c.Cloud, c.Stack)
	}
	c.applyTagDefaults(given)
	c.applyChartDefaults(given)

	noGPU := !c.onCloud()
	orDefault(given, "gpu.mode", &c.GPU.Mode, choose(noGPU, GPUSimulated, GPUNvidia))
	simulated := c.GPU.Mode == GPUSimulated
	if !noGPU {
		c.applyCloudDefaults(given)
	}
	orDefault(given, "gpu.metrics", &c.GPU.Metrics, string(choose(simulated, providers.Simulated, providers.DCGMChart)))
	if !simulated && c.Cloud == CloudLocal {
		orDefault(given, "gpu.nodeSelector", &c.GPU.NodeSelector, map[string]string{"nvidia.com/gpu.present": "true"})
		orDefault(given, "gpu.tolerations", &c.GPU.Tolerations,
			[]Toleration{{Key: "nvidia.com/gpu", Operator: "Exists", Effect: "NoSchedule"}})
	}
	c.givenMaxNumSeqs = given.has("model.maxNumSeqs")
	orDefault(given, "model.maxNumSeqs", &c.Model.MaxNumSeqs, c.defaultMaxNumSeqs())
	orDefault(given, "vllm.image", &c.VLLM.Image, choose(simulated, imageSimulator, imageVLLM))
	orDefault(given, "vllm.readyTimeout", &c.VLLM.ReadyTimeout, components.ColdStart(c.VLLM.StartupBudget))
	orDefault(given, "vllm.modelCache", &c.VLLM.ModelCache, defaultModelCache(c.downloadGiB()))
	c.applyHostDefaults(given)

	orDefault(given, "monitoring.signalInterval", &c.Monitoring.SignalInterval,
		choose(c.ManagesMetrics(), components.ManagedMinInterval, 2*time.Second))
	// A cloud's nodes are replaced; the metrics in an emptyDir would be lost with them.
	orDefault(given, "monitoring.storage", &c.Monitoring.Storage, choose(noGPU, Quantity(""), "20Gi"))
	orDefault(given, "monitoring.dashboards", &c.Monitoring.Dashboards, c.Monitoring.Grafana)
	// In a cluster that was there before, others may use the same CRDs.
	orDefault(given, "monitoring.upgradeCRDs", &c.Monitoring.UpgradeCRDs,
		!c.ExistingCluster() && c.Monitoring.Operator != OperatorShared)
	c.applySharedDefaults(given)

	c.applySignalDefaults(given)
	orDefault(given, "autoscaling.scaleDown.stabilization", &c.Autoscaling.ScaleDown.Stabilization, c.defaultStabilization())
	// The first samples after a deployment wait for a relist. With less than two scrapes between relists, series would flap.
	orDefault(given, "autoscaling.relistInterval", &c.Autoscaling.RelistInterval, max(10*time.Second, 2*c.Monitoring.SignalInterval))
}

// applyTagDefaults sets the tag defaults of the keys that were not given, except those that provider packages apply.
func (c *Config) applyTagDefaults(given keySet) {
	root := reflect.ValueOf(c).Elem()
	for _, f := range Fields(root.Type()) {
		field, tag := f.In(root), f.Tag
		switch key := tag.Get("key"); {
		case providersOwn(tag, field.Type()):
		case isObject(field.Type()):
			walk(key+".", field, func(key string, field reflect.Value, tag reflect.StructTag) {
				setDefault(given, key, c.Cloud, field, tag)
			})
		default:
			setDefault(given, key, c.Cloud, field, tag)
		}
	}
}

// setDefault sets a field to the default of its tag unless its key was given.
func setDefault(given keySet, key, cloud string, field reflect.Value, tag reflect.StructTag) {
	text, ok := RulesOf(tag).defaultOn(cloud)
	if !ok || given.has(key) {
		return
	}
	var err error
	switch target := field.Addr().Interface().(type) {
	case *string:
		*target = text
	case *Quantity:
		*target = Quantity(text)
	case *int:
		*target, err = strconv.Atoi(text)
	case *float64:
		*target, err = strconv.ParseFloat(text, 64)
	case *bool:
		*target, err = strconv.ParseBool(text)
	case *time.Duration:
		*target, err = time.ParseDuration(text)
	default:
		err = fmt.Errorf("%T has no default in a tag", target)
	}
	if err != nil {
		panic(fmt.Sprintf("tag default of %s: %v", key, err)) // A mistake in types.go, which every test finds.
	}
}

// applyChartDefaults sets version and repository of the charts.
func (c *Config) applyChartDefaults(given keySet) {
	charts := reflect.ValueOf(&c.Charts).Elem()
	for i := range charts.NumField() {
		name := charts.Type().Field(i).Tag.Get("key")
		chart := charts.Field(i).Addr().Interface().(*Chart)
		orDefault(given, "charts."+name+".version", &chart.Version, pins[name].version)
		orDefault(given, "charts."+name+".repository", &chart.Repository, pins[name].repository)
	}
}

// defaultModelCache returns a volume size with room for files of the given size in GiB, at least 20Gi.
func defaultModelCache(files float64) Quantity {
	const smallest, step = 20, 10
	return Quantity(fmt.Sprintf("%dGi", max(smallest, step*int(math.Ceil(1.1*files/step)))))
}

// orDefault sets a field unless its key was given.
func orDefault[T any](given keySet, key string, field *T, value T) {
	if !given.has(key) {
		*field = value
	}
}

func choose[T any](condition bool, yes, no T) T {
	if condition {
		return yes
	}
	return no
}
