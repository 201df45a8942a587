package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// memStore is a Store in memory that can undo what was done since a mark, as a
// transaction that did not commit is undone.
type memStore struct {
	keys   []string // sorted
	values map[string][]byte
	undo   []change
}

type change struct {
	key   string
	value []byte // nil: was absent
}

func newMemStore() *memStore { return &memStore{values: map[string][]byte{}} }

func (m *memStore) Get(key []byte) ([]byte, error) { return m.values[string(key)], nil }

func (m *memStore) Put(key, value []byte) { m.set(string(key), bytes.Clone(value), true) }

func (m *memStore) Delete(key []byte) { m.set(string(key), nil, true) }

func (m *memStore) set(key string, value []byte, logged bool) {
	old, had := m.values[key]
	if logged {
		m.undo = append(m.undo, change{key, old})
	}
	at, _ := slices.BinarySearch(m.keys, key)
	switch {
	case value == nil && had:
		m.keys = slices.Delete(m.keys, at, at+1)
		delete(m.values, key)
	case value != nil:
		if !had {
			m.keys = slices.Insert(m.keys, at, key)
		}
		m.values[key] = value
	}
}

func (m *memStore) Scan(prefix, from []byte, yield func(key, value []byte) bool) error {
	start := string(prefix)
	if string(from) > start {
		start = string(from)
	}
	at, _ := slices.BinarySearch(m.keys, start)
	var keys []string
	for _, k := range m.keys[at:] {
		if !bytes.HasPrefix([]byte(k), prefix) {
			break
		}
		keys = append(keys, k)
	}
	for _, k := range keys {
		if !yield([]byte(k), bytes.Clone(m.values[k])) {
			break
		}
	}
	return nil
}

func (m *memStore) commit() { m.undo = m.undo[:0] }

func (m *memStore) rollback() {
	for _, c := range slices.Backward(m.undo) {
		m.set(c.key, c.value, false)
	}
	m.undo = m.undo[:0]
}

// cluster is a simulated application: tasks, their stores, and a network that
// keeps the order of one sender to one task and no other.
type cluster struct {
	cfg     Config
	t       fataler
	rand    *rand.Rand // nil: everything in order
	tasks   []*Engine
	stores  []*memStore
	inputs  [][]Record          // observations and identity events, per task
	network map[[2]int][][]byte // from, to
	read    []int64             // commands read so far, per task: their offsets
	clock   int64
	sweeps  int64
	events  []vectors.Event
	log     []vectors.Event // events and tombstones, in the order in which they were sent
	ids     map[string]bool
	rows    map[string]vectors.Row
	dead    []string

	identities map[string]attribution.Membership // the last record of each
	changes    []attribution.IdentityChange

	committed func(task int, r *Record) // if set: is told of each transaction

	crash float64 // how likely a record's transaction does not commit
	loss  loss
	lost  int // commands
	busy  int // commands delivered
}

// fataler is a test, of testing or of rapid.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newCluster(t fataler, n int32, registry *attribution.Registry, r *rand.Rand) *cluster {
	t.Helper()
	return newClusterOf(t, Config{Thresholds: attribution.DefaultThresholds(), Registry: registry, Partitions: n, Counters: new(Counters)}, r)
}

func newClusterOf(t fataler, cfg Config, r *rand.Rand) *cluster {
	t.Helper()
	n := cfg.Partitions
	if cfg.Unions == nil && r != nil && r.IntN(2) == 0 {
		cfg.Unions = NewUnionMemory(12 << 10) // two or three unions of few attackers, of all tasks
	}
	c := &cluster{
		cfg: cfg, t: t, rand: r, inputs: make([][]Record, n), network: map[[2]int][][]byte{}, read: make([]int64, n),
		identities: map[string]attribution.Membership{},
		rows:       map[string]vectors.Row{}, ids: map[string]bool{}, clock: 1_700_000_000_000,
	}
	for p := range n {
		s := newMemStore()
		cfg.RecordVersion = int(p) % (RecordVersion + 1) // as during an upgrade
		e, err := New(cfg, p, s)
		if err != nil {
			t.Fatal(err)
		}
		c.tasks, c.stores = append(c.tasks, e), append(c.stores, s)
	}
	return c
}

// restart gives all tasks new engines, which have nothing but the stores.
func (c *cluster) restart() {
	for p, s := range c.stores {
		e, err := New(c.cfg, int32(p), s)
		if err != nil {
			c.t.Fatal(err)
		}
		c.tasks[p] = e
	}
}

// input appends a record to its topic, as a producer with the default
// partitioner does.
func (c *cluster) input(s *vectors.Step, offset int64) { c.inputTo(s, offset, false) }

// inputTo does it with another partitioner if misrouted.
func (c *cluster) inputTo(s *vectors.Step, offset int64, misrouted bool) attribution.Arrival {
	c.clock++
	r := Record{Source: Observations, Offset: offset, Time: c.clock, Key: []byte(s.Key), Value: s.Record, Type: s.Type}
	task := attribution.AttackerPartition(s.Key, int32(len(c.tasks)))
	if s.Topic == "identity.events" {
		r.Source, task = IdentityEvents, 0
	}
	if misrouted {
		task = (task + 1) % int32(len(c.tasks))
	}
	r.Partition = task
	c.inputs[task] = append(c.inputs[task], r)
	return r.arrival()
}

const timer = -1

func (c *cluster) tick() {
	c.sweeps++
	c.tickAt(float64(c.sweeps))
}

func (c *cluster) tickAt(ts float64) {
	c.clock++
	for p := range c.tasks {
		c.post(timer, p, TickCommand(ts))
	}
}

func (c *cluster) post(from, to int, command []byte) {
	k := [2]int{from, to}
	c.network[k] = append(c.network[k], bytes.Clone(command))
}

// step delivers one record somewhere, and reports whether there was any.
func (c *cluster) step() bool {
	type choice struct{ from, to int }
	const input = -2
	var ready []choice
	for to, list := range c.inputs {
		if len(list) > 0 {
			ready = append(ready, choice{input, to})
		}
	}
	for k, list := range c.network {
		if len(list) > 0 {
			ready = append(ready, choice{k[0], k[1]})
		}
	}
	if len(ready) == 0 {
		return false
	}
	sort.Slice(ready, func(i, j int) bool {
		return ready[i].to < ready[j].to || ready[i].to == ready[j].to && ready[i].from < ready[j].from
	})
	pick := ready[0]
	if c.rand != nil {
		pick = ready[c.rand.IntN(len(ready))]
	}
	if c.loss != nothingLost && c.rand.IntN(20) == 0 && c.lost < 100 {
		c.truncate(pick.to)
		return true
	}
	var r Record
	if pick.from == input {
		r = c.inputs[pick.to][0]
	} else {
		c.busy++
		r = Record{
			Source: Commands, Partition: int32(pick.to), Offset: c.read[pick.to], Time: c.clock,
			Value: c.network[[2]int{pick.from, pick.to}][0],
		}
	}
	box := &box{cluster: c, from: pick.to}
	done := r
	done.Key, done.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	if err := c.tasks[pick.to].Process(&r, c.stores[pick.to], box); err != nil {
		c.t.Fatalf("task %d: %v", pick.to, err)
	}
	for _, b := range [][]byte{r.Key, r.Value} { // which the engine must not refer to any more
		for i := range b {
			b[i] = 0xdb
		}
	}
	if c.rand != nil && c.rand.Float64() < c.crash {
		// Nothing of it happened. The record comes again; a new owner has
		// only what the store holds.
		c.stores[pick.to].rollback()
		if err := c.tasks[pick.to].Reload(c.stores[pick.to]); err != nil {
			c.t.Fatal(err)
		}
		return true
	}
	box.project(c.stores[pick.to])
	c.stores[pick.to].commit()
	if pick.from == input {
		c.inputs[pick.to] = c.inputs[pick.to][1:]
	} else {
		k := [2]int{pick.from, pick.to}
		c.network[k] = c.network[k][1:]
		c.read[pick.to]++
	}
	box.deliver()
	if c.committed != nil {
		c.committed(pick.to, &done)
	}
	return true
}

// loss is what a truncation of the commands may take.
type loss int

const (
	nothingLost loss = iota
	wordsLost        // commands that carry no observation and no contribution
	allLost          // any
)

// truncate loses commands to a task that it has not read: from each sender some
// of the oldest. The task is told before it reads another one.
func (c *cluster) truncate(task int) {
	for from := timer; from < len(c.tasks); from++ {
		k := [2]int{from, task}
		n := 0
		for n < len(c.network[k]) && (c.loss == allLost || !carries(c.network[k][n])) {
			n++
		}
		if n > 0 {
			n = c.rand.IntN(n + 1)
		}
		c.lost += n
		c.network[k] = c.network[k][n:]
	}
	box := &box{cluster: c, from: task}
	if err := c.tasks[task].CommandsLost(c.stores[task], box); err != nil {
		c.t.Fatalf("task %d: %v", task, err)
	}
	c.stores[task].commit()
	box.deliver()
}

// carries reports whether a command carries observations or contributions.
func carries(command []byte) bool {
	in := reader{b: command[2:]}
	switch commandType(command[1]) {
	case cmdObserve:
		return true
	case cmdAttach:
		a := in.attach()
		return len(a.Parts) > 0
	}
	return false
}

func (c *cluster) settle() {
	for c.step() {
	}
	for p, e := range c.tasks {
		if len(e.unsettled) > 0 {
			c.t.Fatalf("task %d at rest has unsettled identities: %v", p, e.unsettled)
		}
		for _, k := range c.stores[p].keys {
			if strings := "quwdexzlXFL"; bytes.IndexByte([]byte(strings), k[0]) >= 0 {
				c.t.Fatalf("task %d at rest has a record of kind %q", p, k[0])
			}
		}
	}
}

// box is an Outbox whose contents count when the transaction commits.
type box struct {
	cluster *cluster
	from    int
	changed []string // keys of rows
	sends   []func()
}

func (b *box) later(f func()) { b.sends = append(b.sends, f) }

func (b *box) deliver() {
	for _, f := range b.sends {
		f()
	}
}

func (b *box) event(kind string, raw []byte) {
	raw = bytes.Clone(raw)
	b.later(func() {
		var e vectors.Event
		var id struct {
			ID string `json:"event_id"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			b.cluster.t.Fatalf("event %s: %v", raw, err)
		}
		_ = json.Unmarshal(raw, &id)
		if b.cluster.ids[id.ID] {
			b.cluster.t.Fatalf("event id %s is sent twice", id.ID)
		}
		b.cluster.ids[id.ID] = true
		e.Type = kind
		b.cluster.events = append(b.cluster.events, e)
		b.cluster.log = append(b.cluster.log, e)
	})
}

func (b *box) StateChanged(_, event []byte) { b.event("state_changed", event) }
func (b *box) Suspected(_, event []byte)    { b.event("multi_actor_suspected", event) }

func (b *box) Identity(identity, record []byte) {
	m, err := schemas.DecodeMembershipJSON(record)
	if err != nil || m.Identity != string(identity) {
		b.cluster.t.Fatalf("record of identity %s: %s: %v", identity, record, err)
	}
	b.later(func() {
		if before, said := b.cluster.identities[m.Identity]; said && before.Version > m.Version || before.Version == m.Version && m.LastEvent != 0 {
			b.cluster.t.Fatalf("identity %+v is followed by %+v", before, m)
		}
		b.cluster.identities[m.Identity] = m
	})
}

func (b *box) IdentityChanged(identity, event []byte) {
	c, err := schemas.DecodeIdentityChangeJSON(event)
	if err != nil || c.Identity != string(identity) {
		b.cluster.t.Fatalf("change of identity %s: %s: %v", identity, event, err)
	}
	b.later(func() {
		if b.cluster.ids[c.EventID] {
			b.cluster.t.Fatalf("event id %s is sent twice", c.EventID)
		}
		b.cluster.ids[c.EventID] = true
		b.cluster.changes = append(b.cluster.changes, c)
	})
}

func (b *box) StateRow(key, row []byte) {
	k, raw := string(key), bytes.Clone(row)
	b.later(func() {
		if raw == nil {
			delete(b.cluster.rows, k)
			identity, primitive, _ := schemas.SplitStateRowKey([]byte(k))
			b.cluster.log = append(b.cluster.log, vectors.Event{Type: "tombstone", Identity: identity, Primitive: primitive})
			return
		}
		var r vectors.Row
		if err := json.Unmarshal(raw, &r); err != nil {
			b.cluster.t.Fatalf("row %s: %v", raw, err)
		}
		if string(schemas.AppendStateRowKey(nil, r.Identity, r.Primitive)) != k {
			b.cluster.t.Fatalf("row %s has key %s", raw, k)
		}
		b.cluster.rows[k] = r
	})
}

func (b *box) RowChanged(key []byte) { b.changed = append(b.changed, string(key)) }

// project makes state rows of the rows that the transaction has changed.
func (b *box) project(s *memStore) {
	rows := NewStateRows(nil)
	slices.Sort(b.changed)
	for _, k := range slices.Compact(b.changed) {
		key, row, err := rows.Of([]byte(k), s.values[k])
		if err != nil {
			b.cluster.t.Fatalf("state row of %q: %v", k, err)
		}
		if key != nil {
			b.StateRow(key, row)
		}
	}
}

func (b *box) DeadLetter(stage, reason string) {
	b.later(func() { b.cluster.dead = append(b.cluster.dead, stage+": "+reason) })
}

func (b *box) Send(task int32, _, command []byte) {
	raw := bytes.Clone(command)
	b.later(func() { b.cluster.post(b.from, int(task), raw) })
}

func (b *box) Now() float64 { return float64(b.cluster.clock) / 1000 }

func (c *cluster) allRows() (rows []vectors.Row) {
	for _, r := range c.rows {
		rows = append(rows, r)
	}
	return rows
}

// TestConformanceEngine runs the scenarios through simulated tasks, whose
// commands arrive in a random order: what takes a broker minutes in every
// order takes seconds here. The whole topology runs them too, in topology/.
func TestConformanceEngine(t *testing.T) {
	for _, file := range vectors.ScenarioFiles {
		t.Run(file, func(t *testing.T) {
			for _, s := range vectors.Scenarios(t, file) {
				for _, n := range []int32{1, 3, 8} {
					t.Run(fmt.Sprintf("%s/%s/partitions=%d", s.Where(), s.Case, n), func(t *testing.T) {
						runScenario(t, &s, n, rand.New(rand.NewPCG(uint64(s.Number), uint64(n))))
					})
				}
			}
		})
	}
}

func runScenario(t *testing.T, s *vectors.Scenario, partitions int32, r *rand.Rand) {
	c := newClusterOf(t, Config{Thresholds: s.Thresholds, Registry: s.Registry, Partitions: partitions, Counters: new(Counters)}, r)
	c.crash = 0.1
	var events vectors.Matcher
	for i := range s.Steps {
		step := &s.Steps[i]
		c.events, c.dead = nil, nil
		switch {
		case step.Op == "restart":
			c.restart()
		case step.Op == "sweep" && step.TS != 0:
			c.tickAt(step.TS)
		case step.Op == "sweep":
			c.tick()
		default:
			c.input(step, int64(i))
		}
		c.settle()
		if diff := events.Diff(step.Events, c.events); diff != "" {
			t.Fatalf("step %d (%s %s): %s", i, step.Op, step.Record, diff)
		}
		if bad := step.Op == "bad"; bad != (len(c.dead) == 1) {
			t.Fatalf("step %d (%s %.200s): dead letters %q, reason %q", i, step.Op, step.Record, c.dead, step.Reason)
		}
	}
	if diff := vectors.DiffRows(s.Rows, c.allRows()); diff != "" {
		t.Fatal(diff)
	}
}
