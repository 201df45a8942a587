package operations

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/schemas"
)

const (
	// slowEvent is from which age on an identity event that is not carried out is
	// worth a line.
	slowEvent = 5 * time.Second
	// maxPending bounds the records that are read to find out about them.
	maxPending = 10_000
)

var errEnough = errors.New("enough")

// pendingEvents are identity events that were taken and are not carried out.
type pendingEvents struct {
	from, to int64     // offsets
	oldest   time.Time // timestamp of the first
	bad      int64     // of them, refused
}

// identityEvents looks for identity events that were taken and are not carried out
// yet: they wait for others that touch the same identities, or for a task.
func (d *doctor) identityEvents(now func() time.Time) {
	p, err := d.pending()
	if err != nil {
		return // the topics are not as they should be or not readable, which was said
	}
	age := now().Sub(p.oldest)
	n := p.to - p.from - p.bad
	if n <= 0 || age < slowEvent {
		d.add("identity events", OK, "", "none waits")
		return
	}
	d.add("identity events", Warning, "events that touch the same identities are carried out one after the other. Look again; if the offset does not grow, look for a task that is stuck, restoring or has no owner",
		"up to %d were taken and are not carried out, the oldest, at offset %d of %s, since %s", n, p.from, d.app.Names.IdentityEvents, p.oldest.UTC().Format(time.RFC3339))
}

// pending asks how far the identity events are taken, and which was carried out
// last.
func (d *doctor) pending() (p pendingEvents, err error) {
	n := &d.app.Names
	committed, err := d.adm.FetchOffsets(d.ctx, d.app.ID)
	if err != nil {
		return p, err
	}
	taken, ok := committed.Lookup(n.IdentityEvents, 0)
	if !ok || taken.At <= 0 {
		return p, nil
	}
	p.to = taken.At
	if p.from, err = d.lastChange(); err != nil || p.from >= p.to {
		return p, err
	}
	from := p.from
	p.from = p.to
	read := 0
	err = broker.ScanRange(d.ctx, d.cl, func(r *kgo.Record) error {
		if p.from == p.to {
			p.from, p.oldest = r.Offset, r.Timestamp
		}
		if read++; read > maxPending {
			return errEnough
		}
		return nil
	}, n.IdentityEvents, 0, from, p.to)
	if err != nil && !errors.Is(err, errEnough) {
		return p, err
	}
	if p.from < p.to {
		p.bad, err = d.refusedSince(p)
	}
	return p, err
}

// lastChange returns the offset behind the identity event that was carried out
// last; 0 if there is none.
func (d *doctor) lastChange() (next int64, err error) {
	topic := d.app.Names.IdentityChanged
	starts, ends, err := d.bounds(topic)
	if err != nil {
		return 0, err
	}
	var writers schemas.Writers // of JSON; Avro is not looked at
	for p, end := range ends[topic] {
		start, _ := starts.Lookup(topic, p)
		err := broker.ScanRange(d.ctx, d.cl, func(r *kgo.Record) error {
			c, err := writers.IdentityChange(r.Value)
			if err == nil {
				next = max(next, c.Offset+1)
			}
			return err
		}, topic, p, max(start.Offset, end.Offset-100), end.Offset)
		if err != nil {
			return 0, err
		}
	}
	return next, nil
}

// refusedSince counts the pending identity events that have a dead letter: nothing
// else comes of them.
func (d *doctor) refusedSince(p pendingEvents) (n int64, err error) {
	topic := d.app.Names.DeadLetter
	_, ends, err := d.bounds(topic)
	if err != nil {
		return 0, err
	}
	young, err := d.adm.ListOffsetsAfterMilli(d.ctx, p.oldest.UnixMilli(), topic)
	if err != nil {
		return 0, err
	}
	for q, end := range ends[topic] {
		from, ok := young.Lookup(topic, q)
		if !ok || from.Offset < 0 || from.Err != nil {
			continue
		}
		err := broker.ScanRange(d.ctx, d.cl, func(r *kgo.Record) error {
			source, _ := schemas.Header(r.Headers, schemas.HeaderSourceTopic)
			offset, _ := schemas.Header(r.Headers, schemas.HeaderSourceOffset)
			if at, err := strconv.ParseInt(string(offset), 10, 64); err == nil && string(source) == d.app.Names.IdentityEvents && at >= p.from && at < p.to {
				n++
			}
			return nil
		}, topic, q, max(from.Offset, end.Offset-maxPending), end.Offset)
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (d *doctor) bounds(topic string) (starts, ends kadm.ListedOffsets, err error) {
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	if starts, err = d.adm.ListStartOffsets(ctx, topic); err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, nil, err
	}
	if ends, err = d.adm.ListCommittedOffsets(ctx, topic); err == nil {
		err = ends.Error()
	}
	return starts, ends, err
}
