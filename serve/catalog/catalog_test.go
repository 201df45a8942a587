package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// model is the catalogue as plain maps: what a filter over all rows gives.
type model struct {
	rows       map[string]map[string]Row
	own        map[string]string // identity to attacker
	merged     map[string]string
	members    map[string]map[string]bool
	linked     map[string]string
	unsettled  map[string]bool
	profiles   map[string]map[string]Profile
	suspicions map[string]Suspicion // the last of an identity
}

func newModel() *model {
	return &model{
		rows: map[string]map[string]Row{}, own: map[string]string{}, merged: map[string]string{}, members: map[string]map[string]bool{},
		linked: map[string]string{}, unsettled: map[string]bool{}, profiles: map[string]map[string]Profile{}, suspicions: map[string]Suspicion{},
	}
}

func uuid(n int) string { return fmt.Sprintf("%08x-0000-8000-8000-%012x", n*0x01010101, n) }

var (
	someIdentities = []string{uuid(1), uuid(2), uuid(3), uuid(16), uuid(17), "plain", "plain-2", "0"}
	someAttackers  = []string{uuid(40), uuid(41), uuid(42), "a", "a1"}
	somePrimitives = []string{"motor.x", "motor.y", "cognitive.z"}
	someValues     = []string{`"a"`, `"ab"`, `"b"`, "1.5", "null", "\x01digest"}
	someAddresses  = []string{"10.2.0.1", "10.2.9.9", "10.20.0.1", "2001:db8::1", "opaque-1"}
)

// step draws one change and makes it in both.
func (m *model) step(t *rapid.T, w *Writer) {
	draw := func(of []string) string { return rapid.SampledFrom(of).Draw(t, "of") }
	id, attacker := draw(someIdentities), draw(someAttackers)
	switch rapid.IntRange(0, 11).Draw(t, "what") {
	case 0, 1, 2, 3:
		r := Row{
			State: attribution.State(rapid.IntRange(0, 4).Draw(t, "state")), Returns: rapid.Bool().Draw(t, "returns"),
			Value: attribution.Value(draw(someValues)), Confidence: float64(rapid.IntRange(0, 10).Draw(t, "confidence")) / 10,
			Count: int64(rapid.IntRange(1, 9).Draw(t, "count")), ChangeTS: float64(rapid.IntRange(0, 5).Draw(t, "change")),
			SeenTS: float64(rapid.IntRange(0, 5).Draw(t, "seen")),
		}
		p := draw(somePrimitives)
		if m.rows[id] == nil {
			m.rows[id] = map[string]Row{}
		}
		m.rows[id][p] = r
		w.PutRow([]byte(id), []byte(p), &r)
	case 4:
		p := draw(somePrimitives)
		delete(m.rows[id], p)
		w.DropRow([]byte(id), []byte(p))
	case 5:
		own, merged := draw(append(someAttackers, "")), draw(append(someIdentities, "", ""))
		for i, a := range m.own { // a stub has one identity, as its id follows from it
			if a == own && i != id {
				own = ""
			}
		}
		m.own[id], m.merged[id] = own, merged
		w.PutIdentity([]byte(id), []byte(own), []byte(merged))
	case 6:
		m.own[id], m.merged[id] = "", ""
		w.DropIdentity([]byte(id))
	case 7:
		if m.members[id] == nil {
			m.members[id] = map[string]bool{}
		}
		if rapid.Bool().Draw(t, "joins") {
			m.members[id][attacker] = true
			w.PutMember([]byte(id), []byte(attacker))
		} else {
			delete(m.members[id], attacker)
			w.DropMember([]byte(id), []byte(attacker))
		}
	case 8:
		if rapid.Bool().Draw(t, "links") {
			m.linked[attacker] = id
			w.PutLink([]byte(attacker), []byte(id))
		} else {
			delete(m.linked, attacker)
			w.DropLink([]byte(attacker))
		}
	case 9:
		m.unsettled[id] = rapid.Bool().Draw(t, "unsettled")
		w.SetUnsettled([]byte(id), m.unsettled[id])
	case 10:
		s := Suspicion{ID: "s" + id, EventID: rapid.StringN(8, 8, 8).Draw(t, "event"), Identity: id, Status: draw([]string{Raised, Grown, Cleared}),
			TS: m.suspicions[id].TS + 1, Confidence: 0.6, Primitives: somePrimitives[:1]}
		m.suspicions[id] = s
		w.PutSuspicion(&s)
	case 11:
		p := Profile{Attacker: attacker, Address: draw(someAddresses), Sensor: draw([]string{"s1", "s2"}), LastTS: float64(rapid.IntRange(0, 9).Draw(t, "last"))}
		p.Opaque = strings.HasPrefix(p.Address, "opaque")
		if m.profiles[attacker] == nil {
			m.profiles[attacker] = map[string]Profile{}
		}
		if rapid.IntRange(0, 3).Draw(t, "gone") == 0 {
			delete(m.profiles[attacker], p.Sensor)
			w.DropProfile(attacker, p.Sensor)
		} else {
			m.profiles[attacker][p.Sensor] = p
			w.PutProfile(&p)
		}
	}
}

// addresses returns the addresses that may be shown of an attacker: those with
// the latest time.
func (m *model) addresses(attacker string) (list []string) {
	last := -1.0
	for _, p := range m.profiles[attacker] {
		last = max(last, p.LastTS)
	}
	for _, p := range m.profiles[attacker] {
		if p.LastTS == last {
			list = append(list, p.Address)
		}
	}
	return list
}

func (m *model) attackersOf(id string) (n int) {
	n = len(m.members[id])
	if m.own[id] != "" {
		n++
	}
	return n
}

func (m *model) known() []string {
	seen := map[string]bool{}
	for id, rows := range m.rows {
		seen[id] = seen[id] || len(rows) > 0
	}
	for _, id := range someIdentities {
		seen[id] = seen[id] || m.attackersOf(id) > 0 || m.merged[id] != ""
	}
	maps.DeleteFunc(seen, func(_ string, shown bool) bool { return !shown })
	return slices.Sorted(maps.Keys(seen))
}

func (m *model) identityOf(attacker string) string {
	if id := m.linked[attacker]; id != "" {
		return id
	}
	for id, own := range m.own {
		if own == attacker {
			return id
		}
	}
	return ""
}

// takes is the filter, over the model.
func (m *model) takes(f *Filter, id string) (mask uint8, ok bool) {
	rowless := f.Primitive == "" && f.Domain == "" && f.MinConfidence == nil && f.MaxConfidence == nil && !f.Returns
	change, seen := math.Inf(-1), math.Inf(-1)
	for p, r := range m.rows[id] {
		change, seen = max(change, r.ChangeTS), max(seen, r.SeenTS)
		if f.Primitive != "" && p != f.Primitive || f.Value != nil && string(r.Value) != string(f.Value) ||
			f.ValuePrefix != "" && !strings.HasPrefix(string(r.Value), `"`+f.ValuePrefix) ||
			f.Domain != "" && !strings.HasPrefix(p, f.Domain+".") ||
			f.MinConfidence != nil && r.Confidence < *f.MinConfidence || f.MaxConfidence != nil && r.Confidence > *f.MaxConfidence ||
			f.Returns && !r.Returns {
			continue
		}
		mask |= 1 << r.State
	}
	if mask == 0 && !rowless {
		return 0, false
	}
	s := m.suspicions[id]
	suspected := s.ID != "" && s.Status != Cleared
	switch {
	case f.Merged == ExcludeMerged && m.merged[id] != "", f.Merged == OnlyMerged && m.merged[id] == "",
		f.Suspected != nil && *f.Suspected != suspected, f.Unsettled != nil && *f.Unsettled != m.unsettled[id],
		m.attackersOf(id) < f.MinMembers,
		f.ChangedSince != nil && change < *f.ChangedSince, f.ChangedBefore != nil && change >= *f.ChangedBefore,
		f.SeenSince != nil && seen < *f.SeenSince:
		return 0, false
	}
	if f.Q != "" {
		found := strings.HasPrefix(id, f.Q)
		for _, a := range someAttackers {
			if m.identityOf(a) != id {
				continue
			}
			if network, err := netip.ParsePrefix(f.Q); err == nil {
				for _, text := range m.addresses(a) {
					ip, err := netip.ParseAddr(text)
					found = found || err == nil && network.Contains(ip)
				}
				continue
			}
			found = found || strings.HasPrefix(a, f.Q) || slices.ContainsFunc(m.addresses(a), func(t string) bool { return strings.HasPrefix(t, f.Q) })
		}
		if !found {
			return 0, false
		}
	}
	return mask, true
}

// sameAddresses makes times of profiles differ by sensor, so that there is one
// answer to which address is the latest.
func (m *model) sameAddresses() bool {
	for a := range m.profiles {
		if len(m.addresses(a)) > 1 {
			return false
		}
	}
	return true
}

func drawFilter(t *rapid.T) *Filter {
	f := new(Filter)
	some := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 }
	number := func(name string, most int, by float64) *float64 {
		v := float64(rapid.IntRange(0, most).Draw(t, name)) / by
		return &v
	}
	flag := func(name string) *bool { v := rapid.Bool().Draw(t, name); return &v }
	if some("states?") {
		f.States = []attribution.State{attribution.State(rapid.IntRange(0, 4).Draw(t, "s")), attribution.Stable}
	}
	if some("primitive?") {
		f.Primitive = rapid.SampledFrom(append(somePrimitives, "motor.none")).Draw(t, "p")
		if some("value?") {
			f.Value = attribution.Value(rapid.SampledFrom(someValues).Draw(t, "v"))
		} else if some("prefix?") {
			f.ValuePrefix = rapid.SampledFrom([]string{"a", "ab", "c"}).Draw(t, "vp")
		}
	}
	if some("domain?") {
		f.Domain = rapid.SampledFrom([]string{"motor", "cognitive", "mot"}).Draw(t, "d")
	}
	if some("min?") {
		f.MinConfidence = number("min", 10, 10)
	}
	if some("max?") {
		f.MaxConfidence = number("max", 10, 10)
	}
	f.Returns = some("returns?")
	if some("suspected?") {
		f.Suspected = flag("suspected")
	}
	if some("unsettled?") {
		f.Unsettled = flag("unsettled")
	}
	if some("members?") {
		f.MinMembers = rapid.IntRange(0, 2).Draw(t, "members")
	}
	if some("since?") {
		f.ChangedSince = number("since", 5, 1)
	}
	if some("before?") {
		f.ChangedBefore = number("before", 5, 1)
	}
	if some("seen?") {
		f.SeenSince = number("seen", 5, 1)
	}
	f.Merged = Merged(rapid.IntRange(0, 2).Draw(t, "merged"))
	if some("q?") {
		f.Q = rapid.SampledFrom([]string{"10.2.", "10.2.0.0/16", "2001:db8::/32", "pl", "0101", "a", "40404040", "opaque", "28282828-0000"}).Draw(t, "q")
	}
	return f
}

func TestListsAreAFilterOverAllRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, m := New(), newModel()
		for range rapid.IntRange(1, 3).Draw(t, "batches of records") {
			c.Apply(func(w *Writer) {
				for range rapid.IntRange(0, 40).Draw(t, "steps") {
					m.step(t, w)
				}
			})
		}
		if !m.sameAddresses() {
			t.Skip("two sensors saw two addresses at one time")
		}
		c = throughSnapshot(t, c)
		checkCounts(t, c, m)
		f := drawFilter(t)
		sort, limit := Sort(rapid.IntRange(0, 6).Draw(t, "sort")), rapid.IntRange(1, 4).Draw(t, "limit")
		var want []string
		var facet [5]int
		for _, id := range m.known() {
			mask, ok := m.takes(f, id)
			if !ok {
				continue
			}
			for s := range 5 {
				facet[s] += int(mask >> s & 1)
			}
			wanted := len(f.States) == 0
			for _, s := range f.States {
				wanted = wanted || mask>>s&1 == 1
			}
			if wanted {
				want = append(want, id)
			}
		}
		var got []string
		var after *Key
		lastKey := math.Inf(-1)
		for {
			l := c.List(f, sort, after, limit)
			if l.Total != len(want) || l.Facet != facet {
				t.Fatalf("total %d and facet %v, want %d and %v (%+v)", l.Total, l.Facet, len(want), facet, f)
			}
			for _, i := range l.Identities {
				n, _ := c.ids.find([]byte(i.ID))
				key := c.key(n, c.identities.at(n), sort)
				if key < lastKey {
					t.Fatalf("order %d: %v after %v", sort, key, lastKey)
				}
				lastKey = key
				got = append(got, i.ID)
				m.checkIdentity(t, f, &i)
			}
			if !l.More {
				break
			}
			after = &l.Last
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q (%+v)", got, want, f)
		}
	})
}

// The latest times of an identity that loses its rows one by one are found once for all
// records of a batch.
func TestLatestTimesAreFoundOnceABatch(t *testing.T) {
	const rows = 300
	c, id := New(), []byte(uuid(1))
	name := func(k int) []byte { return fmt.Append(nil, "made.up.", k) }
	c.Apply(func(w *Writer) {
		for k := range rows {
			w.PutRow(id, name(k), &Row{Value: []byte("1"), Count: 1, ChangeTS: float64(k), SeenTS: float64(k + 1)})
		}
	})
	c.Apply(func(w *Writer) {
		for k := rows - 1; k > 0; k-- {
			w.DropRow(id, name(k))
		}
		if len(w.stale) != 1 {
			t.Errorf("the times of %d identities are found anew, want one", len(w.stale))
		}
	})
	if i, _ := c.Identity(string(id)); i.ChangeTS != 0 || i.SeenTS != 1 {
		t.Errorf("changed at %v, seen at %v; want 0 and 1", i.ChangeTS, i.SeenTS)
	}
}

func (m *model) checkIdentity(t *rapid.T, f *Filter, i *Identity) {
	if i.Rows != len(m.rows[i.ID]) || i.Attackers != m.attackersOf(i.ID) || i.MergedInto != m.merged[i.ID] || i.Unsettled != m.unsettled[i.ID] {
		t.Fatalf("%+v", i)
	}
	for _, match := range i.Matched {
		want := m.rows[i.ID][match.Primitive]
		if fmt.Sprint(want) != fmt.Sprint(match.Row) {
			t.Fatalf("%s: matched %+v, want %+v", i.ID, match.Row, want)
		}
	}
}

func checkCounts(t *rapid.T, c *Catalog, m *model) {
	counts := c.Counts()
	if counts.Identities != len(m.known()) {
		t.Fatalf("%d identities, want %d", counts.Identities, len(m.known()))
	}
	for _, p := range somePrimitives {
		want := map[string]*ValueCount{}
		for _, rows := range m.rows {
			if r, ok := rows[p]; ok {
				if want[string(r.Value)] == nil {
					want[string(r.Value)] = &ValueCount{Value: r.Value}
				}
				want[string(r.Value)].States[r.State]++
				want[string(r.Value)].Holders++
			}
		}
		byText := rapid.Bool().Draw(t, "by text")
		var got []ValueCount
		var after *ValueKey
		for {
			page, total := c.Values(p, "", byText, after, 2)
			if total != len(want) {
				t.Fatalf("%d values of %s, want %d", total, p, len(want))
			}
			got = append(got, page...)
			if len(page) < 2 {
				break
			}
			after = &ValueKey{page[1].Holders, string(page[1].Value)}
		}
		if len(got) != len(want) {
			t.Fatalf("pages have %d values, want %d", len(got), len(want))
		}
		for i, v := range got {
			if fmt.Sprint(v) != fmt.Sprint(*want[string(v.Value)]) {
				t.Fatalf("%+v, want %+v", v, want[string(v.Value)])
			}
			if i > 0 && byText && cmp.Compare(string(got[i-1].Value), string(v.Value)) >= 0 || i > 0 && !byText && got[i-1].Holders < v.Holders {
				t.Fatalf("order of %v", got)
			}
		}
	}
}

func TestASuspicionIsRaisedOnceAndRememberedWhenItIsOver(t *testing.T) {
	c := New()
	put := func(id, event, status string, ts float64) {
		c.Apply(func(w *Writer) {
			w.PutSuspicion(&Suspicion{ID: id, EventID: event, Identity: "i", Status: status, TS: ts, Confidence: 0.6})
		})
	}
	put("s1", "e1", Raised, 10)
	put("s1", "e2", Grown, 20)
	put("s1", "e1", Raised, 10) // read again
	if s := c.SuspicionOf("i"); s == nil || s.Since != 10 || s.Status != Grown || s.TS != 20 {
		t.Fatalf("%+v", s)
	}
	put("s1", "e3", Cleared, 30)
	if s := c.SuspicionOf("i"); s != nil {
		t.Fatalf("open after it was cleared: %+v", s)
	}
	put("s2", "e4", Raised, 40)
	page, total := c.Suspicions(&SuspicionFilter{}, nil, 1)
	if total != 2 || page[0].ID != "s2" {
		t.Fatalf("%d: %+v", total, page)
	}
	page, _ = c.Suspicions(&SuspicionFilter{}, &SuspicionKey{page[0].TS, page[0].ID}, 5)
	if len(page) != 1 || page[0].ID != "s1" || page[0].Since != 10 {
		t.Fatalf("%+v", page)
	}
	if page, total = c.Suspicions(&SuspicionFilter{Current: true}, nil, 5); total != 1 || page[0].ID != "s2" {
		t.Fatalf("current: %+v", page)
	}
}
