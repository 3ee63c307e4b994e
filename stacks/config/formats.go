package config

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"vllm-autoscaling/components"
	"vllm-autoscaling/providers"
)

// format is a rule on strings that several keys share, or that a pattern alone cannot express.
type format struct {
	// pattern is the part of the rule that a regular expression can express; the JSON Schema has it too.
	pattern string
	// allowed describes the allowed values, fix the remedy; with an empty fix, the key's other tags provide it.
	allowed, fix string
	// detail returns what is wrong with a string beyond the pattern, or "" for nothing; nil means that the pattern is the
	// whole rule. It does not repeat the string, which may be part of an encrypted object.
	detail func(text string) string
	// entry returns what is wrong with an entry of a map, or "" for nothing.
	entry func(name, value string) string
}

// formats lists the values of the tag format.
var formats = map[string]format{
	"label":      {pattern: labelPattern, allowed: labelAllowed},
	"namespace":  {pattern: labelPattern, allowed: labelAllowed, detail: systemNamespace},
	"namespaces": {pattern: `^([*]|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$`, allowed: labelAllowed + `; or "*" for every namespace`},
	"network": {
		pattern: `^[0-9A-Fa-f:.]+/[0-9]{1,3}$`, allowed: "a network such as 10.0.0.0/16", fix: "for a single address add /32, or /128 with IPv6",
		detail: components.NetworkProblem,
	},
	"host": {
		pattern: `^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`, allowed: "the name of a host in lower case, without scheme, port or wildcard",
		fix: "name each host by itself, for example images.example.com", detail: subdomainDetail,
	},
	"subdomain": {
		pattern: `^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`, allowed: "an RFC 1123 subdomain: lower-case letters, digits, '-' and '.'",
		fix: "give the name as kubectl prints it", detail: subdomainDetail,
	},
	"labels":         {allowed: "a label that a node can have", entry: labelDetail},
	"object-labels":  {allowed: "a label that every object of the stack can have", entry: unreservedLabel(components.ReservedLabel)},
	"monitor-labels": {allowed: "a label that a monitor can have", entry: unreservedLabel(components.ReservedMonitorLabel)},
	"adapters":       {allowed: "a name of letters, digits, '.', '_', '-' and '/', for a model name as in model.id", entry: adapterDetail},
	"annotations":    {allowed: "an annotation that every object of the stack can have", entry: annotationDetail},
	"headers":        {allowed: "an HTTP header that is no secret", entry: headerDetail},
	"query-url": {
		pattern: `^https?://[^ ]+$`, allowed: "an http:// or https:// URL of Prometheus' HTTP API",
		fix: "for example http://thanos-query.thanos.svc:9090", detail: queryURLDetail,
	},
	"model": {
		pattern: modelPattern, allowed: `"organisation/name" as on Hugging Face, or an absolute path in the image`,
		detail: spaceDetail,
	},
	"bucket": {
		pattern: `^(gs|s3|az)://[a-z0-9][a-z0-9._-]*/[^ ]+$`, allowed: "a folder of a bucket: " + providers.BucketForms,
		fix: "for example gs://example-models/gemma-3-4b-it", detail: bucketDetail,
	},
	"folder": {
		pattern: `^(/|/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/?)$`, allowed: "a folder: parts of letters, digits, '.', '_' and '-', with / between them",
		fix: "for example models/gemma-3-4b-it", detail: folderDetail,
	},
	"image": {pattern: `^[^ ]*[:@][^ ]*$`, allowed: "an image with a version tag or a digest", detail: imageDetail},
	// A range makes Helm look for newer charts at every preview.
	"version": {
		pattern: `^v?[0-9]+[.][0-9]+[.][0-9]+([-+][0-9A-Za-z.+-]+)?$`, allowed: "one exact version", fix: "remove the key to get the tested one",
	},
	"repository": {
		pattern: `^(https?://|oci://|[.]{0,2}/).`, allowed: "an http(s):// or oci:// URL, or a folder that begins with / or .",
		fix: "remove the key to get the public one",
	},
	"prometheus-duration": {
		pattern: `^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$`, allowed: "a Prometheus duration above 0", fix: "for example 7d or 36h",
		detail: retentionDetail,
	},
}

const (
	labelPattern = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	modelPattern = `^([A-Za-z0-9_.][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+|/[^ ]+)$`
	labelAllowed = "an RFC 1123 label: lower-case letters, digits and '-', at most 63, a letter or digit at both ends"
)

// systemNamespace returns why a namespace cannot be the stack's own, or "".
func systemNamespace(name string) string {
	if name == "default" || strings.HasPrefix(name, "kube-") {
		return "this one belongs to Kubernetes, and destroy deletes the stack's namespaces"
	}
	return ""
}

func subdomainDetail(name string) string {
	return strings.Join(validation.IsDNS1123Subdomain(name), "; ")
}

func labelDetail(name, value string) string {
	return strings.Join(append(validation.IsQualifiedName(name), validation.IsValidLabelValue(value)...), "; ")
}

// unreservedLabel returns the rule of labels that a stack's owner adds, for a function that returns why a key is reserved.
func unreservedLabel(reserved func(key string) string) func(name, value string) string {
	return func(name, value string) string {
		if reason := reserved(name); reason != "" {
			return "use another key: " + reason
		}
		return labelDetail(name, value)
	}
}

// annotationDetail returns why an annotation cannot be added to every object, or "". Its value may be any text.
func annotationDetail(name, _ string) string {
	if reason := components.ReservedAnnotation(name); reason != "" {
		return "use another key: " + reason
	}
	// Kubernetes ignores the case.
	return strings.Join(validation.IsQualifiedName(strings.ToLower(name)), "; ")
}

// adapterDetail returns why a LoRA adapter cannot be served, or "".
func adapterDetail(name, value string) string {
	switch {
	case !compiled(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$`).MatchString(name):
		return "use another name"
	case !compiled(modelPattern).MatchString(value) || spaceDetail(value) != "":
		return `give "organisation/name" as on Hugging Face, or an absolute path in the image`
	}
	return ""
}

func spaceDetail(text string) string {
	return choose(strings.ContainsAny(text, " \t\r\n\v\f"), "without white space", "")
}

func retentionDetail(text string) string {
	return choose(components.ValidRetention(text), "", "years, weeks, days, hours, minutes and seconds, in this order")
}

const (
	imageTagPattern    = `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`
	imageDigestPattern = `^sha256:[0-9a-f]{64}$`
)

// imageDetail returns why an image reference is not pinned, or "".
func imageDetail(image string) string {
	if strings.ContainsAny(image, " \t\n") || image == "" {
		return "it is not an image reference"
	}
	if _, digest, ok := strings.Cut(image, "@"); ok {
		return choose(compiled(imageDigestPattern).MatchString(digest), "", "the digest is not sha256:<64 hex digits>")
	}
	// The tag follows the last colon, unless that colon belongs to the registry's port.
	name := image[strings.LastIndexByte(image, '/')+1:]
	_, tag, ok := strings.Cut(name, ":")
	switch {
	case !ok:
		return "it has no tag, which means latest"
	case tag == "latest" || tag == "nightly":
		return tag + " changes under a running deployment"
	case !compiled(imageTagPattern).MatchString(tag):
		return "what follows the colon is not a tag"
	}
	return ""
}
