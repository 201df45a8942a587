package schemas

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"handprint/schemas/avro"
)

// Writers are the schemas by which Avro records were written, by their ids in
// the registry, as far as they are known. Asking it never waits: who reads from
// a topic adds what is missing first (package registry). A nil Writers knows
// none, and that there is no registry. Any number of goroutines may use it.
type Writers struct {
	mu    sync.Mutex // held by those who add
	known atomic.Pointer[map[uint32]*writer]
}

// writer is one schema: how its records are read as each contract.
type writer struct {
	schema  *avro.Schema
	problem string // set: its records cannot be read
	plans   [contractCount]atomic.Pointer[readPlan]
}

type readPlan struct {
	plan    *avro.Plan
	problem string
}

// NewWriters returns a Writers that knows no schema yet.
func NewWriters() *Writers {
	w := new(Writers)
	w.known.Store(&map[uint32]*writer{})
	return w
}

// Known reports whether a record can be decoded, or refused, without asking a
// registry: its schema was added, or is declared missing, or it needs none.
func (w *Writers) Known(record []byte) (id uint32, known bool) {
	id, ok := SchemaID(record)
	if !ok || w == nil {
		return 0, true
	}
	return id, (*w.known.Load())[id] != nil
}

// Add says what schema has an id, and which schemas it refers to, each after
// the ones it refers to itself. One that cannot be parsed makes every record
// that was written by it a bad one.
func (w *Writers) Add(id uint32, schema []byte, references ...[]byte) {
	parsed, err := avro.Parse(schema, references...)
	if err != nil {
		w.put(id, &writer{problem: fmt.Sprintf("schema %d: %.200s", id, printable(err.Error()))})
		return
	}
	w.put(id, &writer{schema: parsed})
}

// AddMissing says that there is no schema with an id, and why; records that name
// it are bad.
func (w *Writers) AddMissing(id uint32, reason string) {
	w.put(id, &writer{problem: fmt.Sprintf("schema %d: %.200s", id, printable(reason))})
}

// Forget takes back what was said of an id.
func (w *Writers) Forget(id uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := maps.Clone(*w.known.Load())
	delete(next, id)
	w.known.Store(&next)
}

func (w *Writers) put(id uint32, entry *writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := maps.Clone(*w.known.Load())
	next[id] = entry
	w.known.Store(&next)
}

// plan returns how a record is read as a contract. The error is a *Bad.
func (w *Writers) plan(record []byte, as Contract) (*avro.Plan, error) {
	id, ok := SchemaID(record)
	switch {
	case !ok:
		return nil, bad("not JSON, and too short for Avro: the schema id is truncated")
	case w == nil:
		return nil, bad("Avro: no schema registry is configured")
	}
	entry := (*w.known.Load())[id]
	if entry == nil {
		return nil, bad(fmt.Sprintf("Avro: schema %d is not known", id))
	}
	if entry.problem != "" {
		return nil, bad("Avro: " + entry.problem)
	}
	made := entry.plans[as].Load()
	if made == nil {
		made = new(readPlan)
		var err error
		if made.plan, err = avro.Compile(entry.schema, contracts()[as].read); err != nil {
			made.problem = fmt.Sprintf("schema %d does not read as %s: %.200s", id, as, printable(err.Error()))
		}
		entry.plans[as].Store(made) // who comes second stores the same
	}
	if made.problem != "" {
		return nil, bad("Avro: " + made.problem)
	}
	return made.plan, nil
}

// printable replaces what is not printable ASCII: the names in a schema are
// somebody else's.
func printable(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
