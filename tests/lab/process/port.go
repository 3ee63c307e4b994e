package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are below the range of outgoing connections on Linux and macOS. Otherwise a connection could use one between
// FreePort and the start of the program.
const (
	firstPort = 20000
	lastPort  = 32000
)

var handedOut = struct {
	sync.Mutex
	ports map[int]bool
}{ports: map[int]bool{}}

// FreePort returns a TCP port on 127.0.0.1 without a listener that it has not returned before.
func FreePort() (int, error) {
	handedOut.Lock()
	defer handedOut.Unlock()
	count := lastPort - firstPort + 1
	start := rand.IntN(count)
	for i := range count {
		port := firstPort + (start+i)%count
		if handedOut.ports[port] {
			continue
		}
		// The wildcard address, too: with a listener on it, 127.0.0.1 may still be bound.
		if !free(":"+strconv.Itoa(port)) || !free("127.0.0.1:"+strconv.Itoa(port)) {
			continue
		}
		handedOut.ports[port] = true
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d on 127.0.0.1", firstPort, lastPort)
}

func free(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// FreePorts returns n different free ports, see FreePort.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		ports[i] = port
	}
	return ports, nil
}
