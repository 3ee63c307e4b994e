package process

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listenEnv is the variable that runs the test binary as a program that listens on an address.
const listenEnv = "PROCESS_TEST_LISTEN"

func TestExposed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("listeners are listed on Linux only")
	}
	seen := func(port uint16) []Listener {
		exposed, err := Exposed()
		require.NoError(t, err)
		return slices.DeleteFunc(exposed, func(l Listener) bool { return l.Address.Port() != port })
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0", "0.0.0.0:0"} {
		t.Run("this process on "+address, func(t *testing.T) {
			listener, err := net.Listen("tcp", address)
			if err != nil && strings.HasPrefix(address, "[") {
				t.Skipf("no IPv6 here: %v", err)
			}
			require.NoError(t, err)
			defer func() { assert.NoError(t, listener.Close()) }()
			port := uint16(listener.Addr().(*net.TCPAddr).Port)
			if netip.MustParseAddrPort(listener.Addr().String()).Addr().IsLoopback() {
				assert.Empty(t, seen(port))
				return
			}
			require.Len(t, seen(port), 1)
			assert.Equal(t, os.Getpid(), seen(port)[0].Pid)
		})
	}
	t.Run("a grandchild", func(t *testing.T) {
		spec := shell(`"$0" -test.run=none & wait`)
		spec.Args[2] = os.Args[0]
		spec.Env = append(os.Environ(), listenEnv+"=0.0.0.0:0")
		p := start(t, spec)
		var address string
		require.Eventually(t, func() bool { address = strings.TrimSpace(p.Tail()); return address != "" }, 5*time.Second, 10*time.Millisecond)
		found := seen(netip.MustParseAddrPort(address).Port())
		require.Len(t, found, 1)
		assert.NotEqual(t, p.Pid(), found[0].Pid)
		assert.True(t, found[0].Address.Addr().IsUnspecified(), found[0])
		require.NoError(t, p.Stop())
	})
}
