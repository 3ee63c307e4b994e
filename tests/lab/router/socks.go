package router

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Socks is a SOCKS5 proxy (RFC 1928) for programs that connect to pods and Services by their cluster addresses. It passes the bytes of
// a connection on as they come. Unlike an HTTP proxy it gets the address to connect to even where a request names another host.
type Socks struct {
	resolver Resolver
	listener net.Listener
	turn     atomic.Uint64

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// The parts of SOCKS5 that are used.
const (
	socksVersion     = 5
	socksNoAuth      = 0
	socksConnect     = 1
	socksIPv4        = 1
	socksDomain      = 3
	socksIPv6        = 4
	socksSucceeded   = 0
	socksUnreachable = 4
	socksUnsupported = 7
	socksTimeout     = 10 * time.Second
)

// ListenSocks serves on a free port of 127.0.0.1 until Close.
func ListenSocks(resolver Resolver) (*Socks, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("SOCKS proxy: %w", err)
	}
	s := &Socks{resolver: resolver, listener: listener, conns: map[net.Conn]struct{}{}}
	go s.accept()
	return s, nil
}

// URL returns the proxy's address as socks5://host:port.
func (s *Socks) URL() string { return "socks5://" + s.listener.Addr().String() }

// Close stops the proxy and closes its connections.
func (s *Socks) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	return err
}

func (s *Socks) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		go s.serve(client)
	}
}

// serve connects a client to the backend that it asks for, until both have ended.
func (s *Socks) serve(client net.Conn) {
	defer s.forget(client)
	if !s.track(client) {
		return
	}
	_ = client.SetDeadline(time.Now().Add(socksTimeout))
	host, port, err := socksRequest(client)
	if err != nil {
		_ = socksReply(client, socksUnsupported)
		return
	}
	server, err := s.dial(host, port)
	if err != nil {
		_ = socksReply(client, socksUnreachable)
		return
	}
	defer s.forget(server)
	if !s.track(server) || socksReply(client, socksSucceeded) != nil {
		return
	}
	_ = client.SetDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		closeWrite(server)
	}()
	_, _ = io.Copy(client, server)
	closeWrite(client)
	<-done
}

// dial connects to a process behind a cluster address.
func (s *Socks) dial(host, port string) (net.Conn, error) {
	backends, err := s.resolver.Cluster(host, port)
	if err != nil {
		return nil, err
	}
	return net.DialTimeout("tcp", backends[s.turn.Add(1)%uint64(len(backends))].Address, 2*time.Second)
}

func (s *Socks) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Socks) forget(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// socksRequest reads the greeting, accepts it without authentication, and reads the address to connect to.
func socksRequest(client io.ReadWriter) (host, port string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(client, head[:]); err != nil {
		return "", "", err
	}
	if head[0] != socksVersion {
		return "", "", fmt.Errorf("version %d of SOCKS", head[0])
	}
	if _, err := io.CopyN(io.Discard, client, int64(head[1])); err != nil {
		return "", "", err
	}
	if _, err := client.Write([]byte{socksVersion, socksNoAuth}); err != nil {
		return "", "", err
	}
	var request [4]byte
	if _, err := io.ReadFull(client, request[:]); err != nil {
		return "", "", err
	}
	if request[1] != socksConnect {
		return "", "", fmt.Errorf("command %d of SOCKS", request[1])
	}
	if host, err = socksHost(client, request[3]); err != nil {
		return "", "", err
	}
	var number [2]byte
	if _, err := io.ReadFull(client, number[:]); err != nil {
		return "", "", err
	}
	return host, strconv.Itoa(int(binary.BigEndian.Uint16(number[:]))), nil
}

// socksHost reads an address of that type.
func socksHost(client io.Reader, kind byte) (string, error) {
	length := map[byte]int{socksIPv4: net.IPv4len, socksIPv6: net.IPv6len}[kind]
	if kind == socksDomain {
		var one [1]byte
		if _, err := io.ReadFull(client, one[:]); err != nil {
			return "", err
		}
		length = int(one[0])
	}
	if length == 0 {
		return "", errors.New("an address of an unknown type")
	}
	address := make([]byte, length)
	if _, err := io.ReadFull(client, address); err != nil {
		return "", err
	}
	if kind == socksDomain {
		return string(address), nil
	}
	return net.IP(address).String(), nil
}

// socksReply answers a request.
func socksReply(client io.Writer, code byte) error {
	_, err := client.Write([]byte{socksVersion, code, 0, socksIPv4, 0, 0, 0, 0, 0, 0})
	return err
}
