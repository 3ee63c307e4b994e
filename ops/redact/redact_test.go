package redact

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLog(t *testing.T) {
	for name, tc := range map[string]struct{ line, want string }{
		"token of Hugging Face":   {"401 for hf_abcdefghijklmnop", "401 for [secret]"},
		"Python's repr":           {"non-default args: {'api_key': ['sk-123456'], 'port': 8000}", "non-default args: {'api_key': ['[secret]'], 'port': 8000}"},
		"JSON":                    {`{"token": "abcdef123"}`, `{"token": "[secret]"}`},
		"a flag":                  {"vllm serve --api-key abcdef123 --port 1", "vllm serve --api-key [secret] --port 1"},
		"an environment variable": {"HF_TOKEN=abcdef123", "HF_TOKEN=[secret]"},
		"a header":                {"Authorization: Bearer abc.def", "Authorization: Bearer [secret]"},
		"a URL":                   {"proxy http://me:pass@proxy:3128 refused", "proxy http://[secret]@proxy:3128 refused"},
		"a key in PEM":            {"-----BEGIN PRIVATE KEY-----\nMIIE", "[secret]"},
		"a word after token":      {"the token sequence is too long", "the token sequence is too long"},
		"nothing":                 {"ValueError: max_model_len (8192) is larger than 4096 tokens", "ValueError: max_model_len (8192) is larger than 4096 tokens"},
		"throughput":              {"Avg generation throughput: 12.0 tokens/s", "Avg generation throughput: 12.0 tokens/s"},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, Log(tc.line)) })
	}
}

func TestTextLeavesWhatHasNoKnownForm(t *testing.T) {
	assert.Equal(t, "token: abcdef123, [secret]", Text("token: abcdef123, ghp_"+strings.Repeat("a", 20)))
}
