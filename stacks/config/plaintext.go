package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// secretNames match names under which charts expect a credential itself, and not the name of a Secret.
var secretNames = regexp.MustCompile(`(?i)(password|passwd|token|apikey|secretkey|privatekey)$`)

// urlPassword matches a URL with a user and a password, such as that of a proxy.
var urlPassword = regexp.MustCompile(`://[^/@\s:]+:[^/@\s]+@`)

// checkPlainText refuses credentials in plain text under keys that are not for credentials: they could be read from the stack
// file, the state and the cluster's objects.
func checkPlainText(r *report) {
	for _, full := range slices.Sorted(maps.Keys(r.source.Values)) {
		name, ours := strings.CutPrefix(full, r.source.Project+":")
		if !ours || r.source.isSecret(full) || isSecretKey(name) {
			continue // Secrets have a rule of their own.
		}
		raw := r.source.Values[full]
		var value any
		if json.Unmarshal([]byte(raw), &value) != nil {
			value = raw
		}
		walkStrings(name, value, func(key, text string) {
			if !isSecretKey(key) {
				r.plainText(key, text)
			}
		})
	}
}

// plainText adds a problem if one string of the stack file is a credential in plain text.
func (r *report) plainText(key, text string) {
	top, _, _ := strings.Cut(key, ".")
	switch found := tokenForms.FindString(text); {
	case strings.HasPrefix(found, "hf_"):
		r.problems = append(r.problems, Problem{
			Key: r.full(key), Value: "[hidden]", Allowed: "no credential; this one is a Hugging Face token in plain text",
			Fix: fmt.Sprintf("remove it here, then: pulumi config set --secret %s:huggingFaceToken (and replace the token if the file was shared)", r.source.Project),
		})
	case found != "":
		r.problems = append(r.problems, Problem{
			Key: r.full(key), Value: "[hidden]", Allowed: "no credential in plain text",
			Fix: fmt.Sprintf("remove it here; where the key is for credentials: pulumi config set --secret --path '%s:%s' (and replace it if the file was shared)",
				r.source.Project, key),
		})
	case (top == "charts" || strings.HasPrefix(key, podTemplateKey+".")) && text != "" && secretNames.MatchString(lastPart(key)):
		r.warn(key, "[hidden]", "it looks like a credential in plain text",
			fmt.Sprintf("if it is one: pulumi config set --secret --path '%s:%s', or name a Secret of the cluster instead", r.source.Project, key))
	}
}

// isSecretKey reports whether a key is for a credential.
func isSecretKey(key string) bool { return slices.Contains(secretKeys(), key) }

// secretKeys lists the keys of type Secret.
var secretKeys = sync.OnceValue(func() []string {
	var keys []string
	walk("", reflect.ValueOf(&Config{}).Elem(), func(key string, field reflect.Value, _ reflect.StructTag) {
		if field.Type() == reflect.TypeFor[Secret]() {
			keys = append(keys, key)
		}
	})
	return keys
})

// walkStrings visits every string below a key, including the names in objects.
func walkStrings(key string, value any, visit func(key, text string)) {
	switch value := value.(type) {
	case string:
		visit(key, value)
	case []any:
		for i, item := range value {
			walkStrings(fmt.Sprintf("%s[%d]", key, i), item, visit)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			walkStrings(key+"."+name, value[name], visit)
		}
	}
}
