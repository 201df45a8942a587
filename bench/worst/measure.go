package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

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

// task is one task on a store of its own, whose commands to itself are delivered
// at once.
type task struct {
	engine   *engine.Engine
	txn      *state.Txn
	commands [][]byte
	offset   int64
	commits  int64
	at       time.Time           // of the next commit
	refuses  bool                // some of the input may be refused
	stepped  func(time.Duration) // nil, or told of the CPU time of each step
}

// newTask returns a task whose store is in a directory of its own, on a real file
// system: of large values most of what is measured is written within that time, and a
// file of vfs.MemFS is copied whenever it grows.
func newTask() (*task, func(), error) {
	dir, err := os.MkdirTemp("", "handprint-worst-")
	if err != nil {
		return nil, nil, err
	}
	store, err := state.Open(filepath.Join(dir, "state"), state.Options{HoldBytes: 256 << 20})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	t := &task{txn: store.Partition(0).WriteBack(), at: time.Unix(1_700_000_000, 0)}
	end := func() {
		t.txn.Abandon()
		_ = store.Close()
		_ = os.RemoveAll(dir)
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
	if err := t.step(r); err != nil {
		return err
	}
	for len(t.commands) > 0 {
		next := t.commands[0]
		t.commands = t.commands[1:]
		t.offset++
		if err := t.step(&engine.Record{Source: engine.Commands, Offset: t.offset, Time: 1_700_000_000_000 + t.offset, Value: next}); err != nil {
			return err
		}
	}
	return nil
}

// step processes one record.
func (t *task) step(r *engine.Record) error {
	if t.stepped == nil {
		return t.engine.Process(r, t.txn, t)
	}
	began := cpu()
	err := t.engine.Process(r, t.txn, t)
	t.stepped(cpu() - began)
	return err
}

func (t *task) commit() error {
	t.commits++
	return t.txn.Commit(state.Checkpoint{Offset: t.commits, Identity: "worst", At: t.at})
}

// flush commits, and waits until all that was committed is written.
func (t *task) flush() error {
	const delay = 6 * time.Second // a commit that is older is written
	t.at = t.at.Add(delay)
	if err := t.commit(); err != nil {
		return err
	}
	t.at = t.at.Add(delay)
	return t.commit() // waits for what the first one writes
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
	var next input
	observe := func() error {
		next.make(k, at, 1)
		c.record = len(next.text)
		at++
		return next.process(t)
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
	// So is what it takes to write them.
	if err := t.flush(); err != nil {
		return c, err
	}
	spent := time.Duration(0)
	for left := n; left > 0; {
		next.make(k, at, min(left, 500))
		at, left = at+len(next.ends), left-len(next.ends)
		began := cpu()
		if err := next.process(t); err != nil {
			return c, err
		}
		if left > 0 {
			err = t.commit()
		} else {
			err = t.flush()
		}
		if err != nil {
			return c, err
		}
		spent += cpu() - began
	}
	c.micros = float64(spent.Nanoseconds()) / 1000 / float64(n)
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

// input is observations, made before they are measured.
type input struct {
	text      []byte
	ends      []int // of the records in text
	attackers []string
}

// make makes up to n observations, or as many as there is room for.
func (in *input) make(k *kind, at, n int) {
	const room = 16 << 20
	in.text, in.ends, in.attackers = in.text[:0], in.ends[:0], in.attackers[:0]
	for ; n > 0 && len(in.text) < room; n-- {
		attacker, primitive, value := k.observe(at)
		ts, session := float64(1_700_000_000+at/100), at
		if k.ts != nil {
			ts, session = k.ts(at), k.evidence(at)
		}
		in.text = fmt.Appendf(in.text, `{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%f,"evidence_ref":"s%d"}`, attacker, primitive, value, ts, session)
		in.ends, in.attackers = append(in.ends, len(in.text)), append(in.attackers, attacker)
		at++
	}
}

func (in *input) process(t *task) error {
	from := 0
	for i, end := range in.ends {
		if err := t.process(&engine.Record{Source: engine.Observations, Key: []byte(in.attackers[i]), Value: in.text[from:end:end]}); err != nil {
			return err
		}
		from = end
	}
	return nil
}

// link makes one identity of many attackers, whose names end in suffix.
func (t *task) link(attackers int, suffix string) error {
	most := 4000 / (1 + len(suffix)/16) // of one event: its record is bounded
	for from := 0; from < attackers; from += most {
		e := attribution.IdentityEvent{Type: attribution.Formed, Identity: first}
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
