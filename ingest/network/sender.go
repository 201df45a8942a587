package network

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"

	"handprint/ingest"
	"handprint/ingest/internal/stamp"
)

// Row is what one row of a log shows. What it does not show is empty; slices
// are the reader's again when the row is sent.
type Row struct {
	Kind     string // such as "ssh", for the hint about missing fields
	Evidence string // evidence_ref
	Sensor   string

	Start, End int64 // microseconds since 1970

	HASSH, Banner, Algorithms []byte
	JA3, JA4                  []byte
	Agent, Dialect            []byte
	Session                   bool // it is a whole SSH connection, from Start to End
}

// Ignored are the reasons why a row does not count.
const (
	NoAddress         = "no address"
	OriginatorIsLocal = "originator is local"
	ResponderNotLocal = "responder is not local"
)

// Stats counts rows.
type Stats struct {
	Taken   int64 // rows that count and show something
	Nothing int64 // rows that count and show nothing
	Ignored int64 // rows that do not count
	Reasons map[string]int64

	Observations int64 // sent
	Repeats      int64 // observations that were not sent again
}

// Sender sends what rows show. It is for one goroutine.
type Sender struct {
	settings Settings
	source   string
	emit     func(ingest.Observation) error
	hints    map[string]Hint
	stats    Stats
	repeats  repeats
	seen     map[string]*seen
	attacker struct { // of the last row: many rows of one address come together
		addr     netip.Addr
		id, text string
	}
	value []byte // being hashed
}

// Hint is what to say of rows of a kind that lack a field.
type Hint struct {
	Has  func(*Row) bool
	Text string // which field, and what makes the sensor log it
}

type seen struct {
	rows int
	has  bool
}

// NewSender returns a sender of observations of a source, with hints for the
// kinds of its rows. It fails if the settings are invalid.
func NewSender(settings Settings, source string, hints map[string]Hint, emit func(ingest.Observation) error) (*Sender, error) {
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	return &Sender{
		settings: settings, source: source, emit: emit, hints: hints,
		stats: Stats{Reasons: map[string]int64{}}, repeats: repeats{seed: maphash.MakeSeed(), atLeast: settings.Repeats}, seen: map[string]*seen{},
	}, nil
}

// Stats returns the counts so far.
func (s *Sender) Stats() Stats { return s.stats }

// Settings returns the settings.
func (s *Sender) Settings() *Settings { return &s.settings }

// Ahead returns why a row's time is refused, empty if it will do.
func (s *Sender) Ahead(micros int64) string { return s.settings.ahead(micros) }

// maxIgnored bounds how many reasons are told apart.
const maxIgnored = 60

// Ignore counts a row that does not count.
func (s *Sender) Ignore(reason string) {
	s.stats.Ignored++
	if _, known := s.stats.Reasons[reason]; !known && len(s.stats.Reasons) >= maxIgnored {
		reason = "others"
	}
	s.stats.Reasons[reason]++
}

// Attacker returns the originator of a connection, and whether the connection
// counts; if it does not, that is counted.
func (s *Sender) Attacker(originator, responder []byte) (netip.Addr, bool) {
	from, okFrom := address(originator)
	to, okTo := address(responder)
	switch {
	case !okFrom || !okTo:
		s.Ignore(NoAddress)
	case !s.settings.IncludeLocal && s.settings.local(from):
		s.Ignore(OriginatorIsLocal)
	case !s.settings.local(to):
		s.Ignore(ResponderNotLocal)
	default:
		return from, true
	}
	return netip.Addr{}, false
}

func address(text []byte) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.WithZone("").Unmap(), true
}

// Send sends what a row of an attacker shows, but for what was sent already.
func (s *Sender) Send(from netip.Addr, r *Row) error {
	s.hint(r)
	if s.attacker.addr != from {
		s.attacker.addr, s.attacker.id, s.attacker.text = from, ingest.AttackerID(from), from.String()
	}
	some := false
	err := r.say(&s.settings.Numbers, func(primitive string, value ingest.Value, confidence float64) error {
		some = true
		if len(s.settings.Primitives) > 0 && !slices.Contains(s.settings.Primitives, primitive) {
			return nil
		}
		s.value = value.AppendJSON(s.value[:0])
		// Ids of connections come again: the same of another attacker is no repeat.
		s.value = append(s.value, s.attacker.id...)
		if s.repeats.known(r.Evidence, primitive, s.value) {
			s.stats.Repeats++
			return nil
		}
		s.stats.Observations++
		end := stamp.Seconds(r.End)
		return s.emit(ingest.Observation{
			ID: ingest.ObservationID(r.Evidence, primitive), Attacker: s.attacker.id, Primitive: primitive, Value: value, Confidence: confidence,
			WindowStart: stamp.Seconds(r.Start), WindowEnd: end, Source: s.source, Evidence: r.Evidence, TS: end,
			Sensor: r.Sensor, Address: s.attacker.text, AddressKind: ingest.IP,
		})
	})
	if some {
		s.stats.Taken++
	} else {
		s.stats.Nothing++
	}
	return err
}

// hint says once of a kind of rows that a field is missing in all.
func (s *Sender) hint(r *Row) {
	h, ok := s.hints[r.Kind]
	if !ok || s.settings.Missing == nil {
		return
	}
	n := s.seen[r.Kind]
	if n == nil {
		n = &seen{}
		s.seen[r.Kind] = n
	}
	if n.rows++; n.has || n.rows > s.settings.Hint {
		return
	}
	if n.has = h.Has(r); !n.has && n.rows == s.settings.Hint {
		s.settings.Missing(fmt.Sprintf("none of %d rows of %s %s", s.settings.Hint, r.Kind, h.Text))
	}
}

// Tally returns the counts as an adapter reports them. The arguments are what the
// adapter itself has counted of the log.
func (s *Sender) Tally(lines, extra, blank, part, header, dead int64) ingest.Tally {
	n := &s.stats
	t := ingest.Tally{
		Lines: lines, Extra: extra, Used: n.Taken + n.Nothing + n.Ignored + header,
		Of: []ingest.Count{
			{Name: "taken", N: n.Taken}, {Name: "nothing", N: n.Nothing}, {Name: "ignored", N: n.Ignored}, {Name: "header", N: header},
			{Name: "blank", N: blank}, {Name: "part", N: part}, {Name: "dead", N: dead},
		},
		Also: []ingest.Count{{Name: "repeats", N: n.Repeats}},
	}
	names := make([]string, 0, len(n.Reasons))
	for name := range n.Reasons {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Also = append(t.Also, ingest.Count{Name: "ignored: " + name, N: n.Reasons[name]})
	}
	if n.Taken+n.Nothing == 0 && n.Ignored > 0 {
		advice := "does --local-net name the networks that the sensor watches over?"
		if !slices.ContainsFunc(names, func(n string) bool { return !strings.HasPrefix(n, "path ") }) {
			advice = "rows that do not say what they are of, in a file whose name does not, need --path"
		}
		t.Notes = append(t.Notes, "every row was ignored: "+strings.Join(names, ", ")+"; "+advice)
	}
	return t
}

// repeats remembers what was sent: of many, at least the last of a number. It
// has two generations: the older goes when the younger is full.
type repeats struct {
	seed         maphash.Seed
	atLeast      int
	young, older map[uint64]uint64
}

// known reports whether the same value was sent for the evidence and primitive
// last, and notes it.
func (r *repeats) known(evidence, primitive string, value []byte) bool {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(evidence)
	h.WriteByte(' ')
	h.WriteString(primitive)
	key := h.Sum64()
	h.Reset()
	h.Write(value)
	sum := h.Sum64()
	if old, ok := r.young[key]; ok {
		r.young[key] = sum
		return old == sum
	}
	old, ok := r.older[key]
	if r.young == nil || len(r.young) >= r.atLeast {
		r.older, r.young = r.young, map[uint64]uint64{}
	}
	r.young[key] = sum
	return ok && old == sum
}
