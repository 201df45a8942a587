package catalog

import (
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

	primitives     []*primitive
	primitiveIndex map[string]uint16
	cutIndex       map[string]uint16   // by the names as suspicions cut them; whole ones are not in it
	rowIndex       map[rowKey]rowPlace // of identities with many rows
	nameBytes      int                 // of primitives, and what each takes besides rows and values

	profiles       map[profileKey]*Profile
	suspicions     map[string]*Suspicion // by suspicion id
	suspicionBytes int                   // of all of them
	latest         map[uint32]*Suspicion // of an identity, the last one
	listed         int                   // identities that are shown
	crowded        bool                  // more primitives than a row can name
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

// New returns an empty catalogue.
func New() *Catalog {
	return &Catalog{
		ids: newIDs(), attackerIDs: newIDs(), members: make(map[membership]struct{}),
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
	for _, p := range c.primitives {
		n += p.rows.n*rowBytes + p.dict.memory()
	}
	return int64(n)
}

// row returns the row at a place.
func (c *Catalog) row(in uint16, at uint32) *row { return c.primitives[in-1].rows.at(at) }

// addPrimitive adds the table of a primitive that has none.
func (c *Catalog) addPrimitive(name string) (p *primitive, in uint16) {
	domain, _, _ := strings.Cut(name, ".")
	p = &primitive{name: name, domain: domain}
	c.primitives = append(c.primitives, p)
	in = uint16(len(c.primitives))
	c.primitiveIndex[name] = in
	c.nameBytes += primitiveBytes + len(name)
	if short := attribution.ShortPrimitive(name); short != name {
		c.cutIndex[short] = in
		c.nameBytes += cutBytes
	}
	return p, in
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
	to := New()
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

// IsCrowded reports whether there are more primitives than rows can name: some
// are missing.
func (c *Catalog) IsCrowded() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.crowded
}
