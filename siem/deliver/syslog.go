package deliver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"handprint/siem"
)

// Syslog sends lines as messages of RFC 5424: over UDP, TCP (octet-counted, RFC
// 6587) or TLS (RFC 5425). Syslog has no acknowledgements. What was sent in the
// last Resend before a connection broke is sent again on the next one, and
// offsets are committed only behind that; over UDP nothing is promised.
type Syslog struct {
	network   string // udp, tcp or tls
	address   string
	tls       *tls.Config
	resend    time.Duration
	host      string
	formatter *siem.Formatter
	now       func() time.Time

	conn      net.Conn
	broken    chan struct{} // closed when the peer has ended conn
	ended     error         // how it did, once broken is closed; nil: well
	endedAt   time.Time     // when it did, once broken is closed
	sent      []sentBatch   // on this connection, or to be sent again on the next
	held      int           // bytes of sent
	restarted time.Time     // when something was last sent again
}

type sentBatch struct {
	at   time.Time
	body []byte
	lost bool // maybe: it is to be sent again on the next connection
}

// SyslogConfig says where a syslog server is.
type SyslogConfig struct {
	Network   string // udp, tcp or tls
	Address   string // host:port
	TLS       *tls.Config
	Resend    time.Duration // 0: 10 s
	Formatter *siem.Formatter
}

// maxHeld bounds what is kept to be sent again: beyond it nothing is sent until
// the oldest is older than Resend.
const maxHeld = 64 << 20

func newSyslog(c SyslogConfig) *Syslog {
	s := &Syslog{network: c.Network, address: c.Address, tls: c.TLS, resend: c.Resend, formatter: c.Formatter, now: time.Now}
	if s.resend == 0 {
		s.resend = 10 * time.Second
	}
	s.host = "-"
	if name, err := os.Hostname(); err == nil && name != "" && len(name) <= 255 {
		s.host = name
	}
	return s
}

// facility is local0.
const facility = 16

// Prepare implements Receiver: one message, octet-counted over a stream.
func (s *Syslog) Prepare(it *Item) {
	severity := s.formatter.Severity(it.Event)
	message := strconv.AppendInt([]byte{'<'}, int64(facility*8+severity.Syslog()), 10)
	message = append(message, ">1 "...)
	message = append(message, time.UnixMilli(it.Event.Time).UTC().Format("2006-01-02T15:04:05.000Z")...)
	message = append(append(append(message, ' '), s.host...), " handprint - "...)
	message = append(append(message, siem.Code(it.Event)...), " - "...)
	message = s.formatter.Append(message, it.Event)
	if s.network == "udp" {
		it.Body = message
		return
	}
	it.Body = append(strconv.AppendInt(nil, int64(len(message)), 10), ' ')
	it.Body = append(it.Body, message...)
}

// maxDatagram is the largest message over UDP.
const maxDatagram = 65507

// Deliver implements Receiver.
func (s *Syslog) Deliver(ctx context.Context, items []*Item) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	if s.network == "udp" {
		for _, it := range items {
			if len(it.Body) > maxDatagram {
				it.Verdict = Verdict{Never, fmt.Sprintf("a message of %d bytes does not fit into a datagram", len(it.Body))}
				continue
			}
			if _, err := s.conn.Write(it.Body); err != nil {
				s.drop()
				return fmt.Errorf("sending to %s: %w", s.address, err)
			}
			it.Verdict = Verdict{Done, ""}
		}
		return nil
	}
	var body []byte
	for _, it := range items {
		body = append(body, it.Body...)
	}
	if err := s.room(ctx); err != nil {
		return err
	}
	if err := s.write(ctx, body); err != nil {
		s.drop()
		return err
	}
	s.sent, s.held = append(s.sent, sentBatch{at: s.now(), body: body}), s.held+len(body)
	judge(items, Done, "")
	return nil
}

// room forgets what was sent longer than resend ago, and waits while too much is
// left.
func (s *Syslog) room(ctx context.Context) error {
	for {
		s.forget(s.now().Add(-s.resend))
		if s.held <= maxHeld {
			return nil
		}
		if !(wallClock{}).Sleep(ctx, s.sent[0].at.Add(s.resend).Sub(s.now())+time.Millisecond) {
			return fmt.Errorf("more than %d MiB were sent to %s in the last %s: %w", maxHeld>>20, s.address, s.resend, ctx.Err())
		}
	}
}

// forget lets go what was sent before a time, and is not to be sent again.
func (s *Syslog) forget(before time.Time) {
	for len(s.sent) > 0 && !s.sent[0].lost && s.sent[0].at.Before(before) {
		s.held -= len(s.sent[0].body)
		s.sent = s.sent[1:]
	}
}

func (s *Syslog) write(ctx context.Context, body []byte) error {
	if at, ok := ctx.Deadline(); ok {
		if err := s.conn.SetWriteDeadline(at); err != nil {
			return err
		}
	}
	if _, err := s.conn.Write(body); err != nil {
		return fmt.Errorf("sending to %s: %w", s.address, err)
	}
	return nil
}

// connect makes sure that there is a connection which the peer has not closed. A
// new one first gets what may have been lost with the last.
func (s *Syslog) connect(ctx context.Context) error {
	if s.conn != nil {
		select {
		case <-s.broken:
			s.drop()
		default:
			return nil
		}
	}
	network := s.network
	if network == "tls" {
		network = "tcp"
	}
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 5 * time.Second, Control: abandonAfter(s.resend / 2)}
	conn, err := dialer.DialContext(ctx, network, s.address)
	if err != nil {
		return err
	}
	if s.network == "tls" {
		secure := tls.Client(conn, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return errors.Join(fmt.Errorf("connecting to %s: %w", s.address, err), conn.Close())
		}
		conn = secure
	}
	s.conn, s.broken = conn, make(chan struct{})
	if s.network == "udp" {
		return nil
	}
	go s.watchPeer(conn, s.broken)
	for i := range s.sent {
		batch := &s.sent[i]
		if err := s.write(ctx, batch.body); err != nil {
			s.drop()
			return err
		}
		batch.at, batch.lost = s.now(), false
		s.restarted = batch.at
	}
	return nil
}

// watchPeer closes broken when the peer ends the connection: it has nothing to
// say, so reading returns only then.
func (s *Syslog) watchPeer(conn net.Conn, broken chan<- struct{}) {
	_, s.ended = io.Copy(io.Discard, conn)
	s.endedAt = s.now()
	close(broken)
}

// drop gives up the connection, and keeps what is to be sent again: what was sent
// in the last Resend before the break.
func (s *Syslog) drop() {
	if s.conn == nil {
		return
	}
	_ = s.conn.Close() // it is broken
	s.conn = nil
	if s.network == "udp" {
		return
	}
	// The break may have been some time ago. What was not sent again since the
	// break before this one is still to be.
	<-s.broken
	s.forget(s.endedAt.Add(-s.resend))
	for i := range s.sent {
		s.sent[i].lost = true
	}
}

// Settle implements settler.
func (s *Syslog) Settle() time.Duration {
	if s.network == "udp" {
		return 0
	}
	return s.resend
}

// Refresh implements settler.
func (s *Syslog) Refresh(ctx context.Context) (time.Time, error) {
	if len(s.sent) == 0 {
		return s.restarted, nil
	}
	err := s.connect(ctx)
	return s.restarted, err
}

// Close implements Receiver: it ends the stream and waits for the peer to end
// its own, having read all.
func (s *Syslog) Close(ctx context.Context) error {
	if s.network == "udp" {
		s.drop()
		return nil
	}
	lost := errors.New("the connection is broken: what was sent last may be lost, and is sent again")
	if s.conn == nil {
		if len(s.sent) > 0 {
			return lost
		}
		return nil
	}
	defer s.drop()
	select {
	case <-s.broken:
		return lost
	default:
	}
	closer, ok := s.conn.(interface{ CloseWrite() error })
	if !ok {
		return lost
	}
	if err := closer.CloseWrite(); err != nil {
		return fmt.Errorf("ending the stream to %s: %w", s.address, err)
	}
	select {
	case <-s.broken:
		return s.ended
	case <-ctx.Done():
		return fmt.Errorf("%s does not end the stream", s.address)
	}
}
