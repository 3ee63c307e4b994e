package server

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChoose(t *testing.T) {
	for name, test := range map[string]struct {
		names []string
		given string
		want  int
		err   string
	}{
		"the only one":           {names: []string{"vllm"}},
		"the only one, by name":  {names: []string{"vllm"}, given: "vllm"},
		"another than the only":  {names: []string{"vllm"}, given: "chat", err: `the stack has no server "chat": it has vllm`},
		"one of several":         {names: []string{"chat", "code"}, given: "code", want: 1},
		"none of several":        {names: []string{"chat", "code"}, err: "several servers, chat, code: choose one, such as -server chat (with make: SERVER=chat)"},
		"a name that no one has": {names: []string{"chat", "code"}, given: "coder", err: `no server "coder": it has chat, code`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(test.names, test.given)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}
