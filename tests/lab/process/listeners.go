package process

import (
	"fmt"
	"net/netip"
)

// Listener is a TCP socket on which a process accepts connections.
type Listener struct {
	Pid int
	// Program is the name of the process, as the kernel has it.
	Program string
	Address netip.AddrPort
}

func (l Listener) String() string {
	return fmt.Sprintf("%s (process %d) listens on %s", l.Program, l.Pid, l.Address)
}

// Exposed returns the listeners of this process, and of all that it has started, that other machines can reach: those on any
// address but a loopback one. It is known on Linux only.
func Exposed() ([]Listener, error) {
	all, err := listeners()
	if err != nil {
		return nil, fmt.Errorf("list the listening sockets: %w", err)
	}
	var exposed []Listener
	for _, l := range all {
		if !l.Address.Addr().Unmap().IsLoopback() {
			exposed = append(exposed, l)
		}
	}
	return exposed, nil
}
