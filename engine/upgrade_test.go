package engine

import (
	"fmt"
	"testing"

	"handprint/attribution"
)

// sent keeps the attach commands of a task.
type sent struct {
	heard
	attached [][]byte
}

func (s *sent) Send(_ int32, _, command []byte) {
	if commandType(command[1]) == cmdAttach {
		s.attached = append(s.attached, append([]byte(nil), command...))
	}
}

// A task that is told to write version 1 writes nothing else, to the store or to
// other tasks, also of what a task wrote that was not told so; that one goes on
// with what it left.
func TestATaskWritesTheVersionThatItIsTold(t *testing.T) {
	store, out := newMemStore(), new(sent)
	const attacker = "10.0.0.1"
	stub := []byte(attribution.Stub([]byte(attacker)).String())
	offset := int64(0)
	process := func(version int, r Record) {
		t.Helper()
		cfg := testConfig(1)
		cfg.RecordVersion = version
		e, err := New(cfg, 0, store)
		if err != nil {
			t.Fatal(err)
		}
		offset++
		r.Offset = offset
		if err := e.Process(&r, store, out); err != nil {
			t.Fatal(err)
		}
	}
	observe := func(version int) {
		t.Helper()
		for _, primitive := range []string{"toolchain.ssh.hassh_client", "motor.input_modality"} {
			process(version, Record{Source: Observations, Time: 1_700_000_000_000, Value: fmt.Appendf(nil,
				`{"attacker_uuid":%q,"primitive":%q,"value":"v","ts":%d,"evidence_ref":"e%d"}`, attacker, primitive, 1_700_000_000+offset, offset)})
		}
		store.commit()
	}
	written := func(want byte, observations int64) {
		t.Helper()
		rows := 0
		err := store.Scan(nil, nil, func(key, value []byte) bool {
			if key[0] != kindRow && key[0] != kindContribution {
				return true
			}
			rows++
			f, err := Inspect(key, value)
			if err != nil || value[0] != want || f.Kind == RowFact && f.Row.Count != observations {
				t.Errorf("a record of version %d, want %d: %+v, %v", value[0], want, f, err)
			}
			return true
		})
		if err != nil || rows < 2 {
			t.Errorf("%d records, %v", rows, err)
		}
	}
	observe(1)
	written(1, 1)
	observe(0)
	written(RecordVersion, 2)
	observe(1)
	written(1, 3)
	observe(RecordVersion)
	written(RecordVersion, 4)

	for version, want := range []byte{RecordVersion, 1} { // 0 is the newest
		out.attached = nil
		process(version, Record{Source: Commands, Value: appendDetach(nil, &detach{
			By: origin{Version: 1, Type: attribution.Linked}, Attacker: []byte(attacker), Old: stub, New: sampleID,
		})})
		parts := 0
		for _, command := range out.attached {
			in := reader{b: command[2:]}
			in = reader{b: in.attach().Parts}
			for len(in.b) > 0 {
				if kind, _, _, record := in.part(); kind == partContribution {
					parts++
					if record[0] != want {
						t.Errorf("told to write %d: a contribution of version %d is sent", version, record[0])
					}
				}
			}
		}
		if parts != 2 {
			t.Errorf("told to write %d: %d contributions are sent", version, parts)
		}
		store.rollback()
	}
}

func TestATaskRefusesAVersionToCome(t *testing.T) {
	cfg := testConfig(1)
	cfg.RecordVersion = RecordVersion + 1
	if _, err := New(cfg, 0, newMemStore()); err == nil {
		t.Error("it starts")
	}
}
