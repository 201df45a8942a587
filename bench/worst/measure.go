package main

import (
	"fmt"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/attribution"
	"handprint/engine"
	"handprint/schemas"
	"handprint/state"
)

// cost is what an observation costs.
type cost struct {
	record int     // bytes of the input record
	micros float64 // of CPU time
	bytes  float64 // keys and values for the changelog, if each observation were a transaction
}

// task is one task on a store in memory, whose commands to itself are delivered
// at once.
type task struct {
	engine   *engine.Engine
	txn      *state.Txn
	commands [][]byte
	offset   int64
	commits  int64
	refuses  bool // some of the input may be refused
}

func newTask() (*task, func(), error) {
	store, err := state.Open("state", state.Options{FS: vfs.NewMem(), HoldBytes: 256 << 20})
	if err != nil {
		return nil, nil, err
	}
	t := &task{txn: store.Partition(0).WriteBack()}
	end := func() {
		_ = t.txn.Close()
		_ = store.Close()
	}
	t.engine, err = engine.New(engine.Config{Thresholds: attribution.DefaultThresholds(), Partitions: 1}, 0, t.txn)
	if err != nil {
		end()
		return nil, nil, err
	}
	return t, end, nil
}

func (t *task) process(r *engine.Record) error {
	t.offset++
	r.Offset, r.Time = t.offset, 1_700_000_000_000+t.offset
	t.txn.Savepoint()
	if err := t.engine.Process(r, t.txn, t); err != nil {
		return err
	}
	for len(t.commands) > 0 {
		next := t.commands[0]
		t.commands = t.commands[1:]
		t.offset++
		if err := t.engine.Process(&engine.Record{Source: engine.Commands, Offset: t.offset, Time: 1_700_000_000_000 + t.offset, Value: next}, t.txn, t); err != nil {
			return err
		}
	}
	return nil
}

func (t *task) commit() error {
	t.commits++
	return t.txn.Commit(state.Checkpoint{Offset: t.commits, Identity: "worst", At: time.Now()})
}

// measure plays a kind of input: the observations that come before, then n
// observations that are measured.
func measure(k *kind, n int) (c cost, err error) {
	t, end, err := newTask()
	if err != nil {
		return c, err
	}
	defer end()
	t.refuses = k.ts != nil
	if k.attackers > 0 {
		if err := t.link(k.attackers, k.suffix); err != nil {
			return c, err
		}
	}
	at := 0
	observe := func() error {
		attacker, primitive, value := k.observe(at)
		ts, session := float64(1_700_000_000+at/100), at
		if k.ts != nil {
			ts, session = k.ts(at), k.evidence(at)
		}
		record := fmt.Appendf(nil, `{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%f,"evidence_ref":"s%d"}`, attacker, primitive, value, ts, session)
		c.record = len(record)
		at++
		return t.process(&engine.Record{Source: engine.Observations, Key: []byte(attacker), Value: record})
	}
	for range k.before {
		if err := observe(); err != nil {
			return c, err
		}
		if at%1000 == 0 {
			if err := t.commit(); err != nil {
				return c, err
			}
		}
	}
	// The first scan of a kind of record sorts all that came before it, once: what
	// that costs is theirs.
	for range 200 {
		if err := observe(); err != nil {
			return c, err
		}
	}
	if err := t.commit(); err != nil {
		return c, err
	}
	began := cpu()
	for i := range n {
		if err := observe(); err != nil {
			return c, err
		}
		if i%500 == 499 {
			if err := t.commit(); err != nil {
				return c, err
			}
		}
	}
	c.micros = float64((cpu() - began).Nanoseconds()) / 1000 / float64(n)
	if err := t.commit(); err != nil {
		return c, err
	}
	const alone = 400
	for range alone {
		if err := observe(); err != nil {
			return c, err
		}
		c.bytes += float64(t.txn.Bytes()) / alone
		if err := t.commit(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// link makes one identity of many attackers, whose names end in suffix.
func (t *task) link(attackers int, suffix string) error {
	most := 4000 / (1 + len(suffix)/16) // of one event: its record is bounded
	for from := 0; from < attackers; from += most {
		e := attribution.IdentityEvent{Type: attribution.Formed, Identity: "018f0000-0000-7000-8000-000000000001"}
		for i := from; i < min(from+most, attackers); i++ {
			e.Attackers = append(e.Attackers, address(i)+suffix)
		}
		if err := t.process(&engine.Record{Source: engine.IdentityEvents, Value: schemas.AppendIdentityEvent(nil, &e)}); err != nil {
			return err
		}
	}
	return t.commit()
}

// cpu is the CPU time that the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// StateChanged implements engine.Outbox, as the methods below do: what goes to
// the world is not measured.
func (t *task) StateChanged(_, _ []byte) {}

// Suspected implements engine.Outbox.
func (t *task) Suspected(_, _ []byte) {}

// RowChanged implements engine.Outbox.
func (t *task) RowChanged(key []byte) { t.txn.Mark(key) }

// StateRow implements engine.Outbox.
func (t *task) StateRow(_, _ []byte) {}

// Identity implements engine.Outbox.
func (t *task) Identity(_, _ []byte) {}

// IdentityChanged implements engine.Outbox.
func (t *task) IdentityChanged(_, _ []byte) {}

// DeadLetter implements engine.Outbox: there must be none, unless the input was
// drawn at random.
func (t *task) DeadLetter(stage, reason string) {
	if !t.refuses {
		panic(stage + ": " + reason)
	}
}

// Send implements engine.Outbox.
func (t *task) Send(_ int32, _, command []byte) {
	t.commands = append(t.commands, append([]byte(nil), command...))
}

// Now implements engine.Outbox.
func (t *task) Now() float64 { return 1_700_000_000 + float64(t.offset)/1000 }
