package podruntime

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"vllm-autoscaling/tests/lab/router"
)

// promPlace are the files and addresses on this machine for a generated Prometheus configuration.
type promPlace struct {
	// variables replace $(NAME) in the configuration.
	variables map[string]string
	// router is the host:port through which every pod is scraped.
	router string
	// kubeconfig is the file for service discovery.
	kubeconfig string
	// local returns the path of a container's file, or pattern of files, on this machine; ok is false when it does not
	// exist.
	local func(file string) (path string, ok bool)
}

var promVariable = regexp.MustCompile(`\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// adaptPrometheusConfig adapts the operator's configuration to this machine without changes of targets, intervals and
// labels. It also returns what was dropped because it has no counterpart here.
func adaptPrometheusConfig(generated []byte, place promPlace) (adapted []byte, dropped []string, err error) {
	var unset []string
	text := promVariable.ReplaceAllStringFunc(string(generated), func(match string) string {
		name := match[2 : len(match)-1]
		value, ok := place.variables[name]
		if !ok {
			unset = append(unset, name)
		}
		return value
	})
	if len(unset) > 0 {
		return nil, nil, fmt.Errorf("the configuration refers to variables that the pod does not set: %s", strings.Join(unset, ", "))
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return nil, nil, fmt.Errorf("the generated configuration: %w", err)
	}
	a := &promAdapter{place: place}
	if alerting, ok := config["alerting"].(map[string]any); ok && alerting["alertmanagers"] != nil {
		delete(alerting, "alertmanagers")
		a.drop("alerting.alertmanagers")
	}
	for _, key := range []string{"remote_write", "remote_read", "tracing"} {
		if _, ok := config[key]; ok {
			delete(config, key)
			a.drop(key)
		}
	}
	a.ruleFiles(config)
	jobs, _ := config["scrape_configs"].([]any)
	for i, entry := range jobs {
		job, ok := entry.(map[string]any)
		if !ok {
			return nil, nil, fmt.Errorf("scrape_configs[%d] is not an object", i)
		}
		a.files(fmt.Sprintf("job %v", job["job_name"]), job)
		a.discovery(job)
		rules, _ := job["relabel_configs"].([]any)
		job["relabel_configs"] = append(rules, lastHop(place.router)...)
	}
	adapted, err = yaml.Marshal(config)
	return adapted, a.dropped, err
}

type promAdapter struct {
	place   promPlace
	dropped []string
}

func (a *promAdapter) drop(what string) { a.dropped = append(a.dropped, what) }

func (a *promAdapter) ruleFiles(config map[string]any) {
	patterns, ok := config["rule_files"].([]any)
	if !ok {
		return
	}
	found := []any{}
	for _, pattern := range patterns {
		local, ok := a.place.local(fmt.Sprint(pattern))
		if !ok {
			a.drop(fmt.Sprintf("rule file %v", pattern))
			continue
		}
		found = append(found, local)
	}
	config["rule_files"] = found
}

// discovery configures service discovery with the pod's kubeconfig, which excludes all other settings for the API server.
func (a *promAdapter) discovery(job map[string]any) {
	configs, _ := job["kubernetes_sd_configs"].([]any)
	for _, entry := range configs {
		sd, ok := entry.(map[string]any)
		if !ok {
			continue
		}
		maps.DeleteFunc(sd, func(key string, _ any) bool {
			return !slices.Contains([]string{"role", "namespaces", "selectors", "attach_metadata"}, key)
		})
		sd["kubeconfig_file"] = a.place.kubeconfig
	}
}

// files maps every file of a job to this machine. A missing file is left out, because Prometheus would otherwise refuse the
// whole configuration.
func (a *promAdapter) files(where string, object map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch value := object[key].(type) {
		case string:
			if !strings.HasSuffix(key, "_file") {
				continue
			}
			if local, ok := a.place.local(value); ok {
				object[key] = local
				continue
			}
			delete(object, key)
			a.drop(fmt.Sprintf("%s: %s %s", where, key, value))
		case map[string]any:
			a.files(where, value)
			// An authorization without credentials is refused.
			if key == "authorization" && value["credentials"] == nil && value["credentials_file"] == nil {
				delete(object, key)
			}
		case []any:
			for _, element := range value {
				if nested, ok := element.(map[string]any); ok {
					a.files(where, nested)
				}
			}
		}
	}
}

// lastHop returns relabelings that route a target through the router. They come last, so that the relabelings of a monitor
// and the label "instance" have the addresses of a real cluster.
func lastHop(routerAddress string) []any {
	const namespace, pod, local = "__meta_kubernetes_namespace", "__meta_kubernetes_pod_name", "__tmp_lab_local"
	rule := func(target, replacement, regex string, source ...any) any {
		return map[string]any{"source_labels": source, "regex": regex, "target_label": target, "replacement": replacement, "action": "replace"}
	}
	return []any{
		rule("instance", "$1", ";(.+)", "instance", "__address__"),
		rule(local, "yes", `(127\..+|localhost(:\d+)?|\[::1\].*)`, "__address__"),
		rule("__metrics_path__", "/pods/$1/$2/$3$4", `;(.+);(.+);.+:(\d+);(.*)`, local, namespace, pod, "__address__", "__metrics_path__"),
		rule("__metrics_path__", router.OutsidePath+"$1$2", ";;(.+);(.*)", local, pod, "__address__", "__metrics_path__"),
		rule("__scheme__", "http", "", local),
		rule("__address__", routerAddress, "", local),
	}
}
