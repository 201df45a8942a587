package engine

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// What a step of settle goes on with is the least of the identities that wait for its
// event, whatever other events touch meanwhile, and nothing is kept of an event that is
// over.
func TestTheLeastUnsettledIdentityComesFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := newMemStore()
		e, err := New(testConfig(1), 0, store)
		if err != nil {
			t.Fatal(err)
		}
		least := func(version uint64) (id string) {
			for other, u := range e.unsettled {
				if u.Version == version && (id == "" || other < id) {
					id = other
				}
			}
			return id
		}
		settle := func(version uint64) {
			id := e.toSettle(version)
			if want := least(version); string(id) != want {
				t.Fatalf("event %d goes on with %q, want %q", version, id, want)
			}
			if id != nil {
				delete(e.unsettled, string(id))
				e.drop(kindUnsettled, id)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"touch": func(t *rapid.T) {
				// An identity is touched by one event at a time.
				id := fmt.Sprint("i", rapid.IntRange(0, 20).Draw(t, "identity"))
				version := rapid.Uint64Range(1, 3).Draw(t, "event")
				if u, marked := e.unsettled[id]; marked {
					version = u.Version
				}
				if err := e.unsettle([]byte(id), origin{Version: version}, func(*unsettled) {}); err != nil {
					t.Fatal(err)
				}
			},
			"settle": func(t *rapid.T) { settle(rapid.Uint64Range(1, 3).Draw(t, "event")) },
			"restart": func(t *rapid.T) {
				if err := e.Reload(store); err != nil {
					t.Fatal(err)
				}
			},
		})
		for version := uint64(1); version <= 3; version++ {
			for least(version) != "" {
				settle(version)
			}
			settle(version)
		}
		if len(e.ofEvent) > 0 || len(e.unsettled) > 0 {
			t.Fatalf("something is kept of events that are over: %v, %v", e.ofEvent, e.unsettled)
		}
	})
}
