package attribution

import (
	"strings"
	"testing"
)

func TestTheBuiltInRegistry(t *testing.T) {
	r := DefaultRegistry()
	names := r.Names()
	if len(names) != 82 {
		t.Errorf("%d primitives, want 82", len(names))
	}
	kinds, domains := make(map[Kind]int), make(map[string]int)
	for _, name := range names {
		p := r.Lookup([]byte(name))
		if p == nil || p.Name != name || r.Kind([]byte(name)) != p.Kind {
			t.Fatalf("%s is listed but not found: %+v", name, p)
		}
		kinds[p.Kind]++
		domains[p.Domain]++
		if !strings.HasPrefix(name, p.Domain+".") {
			t.Errorf("%s is of domain %s", name, p.Domain)
		}
		if p.Meaning == "" {
			t.Errorf("%s has no meaning", name)
		}
		if len(p.Values) > 0 != (p.Kind == Categorical) {
			t.Errorf("%s is %s and lists %d values", name, p.Kind, len(p.Values))
		}
	}
	for kind, want := range map[Kind]int{Categorical: 53, Hash: 11, Array: 6, FreeString: 9, Numeric: 2, Bool: 1} {
		if kinds[kind] != want {
			t.Errorf("%d are %s, want %d", kinds[kind], kind, want)
		}
	}
	for domain, want := range map[string]int{"motor": 10, "cognitive": 11, "temporal": 11, "operational": 4, "environmental": 6, "cultural": 5, "emotional_valence": 4, "toolchain": 31} {
		if domains[domain] != want {
			t.Errorf("%d are of domain %s, want %d", domains[domain], domain, want)
		}
	}
	names[0] = "changed"
	if r.Names()[0] == "changed" {
		t.Error("the names can be changed from outside")
	}
}

func TestCheckHoldsValuesToTheKind(t *testing.T) {
	least := 0.5
	r, err := NewRegistry([]Primitive{
		{Name: "t.categorical", Kind: Categorical, Values: []string{"low", "é\"\u2028<"}}, {Name: "t.open", Kind: Categorical},
		{Name: "t.numeric", Kind: Numeric, Min: &least}, {Name: "t.hash", Kind: Hash}, {Name: "t.bool", Kind: Bool},
		{Name: "t.text", Kind: FreeString}, {Name: "t.array", Kind: Array},
	})
	if err != nil {
		t.Fatal(err)
	}
	values := []string{`null`, `true`, `false`, `0`, `-1`, `0.5`, `""`, `"low"`, `[]`, `[1]`, `{}`, `{"a":1}`}
	for name, want := range map[string]string{
		// f fits, o is odd, - does not fit; as values
		"t.categorical": "f-----of----",
		"t.open":        "f-----ff----",
		"t.numeric":     "fffoof------",
		"t.hash":        "f------f----",
		"t.bool":        "fff---------",
		"t.text":        "f-----ff----",
		"t.array":       "f-------ff--",
		"t.unknown":     "ffffffffffff",
	} {
		got := ""
		for _, v := range values {
			kind, fit := r.Check([]byte(name), Value(v))
			if kind != r.Kind([]byte(name)) {
				t.Errorf("%s: kind %s", name, kind)
			}
			got += string("fo-"[fit])
		}
		if got != want {
			t.Errorf("%s: %s, want %s for %v", name, got, want, values)
		}
	}
}

func TestRegistriesThatAreWrong(t *testing.T) {
	for text, says := range map[string]string{
		`{`: "primitive registry",
		`{"primitives":[{"name":"a.b","kind":"MATRIX"}]}`:                                                         `unknown value kind "MATRIX"`,
		`{"primitives":[{"name":"a.b","kind":"UNREGISTERED"}]}`:                                                   "unknown value kind",
		`{"primitives":[{"name":"a.b","kind":"BOOL","returning":true}]}`:                                          "only a HASH primitive",
		`{"primitives":[{"name":"a","kind":"BOOL"}]}`:                                                             `primitive "a"`,
		`{"primitives":[{"name":"a.b","kind":"BOOL"},{"name":"a.b","kind":"NUMERIC"}]}`:                           "stands twice",
		`{"primitives":[{"name":"a.` + strings.Repeat("b", MaxPrimitiveName) + `","kind":"BOOL"}]}`:               "at most 128 bytes, this has 130",
		`{"primitives":[{"name":"a.b","kind":"BOOL","label":"` + strings.Repeat("b", MaxPrimitiveName+1) + `"}]}`: "at most 128 bytes, here is one of 129",
		`{"primitives":[{"name":"a.b","kind":"BOOL","group":"` + strings.Repeat("b", MaxPrimitiveName+1) + `"}]}`: "at most 128 bytes, here is one of 129",
	} {
		if _, err := ReadRegistry(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
	if r, err := ReadRegistry(strings.NewReader(`{"primitives":[]}`)); err != nil || len(r.Names()) != 0 {
		t.Errorf("an empty registry: %v", err)
	}
}

func TestPrimitiveNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a.b": true, "a.b.c": true, "a1_.0_b": true, "_._": true,
		"": false, "a": false, ".": false, "a.": false, ".a": false, "a..b": false, "A.b": false, "a.b-c": false, "a.b ": false, "a.\u00e9": false, "a.b\x00": false,
	} {
		if got := ValidPrimitive([]byte(name)); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestThresholdsSayWhatIsWrong(t *testing.T) {
	if err := DefaultThresholds().Validate(); err != nil {
		t.Error(err)
	}
	for says, change := range map[string]func(*Thresholds){
		"window must be between":            func(t *Thresholds) { t.Window = 0 },
		"window must be between 1 and 1000": func(t *Thresholds) { t.Window = 1001 },
		"min-observations":                  func(t *Thresholds) { t.MinObservations = 6 },
		"min-observations must":             func(t *Thresholds) { t.MinObservations = 0 },
		"categorical-majority":              func(t *Thresholds) { t.CategoricalMajority = 6 },
		"numeric-ewma-alpha":                func(t *Thresholds) { t.EWMAAlpha = 0 },
		"numeric-ewma-alpha must":           func(t *Thresholds) { t.EWMAAlpha = 1.01 },
		"numeric-drift-mean-shift":          func(t *Thresholds) { t.DriftMeanShift = 0 },
		"numeric-conflict-cv":               func(t *Thresholds) { t.ConflictCV = -1 },
		"numeric-stable-cv":                 func(t *Thresholds) { t.StableCV = -0.1 },
		"hash-drift-max-rotations":          func(t *Thresholds) { t.HashDriftMaxRotation = -1 },
		"hash-window":                       func(t *Thresholds) { t.HashWindow = -1 },
		"multi-actor-confidence-cap":        func(t *Thresholds) { t.MultiActorCap = 1.1 },
		"multi-actor-state-cap":             func(t *Thresholds) { t.MultiActorStateCap = -0.1 },
		"suspicion-rule":                    func(t *Thresholds) { t.SuspicionRule = 2 },
		"return-min-seen":                   func(t *Thresholds) { t.ReturnMinSeen = 0 },
		"return-lag must":                   func(t *Thresholds) { t.ReturnLag = -1 },
		"return-lag-changes":                func(t *Thresholds) { t.ReturnLagChanges = 0 },
		"return-lag-cv":                     func(t *Thresholds) { t.ReturnLagCV = -1 },
		"suspicion-groups":                  func(t *Thresholds) { t.SuspicionGroups = 0 },
		"suspicion-quiet":                   func(t *Thresholds) { t.SuspicionQuiet = -1 },
		"multi-actor-min-primitives":        func(t *Thresholds) { t.MultiActorPrimitives = 0 },
		"three windows (15), is 14":         func(t *Thresholds) { t.SeriesEntries = 14 },
		"series-entries must be at most":    func(t *Thresholds) { t.SeriesEntries = 4097 },
		"hash-values-kept":                  func(t *Thresholds) { t.HashValues = -1 },
	} {
		thresholds := DefaultThresholds()
		change(&thresholds)
		if err := thresholds.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	nan := DefaultThresholds()
	zero := 0.0
	nan.EWMAAlpha, nan.DriftMeanShift, nan.ConflictCV, nan.HashWindow, nan.MultiActorCap = zero/zero, zero/zero, zero/zero, zero/zero, zero/zero
	if err := nan.Validate(); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("not numbers: %v, want five faults", err)
	}
}

func TestNamesOfStatesAndKinds(t *testing.T) {
	for s := Unknown; s <= MultiActor; s++ {
		if got, err := ParseState(s.String()); err != nil || got != s {
			t.Errorf("%s is read as %s, %v", s, got, err)
		}
	}
	if _, err := ParseState("Stable"); err == nil || State(9).String() != "State(9)" {
		t.Errorf("a state that does not exist: %v, %s", err, State(9))
	}
	for k := Categorical; k <= Array; k++ {
		if got, err := ParseKind(k.String()); err != nil || got != k {
			t.Errorf("%s is read as %s, %v", k, got, err)
		}
	}
}
