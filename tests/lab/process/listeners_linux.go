package process

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// stateListen is the state of a listening socket in /proc/net/tcp.
const stateListen = "0A"

// listeners returns the listening TCP sockets of this process and its descendants.
func listeners() ([]Listener, error) {
	bySocket := map[string]netip.AddrPort{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		if err := readSockets(table, bySocket); err != nil {
			return nil, err
		}
	}
	own, err := descendants(os.Getpid())
	if err != nil {
		return nil, err
	}
	var all []Listener
	for _, pid := range own {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			return nil, err
		}
		program, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		for _, link := range links {
			// One that cannot be read was closed meanwhile.
			target, _ := os.Readlink(link)
			if address, ok := bySocket[target]; ok {
				all = append(all, Listener{Pid: pid, Program: strings.TrimSpace(string(program)), Address: address})
			}
		}
	}
	return all, nil
}

// readSockets adds the listening sockets of a table of the kernel, by the name that a file descriptor's link has.
func readSockets(table string, bySocket map[string]netip.AddrPort) error {
	content, err := os.ReadFile(table)
	if os.IsNotExist(err) {
		return nil // no IPv6
	}
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(content), "\n")[1:] {
		// Number, local address, remote address, state, and further the inode.
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != stateListen {
			continue
		}
		address, err := parseSocketAddress(fields[1])
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		bySocket["socket:["+fields[9]+"]"] = address
	}
	return nil
}

// parseSocketAddress reads the kernel's form of an address: hexadecimal words of four bytes, each with its last byte first, and
// the port.
func parseSocketAddress(text string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(text, ":")
	bytes, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for word := range slices.Chunk(bytes, 4) {
		slices.Reverse(word)
	}
	address, ok := netip.AddrFromSlice(bytes)
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil || !ok {
		return netip.AddrPort{}, fmt.Errorf("socket address %q", text)
	}
	return netip.AddrPortFrom(address, uint16(number)), nil
}

// descendants returns a process and all that it and its children have started, also in sessions whose first process is one of them.
func descendants(root int) ([]int, error) {
	type relation struct{ pid, parent, session int }
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []relation
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			if parent, session, ok := relatives(pid); ok {
				all = append(all, relation{pid, parent, session})
			}
		}
	}
	found := []int{root}
	for i := 0; i < len(found); i++ {
		for _, r := range all {
			isChild := r.parent == found[i] || r.session == found[i] && found[i] != root
			if isChild && !slices.Contains(found, r.pid) {
				found = append(found, r.pid)
			}
		}
	}
	return found, nil
}
