package engine

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// fuzzCodec gives any bytes to a decoder. What it takes for a record says the
// same when it is written again.
func fuzzCodec(f *testing.F, names ...string) {
	var tried []codec
	for _, c := range codecs {
		if slices.Contains(names, c.name) {
			tried = append(tried, c)
			f.Add(c.encode(c.sample))
			f.Add(readGolden(f, c.golden()))
		}
	}
	if len(tried) < len(names) {
		f.Fatalf("there are no codecs %v", names)
	}
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Add(append([]byte{1, 1}, bytes.Repeat([]byte{0xff}, 20)...))
	f.Fuzz(func(t *testing.T, record []byte) {
		v, err := tried[0].decode(record)
		if err != nil {
			return
		}
		newest := slices.MaxFunc(tried, func(a, b codec) int { return a.version - b.version })
		again, err := newest.decode(newest.encode(v))
		if err != nil {
			t.Fatalf("%x says %+v, which cannot be read again: %v", record, v, err)
		}
		if text(again) != text(v) {
			t.Fatalf("%x says %+v, and written again %+v", record, v, again)
		}
	})
}

func FuzzLink(f *testing.F)         { fuzzCodec(f, "link") }
func FuzzIdentity(f *testing.F)     { fuzzCodec(f, "identity", "identity-dated") }
func FuzzForgetting(f *testing.F)   { fuzzCodec(f, "forgetting") }
func FuzzMember(f *testing.F)       { fuzzCodec(f, "member") }
func FuzzUnsettled(f *testing.F)    { fuzzCodec(f, "unsettled") }
func FuzzTold(f *testing.F)         { fuzzCodec(f, "told") }
func FuzzSuspicion(f *testing.F)    { fuzzCodec(f, "suspicion") }
func FuzzHistory(f *testing.F)      { fuzzCodec(f, "history") }
func FuzzQueuedEvent(f *testing.F)  { fuzzCodec(f, "queued-event") }
func FuzzRunningEvent(f *testing.F) { fuzzCodec(f, "running-event") }
func FuzzGroup(f *testing.F)        { fuzzCodec(f, "group") }
func FuzzRow(f *testing.F)          { fuzzCodec(f, "row", "row-inline", "row-usual", "row-returns") }
func FuzzContribution(f *testing.F) {
	fuzzCodec(f, "contribution", "contribution-forms", "contribution-spilled")
}
func FuzzWaiting(f *testing.F) { fuzzCodec(f, "waiting") }
func FuzzParts(f *testing.F)   { fuzzCodec(f, "parts") }

// FuzzCommand gives any bytes to a task as a command. It does what it says,
// refuses it, or makes it a dead letter, but never panics.
func FuzzCommand(f *testing.F) {
	for _, c := range codecs {
		if strings.HasPrefix(c.name, "command-") {
			f.Add(c.encode(c.sample))
		}
	}
	f.Add([]byte{})
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, record []byte) {
		store, out := newMemStore(), new(heard)
		store.Put(idKey(nil, kindLink, []byte("10.0.0.1")), appendLink(nil, link{Identity: sampleID, By: origin{Version: 1}}))
		e, err := New(testConfig(4), 0, store)
		if err != nil {
			t.Fatal(err)
		}
		err = e.Process(&Record{Source: Commands, Value: record}, store, out)
		newer := len(record) > 0 && record[0] > commandVersion && record[0] < maxVersion
		if newer && (err == nil || len(out.dead) > 0) {
			t.Fatalf("a command of a newer version: error %v, dead letters %v", err, out.dead)
		}
		if bad := len(record) < 2 || record[0] < commandVersion || record[1] == 0 || record[1] > byte(cmdLastDaysOn); bad && !newer && (err != nil || len(out.dead) != 1) {
			t.Fatalf("%x: error %v, dead letters %v", record, err, out.dead)
		}
	})
}

// FuzzKey takes ids and primitives off the front of any bytes. What is taken
// off stood there.
func FuzzKey(f *testing.F) {
	f.Add(seriesKey(nil, kindGone, sampleID, []byte("a.b"), sampleText)[1:])
	f.Add(idsKey(nil, kindMember, []byte("a\x00\xff\x01b"), nil)[1:])
	f.Add([]byte{textID, 0, 255, 0})
	f.Fuzz(func(t *testing.T, key []byte) {
		if id, rest, err := cutID(key); err == nil {
			if again, left, err := cutID(append(appendID(nil, id), rest...)); err != nil || !bytes.Equal(again, id) || !bytes.Equal(left, rest) {
				t.Fatalf("%x: id %q and %x, then %q and %x, %v", key, id, rest, again, left, err)
			}
		}
		if primitive, rest, err := cutPrimitive(key); err == nil && !bytes.Equal(append(appendPrimitive(nil, primitive), rest...), key) {
			t.Fatalf("%x: primitive %q and %x", key, primitive, rest)
		}
	})
}

// Keys are read back, and none is the beginning of another: a scan of one
// identity never meets another's records.
func TestKeysAreTold(t *testing.T) {
	id := rapid.OneOf(
		rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 255, 'a'}), 0, 6),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) []byte { return []byte(attribution.UUID(b).String()) }),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 16, 16), func(b []byte) []byte { return []byte(strings.ToUpper(attribution.UUID(b).String())) }),
	)
	primitive := rapid.SampledFrom([]string{"a.b", "a.bc", "a.b_", "ab.c"})
	rapid.Check(t, func(t *rapid.T) {
		identity, attacker, name := id.Draw(t, "identity"), id.Draw(t, "attacker"), []byte(primitive.Draw(t, "primitive"))
		key := seriesKey(nil, kindContribution, identity, name, attacker)
		gotIdentity, rest, err := cutID(key[1:])
		if err != nil || !bytes.Equal(gotIdentity, identity) {
			t.Fatalf("identity %q became %q, %v", identity, gotIdentity, err)
		}
		gotName, rest, err := cutPrimitive(rest)
		if err != nil || !bytes.Equal(gotName, name) {
			t.Fatalf("primitive %q became %q, %v", name, gotName, err)
		}
		gotAttacker, rest, err := cutID(rest)
		if err != nil || !bytes.Equal(gotAttacker, attacker) || len(rest) > 0 {
			t.Fatalf("attacker %q became %q and %x, %v", attacker, gotAttacker, rest, err)
		}
		other := seriesKey(nil, kindContribution, id.Draw(t, "other identity"), []byte(primitive.Draw(t, "other primitive")), id.Draw(t, "other attacker"))
		if !bytes.Equal(key, other) && bytes.HasPrefix(other, key) {
			t.Fatalf("%x is the beginning of %x", key, other)
		}
	})
}

func testConfig(partitions int32) Config {
	return Config{Thresholds: attribution.DefaultThresholds(), Partitions: partitions, Counters: new(Counters)}
}

// heard is an Outbox that keeps what a test asks about.
type heard struct {
	dead  []string
	sends int
}

func (h *heard) StateChanged(_, _ []byte)         {}
func (h *heard) Suspected(_, _ []byte)            {}
func (h *heard) Identity(_, _ []byte)             {}
func (h *heard) IdentityChanged(_, _ []byte)      {}
func (h *heard) RowChanged(_ []byte)              {}
func (h *heard) StateRow(_, _ []byte)             {}
func (h *heard) DeadLetter(stage, reason string)  { h.dead = append(h.dead, stage+": "+reason) }
func (h *heard) Send(_ int32, _ []byte, _ []byte) { h.sends++ }
func (h *heard) Now() float64                     { return 1_700_000_000 }

// A command that a newer version wrote stops the task, with words that say what
// to do: it may carry what would else be lost. Garbage does not.
func TestCommandsOfOtherVersions(t *testing.T) {
	tests := []struct {
		name    string
		command []byte
		stops   string // part of the error; empty: a dead letter
		dead    string
	}{
		{"the next version", []byte{2, byte(cmdTick)}, "version 2: an instance of a newer version is in the group, upgrade this one", ""},
		{"nothing", nil, "", "truncated"},
		{"a version alone", []byte{1}, "", "truncated"},
		{"version 0", append([]byte{0}, TickCommand(1)[1:]...), "", "0 is no version"},
		{"a text", []byte("{}"), "", "123 is no version"},
		{"no such type", []byte{1, 200}, "", "no command of version 1 has type 200"},
		{"type 0", []byte{1, 0}, "", "no command of version 1 has type 0"},
		{"half a tick", TickCommand(1)[:5], "", "truncated"},
		{"a tick and more", append(TickCommand(1), 0), "", "1 bytes too many"},
		{"a link that promises more", append(appendLinkTo(nil, &linkTo{Identity: sampleID})[:24], 0xff, 0xff, 0xff, 0xff, 0x7f), "", "command:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store, out := newMemStore(), new(heard)
			cfg := testConfig(4)
			e, err := New(cfg, 3, store)
			if err != nil {
				t.Fatal(err)
			}
			err = e.Process(&Record{Source: Commands, Partition: 3, Offset: 77, Value: tt.command}, store, out)
			if tt.stops != "" {
				if err == nil || !strings.Contains(err.Error(), tt.stops) || !strings.Contains(err.Error(), "partition 3 offset 77") {
					t.Fatalf("error %v, want one that says %q and where", err, tt.stops)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(out.dead) != 1 || !strings.HasPrefix(out.dead[0], StageCommand) || !strings.Contains(out.dead[0], tt.dead) {
				t.Errorf("dead letters %q, want one that says %q", out.dead, tt.dead)
			}
			if cfg.Counters.DeadLetters.Load() != 1 || len(store.keys) > 0 || out.sends > 0 {
				t.Errorf("it left %d records, %d commands and a count of %d", len(store.keys), out.sends, cfg.Counters.DeadLetters.Load())
			}
		})
	}
}

// A record of the store that a newer version wrote, or that is damaged, stops
// the task with the row's name rather than being taken for an empty one.
func TestRecordsOfOtherVersionsStopTheTask(t *testing.T) {
	const attacker = "10.0.0.1"
	stub := []byte(attribution.Stub([]byte(attacker)).String())
	observation := []byte(`{"attacker_uuid":"10.0.0.1","primitive":"toolchain.ssh.hassh_client","value":"h","ts":1,"evidence_ref":"e"}`)
	primitive := []byte("toolchain.ssh.hassh_client")
	spilledRow := appendRow(nil, &row{inline: true, series: series{root: attribution.Value(`"x"`), Series: attribution.Series{Count: 1, Elsewhere: 1, Entries: sampleSeries.Entries[:1]}}}, 1, nil)
	tests := []struct {
		name   string
		key    []byte
		record []byte
		says   string
		also   []byte // a row
	}{
		{"a newer row", rowKey(nil, kindRow, stub, primitive), []byte{RecordVersion + 1}, "row toolchain.ssh.hassh_client of " + string(stub) + fmt.Sprintf(": row: unknown version %d, this program reads up to %d", RecordVersion+1, RecordVersion), nil},
		{"a damaged row", rowKey(nil, kindRow, stub, primitive), []byte{1, rowInline, 5}, "truncated", nil},
		{"a newer link", idKey(nil, kindLink, []byte(attacker)), []byte{2}, "link of 10.0.0.1: link: unknown version 2", nil},
		{"a newer identity", idKey(nil, kindIdentity, stub), []byte{9}, "identity: unknown version 9", nil},
		{"a damaged gone value", appendValue(seriesKey(nil, kindGone, stub, primitive, []byte(attacker)), attribution.Value(`"x"`)), []byte{1, 2, 3}, "value that was pushed out: truncated", spilledRow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store, out := newMemStore(), new(heard)
			store.Put(tt.key, tt.record)
			if tt.also != nil {
				store.Put(rowKey(nil, kindRow, stub, primitive), tt.also)
			}
			e, err := New(testConfig(1), 0, store)
			if err != nil {
				t.Fatal(err)
			}
			err = e.Process(&Record{Source: Observations, Value: observation}, store, out)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one that says %q", err, tt.says)
			}
		})
	}
	store := newMemStore()
	store.Put(idKey(nil, kindUnsettled, stub), []byte{7})
	if _, err := New(testConfig(1), 0, store); err == nil || !strings.Contains(err.Error(), "unsettled") {
		t.Errorf("a task with an unsettled identity of a newer version starts: %v", err)
	}
}

// Golden files that no codec reads any more would pass unnoticed.
func TestEveryGoldenFileHasACodec(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.ContainsFunc(codecs, func(c codec) bool { return c.golden() == file }) {
			t.Errorf("no codec reads %s", file)
		}
	}
}
