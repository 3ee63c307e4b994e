package cloud

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
)

// gate is the address of a cluster's API server: a forward to that of the lab, closed when the cluster is deleted.
type gate struct {
	address string
	target  string

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

// openGate opens the address of a cluster. The caller holds the lock.
func (c *Cloud) openGate(cluster string) (*gate, error) {
	server, err := url.Parse(c.options.ControlPlane.Config().Host)
	if err != nil {
		return nil, fmt.Errorf("address of the lab's API server: %w", err)
	}
	g := &gate{target: server.Host, address: "127.0.0.1:0"}
	if err := g.listen(); err != nil {
		return nil, err
	}
	c.gates[cluster] = g
	return g, nil
}

// closeGate closes the address of a cluster and deletes the cluster's objects.
func (c *Cloud) closeGate(ctx context.Context, cluster string) error {
	c.mu.Lock()
	g := c.gates[cluster]
	delete(c.gates, cluster)
	last := len(c.gates) == 0
	c.mu.Unlock()
	if g != nil {
		g.close()
	}
	// The clusters of one lab share its API server.
	if c.options.Wipe != nil && last {
		return c.options.Wipe(ctx)
	}
	return nil
}

// CutOff makes the API server of a cluster, by its name in the cloud, unreachable for good.
func (c *Cloud) CutOff(name string) error {
	g, err := c.gateOf(name)
	if err == nil {
		g.close()
	}
	return err
}

func (c *Cloud) gateOf(name string) (*gate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.resources {
		if g := c.gates[r.ID]; g != nil && named(r, "name") == name {
			return g, nil
		}
	}
	return nil, fmt.Errorf("cloud: no cluster %q", name)
}

// clusterAt returns the cluster whose API server has that address, nil for none.
func (c *Cloud) clusterAt(address string) *Resource {
	for _, r := range c.resources {
		if g := c.gates[r.ID]; g != nil && g.address == address {
			return r
		}
	}
	return nil
}

// authority returns the certificate authority of every cluster, in base64-encoded PEM.
func (c *Cloud) authority() string {
	return base64.StdEncoding.EncodeToString(c.options.ControlPlane.Config().CAData)
}

func (g *gate) listen() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	listener, err := net.Listen("tcp", g.address)
	if err != nil {
		return fmt.Errorf("a cluster's address: %w", err)
	}
	g.listener, g.address = listener, listener.Addr().String()
	go g.serve(listener)
	return nil
}

func (g *gate) serve(listener net.Listener) {
	for {
		from, err := listener.Accept()
		if err != nil {
			return // closed
		}
		go g.pass(from)
	}
}

// pass copies in both directions until one side closes.
func (g *gate) pass(from net.Conn) {
	to, err := net.Dial("tcp", g.target)
	if err != nil {
		_ = from.Close()
		return
	}
	g.mu.Lock()
	closed := g.listener == nil
	g.open = append(g.open, from, to)
	g.mu.Unlock()
	var once sync.Once
	end := func() {
		once.Do(func() {
			_, _ = from.Close(), to.Close()
			g.mu.Lock()
			g.open = slices.DeleteFunc(g.open, func(c net.Conn) bool { return c == from || c == to })
			g.mu.Unlock()
		})
	}
	if closed {
		end()
	}
	go func() {
		defer end()
		_, _ = io.Copy(to, from)
	}()
	defer end()
	_, _ = io.Copy(from, to)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.listener != nil {
		_ = g.listener.Close()
		g.listener = nil
	}
	for _, conn := range g.open {
		_ = conn.Close()
	}
}
