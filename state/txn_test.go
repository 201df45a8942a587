package state

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// model is what a transaction ought to do, in maps.
type model struct {
	committed, now, saved map[string]string
	touched, touchedSaved map[string]bool // keys put or deleted
	marked, markedSaved   map[string]bool // of those
	offset                int64           // of the checkpoint; -1: none
}

func (m *model) discard() {
	m.now, m.saved = maps.Clone(m.committed), maps.Clone(m.committed)
	m.touched, m.touchedSaved = map[string]bool{}, map[string]bool{}
	m.marked, m.markedSaved = map[string]bool{}, map[string]bool{}
}

func (m *model) save() {
	m.saved, m.touchedSaved, m.markedSaved = maps.Clone(m.now), maps.Clone(m.touched), maps.Clone(m.marked)
}

// drawKey draws from few keys. Some are of groups, and many begin alike, with bytes at
// the edges among them.
func drawKey(t *rapid.T) string {
	group := rapid.SampledFrom([]string{"", "", "r" + strings.Repeat("g", groupLen-1), "r" + strings.Repeat("h", groupLen-2)}).Draw(t, "group")
	return group + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "\x00", "\xff"}), 0, 3).Draw(t, "key"), "")
}

func drawValue(t *rapid.T) string {
	n := rapid.SampledFrom([]int{0, 1, 7, 8, 30, 300, chunkSize, 70_000}).Draw(t, "size")
	return strings.Repeat(string(rapid.ByteRange('a', 'z').Draw(t, "value")), n)
}

type pair struct{ k, v string }

func scan(t rapid.TB, tx *Txn, prefix, from []byte, during func(i int)) []pair {
	var got []pair
	err := tx.Scan(prefix, from, func(k, v []byte) bool {
		if v == nil {
			t.Fatalf("%q has a nil value", k)
		}
		if during != nil {
			during(len(got))
		}
		// After during, which must not have changed them.
		got = append(got, pair{string(k), string(v)})
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func scanModel(m map[string]string, prefix, from string) []pair {
	var want []pair
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(k, prefix) && k >= from {
			want = append(want, pair{k, m[k]})
		}
	}
	return want
}

func TestTxnBehavesLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fs, before := vfs.NewMem(), taken.Load()
		holds := rapid.Bool().Draw(t, "holds")
		open := func() (*Store, *Txn) {
			s, err := Open("dir", quiet(fs))
			if err != nil {
				t.Fatal(err)
			}
			s.writeBacks.bytes = 100_000 // full after a value or two
			if holds {
				return s, s.Partition(7).WriteBack()
			}
			return s, s.Partition(7).Begin()
		}
		s, tx := open()
		now := time.Unix(1_700_000_000, 0).UTC()
		defer func() {
			tx.Abandon()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if n := taken.Load() - before; n != 0 {
				t.Fatalf("%d bytes are not given back", n)
			}
		}()
		// Neighbours that must not be seen, nor lost.
		for _, n := range []int32{6, 8} {
			other := s.Partition(n).Begin()
			other.Put([]byte("\xff"), []byte("other"))
			if err := other.Commit(Checkpoint{Offset: 1}); err != nil {
				t.Fatal(err)
			}
		}
		m := &model{committed: map[string]string{}, offset: -1}
		m.discard()
		// What was committed with each checkpoint, which must all differ.
		history := map[int64]map[string]string{}
		compare := func(t *rapid.T) {
			cp, ok, err := s.Partition(7).Checkpoint()
			if err != nil || ok != (m.offset >= 0) || ok && cp.Offset != m.offset {
				t.Fatalf("checkpoint %v, %v, %v after opening again, want %d", cp, ok, err, m.offset)
			}
		}

		put := func(k, v string) {
			tx.Put([]byte(k), []byte(v))
			m.now[k], m.touched[k] = v, true
			if len(v)%2 == 1 {
				tx.Mark([]byte(k))
				m.marked[k] = true
			}
		}
		del := func(k string) {
			tx.Delete([]byte(k))
			delete(m.now, k)
			m.touched[k] = true
		}
		// Many small steps rather than rapid's Repeat, of which there would be
		// too few between two commits.
		t.Repeat(map[string]func(*rapid.T){
			"put":    func(t *rapid.T) { put(drawKey(t), drawValue(t)) },
			"delete": func(t *rapid.T) { del(drawKey(t)) },
			"record": func(t *rapid.T) {
				// As a processor does: read, change, write, again and again.
				tx.Savepoint()
				m.save()
				k := drawKey(t)
				v, err := tx.Get([]byte(k))
				if err != nil {
					t.Fatal(err)
				}
				tx.Put([]byte(k), append(v, 'r'))
				m.now[k] += "r"
				m.touched[k] = true
			},
			"get": func(t *rapid.T) {
				k := drawKey(t)
				v, err := tx.Get([]byte(k))
				want, ok := m.now[k]
				if err != nil || (v != nil) != ok || string(v) != want {
					t.Fatalf("%q is %.20q, %v, want %.20q, %v", k, v, err, want, ok)
				}
			},
			"get near": func(t *rapid.T) {
				for range 3 {
					k := drawKey(t)
					v, err := tx.GetPrefetch([]byte(k), rapid.IntRange(0, len(k)).Draw(t, "alike"))
					want, ok := m.now[k]
					if err != nil || (v != nil) != ok || string(v) != want {
						t.Fatalf("%q is %.20q, %v, want %.20q, %v", k, v, err, want, ok)
					}
				}
			},
			"get rare": func(t *rapid.T) {
				for range 3 {
					k := drawKey(t)
					v, err := tx.GetRare([]byte(k))
					want, ok := m.now[k]
					if err != nil || (v != nil) != ok || string(v) != want {
						t.Fatalf("%q is %.20q, %v, want %.20q, %v", k, v, err, want, ok)
					}
				}
			},
			"scan": func(t *rapid.T) {
				prefix, from := drawKey(t), drawKey(t)
				var start []byte
				if from != "" {
					start = []byte(from)
				}
				want := scanModel(m.now, prefix, from)
				var during func(int)
				if rapid.Bool().Draw(t, "change during") {
					during = func(int) {
						k := drawKey(t)
						if rapid.Bool().Draw(t, "delete") {
							del(k)
						} else {
							put(k, drawValue(t))
						}
						if v, err := tx.GetPrefetch([]byte(k), 0); err != nil || string(v) != m.now[k] {
							t.Fatalf("%q is %.20q, %v, want %.20q", k, v, err, m.now[k])
						}
						if inner := scan(t, tx, []byte(prefix), nil, nil); !slices.Equal(inner, scanModel(m.now, prefix, "")) {
							t.Fatal("a scan within a scan does not show the state at its start")
						}
					}
				}
				if got := scan(t, tx, []byte(prefix), start, during); !slices.Equal(got, want) {
					t.Fatalf("scan of %q from %q: %.200q, want %.200q", prefix, from, got, want)
				}
			},
			"savepoint": func(t *rapid.T) {
				tx.Savepoint()
				m.save()
			},
			"rollback": func(t *rapid.T) {
				tx.RollbackToSavepoint()
				m.now, m.touched, m.marked = maps.Clone(m.saved), maps.Clone(m.touchedSaved), maps.Clone(m.markedSaved)
			},
			"commit": func(t *rapid.T) {
				m.offset = rapid.Int64Range(0, 1<<62).Filter(func(n int64) bool { return history[n] == nil }).Draw(t, "offset")
				now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "seconds")) * time.Second)
				if err := tx.Commit(Checkpoint{Offset: m.offset, Identity: "id", At: now}); err != nil {
					t.Fatal(err)
				}
				m.committed = maps.Clone(m.now)
				history[m.offset] = m.committed
				m.discard()
			},
			"discard": func(t *rapid.T) {
				tx.Discard()
				m.discard()
			},
			"flush": func(t *rapid.T) {
				if err := s.db.Flush(); err != nil {
					t.Fatal(err)
				}
			},
			"close": func(t *rapid.T) {
				if err := tx.Close(); err != nil {
					t.Fatal(err)
				}
				tx = s.Partition(7).Begin()
				if holds {
					tx = s.Partition(7).WriteBack()
				}
				m.discard()
				compare(t)
			},
			"reopen": func(t *rapid.T) {
				if err := tx.Close(); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s, tx = open()
				m.discard()
				compare(t)
			},
			"crash": func(t *rapid.T) {
				tx.Abandon()
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s, tx = open()
				cp, ok, err := s.Partition(7).Checkpoint()
				if err != nil {
					t.Fatal(err)
				}
				// It is back at one of the commits, and a crash later never at
				// one before it.
				m.offset, m.committed = -1, map[string]string{}
				if ok {
					m.offset, m.committed = cp.Offset, history[cp.Offset]
				}
				m.discard()
			},
			"": func(t *rapid.T) { checkChanges(t, tx, m) },
		})
		if got := scan(t, tx, nil, nil, nil); !slices.Equal(got, scanModel(m.now, "", "")) {
			t.Fatalf("at the end: %.200q", got)
		}
	})
}

// checkChanges compares what the transaction would send to the changelog.
func checkChanges(t *rapid.T, tx *Txn, m *model) {
	n, size := 0, 0
	seen := map[string]bool{}
	for c := range tx.Changes {
		k, v := c.Key, c.Value
		n++
		size += len(k) + len(v)
		if seen[string(k)] {
			t.Fatalf("%q comes twice", k)
		}
		seen[string(k)] = true
		if c.Marked != m.marked[string(k)] {
			t.Fatalf("%q: marked is %v", k, c.Marked)
		}
		if want, ok := m.now[string(k)]; !m.touched[string(k)] || ok != (v != nil) || want != string(v) {
			t.Fatalf("change of %q to %.20q, want %.20q, %v", k, v, want, ok)
		}
	}
	if n != tx.Len() || size != tx.Bytes() {
		t.Fatalf("%d changes of %d bytes, but Len is %d and Bytes %d", n, size, tx.Len(), tx.Bytes())
	}
	for k := range m.touched {
		_, exists := m.now[k]
		_, existed := m.committed[k]
		if !seen[k] && (exists || existed) {
			t.Fatalf("the change of %q is missing", k)
		}
	}
}

func TestDeleteOfWhatNeverWasIsLeftOut(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	p := s.Partition(1)
	write(t, p, "old", "1", 1)
	tx := p.Begin()
	for _, k := range []string{"old", "new"} {
		_, err := tx.Get([]byte(k))
		check(t, err)
	}
	for _, k := range []string{"new", "old", "not read"} {
		tx.Put([]byte(k), []byte("v"))
		tx.Delete([]byte(k))
	}
	var got []string
	for c := range tx.Changes {
		if c.Value != nil {
			t.Errorf("%q has a value", c.Key)
		}
		got = append(got, string(c.Key))
	}
	if want := []string{"old", "not read"}; !slices.Equal(got, want) {
		t.Fatalf("deletes of %q, want %q", got, want)
	}
	check(t, tx.Commit(Checkpoint{Offset: 2}))
	wantContents(t, p, 2)
}

func TestScanBounds(t *testing.T) {
	keys := []string{"", "\x00", "a", "a\xff", "a\xff\xff", "a\xff\xffz", "b", "\xfe", "\xff", "\xff\xff", "\xff\xff\xff"}
	for _, where := range []string{"committed", "overlay", "both"} {
		t.Run(where, func(t *testing.T) {
			s := openIn(t, vfs.NewMem(), "dir")
			all := map[string]string{}
			tx := s.Partition(1<<31 - 1).Begin()
			for i, k := range keys {
				all[k] = "v"
				write(t, s.Partition(1<<31-2), k, "neighbour", 1)
				if where == "committed" || where == "both" && i%2 == 0 {
					write(t, s.Partition(1<<31-1), k, "v", 1)
				} else {
					tx.Put([]byte(k), []byte("v"))
				}
			}
			for _, prefix := range keys {
				for _, from := range keys {
					got := scan(t, tx, []byte(prefix), []byte(from), nil)
					if want := scanModel(all, prefix, from); !slices.Equal(got, want) {
						t.Errorf("scan of %q from %q: %q, want %q", prefix, from, got, want)
					}
				}
			}
			tx.Discard()
		})
	}
}

func TestScanStopsWhenToldTo(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	p := s.Partition(1)
	write(t, p, "a", "1", 1)
	tx := p.Begin()
	defer tx.Discard()
	tx.Put([]byte("b"), []byte("2"))
	for stop := 1; stop <= 2; stop++ {
		n := 0
		check(t, tx.Scan(nil, nil, func(k, v []byte) bool { n++; return n < stop }))
		if n != stop {
			t.Errorf("%d keys, stopped at %d", n, stop)
		}
	}
}

func TestTxnEndsNothingDuringAScan(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(1).Begin()
	defer tx.Discard()
	tx.Put([]byte("a"), nil)
	for name, f := range map[string]func(){
		"Savepoint": tx.Savepoint, "RollbackToSavepoint": tx.RollbackToSavepoint, "Discard": tx.Discard,
		"Commit": func() { _ = tx.Commit(Checkpoint{}) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), name) {
					t.Errorf("%s during a scan: %v", name, r)
				}
			}()
			_ = tx.Scan(nil, nil, func(k, v []byte) bool { f(); return true })
		}()
	}
	if tx.Len() != 1 {
		t.Error("the change is gone")
	}
}

func TestFailedCommitKeepsTheTxn(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	p := s.Partition(1)
	tx := p.Begin()
	tx.Put([]byte("a"), []byte("1"))
	if err := tx.Commit(Checkpoint{Offset: -4}); err == nil {
		t.Fatal("a negative offset was taken")
	}
	wantContents(t, p, -1)
	check(t, tx.Commit(Checkpoint{Offset: 4}))
	wantContents(t, p, 4, "a=1")
}

func TestTxnWorksOnWithoutRemembering(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	p := s.Partition(1)
	write(t, p, "a", "1", 1)
	tx := p.Begin()
	defer tx.Discard()
	tx.Put([]byte("big"), bytes.Repeat([]byte("x"), cacheLimit))
	for range 2 {
		v, err := tx.Get([]byte("a"))
		if err != nil || string(v) != "1" {
			t.Fatalf("a is %q, %v", v, err)
		}
		if v, err := tx.Get([]byte("b")); err != nil || v != nil {
			t.Fatalf("b is %q, %v", v, err)
		}
	}
	if n := tx.entries.len(); n != 1 {
		t.Fatalf("%d keys remembered", n)
	}
}

func TestHotKeyDoesNotFillMemory(t *testing.T) {
	s := openIn(t, vfs.NewMem(), "dir")
	tx := s.Partition(1).Begin()
	defer tx.Discard()
	value := bytes.Repeat([]byte("x"), 1000)
	for range 1000 {
		tx.Savepoint()
		tx.Put([]byte("hot"), value)
		tx.Put([]byte("hot"), value)
	}
	if tx.arena.size > 4000 {
		t.Fatalf("%d bytes in the arena", tx.arena.size)
	}
}

func TestScanAfterAnEmptyRange(t *testing.T) {
	// Bounds the wrong way round, given to Pebble, spoil the iterator's next use.
	s := openIn(t, vfs.NewMem(), "dir")
	p := s.Partition(7)
	for _, n := range []int32{6, 8} {
		write(t, s.Partition(n), "\xff", "neighbour", 1)
	}
	write(t, p, "a\x00", "v", 4)
	check(t, s.db.Flush())
	tx := p.Begin()
	defer tx.Discard()
	if got := scan(t, tx, []byte("\x00aa"), []byte("b"), nil); len(got) != 0 {
		t.Fatalf("%q begin with what is below b", got)
	}
	if got := scan(t, tx, []byte("a"), nil, nil); len(got) != 1 {
		t.Fatalf("then %q", got)
	}
}
