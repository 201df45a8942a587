package engine

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/internal/vectors"
	"handprint/schemas"
)

// HASH values that were pushed out of their series become records of their own
// beyond goneInline, and large values always are: this drives tasks with limits
// that are soon reached, while attackers move, and looks at what is stored.
func TestPushedOutHashValues(t *testing.T) {
	defer func(n, m int) { unionFrom, maxMiddle = n, m }(unionFrom, maxMiddle)
	unionFrom = 2
	registry, err := attribution.NewRegistry(modelPrimitives)
	if err != nil {
		t.Fatal(err)
	}
	spilled, large, long, searched := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		maxMiddle = rapid.SampledFrom([]int{0, 100, 300}).Draw(t, "bytes of middle values")
		thresholds := attribution.DefaultThresholds()
		thresholds.Window, thresholds.MinObservations, thresholds.CategoricalMajority = 1, 1, 1
		thresholds.SeriesEntries = 3
		thresholds.HashValues = goneInline + rapid.IntRange(-2, 6).Draw(t, "values kept")
		thresholds.HashWindow = float64(rapid.SampledFrom([]int{10, 40, 1000}).Draw(t, "window"))
		partitions := rapid.SampledFrom([]int32{1, 3}).Draw(t, "partitions")
		c := newCluster(t, partitions, registry, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "network"), 2)))
		c.crash = 0.05
		cfg := Config{Thresholds: thresholds, Registry: registry, Partitions: partitions, Counters: new(Counters)}
		for p := range c.tasks {
			if c.tasks[p], err = New(cfg, int32(p), c.stores[p]); err != nil {
				t.Fatal(err)
			}
		}
		// Which of two values of equal ts goes first their texts decide, which
		// a large one does not have at hand.
		withLarge := rapid.Bool().Draw(t, "large values")
		attackers := []string{"attacker-0", "attacker-1", "attacker-2" + strings.Repeat(" of a long name", 5)}
		want := make(map[string]*attribution.Series)
		for i := range rapid.IntRange(20, 150).Draw(t, "steps") {
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0:
				e := attribution.IdentityEvent{Type: attribution.Linked, Identity: rapid.SampledFrom([]string{"identity-x", "identity-y"}).Draw(t, "identity")}
				e.Attackers = []string{rapid.SampledFrom(attackers).Draw(t, "linked")}
				c.input(&vectors.Step{Topic: "identity.events", Record: schemas.AppendIdentityEvent(nil, &e)}, int64(i))
			case 1:
				for range rapid.IntRange(1, 30).Draw(t, "delivered") {
					c.step()
				}
			default:
				attacker := rapid.SampledFrom(attackers).Draw(t, "attacker")
				ts := float64(i/3 + rapid.IntRange(0, 12).Draw(t, "ts"))
				n := rapid.IntRange(0, 24).Draw(t, "value")
				value := fmt.Sprintf(`"value %02d"`, n)
				switch n % 4 {
				case 2:
					value = fmt.Sprintf(`"value %02d %s"`, n, strings.Repeat("middle", middleValue/6+n%3))
				case 1:
					value = fmt.Sprintf(`"value %02d %s"`, n, strings.Repeat("long", longValue/4))
				}
				if withLarge {
					ts += float64(i) / 1024
					if n%4 == 0 {
						value = fmt.Sprintf(`"%s %02d"`, strings.Repeat("large", largeValue/5+1), n)
					}
				}
				if n == 24 {
					value = "null"
				}
				evidence := rapid.IntRange(0, 60).Draw(t, "evidence")
				arrival := c.inputTo(&vectors.Step{Topic: "attacker.observation", Key: attacker, Record: fmt.Appendf(nil,
					`{"attacker_uuid":%q,"primitive":"t.hash","value":%s,"ts":%v,"evidence_ref":"%d"}`, attacker, value, ts, evidence)}, int64(i), false)
				if want[attacker] == nil {
					want[attacker] = new(attribution.Series)
				}
				want[attacker].Take(attribution.Entry{TS: ts, Value: attribution.Value(value), Evidence: uint64(evidence), Place: arrival, Latest: arrival, Confidence: -1},
					attribution.Hash, &thresholds)
			}
		}
		c.settle()
		if len(c.dead) > 0 {
			t.Fatalf("dead letters %v", c.dead)
		}
		checkStoredHashes(t, c, want)
		searched += checkDriftedFrom(t, c)
		for _, s := range c.stores {
			for _, k := range s.keys {
				switch k[0] {
				case kindGone:
					spilled++
				case kindLarge:
					large++
				case kindLong:
					long++
				}
			}
		}
		m := &model{series: map[string]map[string]*attribution.Series{}}
		for attacker, s := range want {
			m.series[attacker] = map[string]*attribution.Series{"t.hash": s}
		}
		checkRows(t, c, m, &thresholds)
	})
	if !testing.Short() && (spilled == 0 || large == 0 || long == 0 || searched == 0) { // a short run draws few
		t.Errorf("%d gone values, %d large and %d long ones were stored, %d were searched for: the test tests nothing", spilled, large, long, searched)
	}
}

// checkDriftedFrom compares what unions find that rows drifted from with what all
// their contributions say. It returns how many were not among the newest entries.
func checkDriftedFrom(t *rapid.T, c *cluster) (searched int) {
	t.Helper()
	primitive := []byte("t.hash")
	for p, home := range c.tasks {
		home.store = c.stores[p]
		for key := range maps.Clone(home.unions.rows) {
			rest := []byte(key[1:])
			identity, _, err := cutID(rest)
			if err != nil {
				t.Fatal(err)
			}
			if found, err := home.loadRow(identity, primitive); err != nil || !found || home.row.inline {
				continue
			}
			u, err := home.filledUnion(identity, primitive)
			if err != nil || u == nil {
				t.Fatalf("union of %s: %v", identity, err)
			}
			conclusion, err := home.merger.Union(u)
			if err != nil {
				t.Fatal(err)
			}
			if home.merger.DriftedFrom(&conclusion) == nil {
				searched++
			}
			got, err := home.driftedFrom(identity, primitive, nil, &conclusion)
			if err != nil {
				t.Fatal(err)
			}
			got = slices.Clone(got)
			if _, err := home.addUp(attribution.Hash, identity, primitive); err != nil {
				t.Fatal(err)
			}
			if conclusion, err = home.merger.End(); err != nil {
				t.Fatal(err)
			}
			if want := home.merger.DriftedFrom(&conclusion); string(got) != string(want) {
				t.Fatalf("%s drifted from %q by its union, and from %q by its contributions", identity, got, want)
			}
		}
	}
	return searched
}

// checkRows compares the rows with the mergers over the series.
func checkRows(t *rapid.T, c *cluster, m *model, thresholds *attribution.Thresholds) {
	t.Helper()
	members := make(map[string][]string)
	for attacker := range m.series {
		owner := c.owner(attacker)
		members[owner] = append(members[owner], attacker)
	}
	merger := attribution.NewMerger(thresholds)
	var want []vectors.Row
	for owner, attackers := range members {
		merger.Begin(attribution.Hash)
		for i, a := range attackers {
			merger.Add(m.series[a]["t.hash"], i)
		}
		conclusion, err := merger.End()
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, vectors.Row{
			Identity: owner, Primitive: "t.hash", State: conclusion.State.String(), Value: []byte(string(conclusion.Value)),
			Confidence: conclusion.Confidence, Count: conclusion.Count, LastObservationTS: conclusion.LastTS,
			LastChangeTS: c.rows[owner+"/t.hash"].LastChangeTS,
		})
	}
	if diff := vectors.DiffRows(want, c.allRows()); diff != "" {
		t.Fatal(diff)
	}
}

// checkTree checks the tree of a series: its nodes are in order and their
// priorities are those of a heap, no entry has their values, and there are as
// many as the series says. It returns their keys.
func checkTree(t *rapid.T, e *Engine, s *series, identity, primitive, attacker []byte) (keys []string) {
	t.Helper()
	tree := e.tree(s, identity, primitive, attacker)
	var last *goneNode
	var walk func(at attribution.Value, under uint32)
	walk = func(at attribution.Value, under uint32) {
		if len(at) == 0 {
			return
		}
		n := tree.get(at)
		keys = append(keys, string(tree.key(at)))
		walk(n.left, n.priority)
		if n.priority > under {
			t.Fatalf("a node of priority %d is under one of %d", n.priority, under)
		}
		if last == nil && n.TS != s.oldest {
			t.Fatalf("the oldest value is of %v, the series says %v", n.TS, s.oldest)
		}
		if last != nil && !last.Less(&n.Gone) {
			t.Fatalf("%v stands before %v", last, n)
		}
		if hasValue(s.Entries, n.Value) {
			t.Fatalf("%s is in the tree and an entry's", n.Value)
		}
		last = &n
		walk(n.right, n.priority)
	}
	walk(s.root, math.MaxUint32)
	if tree.err != nil {
		t.Fatal(tree.err)
	}
	if len(keys) != s.Elsewhere {
		t.Fatalf("the tree has %d values, the series says %d", len(keys), s.Elsewhere)
	}
	if s.Elsewhere == 0 && len(s.Gone) > goneInline && slices.ContainsFunc(s.Gone, func(g attribution.Gone) bool { return !hasValue(s.Entries, g.Value) }) {
		t.Fatalf("%d values are in the series' record", len(s.Gone))
	}
	return keys
}

// checkStoredHashes compares each stored series, with what it has in records
// of its own, with what must be kept, and finds records that nobody refers to.
func checkStoredHashes(t *rapid.T, c *cluster, want map[string]*attribution.Series) {
	t.Helper()
	live := make(map[string]bool)
	for attacker, s := range want {
		owner := []byte(c.owner(attacker))
		home := c.tasks[attribution.IdentityPartition(owner, int32(len(c.tasks)))]
		store := c.stores[home.task]
		home.store = store
		var got series
		found, err := home.loadRow(owner, []byte("t.hash"))
		if err != nil || !found {
			t.Fatalf("row of %s, where %s belongs: found %v, %v", owner, attacker, found, err)
		}
		if home.row.inline {
			got = home.row.series
		} else {
			found, err = home.loadContribution(&got, owner, []byte("t.hash"), []byte(attacker))
		}
		if err != nil || !found {
			t.Fatalf("series of %s in %s: found %v, %v", attacker, owner, found, err)
		}
		at := seriesKey(nil, kindLong, owner, []byte("t.hash"), []byte(attacker))
		if home.row.inline {
			at = rowKey(nil, kindLong, owner, []byte("t.hash"))
		}
		for i := range got.long {
			live[string(at)+string(got.long[i].digest[:])] = true
		}
		for _, key := range checkTree(t, home, &got, owner, []byte("t.hash"), []byte(attacker)) {
			live[key] = true
		}
		if err := home.loadWhole(&got, owner, []byte("t.hash"), []byte(attacker)); err != nil {
			t.Fatal(err)
		}
		largeOnes := make([]attribution.Value, 0)
		for _, e := range got.Entries {
			largeOnes = append(largeOnes, e.Value)
		}
		for _, g := range got.Gone {
			largeOnes = append(largeOnes, g.Value)
		}
		for _, v := range largeOnes {
			if isLarge(v) {
				live[string(home.largeKey(v, owner, []byte("t.hash"), []byte(attacker)))] = true
			}
		}
		said := func(list []attribution.Gone) map[string]float64 {
			values := make(map[string]float64)
			for _, g := range list {
				v, err := home.text(g.Value, owner, []byte("t.hash"), []byte(attacker))
				if err != nil {
					t.Fatal(err)
				}
				values[string(v)] = g.TS
			}
			return values
		}
		if g, w := said(got.Gone), said(s.Gone); !maps.Equal(g, w) {
			t.Fatalf("gone of %s: %v, want %v", attacker, g, w)
		}
		if got.Count != s.Count || len(got.Entries) != len(s.Entries) {
			t.Fatalf("series of %s: %d of %d kept, want %d of %d", attacker, len(got.Entries), got.Count, len(s.Entries), s.Count)
		}
		for i, e := range got.Entries {
			v, err := home.text(e.Value, owner, []byte("t.hash"), []byte(attacker))
			if err != nil {
				t.Fatal(err)
			}
			if w := s.Entries[i]; string(v) != string(w.Value) || e.TS != w.TS || e.Place != w.Place || e.Latest != w.Latest {
				t.Fatalf("entry %d of %s: %+v says %s, want %+v", i, attacker, e, v, w)
			}
		}
	}
	for p, s := range c.stores {
		for _, k := range s.keys {
			if slices.Contains([]byte{kindGone, kindLarge, kindLong}, k[0]) && !live[k] {
				t.Fatalf("task %d has a record of kind %q that belongs to no series: %x", p, k[0], k)
			}
		}
	}
}
