package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"handprint/attribution"
)

// countingStore counts what is read and written.
type countingStore struct {
	*memStore
	reads, bytes int
}

func (c *countingStore) Get(key []byte) ([]byte, error) {
	c.reads++
	return c.memStore.Get(key)
}

func (c *countingStore) Scan(prefix, from []byte, yield func(key, value []byte) bool) error {
	return c.memStore.Scan(prefix, from, func(key, value []byte) bool {
		c.reads++
		return yield(key, value)
	})
}

func (c *countingStore) Put(key, value []byte) {
	c.bytes += len(key) + len(value)
	c.memStore.Put(key, value)
}

func (c *countingStore) Delete(key []byte) {
	c.bytes += len(key)
	c.memStore.Delete(key)
}

// many is an input to one identity of many attackers.
type many struct {
	attackers int
	unlinked  bool   // they are their own identities
	suffix    string // of their names
	primitive string
	value     func(n int) string
	ts        func(n int) float64
	sessions  int // of the input, in turn
	// late is the nth of the observations that are measured, instead, if it is set.
	late func(n int) (attacker int, value string, ts float64, session int)

	unions *UnionMemory // nil: the default

	transitions int // of the observations that are measured
}

func (m *many) name(i int) []byte {
	return fmt.Appendf(nil, "203.0.%d.%d%s", i/250, i%250, m.suffix)
}

// play gives so many observations to a task, and returns what each of the last ones
// reads, and writes, at most and on average.
func (m *many) play(t *testing.T, before, measured int) (maxReads int, reads, bytes float64) {
	t.Helper()
	store, out := &countingStore{memStore: newMemStore()}, new(heard)
	identity := []byte("018f0000-0000-7000-8000-000000000001")
	for i := range m.attackers {
		if m.unlinked {
			break
		}
		a := m.name(i)
		store.Put(idKey(nil, kindLink, a), appendLink(nil, link{Identity: identity, By: origin{Version: 1}}))
		store.Put(idsKey(nil, kindMember, identity, a), appendMember(nil, member{Version: 1}))
	}
	cfg := testConfig(1)
	cfg.Unions = m.unions
	e, err := New(cfg, 0, store)
	if err != nil {
		t.Fatal(err)
	}
	for n := range before + measured {
		if n == before {
			store.reads, store.bytes = 0, 0
			m.transitions = -int(e.cfg.Counters.Transitions.Load())
		}
		i, value, ts, session := n%m.attackers, m.value(n), m.ts(n), n%m.sessions
		if m.late != nil && n >= before {
			i, value, ts, session = m.late(n - before)
		}
		attacker := m.name(i)
		was := store.reads
		r := Record{Source: Observations, Time: 1_700_000_000_000 + int64(n), Offset: int64(n), Key: attacker, Value: fmt.Appendf(nil,
			`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%f,"evidence_ref":"s%d"}`, attacker, m.primitive, value, ts, session)}
		if err := e.Process(&r, store, out); err != nil {
			t.Fatal(err)
		}
		store.commit()
		if n >= before {
			maxReads = max(maxReads, store.reads-was)
		}
	}
	m.transitions += int(e.cfg.Counters.Transitions.Load())
	if len(out.dead) > 0 {
		t.Fatal(out.dead)
	}
	reads, bytes = float64(store.reads), float64(store.bytes)
	if !m.unlinked {
		checkRow(t, e, store, identity, []byte(m.primitive))
	}
	return maxReads, reads / float64(measured), bytes / float64(measured)
}

// checkRow compares a row with what all its contributions say.
func checkRow(t *testing.T, e *Engine, store Store, identity, primitive []byte) {
	t.Helper()
	e.store = store
	if found, err := e.loadRow(identity, primitive); err != nil || !found {
		t.Fatalf("row of %s: found %v, %v", identity, found, err)
	}
	if e.row.inline {
		return
	}
	was := e.row.was
	value := string(was.Value)
	if _, err := e.addUp(e.catalog.of(primitive).kind, identity, primitive); err != nil {
		t.Fatal(err)
	}
	want, err := e.merger.End()
	if err != nil {
		t.Fatal(err)
	}
	if was.State != want.State || value != string(want.Value) || was.Count != want.Count || was.LastObservationTS != want.LastTS || was.Confidence != want.Confidence {
		t.Fatalf("the row says %+v %s, its contributions %+v %s", was, value, want, want.Value)
	}
}

// An observation of an identity of many attackers reads a few records, whatever comes
// in which order of time, and whether it replaces another or is a new one.
func TestObservationsOfManyAttackersReadLittle(t *testing.T) {
	const start = 1_700_000_000
	shuffled := rand.New(rand.NewPCG(1, 2)).Perm(1 << 14)
	orders := []struct {
		name string
		ts   func(n int) float64
	}{
		{"forward", func(n int) float64 { return start + float64(n) }},
		{"backward", func(n int) float64 { return start - float64(n) }},
		{"shuffled", func(n int) float64 { return start + float64(shuffled[n%len(shuffled)]) }},
		{"equal", func(int) float64 { return start }},
		{"to and fro", func(n int) float64 { return start + float64(n%2*2-1)*float64(n) }},
		{"by days backward", func(n int) float64 { return start - float64(n/100)*90_000 }},
	}
	values := []struct {
		name, primitive string
		value           func(n int) string
	}{
		{"fingerprints", "toolchain.ssh.hassh_client", func(n int) string { return fmt.Sprintf(`"%032x"`, n%100) }},
		{"long fingerprints", "toolchain.ssh.hassh_client", func(n int) string { return fmt.Sprintf(`"%s%x"`, strings.Repeat("w", 150), n%100) }},
		{"numbers", "toolchain.c2.beacon_interval_ms", func(n int) string { return fmt.Sprint(n % 100) }},
		{"texts", "worst.text", func(n int) string { return fmt.Sprintf(`"%x"`, n%100) }},
		{"sets", "temporal.circadian.hour_histogram", func(n int) string { return fmt.Sprintf(`[%d,%d]`, n%24, n%7) }},
	}
	for _, attackers := range []int{12, 300} {
		for _, order := range orders {
			for _, v := range values {
				for _, sessions := range []int{1, 7, 1 << 30} {
					t.Run(fmt.Sprintf("%d attackers, %s, %s, %d sessions", attackers, order.name, v.name, sessions), func(t *testing.T) {
						m := many{attackers: attackers, primitive: v.primitive, value: v.value, ts: order.ts, sessions: sessions}
						most, reads, _ := m.play(t, 10*attackers, 2*attackers+100)
						// Its own records, with as many long values as a series has
						// entries; and of two windows that have left, the series that come
						// next and their long values.
						long := 0
						if strings.HasPrefix(v.name, "long") {
							long = attribution.DefaultThresholds().SeriesEntries + 20
						}
						if most > 60+long || reads > float64(14+long) {
							t.Errorf("an observation reads %d records at most, %.1f on average", most, reads)
						}
					})
				}
			}
		}
	}
}

// Of very many attackers who are observed back in time, each observation in the place of
// the one before, an observation reads no more than of a few, where there is memory for
// their union. Where there is little, the newest entries of all are read again now and
// then, which is a few reads for each observation.
func TestObservationsOfVeryManyAttackersReadLittle(t *testing.T) {
	const attackers = 2500
	for _, length := range []int{8, 150} {
		m := many{
			attackers: attackers, primitive: "toolchain.ssh.hassh_client", sessions: 1,
			ts:    func(n int) float64 { return 1_700_000_000 - float64(n) },
			value: func(n int) string { return fmt.Sprintf(`"%s%d"`, strings.Repeat("w", length), n%9) },
		}
		most, reads, _ := m.play(t, attackers, 2*attackers)
		if most > 60 || reads > 15 {
			t.Errorf("an observation reads %d records at most, %.1f on average", most, reads)
		}
		m.unions = NewUnionMemory(60_000) // all would take 20 times that
		most, reads, _ = m.play(t, attackers, 2*attackers)
		if most < attackers || reads > 60 {
			t.Errorf("with little memory an observation reads %d records at most, %.1f on average, where %d have to be read now and then", most, reads, attackers)
		}
		if taken := m.unions.Taken(); taken > 60_000 {
			t.Errorf("the union takes %d bytes", taken)
		}
	}
}

// A row that drifts to and fro, by values that come late and are replaced, is told
// from a few records what it drifted from.
func TestWhatARowDriftedFromIsFoundByFewReads(t *testing.T) {
	for _, attackers := range []int{12, 300} {
		for _, width := range []int{8, 150, 400} {
			t.Run(fmt.Sprintf("%d attackers, %d characters", attackers, width), func(t *testing.T) {
				m := many{
					attackers: attackers, primitive: "toolchain.ssh.hassh_client", sessions: 1 << 30,
					ts:    func(n int) float64 { return 1_700_000_000 + float64(n) },
					value: func(int) string { return `"the usual one"` },
				}
				before := 20 * attackers
				m.late = func(n int) (attacker int, value string, ts float64, session int) {
					// The last attacker's old entry gets another value, and the usual
					// one again.
					value = `"the usual one"`
					if n%2 == 0 {
						value = fmt.Sprintf(`"%s%d"`, strings.Repeat("w", width), n)
					}
					return attackers - 1, value, 1_700_000_000, -1
				}
				most, reads, _ := m.play(t, before, 100)
				if m.transitions != 100 {
					t.Errorf("%d of 100 observations change the state", m.transitions)
				}
				if most > 120 || reads > 30 { // once a task looks for the rows of all 82 primitives
					t.Errorf("an observation reads %d records at most, %.1f on average", most, reads)
				}
			})
		}
	}
}

// The value before a transition is found by one read if it is a large one, whoever
// keeps it and however many large values the attackers of the row have.
func TestTheLargeValueBeforeATransitionIsFoundByFewReads(t *testing.T) {
	const attackers = 300
	large := func(n int) string { return fmt.Sprintf(`"%s%d"`, strings.Repeat("w", largeValue), n) }
	m := many{
		attackers: attackers, primitive: "worst.text", sessions: 1 << 30, value: large,
		ts: func(n int) float64 { return 1_700_000_000 + float64(n) },
		late: func(n int) (attacker int, value string, ts float64, session int) {
			v := []int{1, 1, 1, 1, 1, 2, 3, 4, 5, 6}[n%10]
			return (n * 7) % attackers, large(v), 1_800_000_000 + float64(n), 1_000_000 + n
		},
	}
	most, reads, _ := m.play(t, 20*attackers, 200)
	if m.transitions < 40 {
		t.Errorf("%d of 200 observations change the state", m.transitions)
	}
	if most > 120 || reads > 30 { // once a task looks for the rows of all 82 primitives
		t.Errorf("an observation reads %d records at most, %.1f on average", most, reads)
	}
}

// However long values are, and however many of them a series has, what an observation
// writes is bounded: no record has many bytes of values, and a value's text is written
// once.
func TestObservationsWriteABoundedNumberOfBytes(t *testing.T) {
	const most = 4096
	for _, v := range []struct{ name, primitive string }{{"fingerprints", "toolchain.ssh.hassh_client"}, {"texts", "worst.text"}} {
		for _, length := range []int{20, 33, 41, 48, 64, 90, 96, 97, 200, 256, 257, 500} {
			for _, different := range []int{17, 40, 500} {
				for _, unlinked := range []bool{false, true} {
					t.Run(fmt.Sprintf("%d %s of %d characters, unlinked %v", different, v.name, length, unlinked), func(t *testing.T) {
						m := many{
							attackers: 1, unlinked: unlinked, suffix: strings.Repeat("a", length%200), primitive: v.primitive, sessions: 1 << 30,
							ts:    func(n int) float64 { return 1_700_000_000 + float64(n) },
							value: func(n int) string { return fmt.Sprintf(`"%s%04d"`, strings.Repeat("w", length-4), n%different) },
						}
						if _, _, bytes := m.play(t, 2*different+50, 200); bytes > most {
							t.Errorf("an observation writes %.0f bytes, more than %d", bytes, most)
						}
					})
				}
			}
		}
	}
}

// A series with a few values of some length has them in its record, as most have.
func TestFewValuesOfSomeLengthStayInTheirRecord(t *testing.T) {
	var w longWriter
	s := new(series)
	for n := range 8 {
		s.Entries = append(s.Entries, attribution.Entry{TS: float64(n), Value: attribution.Value(fmt.Sprintf(`"t13d1516h2_8daaf6152771_b186095e22b6_%09d"`, n)), Confidence: -1})
	}
	w.begin(s)
	appendSeries(nil, s, &w)
	if len(w.fresh) != 0 {
		t.Errorf("%d of 8 values are records of their own", len(w.fresh))
	}
	for n := range 8 {
		s.Entries = append(s.Entries, attribution.Entry{TS: float64(10 + n), Value: attribution.Value(fmt.Sprintf(`"%s%d"`, strings.Repeat("w", 60), n)), Confidence: -1})
	}
	w.begin(s)
	record := appendSeries(nil, s, &w)
	if n := len(w.fresh); n == 0 || n > 8 {
		t.Errorf("%d of 16 values are records of their own", n)
	}
	known := append([]longText(nil), w.fresh...)
	for i := range known { // in the order of the record, but texts of their own
		known[i].text = append(attribution.Value(nil), known[i].text...)
	}
	s.long = known
	s.Entries = s.Entries[4:] // there is room again, and none comes back
	w.begin(s)
	shorter := appendSeries(nil, s, &w)
	if len(w.fresh) != 0 || len(shorter) >= len(record) {
		t.Errorf("%d values become records of their own, and %d bytes are %d", len(w.fresh), len(record), len(shorter))
	}
	for i := range w.known {
		if !w.known[i].kept {
			t.Errorf("%s is a record of its own and not kept as one", w.known[i].text)
		}
	}
}
