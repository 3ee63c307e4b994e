package podruntime

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

func TestMiddleware(t *testing.T) {
	l := &launcher{dir: t.TempDir(), container: &corev1.Container{VolumeMounts: []corev1.VolumeMount{
		{Name: "code", MountPath: "/etc/code"}, {Name: "other", MountPath: "/etc/other"},
	}}}
	for file, source := range map[string]string{
		"code/guard.py":      "import os\n\n\nclass Guard:\n    pass\n\n\nasync def check(request, call_next):\n    pass\n\n\ndef plain(): pass\n",
		"other/deep/part.py": "class Part(Base):\n    pass\n",
	} {
		name := filepath.Join(l.dir, "volumes", filepath.FromSlash(file))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(source), 0o600))
	}
	for name, test := range map[string]struct {
		words      []string
		pythonPath string
		want       string
	}{
		"none":                       {[]string{"--model=m"}, "", ""},
		"a class":                    {[]string{"--model=m", "--middleware=guard.Guard"}, "/etc/code", ""},
		"a coroutine function":       {[]string{"--middleware", "guard.check"}, "/etc/code", ""},
		"two, of two folders":        {[]string{"--middleware=guard.Guard", "--middleware=deep.part.Part"}, "/etc/code:/etc/other", ""},
		"a function":                 {[]string{"--middleware=guard.plain"}, "/etc/code", "no class or coroutine function plain"},
		"another class":              {[]string{"--middleware=guard.Guards"}, "/etc/code", "no class or coroutine function Guards"},
		"without PYTHONPATH":         {[]string{"--middleware=guard.Guard"}, "", "no module named guard"},
		"outside of PYTHONPATH":      {[]string{"--middleware=guard.Guard"}, "/etc/other", "no module named guard"},
		"a folder that is no volume": {[]string{"--middleware=guard.Guard"}, "/opt/code", "no module named guard"},
		"no object":                  {[]string{"--middleware=guard"}, "/etc/code", "module.object"},
	} {
		t.Run(name, func(t *testing.T) {
			err := l.checkMiddleware(test.words, map[string]string{"PYTHONPATH": test.pythonPath})
			if test.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, test.want)
		})
	}
}
