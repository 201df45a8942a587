package topology_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/schemas"
)

// A history is a sequence of phases, each put in when all that the one before
// caused is done. What it must lead to, record by record, does not depend on
// how tasks and threads take turns: the attackers are in groups that have
// nothing to do with each other, and in one phase a group gets either identity
// events, which have an order of their own, or observations of one attacker.
type history [][]input

// input is a record to come.
type input struct {
	topic   inputTopic
	key     string
	value   []byte
	headers []kgo.RecordHeader
	at      time.Time
	tick    float64 // the time of a tick by the ts of observations, Unix seconds
}

type inputTopic int

const (
	toObservations inputTopic = iota
	toIdentityEvents
	toTicks // one for each task
)

var historyKinds = []attribution.Primitive{
	{Name: "t.first", Kind: attribution.Categorical},
	{Name: "t.second", Kind: attribution.Categorical},
	{Name: "t.numeric", Kind: attribution.Numeric},
	{Name: "t.hash", Kind: attribution.Hash},
}

const groupSize = 3

func newHistory(r *rand.Rand, phases, groups int) history {
	return newHistoryOf(&generator{Rand: r, at: time.UnixMilli(1_800_000_000_000), apart: 100}, phases, groups)
}

// newForgettingHistory is a history for an application with [historyRetention]:
// observations are days apart, and so are sweeps.
func newForgettingHistory(r *rand.Rand, phases, groups int) history {
	g := &generator{Rand: r, at: time.UnixMilli(1_800_000_000_000), apart: 6 * 60 * 60, rarely: 3}
	h := newHistoryOf(g, phases, groups)
	for i, phase := range h {
		for j := range phase {
			if phase[j].topic == toTicks {
				h[i][j].tick = phase[j].tick + historyRetention.Seconds()*float64(r.IntN(3))
			}
		}
	}
	return h
}

const historyRetention = 48 * time.Hour

func newHistoryOf(g *generator, phases, groups int) history {
	r := g.Rand
	h := make(history, phases)
	newest := make([]float64, phases) // ts
	for i := range h {
		for group := range groups {
			if i > 1 && r.IntN(3) == 0 && (g.rarely == 0 || group%g.rarely == 0) {
				h[i] = append(h[i], g.events(group)...)
			} else {
				h[i] = append(h[i], g.observations(group)...)
			}
		}
		if i%3 == 2 {
			h[i] = append(h[i], g.bad()...)
		}
		for j := range h[i] {
			g.at = g.at.Add(time.Millisecond)
			h[i][j].at = g.at
		}
		newest[i] = float64(10_000 + g.apart*g.sessions)
	}
	// Sweeps have phases of their own: what they see is what the phase before
	// left.
	var swept history
	for i, phase := range h {
		if swept = append(swept, phase); i%2 == 1 {
			g.at = g.at.Add(time.Millisecond)
			swept = append(swept, []input{{topic: toTicks, at: g.at, tick: newest[i]}})
		}
	}
	return swept
}

type generator struct {
	*rand.Rand
	at       time.Time
	sessions int
	apart    int // seconds between sessions
	rarely   int // of how many groups one gets identity events; 0: all
}

func attackerOf(group, n int) string { return fmt.Sprintf("group-%d-attacker-%d", group, n) }

// observations are those of one attacker of the group, now and then with a key
// that leads them to a wrong partition.
func (g *generator) observations(group int) []input {
	attacker := attackerOf(group, g.IntN(groupSize))
	key := attacker
	if g.IntN(4) == 0 {
		key = fmt.Sprint("foreign", g.IntN(100))
	}
	var list []input
	for i := range 1 + g.IntN(6) {
		p := historyKinds[g.IntN(len(historyKinds))]
		var value string
		switch p.Kind {
		case attribution.Categorical:
			// Turn by turn, so that some rows end as multi_actor.
			value = fmt.Sprintf(`"value %d"`, i%2)
			if g.IntN(4) == 0 {
				value = fmt.Sprintf(`"value %d"`, g.IntN(3))
			}
			for _, name := range []string{"t.first", "t.second"} {
				list = append(list, g.observation(attacker, key, name, value))
			}
			continue
		case attribution.Numeric:
			value = fmt.Sprint(1 + g.IntN(3)*g.IntN(50))
		case attribution.Hash:
			n := g.IntN(4)
			value = fmt.Sprintf(`"hash %d"`, n)
			if n == 3 { // one that does not stand in the row
				value = fmt.Sprintf(`"hash %d%s"`, n, strings.Repeat("-", 300))
			}
		}
		list = append(list, g.observation(attacker, key, p.Name, value))
	}
	return list
}

func (g *generator) observation(attacker, key, primitive, value string) input {
	g.sessions++
	session, ts := g.sessions, g.apart*g.sessions
	if g.IntN(6) == 0 {
		session, ts = g.IntN(session), ts-g.IntN(20*g.apart) // a replacement, or out of order
	}
	return input{key: key, value: fmt.Appendf(nil,
		`{"attacker_uuid":%q,"primitive":%q,"value":%s,"ts":%d,"evidence_ref":"session %d"}`, attacker, primitive, value, 10_000+ts, session)}
}

// events are some identity events about the group.
func (g *generator) events(group int) []input {
	names := []string{fmt.Sprintf("group-%d-x", group), fmt.Sprintf("group-%d-y", group)}
	for n := range groupSize {
		names = append(names, attribution.Stub([]byte(attackerOf(group, n))).String())
	}
	name := func() string { return names[g.IntN(len(names))] }
	var list []input
	for range 1 + g.IntN(3) {
		e := attribution.IdentityEvent{Type: attribution.EventType(1 + g.IntN(4)), Identity: name()}
		for n := range groupSize {
			if g.IntN(2) == 0 {
				e.Attackers = append(e.Attackers, attackerOf(group, n))
			}
		}
		switch e.Type {
		case attribution.Linked:
			e.Attackers = []string{attackerOf(group, g.IntN(groupSize))}
		case attribution.Merged, attribution.Unmerged:
			e.Loser = name() // sometimes the winner itself: a bad record
		}
		list = append(list, input{topic: toIdentityEvents, key: e.Identity, value: schemas.AppendIdentityEvent(nil, &e)})
	}
	return list
}

func (g *generator) bad() []input {
	return []input{
		{key: "bad", value: []byte(`{"attacker_uuid":"a"`), headers: []kgo.RecordHeader{{Key: "k", Value: []byte("v")}}},
		{topic: toIdentityEvents, value: []byte(`{"type":"identity.split"}`)},
		{key: attackerOf(0, 0), value: []byte(`{"attacker_uuid":"a","primitive":"t.numeric","value":1e999,"ts":1,"evidence_ref":"e"}`)},
	}
}

// records are the phase's, for this application.
func (a *app) records(phase []input) []*kgo.Record {
	var list []*kgo.Record
	for _, in := range phase {
		r := &kgo.Record{Topic: a.names.Observations, Key: []byte(in.key), Value: in.value, Headers: in.headers, Timestamp: in.at}
		switch in.topic {
		case toIdentityEvents:
			r.Topic = a.names.IdentityEvents
		case toTicks:
			if a.config.Engine.Retention > 0 {
				list = append(list, a.names.TicksAt(a.partitions, in.tick)...)
			} else {
				list = append(list, a.names.Ticks(a.partitions, in.at)...)
			}
			continue
		}
		list = append(list, r)
	}
	return list
}

// putAll writes records at once: those of a partition keep their order.
func (a *app) putAll(records []*kgo.Record) {
	a.t.Helper()
	for _, result := range a.client.ProduceSync(a.t.Context(), records...) {
		if result.Err != nil {
			a.t.Fatal(result.Err)
		}
		a.rest.Expect(result.Record.Topic, result.Record.Partition, result.Record.Offset)
	}
}
