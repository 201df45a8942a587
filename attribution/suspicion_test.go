package attribution

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The example of docs/attribution.md.
func TestIDsOfSuspicions(t *testing.T) {
	at := Arrival{Time: 1795958829020, Partition: 2, Offset: 345}
	identity := []byte("6af1e32f-384d-8f7e-8f1b-ba38aeb755a8")
	for topic, want := range map[CauseTopic]string{
		CauseSuspicion: "2cd703c8-342f-80fa-9f7d-51b4b508a172",
		CauseTick:      "38d2f0f5-82a5-8672-a6f2-d7ee9543f721",
	} {
		if got := EventID(Cause{Topic: topic, Arrival: at}, identity, nil).String(); got != want {
			t.Errorf("%c: %s, want %s", topic, got, want)
		}
	}
}

// seriesOfText makes a series of letters, one each 1000 seconds or at the given
// times; '-' is null.
func seriesOfText(letters string, times ...float64) *Series {
	s := &Series{Count: int64(len(letters))}
	for i, c := range letters {
		e := Entry{TS: 1000 * float64(i), Value: Value(fmt.Sprintf("%q", string(c))), Evidence: uint64(i), Place: Arrival{Offset: int64(i)}}
		if c == '-' {
			e.Value = Null
		}
		if i < len(times) {
			e.TS = times[i]
		}
		s.Entries = append(s.Entries, e)
	}
	return s
}

func TestReturningSeries(t *testing.T) {
	for _, tt := range []struct {
		letters string
		times   []float64
		change  func(*Thresholds)
		want    bool
	}{
		{letters: ""},
		{letters: "a"},
		{letters: "aabb"},
		{letters: "aaba"},
		{letters: "abab", want: true},
		{letters: "aabba", want: true},
		{letters: "aa-bb-a", want: true},
		{letters: "a-a-a-a"},
		{letters: "aacbba", want: true},
		{letters: "abcabc", want: true},
		{letters: "aabbcc"},
		{letters: "aba", change: func(t *Thresholds) { t.ReturnMinSeen = 1 }, want: true},
		{letters: "abab", change: func(t *Thresholds) { t.ReturnMinSeen = 3 }},
		// One script with two tools: b always comes 60 seconds after a.
		{letters: "ababab", times: []float64{0, 60, 5000, 5060, 9000, 9060}},
		{letters: "abab", times: []float64{0, 60, 5000, 5060}, want: true}, // two changes are too few
		{letters: "ababab", times: []float64{0, 700, 5000, 5700, 9000, 9700}, want: true},
		{letters: "ababab", times: []float64{0, 600, 5000, 5600, 9000, 9600}, want: true}, // not below
		{letters: "ababab", times: []float64{0, 0, 5000, 5000, 9000, 9000}},
		{letters: "ababab", times: []float64{0, 1, 5000, 5300, 9000, 9010}, want: true}, // short, not fixed
		{letters: "ababab", times: []float64{0, 60, 5000, 5060, 9000, 9060}, change: func(t *Thresholds) { t.ReturnLag = 0 }, want: true},
		{letters: "ababab", times: []float64{0, 60, 5000, 5060, 9000, 9060}, change: func(t *Thresholds) { t.ReturnLagCV = 0 }, want: true},
		{letters: "ababab", times: []float64{0, 60, 5000, 5060, 9000, 9060}, change: func(t *Thresholds) { t.ReturnLagChanges = 4 }, want: true},
		{letters: "abab", times: []float64{0, math.MaxFloat64 / 2, math.MaxFloat64, math.MaxFloat64}, want: true},
	} {
		thresholds := DefaultThresholds()
		if tt.change != nil {
			tt.change(&thresholds)
		}
		if got := Returns(seriesOfText(tt.letters, tt.times...), &thresholds); got != tt.want {
			t.Errorf("%s at %v: %v, want %v", tt.letters, tt.times, got, tt.want)
		}
	}
}

// What is explained of a series is what the rule asks, and as many observations
// of the newest value as it says end it, and no fewer.
func TestExplainedReturns(t *testing.T) {
	ended := 0
	rapid.Check(t, func(t *rapid.T) {
		thresholds := DefaultThresholds()
		thresholds.SeriesEntries = rapid.IntRange(15, 20).Draw(t, "entries")
		letters := rapid.StringMatching(`[abc-]{0,15}`).Draw(t, "letters")
		var times []float64
		now := 0.0
		for range letters {
			now += rapid.SampledFrom([]float64{0, 30, 2000}).Draw(t, "pause")
			times = append(times, now)
		}
		s := seriesOfText(letters, times...)
		x := ExplainReturns(s, &thresholds)
		lags, fixed, entries := 0, false, 0
		for _, c := range x.Changes {
			lags += len(c.Lags)
			fixed = fixed || c.Fixed
		}
		for _, r := range x.Runs {
			entries += r.Observations
		}
		if x.Returns != Returns(s, &thresholds) || x.Returns != (x.Times > 0 && !fixed) || lags != max(0, len(x.Runs)-1) || entries > len(letters) || x.Returns != (x.EndsAfter > 0) {
			t.Fatalf("%s at %v is explained as %+v", letters, times, x)
		}
		if !x.Returns {
			return
		}
		ended++
		last := x.Runs[len(x.Runs)-1].Value
		for n := range x.EndsAfter {
			if !Returns(s, &thresholds) {
				t.Fatalf("%s at %v ends after %d, not after %d", letters, times, n, x.EndsAfter)
			}
			s.Take(Entry{TS: now, Value: last, Evidence: uint64(1000 + n), Place: Arrival{Time: int64(1000 + n)}}, Hash, &thresholds)
		}
		if Returns(s, &thresholds) {
			t.Fatalf("%s at %v does not end after %d", letters, times, x.EndsAfter)
		}
	})
	if ended == 0 {
		t.Error("no series returned: the test tests nothing")
	}
}

func TestSpreadOfLagsDoesNotOverflow(t *testing.T) {
	for _, tt := range []struct {
		lags []float64
		want float64
	}{
		{[]float64{0, 0, 0}, 0},
		{[]float64{5, 5}, 0},
		{[]float64{1, 3}, 0.5},
		{[]float64{math.MaxFloat64, math.MaxFloat64}, 0},
		{[]float64{1e-320, 3e-320}, 0.5},
		{[]float64{1e308, 3e307}, 0.35 / 0.65},
	} {
		if got := spread(tt.lags); math.Abs(got-tt.want) > 1e-3 {
			t.Errorf("%v: %v, want %v", tt.lags, got, tt.want)
		}
	}
	if m := median([]float64{math.MaxFloat64, math.MaxFloat64}); m != math.MaxFloat64 {
		t.Errorf("the median of two large ones is %v", m)
	}
}

// Raised, grown and cleared alternate as docs/attribution.md has it, whatever the
// evidence does and whatever clock the ticks have.
func TestTheLifeOfASuspicion(t *testing.T) {
	primitives := []string{"a.a", "a.b", "b.a", "c.returns"}
	rapid.Check(t, func(t *rapid.T) {
		thresholds := DefaultThresholds()
		thresholds.SuspicionQuiet = float64(rapid.SampledFrom([]int{0, 50, 200}).Draw(t, "quiet"))
		registry, err := NewRegistry(nil)
		if err != nil {
			t.Fatal(err)
		}
		var open *OpenSuspicion
		var named []string
		quietFrom, isQuiet := 0.0, false
		now, confidence := 0.0, 0.0
		for range rapid.IntRange(1, 60).Draw(t, "ticks") {
			now += float64(rapid.IntRange(-30, 100).Draw(t, "later"))
			var e Evidence
			for _, p := range primitives[:3] {
				if rapid.Bool().Draw(t, p) {
					e.Alternates = append(e.Alternates, p)
				}
			}
			if rapid.IntRange(0, 3).Draw(t, "returns") == 0 {
				e.Returns = []string{primitives[3]}
			}
			rows := rapid.IntRange(0, 5).Draw(t, "rows") > 0 || e.Suspected(&thresholds)
			before := open != nil
			status, _, err := Judge(open, &e, now, func() (bool, error) { return rows, nil }, registry, &thresholds)
			if err != nil {
				t.Fatal(err)
			}
			suspected := len(e.Alternates) >= 2 || len(e.Returns) > 0
			fresh := slices.ContainsFunc(append(slices.Clone(e.Alternates), e.Returns...), func(p string) bool { return !slices.Contains(named, p) })
			if suspected {
				isQuiet = false
			} else if !isQuiet || now < quietFrom {
				isQuiet, quietFrom = true, now
			}
			want := SuspicionStatus("")
			switch {
			case !before && suspected:
				want = SuspicionRaised
			case before && suspected && fresh:
				want = SuspicionGrown
			case before && !suspected && (now-quietFrom >= thresholds.SuspicionQuiet || !rows):
				want = SuspicionCleared
			}
			if !before {
				isQuiet = false
			}
			if status != want {
				t.Fatalf("at %v with %+v: %q, want %q", now, e, status, want)
			}
			if status == "" {
				continue
			}
			if open == nil {
				open, confidence = new(OpenSuspicion), 0
			}
			told := &e
			if status == SuspicionCleared {
				told = e.Among(open)
			}
			reasons, err := open.Name(told, registry, &thresholds, func(string, ReasonKind) ([]Value, int, error) { return []Value{Value("1")}, 1, nil })
			if err != nil {
				t.Fatal(err)
			}
			s := open.Event(status, reasons, now, rows, registry, &thresholds)
			for i, r := range s.Reasons {
				if isNew := !slices.Contains(named, r.Primitive); s.Primitives[i] != r.Primitive || r.New != isNew || r.Group != r.Primitive || r.Kind == "" {
					t.Fatalf("reason %+v of %+v", r, s)
				}
			}
			if !slices.IsSorted(s.Primitives) || !slices.IsSorted(s.Groups) || s.Summary == "" {
				t.Fatalf("%+v", s)
			}
			named = s.Primitives
			if status != SuspicionCleared {
				if s.Confidence < confidence {
					t.Fatalf("the confidence falls from %v to %v", confidence, s.Confidence)
				}
				confidence = s.Confidence
				continue
			}
			if s.Confidence != 0 {
				t.Fatalf("cleared with confidence %v", s.Confidence)
			}
			open, named, isQuiet = nil, nil, false
		}
	})
}

func TestWordsOfASuspicion(t *testing.T) {
	r := DefaultRegistry()
	reason := func(kind ReasonKind, times int, primitives ...string) (list []Reason) {
		for _, p := range primitives {
			list = append(list, Reason{Primitive: p, Kind: kind, Times: times})
		}
		return list
	}
	const hassh = "toolchain.ssh.hassh_client"
	for want, reasons := range map[string][]Reason{
		"SSH fingerprint returned 3 times; latency class and locale alternate": append(reason(ReasonReturns, 3, hassh),
			reason(ReasonAlternates, 0, "cognitive.inter_command_latency_class", "environmental.locale")...),
		"SSH fingerprint returned once": reason(ReasonReturns, 1, hassh),
		"locale alternates":             reason(ReasonAlternates, 0, "environmental.locale"),
		"a, b, c, d, e and 2 more alternate": reason(ReasonAlternates, 0,
			"x.a", "x.b", "x.c", "x.d", "x.e", "x.f", "x.g"),
		"some long name and b alternate": reason(ReasonAlternates, 0, "x.some_long_name", "x.b"),
	} {
		if got := evidenceWords(reasons, r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	thresholds := DefaultThresholds()
	for rows, want := range map[bool]string{
		true:  "not suspected for 24 h; it rested on SSH fingerprint",
		false: "no attacker is left in it; it rested on SSH fingerprint",
	} {
		if got := clearedWords(reason(ReasonReturns, 1, hassh), rows, r, &thresholds); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What an attacker makes up makes the event no larger than a record may be, and keeps
// nothing out of it that is registered.
func TestASuspicionIsBounded(t *testing.T) {
	thresholds := DefaultThresholds()
	registry := DefaultRegistry()
	var names []string
	for i := range 20_000 {
		names = append(names, ShortPrimitive(fmt.Sprintf("a.made_up_%06d%s", i, strings.Repeat("x", i%300))))
	}
	names = append(names, registry.Names()...)
	slices.Sort(names)
	e := Evidence{Alternates: Nameable(names, registry, &thresholds)}
	var o OpenSuspicion
	value := Value(`"` + strings.Repeat("v", 250) + `"`)
	reasons, err := o.Name(&e, registry, &thresholds, func(string, ReasonKind) ([]Value, int, error) { return []Value{value, value}, 0, nil })
	if err != nil {
		t.Fatal(err)
	}
	s := o.Event(SuspicionRaised, reasons, 1, true, registry, &thresholds)
	text, err := json.Marshal(s)
	if want := thresholds.NamedPrimitives + len(registry.Names()); err != nil || len(text) > 1<<20 || len(s.Primitives) != want {
		t.Errorf("%d bytes, %d primitives, want %d, %v", len(text), len(s.Primitives), want, err)
	}
	for _, r := range s.Reasons {
		if registry.Lookup([]byte(r.Primitive)) != nil && len(r.Values) == 0 {
			t.Errorf("%s is named without its values", r.Primitive)
		}
	}
	e.Alternates = names
	if o.Grows(&e, registry, &thresholds) {
		t.Error("it grows by what it has no room for, at each tick")
	}
	o.Named = slices.DeleteFunc(o.Named, func(r Reason) bool { return r.Primitive == "environmental.locale" })
	if !o.Grows(&e, registry, &thresholds) {
		t.Error("it has no room for a primitive that is registered")
	}
}

// Names as suspicions have them are bounded, stay as many as they were, and are the
// names themselves as a rule.
func TestShortPrimitives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := "a." + strings.Repeat("x", rapid.IntRange(1, 300).Draw(t, "length"))
		b := a + rapid.StringMatching(`[a-z.]{0,9}`).Draw(t, "more")
		short, other := ShortPrimitive(a), ShortPrimitive([]byte(b))
		if len(short) > MaxPrimitiveName || (short == a) != (len(a) <= MaxPrimitiveName) || (short == other) != (a == b) {
			t.Fatalf("%s is %s, %s is %s", a, short, b, other)
		}
		if short != a && ValidPrimitive([]byte(short)) {
			t.Fatalf("%s may be a primitive by itself", short)
		}
		if begin, cut := BeginOfShort(short); cut != (short != a) || !strings.HasPrefix(a, begin) {
			t.Fatalf("%s is %s, which begins with %s, cut %v", a, short, begin, cut)
		}
	})
}

func TestEveryPrimitiveHasAGroup(t *testing.T) {
	groups := make(map[string]int)
	returning := 0
	for _, name := range DefaultRegistry().Names() {
		p := DefaultRegistry().Lookup([]byte(name))
		groups[p.Group]++
		if p.Returning {
			returning++
		}
	}
	want := map[string]int{"timing": 17, "commands": 13, "schedule": 12, "setting": 5, "affect": 4, "client": 16, "payload": 15}
	if !maps.Equal(groups, want) || returning != 1 {
		t.Errorf("groups %v, %d primitives can return", groups, returning)
	}
	if g := DefaultRegistry().Group("my.own"); g != "my.own" {
		t.Errorf("a primitive that is not registered is of group %s", g)
	}
}

// comesBack says of any series what its runs say.
func TestComesBackIsWhatTheRunsSay(t *testing.T) {
	both := [2]int{}
	rapid.Check(t, func(t *rapid.T) {
		thresholds := DefaultThresholds()
		thresholds.ReturnMinSeen = rapid.IntRange(1, 3).Draw(t, "times that a value has to occur")
		s := seriesOfText(rapid.StringOfN(rapid.RuneFrom([]rune("abcd-")), 0, maxQuick, -1).Draw(t, "values"))
		_, times := runsOf(s, &thresholds)
		if got := comesBack(s, &thresholds); got != (times > 0) {
			t.Fatalf("it comes back: %v, %d times", got, times)
		}
		both[min(times, 1)]++
	})
	if both[0] == 0 || both[1] == 0 {
		t.Errorf("%v: the test tests nothing", both)
	}
}
