// Package redact hides what looks like a secret in texts that people or CI logs see.
package redact

import "regexp"

// Hidden stands in place of a secret.
const Hidden = "[secret]"

// The names and values of secrets in logs.
const (
	names = `api[-_]?key|token|passw(?:or)?d|secret|authorization`
	value = `[^\s"',\]})]{6,}`
)

var (
	// token matches strings inside any text that look like a secret.
	token = regexp.MustCompile(`hf_[A-Za-z0-9]{12,}|(AKIA|ASIA)[A-Z0-9]{16}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+|` +
		`gh[pousr]_[A-Za-z0-9]{20,}|ya29\.[A-Za-z0-9_-]{20,}|pul-[0-9a-f]{40}`)
	// keyBlock matches a private key or certificate in PEM.
	keyBlock = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)`)
	// assigned and flag match a value after the name of a secret, as programs log their settings: api_key='x', "token": "x",
	// --api-key x.
	assigned = regexp.MustCompile(`(?i)((?:` + names + `)["']?\s*[:=]\s*\[?["']?(?:bearer\s+)?)` + value)
	flag     = regexp.MustCompile(`(?i)(--[a-z-]*(?:` + names + `)\s+["']?)` + value)
	bearer   = regexp.MustCompile(`(?i)(bearer\s+)[^\s\[]\S*`)
	// userinfo matches user and password in a URL.
	userinfo = regexp.MustCompile(`(://)[^/\s@]+@`)
)

// Text hides tokens and keys of known forms.
func Text(text string) string {
	return keyBlock.ReplaceAllString(token.ReplaceAllString(text, Hidden), Hidden)
}

// Log hides what Text does, and values that a program logs under the name of a secret.
func Log(text string) string {
	for _, named := range []*regexp.Regexp{assigned, flag, bearer} {
		text = named.ReplaceAllString(text, "${1}"+Hidden)
	}
	return Text(userinfo.ReplaceAllString(text, "${1}"+Hidden+"@"))
}
