package stackoutputs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: one, cluster: {server: "https://one.example.invalid"}}
- {name: two, cluster: {server: "https://two.example.invalid"}}
users:
- {name: me, user: {token: secret-token}}
contexts:
- {name: one, context: {cluster: one, user: me}}
- {name: two, context: {cluster: two, user: me}}
`

func TestClusterOfAStack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(file, []byte(kubeconfig), 0o600))
	home := t.TempDir()
	t.Setenv("HOME", home)
	require.NoError(t, os.WriteFile(filepath.Join(home, "mine"), []byte(kubeconfig), 0o600))
	t.Setenv("KUBECONFIG", filepath.Join(home, "mine"))
	quoted, err := json.Marshal(kubeconfig)
	require.NoError(t, err)
	for name, test := range map[string]struct{ pipeline, more, host, context string }{
		"secret output wins":   {`{}`, `,"kubeconfig":` + string(quoted), "https://one.example.invalid", "one"},
		"file and context":     {`{"kubeconfig":"` + file + `","context":"two"}`, "", "https://two.example.invalid", "two"},
		"file below home":      {`{"kubeconfig":"~/mine"}`, "", "https://one.example.invalid", "one"},
		"the user's own":       {`{"context":"two"}`, "", "https://two.example.invalid", "two"},
		"null is not a secret": {`{"context":"two"}`, `,"kubeconfig":null`, "https://two.example.invalid", "two"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Parse([]byte(`{"pipeline":` + test.pipeline + test.more + `}`))
			require.NoError(t, err)
			assert.Equal(t, test.host, s.Config.Host)
			assert.Equal(t, test.context, s.Context)
		})
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	for name, test := range map[string]struct{ printed, says string }{
		"not deployed":     {`{}`, "`pulumi up` brings it"},
		"no JSON":          {`oops`, "outputs"},
		"wrong kubeconfig": {`{"pipeline":{},"kubeconfig":"secret-token: ["}`, "is not a kubeconfig"},
		"no such context":  {`{"pipeline":{"kubeconfig":"/does/not/exist","context":"x"}}`, "/does/not/exist"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(test.printed))
			require.ErrorContains(t, err, test.says)
			assert.NotContains(t, err.Error(), "secret-token")
		})
	}
	_, err := Read(t.Context(), ".", "")
	require.ErrorContains(t, err, "STACK=")
}
