package wireproxy

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is one client's connection and the one to the broker behind it. A broker
// answers the requests of a connection in their order, so what is to become of
// each answer stands in a queue.
type link struct {
	proxy          *Proxy
	client, broker net.Conn
	ended          chan struct{}
	end            sync.Once
	queue          chan expected
	swallowing     atomic.Bool
}

// expected is an answer that is to come.
type expected struct {
	header header
	rule   *active // nil: it passes
	drop   bool    // the second answer to a request that was sent twice
	forged []byte  // what to answer without asking the broker
}

// maxPipelined is how many requests of a connection may be unanswered; more
// wait.
const maxPipelined = 1024

func newLink(p *Proxy, client, broker net.Conn) *link {
	return &link{proxy: p, client: client, broker: broker, ended: make(chan struct{}), queue: make(chan expected, maxPipelined)}
}

// cut ends both connections.
func (l *link) cut() {
	l.end.Do(func() {
		close(l.ended)
		l.client.Close()
		l.broker.Close()
	})
}

// requests passes on what the client says, until the connection ends.
func (l *link) requests() {
	for {
		frame, err := readFrame(l.client)
		if err != nil {
			return
		}
		h, err := parseHeader(frame)
		if err != nil || !l.request(h, frame) {
			return
		}
	}
}

// request passes on one request; false ends the connection.
func (l *link) request(h header, frame []byte) bool {
	rule := l.proxy.match(&h)
	if rule == nil {
		return l.expect(expected{header: h}) && l.send(frame)
	}
	switch rule.Action {
	case CutRequest:
		return false
	case Delay:
		wait := time.NewTimer(rule.Wait)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-l.ended:
			return false
		}
		return l.expect(expected{header: h}) && l.send(frame)
	case Duplicate:
		return l.expect(expected{header: h}) && l.send(frame) && l.expect(expected{header: h, drop: true}) && l.send(frame)
	case Refuse:
		answer, err := refusal(&h, rule.Error.Code)
		if err != nil {
			return false
		}
		if answer != nil {
			return l.expect(expected{header: h, forged: h.frameAnswer(answer)})
		}
	}
	return l.expect(expected{header: h, rule: rule}) && l.send(frame)
}

func (l *link) expect(e expected) bool {
	select {
	case l.queue <- e:
		return true
	case <-l.ended:
		return false
	}
}

func (l *link) send(frame []byte) bool {
	_, err := l.broker.Write(frame)
	return err == nil
}

// answers passes on what the broker says.
func (l *link) answers() {
	defer l.cut()
	for {
		var e expected
		select {
		case e = <-l.queue:
		case <-l.ended:
			return
		}
		frame := e.forged
		if frame == nil {
			var err error
			if frame, err = readFrame(l.broker); err != nil {
				return
			}
		}
		if !l.answer(e, frame) {
			return
		}
	}
}

// answer passes on one answer; false ends the connection.
func (l *link) answer(e expected, frame []byte) bool {
	if e.drop || l.swallowing.Load() {
		return true
	}
	if e.rule != nil {
		switch e.rule.Action {
		case CutAnswer:
			return false
		case Swallow:
			l.swallowing.Store(true)
			return true
		case Deny, Refuse:
			var err error
			if frame, err = deny(&e.header, frame, e.rule.Error.Code); err != nil {
				return false
			}
		}
	}
	_, err := l.client.Write(frame)
	return err == nil
}
