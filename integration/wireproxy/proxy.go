package wireproxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy passes on what clients and one broker say. Its methods may be called
// concurrently.
type Proxy struct {
	listener net.Listener
	upstream func() string
	done     sync.WaitGroup

	mu     sync.Mutex
	rules  []*active
	shut   bool // no connection is taken
	closed bool
	conns  map[*link]bool
}

// Listen starts a proxy on a free port of this machine. upstream is asked for
// the broker's address with each new connection; until it can tell, it may
// return "".
func Listen(upstream func() string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	p := &Proxy{listener: l, upstream: upstream, conns: make(map[*link]bool)}
	p.done.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set replaces the rules. The first that fits a
// request is the one that breaks it.
func (p *Proxy) Set(rules ...Rule) {
	list := make([]*active, len(rules))
	for i, r := range rules {
		list[i] = &active{Rule: r}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = list
}

// Broken returns how often each of the rules that are set has broken something.
func (p *Proxy) Broken() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var counts []int64
	for _, r := range p.rules {
		counts = append(counts, r.broken.Load())
	}
	return counts
}

// Clear takes the rules away, and ends the connections on which one has
// swallowed something.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
	for c := range p.conns {
		if c.swallowing.Load() {
			c.cut()
		}
	}
}

// Shut cuts all connections and takes no new one, until Open.
func (p *Proxy) Shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	for c := range p.conns {
		c.cut()
	}
}

// Open takes connections again.
func (p *Proxy) Open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = false
}

// Close ends the proxy and its connections, and waits for them.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.cut()
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.done.Wait()
	return err
}

// match returns the rule that breaks a request, nil if none does.
func (p *Proxy) match(h *header) *active {
	p.mu.Lock()
	rules := p.rules
	p.mu.Unlock()
	for _, r := range rules {
		if r.breaks(h) {
			return r
		}
	}
	return nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.done.Go(func() { p.serve(client) })
	}
}

const dialTimeout = 5 * time.Second

// serve passes on what is said on one connection until it ends.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	unwelcome := p.shut || p.closed
	p.mu.Unlock()
	if unwelcome {
		reset(client)
		return
	}
	broker, err := net.DialTimeout("tcp", p.upstream(), dialTimeout)
	if err != nil {
		reset(client)
		return
	}
	defer broker.Close()
	l := newLink(p, client, broker)
	p.mu.Lock()
	if p.shut || p.closed {
		p.mu.Unlock()
		return
	}
	p.conns[l] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, l)
		p.mu.Unlock()
	}()
	var answers sync.WaitGroup
	answers.Go(l.answers)
	l.requests()
	l.cut()
	answers.Wait()
}

// reset makes the end of a connection that leads nowhere look like a broker
// that does not run, rather than one that hung up on purpose: clients take an
// end without a word for a broker that wants TLS.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // at worst the client sees the other end
	}
}
