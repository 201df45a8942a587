package deliver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"handprint/siem"
)

// syslogTap is a syslog server that hands out its connections, so that a test
// says what each reads and when it breaks.
type syslogTap struct {
	net.Listener
	t testing.TB
}

func newSyslogTap(t testing.TB) *syslogTap {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &syslogTap{l, t}
}

func (s *syslogTap) accept() *bufio.Reader {
	conn, err := s.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return bufio.NewReader(conn)
}

// message reads one message, and returns its last word.
func message(t testing.TB, in *bufio.Reader) string {
	t.Helper()
	n, err := in.ReadString(' ')
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.Atoi(strings.TrimSpace(n))
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(in, text); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(text))
	return words[len(words)-1]
}

// handClock is a clock that a test moves.
type handClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *handClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func line(word string) []*Item {
	text := "<134>1 - - handprint - x - " + word
	return []*Item{{Event: &siem.Event{ID: word}, Body: fmt.Appendf(nil, "%d %s", len(text), text)}}
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// A break that nobody looked for at once counts from when it was, not from when it
// is found: what was sent in the Resend before it is sent again.
func TestSyslogBreakIsFoundLate(t *testing.T) {
	server, clock := newSyslogTap(t), &handClock{at: time.Unix(1000, 0)}
	s := newSyslog(SyslogConfig{Network: "tcp", Address: server.Addr().String(), Resend: 10 * time.Second})
	s.now = clock.now
	ctx := deadline(t)
	if err := s.Deliver(ctx, line("early")); err != nil {
		t.Fatal(err)
	}
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	clock.pass(20 * time.Second)
	if err := s.Deliver(ctx, line("late")); err != nil {
		t.Fatal(err)
	}
	clock.pass(time.Second)
	conn.Close()
	<-s.broken
	clock.pass(9500 * time.Millisecond) // "late" is older than Resend by now
	at, err := s.Refresh(ctx)
	if err != nil || !at.Equal(clock.now()) {
		t.Errorf("sent again at %v, %v", at, err)
	}
	if got := message(t, server.accept()); got != "late" {
		t.Errorf("%s was sent again", got)
	}
	if len(s.sent) != 1 {
		t.Errorf("%d batches are kept", len(s.sent))
	}
	_ = s.conn.Close()
}

// What a second break keeps from being sent again stays to be sent, however long
// that takes.
func TestSyslogStaysToBeSentAgain(t *testing.T) {
	server, clock := newSyslogTap(t), &handClock{at: time.Unix(1000, 0)}
	s := newSyslog(SyslogConfig{Network: "tcp", Address: server.Addr().String(), Resend: 10 * time.Second})
	s.now = clock.now
	ctx := deadline(t)
	for _, word := range []string{"a", "b", "c"} {
		if err := s.Deliver(ctx, line(word)); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	<-s.broken
	s.drop()
	// The server is gone for longer than Resend.
	server.Close()
	for range 3 {
		clock.pass(8 * time.Second)
		if err := s.Deliver(ctx, line("d")); err == nil {
			t.Fatal("nobody listens, and it was delivered")
		}
	}
	again := newSyslogTap(t)
	s.address = again.Addr().String()
	if err := s.Deliver(ctx, line("d")); err != nil {
		t.Fatal(err)
	}
	in := again.accept()
	for _, want := range []string{"a", "b", "c", "d"} {
		if got := message(t, in); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	_ = s.conn.Close()
}

// More than maxHeld is not sent within Resend: nothing that may be lost is let go.
func TestSyslogHoldsBack(t *testing.T) {
	s := newSyslog(SyslogConfig{Network: "tcp", Address: "127.0.0.1:1", Resend: time.Hour})
	s.sent, s.held = []sentBatch{{at: s.now(), body: nil}}, maxHeld+1
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.room(ctx); err == nil || len(s.sent) != 1 {
		t.Errorf("%v, %d batches are kept", err, len(s.sent))
	}
	s.sent[0].at, s.held = s.now().Add(-2*time.Hour), 5
	if err := s.room(ctx); err != nil || len(s.sent) != 0 {
		t.Errorf("%v, %d batches are kept", err, len(s.sent))
	}
}

// Over UDP an event is a datagram, without a count; what does not fit is never
// taken, and nothing is kept to be sent again.
func TestSyslogUDP(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s := newSyslog(SyslogConfig{Network: "udp", Address: server.LocalAddr().String(), Formatter: siem.NewFormatter(siem.CEF, siem.Options{})})
	fits := &Item{Event: &siem.Event{ID: "x", Kind: siem.Tombstone, Identity: "i", Primitive: "a.b"}}
	s.Prepare(fits)
	large := &Item{Event: &siem.Event{ID: "y"}, Body: make([]byte, maxDatagram+1)}
	if err := s.Deliver(deadline(t), []*Item{large, fits}); err != nil {
		t.Fatal(err)
	}
	if fits.Outcome != Done || large.Outcome != Never || s.Settle() != 0 || len(s.sent) != 0 {
		t.Errorf("%+v, %+v, settles in %v, keeps %d", fits.Verdict, large.Verdict, s.Settle(), len(s.sent))
	}
	if err := server.SetReadDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 70_000)
	n, _, err := server.ReadFrom(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "<134>1 ") || !strings.Contains(string(buf[:n]), "CEF:0|") {
		t.Errorf("%v: %q", err, buf[:n])
	}
	if err := s.Close(deadline(t)); err != nil {
		t.Error(err)
	}
}
