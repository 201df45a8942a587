package audit

import (
	"bytes"
	"slices"

	"handprint/attribution"
)

// model is what the input means. Attackers and identities point at each other;
// what begins with "batch" belongs to the Advance that is under way.
type model struct {
	rules      Rules
	partitions int32
	merger     *attribution.Merger

	attackers  map[string]*attacker
	identities map[string]*identity
	primitives map[string]*primitive
	longNames  map[string]string            // of primitives, by what stands for them where they are cut
	values     map[string]attribution.Value // each distinct value once
	pointing   map[*identity]struct{}       // identities that are merged into another
	retention  retention

	batchDirty    []*identity                      // compared at the end
	batchTracked  map[*attacker]struct{}           // whose owner may have changed
	batchListed   map[*attacker]struct{}           // by an event
	batchArrivals []*contribution                  // those with arrivals
	batchClaims   map[string][]attribution.Arrival // places of claims, by attacker
}

type primitive struct {
	name      string
	kind      attribution.Kind
	returning bool // a value that comes back is evidence
}

// attacker is a source of observations, or an unknown one whose stub is
// merged (a newcomer, without a name).
type attacker struct {
	name   string
	own    *identity   // its stub
	in     *identity   // whose it is, at the end of the last Advance; nil for a newcomer
	may    []*identity // whose it may be; nil: in, and nothing is tracked
	series []*contribution

	// Under an identity-retention, of its stub:
	lives     bool  // there was an observation since it was forgotten last
	gone      bool  // it was forgotten, and is as one that was never seen
	linked    bool  // it had a link at the end of a batch: it is not forgotten any more
	dated     bool  // the changelog says which was the first
	maybe     bool  // it may have been forgotten before an observation
	scattered bool  // which observations are of this life, the input does not say
	lastDay   int64 // the latest that its series have
}

// contribution is an attacker's series of one primitive.
type contribution struct {
	primitive *primitive
	series    attribution.Series
	source    int32 // the partition that the batch's first observation came from
	mixed     bool  // others of the batch came from elsewhere
	loose     bool  // what is kept depends on their order
	seen      []seen
	arrivals  []attribution.Arrival // of the batch
}

// seen is what the changelog says of a contribution under an identity.
type seen struct {
	in      *identity
	inRow   bool // in the row of the attacker's stub, not a record of its own
	spilled bool // values that were pushed out are records of their own
	digest  uint64
	place   place
}

// place is where a record stands in its topic.
type place struct {
	partition int32
	offset    int64
}

// identity is an identity that somebody named or that is an attacker's stub.
type identity struct {
	id       string
	own      *attacker              // whose stub it is, once that is known
	members  map[*attacker]struct{} // but for own, if that belongs here untracked
	rows     []*row
	pointer  *identity // what it is merged into
	children map[*identity]struct{}
	newcomer *attacker              // stands for an attacker not seen yet
	holders  map[*attacker]struct{} // tracked attackers that may belong here

	touched  bool // by an identity event of the batch
	naming   bool // by an event of the batch that certainly leaves its mark there
	named    bool // by one like that of a batch before, so it is never forgotten
	reached  bool // touched by an event of a batch before: it may be named
	dirty    bool
	counted  int64                  // rows that it had when it was compared last
	causes   []attribution.Cause    // the events of the batch that touch it
	visitors map[*attacker]struct{} // who may have been here during the batch

	flagged     map[string]struct{} // as the changelog has them
	flagCount   int                 // how many it says they are
	flaggedAt   place
	suspect     attribution.Told // as the changelog has it
	suspectAt   place
	told        *told            // what the topic of the identities says
	suspected   attribution.Told // the last suspicion of the topic, under the rule primitives
	suspectedAt place

	returning   map[string]struct{} // as the changelog has them
	returningAt place
	open        *attribution.OpenSuspicion // as the changelog has it; nil: none
	openAt      place
	life        *life // the suspicion that is open by the topic; nil: none
}

// row is one (identity, primitive).
type row struct {
	primitive *primitive
	has       bool
	was       attribution.Row // as it should have been published last

	lane  int64 // how the batch's observations came; noLane: none did
	chain bool  // in more than one way, or an event touched the identity
	want  []event
	got   []event

	has0      bool // as has was before the batch
	flapped   bool // a transition led to multi_actor
	said      bool // the last transition says that the row is in state saidState
	saidState attribution.State
	saidTS    float64

	state published // in the state topic
	log   published // in the changelog
}

const noLane = -1

// published is what a topic says of a row.
type published struct {
	there bool
	known bool // there was a record, maybe a tombstone
	row   attribution.Row
	place place
}

// event is a transition, wanted or got.
type event struct {
	times      int // a wanted one was got
	doubled    bool
	id         attribution.UUID
	cause      attribution.Arrival // of a wanted one
	place      place               // of one got
	isNew      bool
	old, new   attribution.State
	value      attribution.Value
	previous   attribution.Value // nil: none, or null
	confidence float64
	count      int64
	ts         float64
}

func newModel(rules Rules, partitions int32) *model {
	m := &model{
		rules: rules, partitions: partitions,
		attackers: make(map[string]*attacker), identities: make(map[string]*identity),
		primitives: make(map[string]*primitive), longNames: make(map[string]string), values: make(map[string]attribution.Value),
		pointing: make(map[*identity]struct{}),
	}
	m.merger = attribution.NewMerger(&m.rules.Thresholds)
	m.begin()
	return m
}

// begin starts a batch: whoever is not known yet belongs to what its stub
// stands for now.
func (m *model) begin() {
	m.nameTouched()
	for _, id := range m.batchDirty {
		id.touched, id.naming, id.dirty, id.causes, id.visitors = false, false, false, nil, nil
		for _, r := range id.rows {
			r.lane, r.chain, r.want, r.got = noLane, false, nil, nil
		}
	}
	for _, c := range m.batchArrivals {
		c.arrivals = nil
	}
	m.batchDirty, m.batchArrivals = nil, nil
	m.batchTracked, m.batchClaims = make(map[*attacker]struct{}), make(map[string][]attribution.Arrival)
	m.batchListed = make(map[*attacker]struct{})
	for id := range m.pointing {
		if n, now := id.unseen(), id.resolve(); n != nil && (len(n.may) != 1 || n.may[0] != now) {
			m.setMay(n, now)
		}
	}
}

func (m *model) identity(id string) *identity {
	i := m.identities[id]
	if i == nil {
		i = &identity{id: id}
		m.identities[id] = i
	}
	return i
}

func (i *identity) resolve() *identity {
	for i.pointer != nil {
		i = i.pointer
	}
	return i
}

func (m *model) primitive(name []byte) *primitive {
	p := m.primitives[string(name)]
	if p == nil {
		p = &primitive{name: string(name), kind: m.rules.Registry.Kind(name)}
		if entry := m.rules.Registry.Lookup(name); entry != nil {
			p.returning = entry.Returning
		}
		m.primitives[p.name] = p
		if short := attribution.ShortPrimitive(p.name); short != p.name {
			m.longNames[short] = p.name
		}
	}
	return p
}

func (m *model) value(v attribution.Value) attribution.Value {
	known, ok := m.values[string(v)]
	if !ok {
		known = slices.Clone(v)
		m.values[string(known)] = known
	}
	return known
}

// optional is value of one that may be none. A null counts as none.
func (m *model) optional(v attribution.Value) attribution.Value {
	if len(v) == 0 || bytes.Equal(v, attribution.Null) {
		return nil
	}
	return m.value(v)
}

func (i *identity) row(p *primitive) *row {
	for _, r := range i.rows {
		if r.primitive == p {
			return r
		}
	}
	return nil
}

func (i *identity) openRow(p *primitive) *row {
	r := i.row(p)
	if r == nil {
		r = &row{primitive: p, lane: noLane}
		i.rows = append(i.rows, r)
	}
	return r
}

func (a *attacker) contribution(p *primitive) *contribution {
	for _, c := range a.series {
		if c.primitive == p {
			return c
		}
	}
	return nil
}

// each calls f for every attacker that belongs to the identity, as far as the
// last Advance decided.
func (i *identity) each(f func(*attacker)) {
	if i.own != nil && i.own.may == nil {
		f(i.own)
	}
	for a := range i.members {
		f(a)
	}
}

// mark makes an identity one that is compared at the end.
func (m *model) mark(i *identity) {
	if !i.dirty {
		i.dirty = true
		m.batchDirty = append(m.batchDirty, i)
	}
}

func (m *model) touch(i *identity, causes ...attribution.Cause) {
	m.mark(i)
	i.touched = true
	i.causes = append(i.causes, causes...)
}

func (m *model) visit(a *attacker, i *identity) {
	m.mark(i)
	if i.visitors == nil {
		i.visitors = make(map[*attacker]struct{})
	}
	i.visitors[a] = struct{}{}
}

// lane is how an observation of an attacker comes to the attacker's home:
// what takes the same lane keeps its order.
func (m *model) lane(source int32, attacker string) int64 {
	return int64(source)<<32 | int64(attribution.AttackerPartition(attacker, m.partitions))
}
