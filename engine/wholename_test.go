package engine

import (
	"fmt"
	"strings"
	"testing"

	"handprint/attribution"
)

// Whole names are found by the names that suspicions have cut them to, in one search and
// within one bound, however many are asked for.
func TestWholeNamesAreSearchedForOnce(t *testing.T) {
	store := &countingStore{memStore: newMemStore()}
	name := func(n int) string {
		return "odd." + strings.Repeat("abcdefgh", 80) + fmt.Sprintf("%06d", n)
	}
	const rows, size = 2000, 600
	for n := range rows {
		store.Put(rowKey(nil, kindRow, []byte("i"), []byte(name(n))), make([]byte, size))
	}
	store.Put(rowKey(nil, kindRow, []byte("i"), []byte("odd.short")), make([]byte, size))
	var asked []string
	for n := range 40 {
		asked = append(asked, attribution.ShortPrimitive(name(40*n)))
	}
	missing := attribution.ShortPrimitive(name(rows)) // begins alike
	store.reads = 0
	found, err := WholePrimitives(store, "i", append(asked, missing, "odd.short"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(asked) || found[asked[3]] != name(120) {
		t.Errorf("%d names are found, want %d; the fourth is %q", len(found), len(asked), found[asked[3]])
	}
	if store.reads > rows {
		t.Errorf("%d rows were read of %d", store.reads, rows)
	}
	for n := range 10 * rows {
		store.Put(rowKey(nil, kindRow, []byte("i"), []byte(name(rows+1+n))), make([]byte, size))
	}
	store.reads = 0
	if _, err := WholePrimitives(store, "i", append(asked, missing)); err != nil {
		t.Fatal(err)
	}
	if at := maxNamesRead/size + 1; store.reads > at {
		t.Errorf("%d rows were read, want at most %d", store.reads, at)
	}
}

// Names made up to begin like one that is asked for take nothing from the search for others.
func TestManyNamesThatBeginAlikeHideNoOthers(t *testing.T) {
	store := newMemStore()
	flooded, other := "a."+strings.Repeat("x", 200), "b."+strings.Repeat("x", 200)
	for n := range 64 {
		store.Put(rowKey(nil, kindRow, []byte("i"), fmt.Append(nil, flooded, n)), make([]byte, maxNamesRead/32))
	}
	store.Put(rowKey(nil, kindRow, []byte("i"), []byte(other)), []byte{1})
	missing, wanted := attribution.ShortPrimitive(flooded+"none"), attribution.ShortPrimitive(other)
	found, err := WholePrimitives(store, "i", []string{missing, wanted})
	if err != nil || len(found) != 1 || found[wanted] != other {
		t.Errorf("%d names are found, %v", len(found), err)
	}
}
