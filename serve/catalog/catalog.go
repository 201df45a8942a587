package catalog

import (
	"iter"
	"math"
	"net/netip"
	"strings"
	"sync"

	"handprint/attribution"
)

// Catalog holds the tables. Its methods may be called by several goroutines at
// the same time.
type Catalog struct {
	mu sync.RWMutex

	ids        ids // of identities
	identities table[identity]

	attackerIDs ids
	attackers   table[attacker]
	members     map[membership]struct{} // memberships that an event brought

	registered     map[string]struct{} // primitives that always have a table
	primitives     []*primitive        // nil: the number is free
	freeNumbers    []uint16            // of primitives, plus 1
	madeUp         int                 // primitives with a table that are not registered
	crowded        bool                // a primitive was left out: there were too many
	primitiveIndex map[string]uint16
	cutIndex       map[string]uint16   // by the names as suspicions cut them; whole ones are not in it
	rowIndex       map[rowKey]rowPlace // of identities with many rows
	nameBytes      int                 // of primitives, and what each takes besides rows and values

	profiles       map[profileKey]*Profile
	suspicions     map[string]*Suspicion // by suspicion id
	suspicionBytes int                   // of all of them
	over           int                   // suspicions that do not hold any more
	overBytes      int                   // of them
	latest         map[uint32]*Suspicion // of an identity, the last one
	listed         int                   // identities that are shown
}

// identity is what is known of an identity besides its rows, by its number.
type identity struct {
	change, seen float64 // the latest of its rows
	offset       int64   // of the changelog record that changed it last
	partition    int32
	first        uint32 // its first row, with firstIn; a list through row.next
	own          uint32 // the stub's own attacker, plus 1; 0: none
	members      uint32 // attackers that events brought
	merged       uint32 // what it is merged into, plus 1; 0: it stands for itself
	states       [states]uint16
	firstIn      uint16 // primitive of first, plus 1; 0: it has no row
	unsettled    bool
	dropped      bool // its record was deleted, and nothing has named it since
}

const states = int(attribution.MultiActor) + 1

func (i *identity) attackerCount() int {
	n := int(i.members)
	if i.own != 0 {
		n++
	}
	return n
}

// isShown reports whether lists have the identity: it has a row, an attacker or a
// pointer. One that an attacker has left and that has nothing else is none.
func (i *identity) isShown() bool {
	return i.firstIn != 0 || i.members != 0 || i.own != 0 || i.merged != 0
}

// attacker is an attacker by its number: which identity it is linked to, and
// where it was seen.
type attacker struct {
	linked  uint32 // its identity by an event, plus 1
	stub    uint32 // the identity that has it as its own, plus 1
	profile *address
}

// address joins what the sensors know of an attacker's address.
type address struct {
	text    string
	ip      netip.Addr // not valid: an opaque one
	from    []*Profile // by sensor
	first   float64
	last    float64
	sensors []string
}

type membership struct{ identity, attacker uint32 }

type profileKey struct {
	attacker uint32
	sensor   string
}

// row is a row of the primitive in whose table it stands.
type row struct {
	change, seen, confidence float64
	identity                 uint32
	value                    uint32 // in the primitive's dictionary
	count                    uint32 // saturates; the exact number is in the copy
	next                     uint32 // the identity's next row, with nextIn
	nextIn                   uint16 // its primitive, plus 1; 0: this is the last
	state                    attribution.State
	flags                    uint8
}

const (
	rowUsed    = 1
	rowReturns = 2
)

// primitive is the table of a primitive's rows, and the dictionary of its values.
type primitive struct {
	name   string
	domain string
	rows   table[row]
	free   []uint32
	states [states]int
	dict   dictionary
}

// Bytes of entries, for the account of the memory; of dictionaries and profiles
// with what their maps take.
const (
	rowBytes      = 48
	identityBytes = 64
	attackerBytes = 16
	valueBytes    = 16 + 20 + 16 + 8 + 16
	memberBytes   = 16
	profileBytes  = 400

	primitiveBytes = 900 // with maps and first chunks; its name comes on top
	cutBytes       = attribution.MaxPrimitiveName + 64
	rowIndexBytes  = 40

	suspicionBytes = 500
	reasonBytes    = 96
	stringBytes    = 16
)

// MaxMadeUp bounds the primitives with rows that are not registered: an attacker may make up
// any number of names. Rows of later ones are left out, and counted nowhere,
// until the catalogue is built anew.
const MaxMadeUp = 60_000

// New returns an empty catalogue. The registered primitives are never left out; there are
// at most some 4,000 of them.
func New(registered ...string) *Catalog {
	known := make(map[string]struct{}, len(registered))
	for _, name := range registered {
		known[name] = struct{}{}
	}
	return empty(known)
}

func empty(registered map[string]struct{}) *Catalog {
	return &Catalog{
		registered: registered,
		ids:        newIDs(), attackerIDs: newIDs(), members: make(map[membership]struct{}),
		primitiveIndex: make(map[string]uint16), cutIndex: make(map[string]uint16), rowIndex: make(map[rowKey]rowPlace),
		profiles:   make(map[profileKey]*Profile),
		suspicions: make(map[string]*Suspicion), latest: make(map[uint32]*Suspicion),
	}
}

// Bytes returns about how much memory the catalogue takes.
func (c *Catalog) Bytes() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := c.ids.memory() + c.attackerIDs.memory() + c.identities.n*identityBytes + c.attackers.n*attackerBytes +
		len(c.members)*memberBytes + len(c.profiles)*profileBytes + c.suspicionBytes + c.nameBytes + len(c.rowIndex)*rowIndexBytes
	for p := range c.tables() {
		n += p.rows.n*rowBytes + p.dict.memory()
	}
	return int64(n)
}

// row returns the row at a place.
func (c *Catalog) row(in uint16, at uint32) *row { return c.primitives[in-1].rows.at(at) }

// tables yields the primitives that have a table.
func (c *Catalog) tables() iter.Seq[*primitive] {
	return func(yield func(*primitive) bool) {
		for _, p := range c.primitives {
			if p != nil && !yield(p) {
				return
			}
		}
	}
}

// hasRoom reports whether a primitive that has no table may get one.
func (c *Catalog) hasRoom(name string) bool {
	if _, ok := c.registered[name]; !ok && (c.crowded || c.madeUp >= MaxMadeUp) {
		return false
	}
	return len(c.freeNumbers) > 0 || len(c.primitives) < math.MaxUint16-1
}

// addPrimitive adds the table of a primitive that has none.
func (c *Catalog) addPrimitive(name string) (p *primitive, in uint16) {
	domain, _, _ := strings.Cut(name, ".")
	p = &primitive{name: name, domain: domain}
	if last := len(c.freeNumbers) - 1; last >= 0 {
		in, c.freeNumbers = c.freeNumbers[last], c.freeNumbers[:last]
		c.primitives[in-1] = p
	} else {
		c.primitives = append(c.primitives, p)
		in = uint16(len(c.primitives))
	}
	c.primitiveIndex[name] = in
	if _, ok := c.registered[name]; !ok {
		c.madeUp++
	}
	c.nameBytes += primitiveBytes + len(name)
	if short := attribution.ShortPrimitive(name); short != name {
		c.cutIndex[short] = in
		c.nameBytes += cutBytes
	}
	return p, in
}

// dropPrimitive takes the table of a primitive away that has no row any more. Who looks at
// it between two turns of writers finds no rows: it is not used again, its number is.
func (c *Catalog) dropPrimitive(in uint16) {
	name := c.primitives[in-1].name
	c.primitives[in-1] = nil
	c.freeNumbers = append(c.freeNumbers, in)
	delete(c.primitiveIndex, name)
	if _, ok := c.registered[name]; !ok {
		c.madeUp--
	}
	c.nameBytes -= primitiveBytes + len(name)
	if short := attribution.ShortPrimitive(name); short != name {
		delete(c.cutIndex, short)
		c.nameBytes -= cutBytes
	}
}

// WholePrimitive returns the name of the primitive that suspicions name as short, cut; ok is
// false if there is none, or not yet.
func (c *Catalog) WholePrimitive(short string) (name string, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	in, ok := c.cutIndex[short]
	if !ok {
		return "", false
	}
	return c.primitives[in-1].name, true
}

// eachRow yields the rows of an identity, in no particular order.
func (c *Catalog) eachRow(i *identity, yield func(p *primitive, r *row) bool) {
	for in, at := i.firstIn, i.first; in != 0; {
		r := c.row(in, at)
		if !yield(c.primitives[in-1], r) {
			return
		}
		in, at = r.nextIn, r.next
	}
}

// identityOf returns the identity that an attacker belongs to.
func (c *Catalog) identityOf(a *attacker) (n uint32, ok bool) {
	switch {
	case a.linked != 0:
		return a.linked - 1, true
	case a.stub != 0:
		return a.stub - 1, true
	}
	return 0, false
}

// WithoutRows returns a catalogue that has of this one what event topics said:
// addresses and suspicions.
func (c *Catalog) WithoutRows() *Catalog {
	c.mu.RLock()
	defer c.mu.RUnlock()
	to := empty(c.registered)
	w := &Writer{c: to}
	for _, p := range c.profiles {
		w.PutProfile(p)
	}
	for _, s := range c.suspicions {
		n := w.number([]byte(s.Identity))
		to.keep(s)
		if last := to.latest[n]; last == nil || last.TS < s.TS || last.TS == s.TS && last.Status == Replaced {
			to.latest[n] = s
		}
	}
	return to
}

// IsCrowded reports whether primitives are left out, since there were too many that are not
// registered. ebbed says that there are so much fewer now that it is worth building anew.
func (c *Catalog) IsCrowded() (crowded, ebbed bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.crowded, c.crowded && c.madeUp <= MaxMadeUp/2
}

// LeavesOut reports whether rows of a primitive may be left out: it has none here, and
// is not registered, and there are too many such.
func (c *Catalog) LeavesOut(name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, registered := c.registered[name]
	_, ok := c.primitiveIndex[name]
	return c.crowded && !registered && !ok
}
