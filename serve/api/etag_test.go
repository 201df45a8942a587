package api

import (
	"testing"

	"handprint/serve/query"
)

func TestIfNoneMatch(t *testing.T) {
	for list, want := range map[string]bool{
		``: false, `"1-2-a"`: true, `W/"1-2-a"`: true, `"0", "1-2-a"`: true, `"0",W/"1-2-a",`: true, `*`: true, ` * `: true,
		`1-2-a`: false, `"1-2-ab"`: false, `w/"1-2-a"`: false, `"1-2-a`: false, `,,,`: false,
	} {
		if got := hasTag(list, `"1-2-a"`); got != want {
			t.Errorf("%s: %v", list, got)
		}
	}
}

// What an identity has from other topics than the changelog changes its tag; the time of
// the answer does not.
func TestTheTagIsOfAllThatIsShown(t *testing.T) {
	base := query.Identity{Position: query.Position{Partition: 1, Offset: 2}}
	want, err := tagOf(&base)
	if err != nil {
		t.Fatal(err)
	}
	later := base
	later.AsOf = 9
	if got, _ := tagOf(&later); got != want {
		t.Errorf("later it is %s, and was %s", got, want)
	}
	for name, change := range map[string]func(*query.Identity){
		"offset":    func(i *query.Identity) { i.Position.Offset++ },
		"suspicion": func(i *query.Identity) { i.Suspicion = &query.Suspicion{ID: "s"} },
		"record":    func(i *query.Identity) { i.Record = &query.IdentityRecord{Version: 1} },
		"address":   func(i *query.Identity) { i.Attackers = []query.Member{{Address: &query.Address{}}} },
	} {
		other := base
		change(&other)
		if got, _ := tagOf(&other); got == want {
			t.Errorf("another %s leaves the tag %s", name, got)
		}
	}
}
