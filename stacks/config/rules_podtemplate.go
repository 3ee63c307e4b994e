package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"vllm-autoscaling/components"
)

const podTemplateKey = "vllm.podTemplate"

// ownedField is a field of the pod that the program sets, or that the server does not work with.
type ownedField struct {
	// why is the reason, fix what to do instead of setting it.
	why, fix string
}

// ownedPodFields are those of the pod's spec.
var ownedPodFields = map[string]ownedField{
	"serviceAccountName":            {"the program creates a ServiceAccount for the server", "remove it"},
	"serviceAccount":                {"the program creates a ServiceAccount for the server", "remove it"},
	"automountServiceAccountToken":  {"the server never calls the Kubernetes API", "remove it; a sidecar can have a projected volume with a token"},
	"terminationGracePeriodSeconds": {"it follows from how long the server drains", "set vllm.preStop and vllm.shutdownTimeout"},
	"nodeSelector":                  {"a key selects the nodes", "set vllm.nodeSelector"},
	"nodeName":                      {"the scheduler chooses the node of each replica", "set vllm.nodeSelector"},
	"priorityClassName":             {"a key names the PriorityClass", "set vllm.priorityClassName"},
	"priority":                      {"it follows from the PriorityClass", "set vllm.priorityClassName"},
	"enableServiceLinks":            {"the link of the Service vllm would set VLLM_PORT, which vLLM reads as its own", "remove it"},
	"activeDeadlineSeconds":         {"the server has no end", "remove it"},
	"ephemeralContainers":           {"a pod template has none", "use kubectl debug"},
	"hostNetwork":                   {"the namespace enforces the restricted Pod Security Standard, and replicas on a node would share a port", "remove it"},
	"resources":                     {"the requests are those of the containers", "set vllm.cpu and vllm.memory"},
}

// ownedServerFields are those of the server's container.
var ownedServerFields = map[string]ownedField{
	"image":        {"a key names the image of the server", "set vllm.image"},
	"command":      {"the program starts the server", "set model.extraArgs for further flags"},
	"args":         {"the program sets the flags of the server", "set model.extraArgs for further flags"},
	"startupProbe": {"it follows from the time that a start may take", "set vllm.startupBudget"},
}

// checkPodTemplate refuses what contradicts the rest of the pod, or what the namespace does not admit.
func (c *Config) checkPodTemplate(r *report) {
	if len(c.VLLM.PodTemplate) == 0 {
		return
	}
	template, err := c.VLLM.PodTemplate.typed()
	if err != nil {
		r.bad(podTemplateKey, "", "a part of a PodTemplateSpec", err.Error())
		return
	}
	p := &podTemplateRules{report: r, config: c, names: components.PodNames(), found: len(r.problems)}
	p.checkMetadata(template)
	spec, _ := c.VLLM.PodTemplate["spec"].(map[string]any)
	p.owned(".spec", spec, ownedPodFields)
	if policy := template.Spec.RestartPolicy; policy != "" && policy != corev1.RestartPolicyAlways {
		p.bad(".spec.restartPolicy", policy, "Always: a Deployment restarts its containers", "remove it")
	}
	p.checkVolumes(template.Spec)
	for kind, containers := range map[string][]corev1.Container{"containers": template.Spec.Containers, "initContainers": template.Spec.InitContainers} {
		fields, _ := spec[kind].([]any)
		for i, container := range containers {
			path := fmt.Sprintf(".spec.%s[%d]", kind, i)
			if container.Name == components.VLLMName && kind == "containers" {
				of, _ := fields[i].(map[string]any)
				p.owned(path, of, ownedServerFields)
				p.checkServer(path, container)
			} else {
				p.checkSidecar(path, container)
				p.checkInitName(kind, path, container)
			}
		}
	}
	if len(r.problems) == p.found {
		p.checkSecurity()
	}
	p.warnOfCredentials(template.Spec)
}

// podTemplateRules checks one pod template.
type podTemplateRules struct {
	*report
	config *Config
	names  components.OwnedNames
	// found is the number of problems before the first rule.
	found int
}

// bad adds a problem of a field, which is named by its path in the pod template.
func (p *podTemplateRules) bad(path string, value any, allowed, fix string) {
	p.report.bad(podTemplateKey+path, value, allowed, fix)
}

// owned refuses fields that are the program's own.
func (p *podTemplateRules) owned(path string, fields map[string]any, owned map[string]ownedField) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if field, ok := owned[name]; ok {
			p.bad(path+"."+name, fields[name], "not set here: "+field.why, field.fix)
		}
	}
}

// checkMetadata allows labels and annotations, other than those of the program.
func (p *podTemplateRules) checkMetadata(template corev1.PodTemplateSpec) {
	metadata, _ := p.config.VLLM.PodTemplate["metadata"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		if name != "labels" && name != "annotations" {
			p.bad(".metadata."+name, metadata[name], "only labels and annotations: the Deployment sets the other metadata of its pods", "remove it")
		}
	}
	for _, label := range slices.Sorted(maps.Keys(template.Labels)) {
		if slices.Contains(p.names.Labels, label) || label == "pod-template-hash" {
			p.bad(".metadata.labels."+label, template.Labels[label],
				"labels other than "+strings.Join(p.names.Labels, ", ")+": the Service, the metrics of the HPA and the monitors select the pods by them",
				"use a label of your own, such as example.com/team")
		} else if wrong := labelDetail(label, template.Labels[label]); wrong != "" {
			p.bad(".metadata.labels."+label, template.Labels[label], "a label that Kubernetes accepts", wrong)
		}
	}
	for _, annotation := range slices.Sorted(maps.Keys(template.Annotations)) {
		if strings.HasPrefix(annotation, components.Project+"/") {
			p.bad(".metadata.annotations."+annotation, template.Annotations[annotation], "annotations other than "+components.Project+"/*, which are the program's",
				"use an annotation of your own")
		}
	}
}

// checkVolumes refuses volumes with a name of the program's.
func (p *podTemplateRules) checkVolumes(spec corev1.PodSpec) {
	for i, volume := range spec.Volumes {
		if slices.Contains(p.names.Volumes, volume.Name) {
			p.bad(fmt.Sprintf(".spec.volumes[%d].name", i), volume.Name, "a name other than those of the program's volumes: "+strings.Join(p.names.Volumes, ", "),
				"give it another name")
		}
	}
	for kind, containers := range map[string][]corev1.Container{"containers": spec.Containers, "initContainers": spec.InitContainers} {
		for i, container := range containers {
			for j, mount := range container.VolumeMounts {
				known := slices.Contains(p.names.Volumes, mount.Name) ||
					slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
				if !known {
					p.bad(fmt.Sprintf(".spec.%s[%d].volumeMounts[%d].name", kind, i, j), mount.Name, "a volume of the pod",
						fmt.Sprintf("add it to %s.spec.volumes", podTemplateKey))
				}
			}
		}
	}
}

// checkServer checks the container of the server.
func (p *podTemplateRules) checkServer(path string, server corev1.Container) {
	for i, variable := range server.Env {
		if slices.Contains(p.names.Variables, variable.Name) {
			p.bad(fmt.Sprintf("%s.env[%d].name", path, i), variable.Name, "variables other than those of the program: "+strings.Join(p.names.Variables, ", "),
				choose(variable.Name == "HF_TOKEN", "set huggingFaceToken", choose(variable.Name == "VLLM_API_KEY", "set apiKey", "remove it")))
		}
	}
	for i, mount := range server.VolumeMounts {
		at := fmt.Sprintf("%s.volumeMounts[%d]", path, i)
		if slices.Contains(p.names.Volumes, mount.Name) {
			p.bad(at+".name", mount.Name, "a volume other than those of the program, which are mounted already: "+strings.Join(p.names.Volumes, ", "),
				"mount a volume of your own")
		}
		if slices.Contains(p.names.MountPaths, strings.TrimSuffix(mount.MountPath, "/")) {
			p.bad(at+".mountPath", mount.MountPath, "a path other than those of the program's volumes: "+strings.Join(p.names.MountPaths, ", "),
				"choose another path, such as /weights")
		}
	}
	for name, probe := range map[string]*corev1.Probe{"livenessProbe": server.LivenessProbe, "readinessProbe": server.ReadinessProbe} {
		if probe != nil && (probe.HTTPGet != nil || probe.Exec != nil || probe.TCPSocket != nil || probe.GRPC != nil) {
			p.bad(path+"."+name, "", "periods, timeouts and thresholds only: the server answers probes on /health of its own port",
				"remove httpGet, exec, tcpSocket or grpc")
		}
	}
	if server.Lifecycle != nil && server.Lifecycle.PreStop != nil {
		p.bad(path+".lifecycle.preStop", "", "not set here: it follows from how long the server drains", "set vllm.preStop")
	}
	p.checkPorts(path, server)
	p.checkResources(path, server.Resources)
}

// checkPorts refuses the port of the server, also in other containers: the Service finds it by its name.
func (p *podTemplateRules) checkPorts(path string, container corev1.Container) {
	for i, port := range container.Ports {
		if port.Name == components.VLLMPortName || int(port.ContainerPort) == p.config.VLLM.Port {
			p.bad(fmt.Sprintf("%s.ports[%d]", path, i), fmt.Sprintf("%s %d", port.Name, port.ContainerPort),
				fmt.Sprintf("a port other than that of the server (%s, %d), which the Service and the monitors use", components.VLLMPortName, p.config.VLLM.Port),
				"remove it, or give it another name and number; the number of the server's own is vllm.port")
		}
	}
}

// checkResources leaves the requests of the server to the keys that the sizes of nodes are compared with.
func (p *podTemplateRules) checkResources(path string, resources corev1.ResourceRequirements) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if request, ok := resources.Requests[name]; ok {
			p.bad(fmt.Sprintf("%s.resources.requests.%s", path, name), request.String(), "not set here: a key has the request", fmt.Sprintf("set vllm.%s", name))
		}
	}
	if limit, ok := resources.Limits[corev1.ResourceMemory]; ok && limit.Cmp(p.config.VLLM.Memory.amount()) != 0 && !p.anyRefused("vllm.memory") {
		p.bad(path+".resources.limits.memory", limit.String(), fmt.Sprintf("the same as vllm.memory (%s), which is request and limit", p.config.VLLM.Memory),
			"remove it, or set vllm.memory")
	}
	if limit, ok := resources.Limits[corev1.ResourceCPU]; ok && limit.Cmp(p.config.VLLM.CPU.amount()) < 0 && !p.anyRefused("vllm.cpu") {
		p.bad(path+".resources.limits.cpu", limit.String(), fmt.Sprintf("at least vllm.cpu (%s), which is the request", p.config.VLLM.CPU),
			"raise it, or lower vllm.cpu")
	}
	p.checkGPUs(path, resources)
}

// checkGPUs refuses GPUs, whose number is a key.
func (p *podTemplateRules) checkGPUs(path string, resources corev1.ResourceRequirements) {
	for kind, list := range map[string]corev1.ResourceList{"requests": resources.Requests, "limits": resources.Limits} {
		if number, ok := list[nvidiaGPU]; ok {
			p.bad(fmt.Sprintf("%s.resources.%s.%s", path, kind, nvidiaGPU), number.String(),
				"not set here: the GPUs of a replica belong to the server, and the sizes of nodes are compared with their number", "set gpu.perReplica")
		}
	}
}

// checkSidecar checks another container than the server's.
func (p *podTemplateRules) checkSidecar(path string, container corev1.Container) {
	if container.Image == "" {
		p.bad(path+".image", "", "an image: every container but the one called "+components.VLLMName+" is added to the pod",
			fmt.Sprintf("add its image, or call it %s if the server is meant", components.VLLMName))
	}
	if container.Name == components.VLLMName {
		p.bad(path+".name", container.Name, "a name other than that of the server's container", "give it another name")
	}
	p.checkPorts(path, container)
	p.checkGPUs(path, container.Resources)
}

// checkInitName refuses the names of the program's own init containers, which an entry of that name would be merged over.
func (p *podTemplateRules) checkInitName(kind, path string, container corev1.Container) {
	if kind == "initContainers" && slices.Contains(p.names.InitContainers, container.Name) {
		p.bad(path+".name", container.Name, "a name other than those of the program's init containers: "+strings.Join(p.names.InitContainers, ", "),
			"give it another name")
	}
}

// checkSecurity refuses what the namespace of the server does not admit: each volume and container by itself, so that the
// problem has its key, and the rest of the pod.
func (p *podTemplateRules) checkSecurity() {
	fields, _ := p.config.VLLM.PodTemplate["spec"].(map[string]any)
	rest := maps.Clone(fields)
	type part struct {
		path   string
		fields map[string]any
	}
	var parts []part
	for _, list := range []string{"volumes", "initContainers", "containers"} {
		delete(rest, list)
		items, _ := fields[list].([]any)
		for i, item := range items {
			parts = append(parts, part{fmt.Sprintf(".spec.%s[%d]", list, i), map[string]any{list: []any{item}}})
		}
	}
	if p.restricted(".spec", rest) {
		return // Every other part would be refused for the same reason.
	}
	for _, part := range parts {
		p.restricted(part.path, part.fields)
	}
}

// restricted adds a problem if the restricted Pod Security Standard forbids a part of the pod's spec, and reports whether it does.
func (p *podTemplateRules) restricted(path string, spec map[string]any) bool {
	violations, err := components.RestrictedViolations(map[string]any{"spec": spec})
	if err != nil {
		p.bad(path, "", "a part of a pod that can be merged over the server's", err.Error())
		return true
	}
	for i, violation := range violations {
		if p.config.VLLM.secret {
			violations[i], _, _ = strings.Cut(violation, " (") // What follows has values.
		}
	}
	if len(violations) > 0 {
		p.bad(path, "", "what the restricted Pod Security Standard admits, which namespace "+p.config.Namespaces.Serving+" enforces: "+strings.Join(violations, "; "),
			"see https://kubernetes.io/docs/concepts/security/pod-security-standards/")
	}
	return len(violations) > 0
}

// warnOfCredentials warns of variables that look like a credential in plain text.
func (p *podTemplateRules) warnOfCredentials(spec corev1.PodSpec) {
	if p.config.VLLM.secret {
		return
	}
	for kind, containers := range map[string][]corev1.Container{"containers": spec.Containers, "initContainers": spec.InitContainers} {
		for i, container := range containers {
			for j, variable := range container.Env {
				if variable.Value == "" || !secretNames.MatchString(strings.ReplaceAll(variable.Name, "_", "")) && !urlPassword.MatchString(variable.Value) {
					continue
				}
				key := fmt.Sprintf("%s.spec.%s[%d].env[%d].value", podTemplateKey, kind, i, j)
				p.warn(key, "[hidden]", "it looks like a credential in plain text",
					fmt.Sprintf("if it is one, take it from a Secret of the cluster with valueFrom.secretKeyRef, or: pulumi config set --secret --path '%s'", p.full(key)))
			}
		}
	}
}
