package engine

import (
	"fmt"
	"testing"

	"handprint/attribution"
	"handprint/schemas"
)

// A change that lists many attackers whose identity was merged again and again follows
// the merges once, not for each attacker.
func TestHeirsAreFollowedOncePerChange(t *testing.T) {
	const attackers, merges = 200, 100
	store := &countingStore{memStore: newMemStore()}
	e := attribution.IdentityEvent{Type: attribution.Formed, Identity: "new"}
	for n := range attackers {
		e.Attackers = append(e.Attackers, fmt.Sprint("attacker-", n))
		store.Put(idKey(nil, kindOwner, fmt.Append(nil, "attacker-", n)), appendGroup(nil, group{Identity: []byte("id-0")}))
	}
	for n := range merges {
		from, to := group{Identity: fmt.Append(nil, "id-", n)}, group{Identity: fmt.Append(nil, "id-", n+1)}
		store.Put(heirKey(nil, from), appendGroup(nil, to))
	}
	task, err := New(testConfig(1), 0, store)
	if err != nil {
		t.Fatal(err)
	}
	store.reads = 0
	r := Record{Source: IdentityEvents, Time: 1, Value: schemas.AppendIdentityEvent(nil, &e)}
	if err := task.Process(&r, store, new(posted)); err != nil {
		t.Fatal(err)
	}
	if most := 4*attackers + 2*merges; store.reads > most {
		t.Errorf("%d records are read for %d attackers and %d merges, want at most %d", store.reads, attackers, merges, most)
	}
	a, err := task.coordinator.changeOf(1)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint("id-", merges); len(a.Owners) != 1 || string(a.Owners[0]) != want {
		t.Errorf("they leave %q, want %s alone", a.Owners, want)
	}
}
