// Package siemtest makes output records of every kind, with values that are
// chosen to break formats, for tests and for other people's validators. The same
// seed gives the same records.
package siemtest

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"handprint/attribution"
	"handprint/internal/canonical"
	"handprint/schemas"
)

// hostile are texts that break what does not escape, cut or count well.
var hostile = []string{
	"=", "|", `\`, "^", "\t", "\n", "\r\n", `"`, "'", "\u2028", "\u2029", "\u0085", " key=1", "cs1=evil cs1Label=x", "CEF:0|a|b|c|d|e|9|",
	"LEEF:2.0|a|b|c|d|^|", `{"a":1}`, "\x00", "\x1b[31m", "\x7f", "<b>&amp;</b>", "${jndi:ldap://x}", "%s%n%d", "../../../etc/passwd",
	"\U0001F480", "e\u0301", "\u202Eabc", "\uFEFF", "\uFFFD", " ", "  leading", "trailing  ", "a,b;c", "null", "true", "-1e308", "1,2", "=cmd|' /C calc'!A0", "\\n", "\\u0000", "^|=\\", "[1,2]",
}

// moreHostile are kinds of texts that hostile does not have: escapes and characters
// of several bytes where a field is cut, keys behind spaces outside of ASCII, and
// ends of other languages.
var moreHostile = []string{
	strings.Repeat(`\=`, 2100), strings.Repeat("\u20ac", 1400), strings.Repeat("\U0001F480", 300), "\u00a0cs1=x", "\u3000src=6.6.6.6", "\u200bmsg=",
	`\` + "\n", `\|`, "|^|", "^^", "]]>", "<![CDATA[", "*/", "--", "\x1a", "\x9b31m", "\u2066x\u2069", "%0d%0a", "&#10;", "{{7*7}}", "<%= 1 %>", "1e309", "NaN", "0x10", "١٢", "İ", "ﬀ",
}

// Records makes records.
type Records struct {
	// More takes more kinds of hostile texts; the same seed makes other records then.
	More bool

	rng        *rand.Rand
	primitives []string
	registry   *attribution.Registry
	attackers  []string
}

// New returns a source of records.
func New(seed uint64) *Records {
	r := &Records{rng: rand.New(rand.NewPCG(seed, 17)), registry: attribution.DefaultRegistry()}
	r.primitives = append(r.registry.Names(), "x.unregistered", "made_up.by_a_sensor.with_2_dots")
	for i := range 200 {
		r.attackers = append(r.attackers, r.uuid(byte(i)))
	}
	return r
}

func pick[T any](r *Records, list []T) T { return list[r.rng.IntN(len(list))] }

func (r *Records) uuid(salt byte) string {
	var u attribution.UUID
	for i := range u {
		u[i] = byte(r.rng.Uint32())
	}
	u[0] ^= salt
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return u.String()
}

// Identity returns the id of an identity: mostly a stub's, sometimes what a
// clusterer may have named it.
func (r *Records) Identity() string {
	switch r.rng.IntN(20) {
	case 0:
		return "cluster/" + r.text()
	case 1:
		return pick(r, hostile)
	}
	return attribution.Stub([]byte(pick(r, r.attackers))).String()
}

func (r *Records) text() string {
	switch r.rng.IntN(100) {
	case 0:
		return strings.Repeat(pick(r, hostile), 64<<10/8)
	case 1:
		return ""
	}
	var b strings.Builder
	for range 1 + r.rng.IntN(4) {
		if r.More && r.rng.IntN(3) == 0 {
			b.WriteString(pick(r, moreHostile))
		} else if r.rng.IntN(2) == 0 {
			b.WriteString(pick(r, hostile))
		} else {
			fmt.Fprintf(&b, "%x", r.rng.Uint32())
		}
	}
	return b.String()
}

// Value returns the canonical JSON of a value that fits a primitive's kind.
func (r *Records) Value(primitive string) attribution.Value {
	p := r.registry.Lookup([]byte(primitive))
	if r.rng.IntN(30) == 0 {
		return attribution.Value("null")
	}
	if p == nil {
		return r.anyValue(0)
	}
	switch p.Kind {
	case attribution.Numeric:
		return canonical.AppendFloat(nil, r.number())
	case attribution.Hash:
		if r.rng.IntN(4) == 0 {
			return canonical.AppendString(nil, "x"+r.text())
		}
		digits := 32
		if strings.Contains(primitive, "jarm") {
			digits = 62
		}
		const hex = "0123456789abcdef"
		d := make([]byte, digits)
		for i := range d {
			d[i] = hex[r.rng.IntN(16)]
		}
		return canonical.AppendString(nil, d)
	case attribution.Bool:
		return attribution.Value(pick(r, []string{"true", "false"}))
	case attribution.Array:
		return r.array(0)
	case attribution.Categorical:
		if len(p.Values) > 0 && r.rng.IntN(4) > 0 {
			return canonical.AppendString(nil, pick(r, p.Values))
		}
	}
	if r.rng.IntN(4000) == 0 {
		return canonical.AppendString(nil, strings.Repeat("A=|\\^\"", 256<<10/6))
	}
	if r.rng.IntN(50) == 0 {
		return attribution.Value(`"half \ud800 pair"`)
	}
	return canonical.AppendString(nil, r.text())
}

func (r *Records) number() float64 {
	return pick(r, []float64{0, 1, -1, 0.1, 1e308, -1e308, 5e-324, math.MaxInt64, 1 << 53, 123456.789, r.rng.Float64(), r.rng.NormFloat64() * 1e6})
}

func (r *Records) array(depth int) attribution.Value {
	v := attribution.Value("[")
	for i := range r.rng.IntN(24) {
		if i > 0 {
			v = append(v, ',')
		}
		v = append(v, r.anyValue(depth+1)...)
	}
	return append(v, ']')
}

func (r *Records) anyValue(depth int) attribution.Value {
	switch n := r.rng.IntN(6); {
	case n == 0 && depth < 4:
		return r.array(depth)
	case n == 1:
		return canonical.AppendFloat(nil, r.number())
	case n == 2:
		return attribution.Value(pick(r, []string{"true", "false", "null"}))
	case n == 3 && depth < 4:
		return append(append(attribution.Value(`{"k":`), r.anyValue(depth+1)...), '}')
	}
	return canonical.AppendString(nil, r.text())
}

func (r *Records) ts() float64 {
	if r.rng.IntN(200) == 0 {
		return pick(r, []float64{0, 1e-3, 4102444800, 253402300799.999, 253402300800, 1e15, 1e308})
	}
	return 1795000000 + math.Floor(r.rng.Float64()*1e9)/1e3
}

func (r *Records) state() attribution.State { return attribution.State(r.rng.IntN(5)) }

func (r *Records) confidence() float64 {
	return pick(r, []float64{0, 1, 0.5, 1.0 / 3, 0.6, 0.005, 0.4, 0.75, r.rng.Float64()})
}

func (r *Records) count() int64 { return pick(r, []int64{1, 2, 8, 100, 1 << 53}) }

// Transition returns a transition.
func (r *Records) Transition() *attribution.Transition {
	p := pick(r, r.primitives)
	t := &attribution.Transition{
		EventID: r.uuid(0), Identity: r.Identity(), Primitive: p, IsNew: r.rng.IntN(3) == 0, Old: r.state(), New: r.state(),
		Value: r.Value(p), Confidence: r.confidence(), Count: r.count(), TS: r.ts(),
	}
	if !t.IsNew && r.rng.IntN(2) == 0 {
		t.Previous = r.Value(p)
	}
	return t
}

// Row returns a state row.
func (r *Records) Row() *schemas.StateRow {
	p := pick(r, r.primitives)
	change := r.ts()
	return &schemas.StateRow{Identity: r.Identity(), Primitive: p, Row: attribution.Row{
		State: r.state(), Value: r.Value(p), Confidence: r.confidence(), Count: r.count(),
		LastChangeTS: change, LastObservationTS: change + 60, UpdatedAt: r.ts(), Returns: r.rng.IntN(10) == 0,
	}}
}

// Suspicion returns a suspicion, by either rule.
func (r *Records) Suspicion() *attribution.Suspicion {
	s := &attribution.Suspicion{EventID: r.uuid(0), Identity: r.Identity(), Confidence: pick(r, []float64{0.3, 0.6}), TS: r.ts()}
	for range 1 + r.rng.IntN(6) {
		s.Primitives = append(s.Primitives, pick(r, r.primitives))
	}
	slices.Sort(s.Primitives)
	s.Primitives = slices.Compact(s.Primitives)
	if r.rng.IntN(4) == 0 {
		return s // of the rule primitives
	}
	s.ID = r.uuid(1)
	s.Status = pick(r, []attribution.SuspicionStatus{attribution.SuspicionRaised, attribution.SuspicionGrown, attribution.SuspicionCleared})
	s.Summary = "SSH fingerprint returned 3 times; latency class and " + pick(r, hostile) + " alternate"
	s.Groups = []string{"client", "timing"}
	for _, p := range s.Primitives {
		reason := attribution.Reason{Primitive: p, Kind: pick(r, []attribution.ReasonKind{attribution.ReasonAlternates, attribution.ReasonReturns}), Group: "client", New: r.rng.IntN(2) == 0}
		for range r.rng.IntN(4) {
			if v := r.Value(p); len(v) <= 256 {
				reason.Values = append(reason.Values, v)
			}
		}
		s.Reasons = append(s.Reasons, reason)
	}
	if s.Status == attribution.SuspicionCleared {
		s.Confidence = 0
	}
	return s
}

// Change returns what an identity event has changed.
func (r *Records) Change() *attribution.IdentityChange {
	c := &attribution.IdentityChange{
		EventID: r.uuid(0), Type: pick(r, []attribution.EventType{attribution.Formed, attribution.Linked, attribution.Merged, attribution.Unmerged}),
		Identity: r.Identity(), Moved: int64(r.rng.IntN(3)), Rows: int64(r.rng.IntN(40)), Version: 7, Offset: int64(r.rng.IntN(1000)), TS: r.ts(),
	}
	for range c.Moved {
		c.Attackers = append(c.Attackers, pick(r, r.attackers))
	}
	if c.Type == attribution.Merged || c.Type == attribution.Unmerged {
		c.Other = r.Identity()
	}
	return c
}

// Profiles returns an address for most of the attackers, and several for some.
func (r *Records) Profiles() []schemas.Profile {
	var list []schemas.Profile
	for i, attacker := range r.attackers {
		stub := attribution.Stub([]byte(attacker)).String()
		add := func(address string, kind schemas.AddressKind, sensor string) {
			list = append(list, schemas.Profile{Attacker: attacker, Stub: stub, Address: address, Kind: kind, Sensor: sensor, FirstSeen: 1795000000, LastSeen: 1795000000 + float64(i)})
		}
		switch i % 5 {
		case 0:
			add(fmt.Sprintf("198.51.100.%d", i), schemas.AddressIP, "a")
			add(fmt.Sprintf("203.0.113.%d", i), schemas.AddressIP, "b")
		case 1:
			add(fmt.Sprintf("2001:db8::%x", i), schemas.AddressIP, "a")
		case 2:
			add("not an address = |", schemas.AddressOpaque, "a")
		case 3:
			add(fmt.Sprintf("192.0.2.%d", i), schemas.AddressIP, "a")
		}
	}
	return list
}

// Folder writes a folder as `handprint replay --out` does, with n records of
// each kind.
func (r *Records) Folder(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	profiles := r.Profiles()
	return errors.Join(
		lines(dir, "state_changed.ndjson", n, func(dst []byte) []byte { return schemas.AppendTransitionJSON(dst, r.Transition()) }),
		lines(dir, "multi_actor_suspected.ndjson", n, func(dst []byte) []byte { return schemas.AppendSuspicionJSON(dst, r.Suspicion()) }),
		lines(dir, "rows.ndjson", n, func(dst []byte) []byte { return schemas.AppendStateRowJSON(dst, r.Row()) }),
		lines(dir, "identity_changed.ndjson", n, func(dst []byte) []byte { return schemas.AppendIdentityChangeJSON(dst, r.Change()) }),
		lines(dir, "profiles.ndjson", len(profiles), func(dst []byte) []byte {
			p := profiles[0]
			profiles = profiles[1:]
			return schemas.AppendProfileJSON(dst, &p)
		}),
	)
}

func lines(dir, name string, n int, appendOne func([]byte) []byte) error {
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	var buf []byte
	for range n {
		buf = append(appendOne(buf[:0]), '\n')
		_, err = out.Write(buf)
		if err != nil {
			break
		}
	}
	return errors.Join(err, out.Flush(), file.Close())
}
