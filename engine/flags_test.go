package engine

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set of flags is what was set and not taken away, by its records too, and a change
// writes a part of it.
func TestFlagsAreASetInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := &countingStore{memStore: newMemStore()}
		e, err := New(testConfig(1), 0, store)
		if err != nil {
			t.Fatal(err)
		}
		e.store = store
		identity := []byte("018f0000-0000-7000-8000-000000000001")
		many := rapid.SampledFrom([]int{3, 300, 5000}).Draw(t, "names")
		want := map[string]bool{}
		var audited []string // by the records, as they come
		for n := range 2 * many {
			name := fmt.Sprintf("worst.p%d", n*7919%many)
			is := n < many || rapid.IntRange(0, 2).Draw(t, "stays") > 0
			before := store.bytes
			if err := e.setFlag(kindFlagged, identity, []byte(name), is); err != nil {
				t.Fatal(err)
			}
			if wrote := store.bytes - before; wrote > 1024 {
				t.Fatalf("a flag of %d writes %d bytes", len(want), wrote)
			}
			delete(want, name)
			if is {
				want[name] = true
			}
			if many > 300 {
				continue // takes long
			}
			key := flagKey(nil, kindFlagged, identity, flagPart(name))
			f, err := Inspect(key, store.values[string(key)])
			if err != nil || f.Kind != FlaggedFact || f.Identity != string(identity) {
				t.Fatalf("the record of a part says %+v, %v", f, err)
			}
			audited = f.Flags(audited)
		}
		var sorted []string
		for name := range want {
			sorted = append(sorted, name)
		}
		slices.Sort(sorted)
		got, err := flags(store, kindFlagged, identity)
		if err != nil || !slices.Equal(got, sorted) {
			t.Fatalf("%d flags, want %d: %v", len(got), len(sorted), err)
		}
		if many <= 300 && !slices.Equal(audited, sorted) {
			t.Fatalf("its records say %d flags, want %d", len(audited), len(sorted))
		}
		for _, most := range []int{1, 3, len(sorted), len(sorted) + 1} {
			if n, err := e.countFlags(kindFlagged, identity, most); err != nil || n != min(most, len(sorted)) && most > 0 {
				t.Fatalf("%d of %d flags are counted up to %d: %v", n, len(sorted), most, err)
			}
		}
		if _, err := e.dropFlags(kindFlagged, identity); err != nil || len(store.keys) != 0 {
			t.Fatalf("%d records are left: %v", len(store.keys), err)
		}
	})
}
