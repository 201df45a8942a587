package processor

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// tamperedConn is a connection to a broker that looks at every answer on its
// way to the client. Requests go through as they are, so what is asked for
// happens; only what the client hears of it changes.
type tamperedConn struct {
	net.Conn
	// answer is called with the request's key and version and the frame that
	// answers it, which it may change. If it returns false the connection
	// breaks instead.
	answer func(key kmsg.Key, version int16, frame []byte) bool

	mu       sync.Mutex
	requests map[int32]request // by correlation id

	unread []byte // of the frame that the client is reading
	broken bool
}

type request struct {
	key     kmsg.Key
	version int16
}

// tamper returns a dialer of such connections.
func tamper(answer func(key kmsg.Key, version int16, frame []byte) bool) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return &tamperedConn{Conn: conn, answer: answer, requests: make(map[int32]request)}, nil
	}
}

// Write is called by the client with one whole request at a time.
func (c *tamperedConn) Write(b []byte) (int, error) {
	if len(b) >= 12 {
		c.mu.Lock()
		c.requests[int32(binary.BigEndian.Uint32(b[8:]))] = request{
			kmsg.Key(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:])),
		}
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

func (c *tamperedConn) Read(b []byte) (int, error) {
	if c.broken {
		return 0, io.EOF
	}
	if len(c.unread) == 0 {
		frame, err := c.frame()
		if err != nil {
			return 0, err
		}
		c.mu.Lock()
		r := c.requests[int32(binary.BigEndian.Uint32(frame[4:]))]
		c.mu.Unlock()
		if !c.answer(r.key, r.version, frame) {
			c.broken = true
			c.Conn.Close()
			return 0, io.EOF
		}
		c.unread = frame
	}
	n := copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *tamperedConn) frame() ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(c.Conn, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	_, err := io.ReadFull(c.Conn, frame[4:])
	return frame, err
}

// setEndTxnError writes code into the answer to an EndTxn of version 3 or
// later: length, correlation id, no tags, throttle, error code.
func setEndTxnError(frame []byte, code int16) {
	binary.BigEndian.PutUint16(frame[4+4+1+4:], uint16(code))
}

// cutter dials connections that can all be cut, and new ones refused, until
// they are mended.
type cutter struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, host string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: io.ErrClosedPipe}
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, host)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = true
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func (c *cutter) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = false
}
