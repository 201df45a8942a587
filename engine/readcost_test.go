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
	primitive string
	value     func(n int) string
	ts        func(n int) float64
	sessions  int // of the input, in turn
}

// play gives so many observations to a task, and returns what each of the last ones
// reads, and writes, at most and on average.
func (m *many) play(t *testing.T, before, measured int) (maxReads int, reads, bytes float64) {
	t.Helper()
	store, out := &countingStore{memStore: newMemStore()}, new(heard)
	identity := []byte("018f0000-0000-7000-8000-000000000001")
	for i := range m.attackers {
		a := fmt.Appendf(nil, "203.0.%d.%d", i/250, i%250)
		store.Put(idKey(nil, kindLink, a), appendLink(nil, link{Identity: identity, By: origin{Version: 1}}))
		store.Put(idsKey(nil, kindMember, identity, a), appendMember(nil, member{Version: 1}))
	}
	e, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	for n := range before + measured {
		if n == before {
			store.reads, store.bytes = 0, 0
		}
		i := n % m.attackers
		attacker := fmt.Sprintf("203.0.%d.%d", i/250, i%250)
		was := store.reads
		r := Record{Source: Observations, Time: 1_700_000_000_000 + int64(n), Offset: int64(n), Key: []byte(attacker), Value: fmt.Appendf(nil,
			`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%f,"evidence_ref":"s%d"}`, attacker, m.primitive, m.value(n), m.ts(n), n%m.sessions)}
		if err := e.Process(&r, store, out); err != nil {
			t.Fatal(err)
		}
		store.commit()
		if n >= before {
			maxReads = max(maxReads, store.reads-was)
		}
	}
	if len(out.dead) > 0 {
		t.Fatal(out.dead)
	}
	return maxReads, float64(store.reads) / float64(measured), float64(store.bytes) / float64(measured)
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
