package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/bench/internal/proc"
	"handprint/state"
)

const listPath = "/api/v1/identities?limit=50"

// firstList waits until lists answer, and returns how long after the start of the
// process that was, and what it had used by then.
func (r *rig) firstList(ctx context.Context) (wall time.Duration, u proc.Usage, err error) {
	s, err := r.side.ask()
	if err != nil {
		return 0, u, err
	}
	for {
		_, code, body, err := get(ctx, s.URL+listPath)
		switch {
		case err != nil:
			return 0, u, err
		case code == http.StatusOK:
			return time.Since(r.side.began), r.side.used(), nil
		case code != http.StatusServiceUnavailable:
			return 0, u, fmt.Errorf("the list answers %d: %.300s", code, body)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// measureStart times starts on a copy that is complete: without the snapshot of the
// catalogue, and with it.
func (r *rig) measureStart(ctx context.Context) error {
	if err := errors.Join(r.stopSide(), os.RemoveAll(r.snapshot())); err != nil {
		return err
	}
	for _, what := range []string{"without a snapshot", "with a snapshot"} {
		if err := r.startSide(); err != nil {
			return err
		}
		wall, u, err := r.firstList(ctx)
		if err != nil {
			return err
		}
		s, err := r.side.ask()
		if err != nil {
			return err
		}
		fmt.Printf("start %s, %d identities of %d rows: %.2f s to the first list, %.2f s of CPU, %d MB at the peak, catalogue %d MB\n",
			what, r.identities, len(r.primitives), wall.Seconds(), u.CPU.Seconds(), u.Peak>>20, s.Catalog>>20)
		if err := r.stopSide(); err != nil {
			return err
		}
	}
	return nil
}

// changes returns records of the changelog as an engine writes them: rows of random
// identities that become like the row of another.
func (r *rig) changes(n int) (list []*kgo.Record, err error) {
	store, err := state.Open(filepath.Join(r.serveDir(), "copy"), state.Options{ReadOnly: true, Logger: newLogger()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	type row struct {
		rest  string // of the key, behind the id
		value []byte
	}
	var rows []row
	for i := range min(1000, r.templates) {
		attacker := attackerOf(i)
		stub := attribution.Stub([]byte(attacker))
		s := store.Partition(attribution.AttackerPartition(attacker, int32(r.partitions))).Snapshot()
		err := s.Scan(append([]byte{'r', 1}, stub[:]...), nil, func(key, value []byte) bool {
			rows = append(rows, row{string(key[idEnd:]), slices.Clone(value)})
			return true
		})
		s.Close()
		if err != nil {
			return nil, err
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("the copy has no rows")
	}
	for range n {
		attacker := attackerOf(r.random.IntN(r.identities))
		stub := attribution.Stub([]byte(attacker))
		to := rows[r.random.IntN(len(rows))]
		list = append(list, &kgo.Record{
			Topic: r.names.Changelog, Partition: attribution.AttackerPartition(attacker, int32(r.partitions)), Key: append(append([]byte{'r', 1}, stub[:]...), to.rest...), Value: to.value,
		})
	}
	return list, nil
}

// measureFollow times how long the read side takes for records that it finds in the
// changelog, over a start without any.
func (r *rig) measureFollow(ctx context.Context) error {
	if err := r.startSide(); err != nil { // for a snapshot
		return err
	}
	if _, err := r.await(ctx, func(s status) bool { return s.Ready && s.Lag == 0 }); err != nil {
		return err
	}
	if err := r.stopSide(); err != nil {
		return err
	}
	list, err := r.changes(r.records)
	if err != nil {
		return err
	}
	var walls [2]time.Duration
	var cpus [2]time.Duration
	for i := range 2 {
		if i == 1 {
			if err := r.client.ProduceSync(ctx, list...).FirstErr(); err != nil {
				return err
			}
		}
		if err := r.startSide(); err != nil {
			return err
		}
		s, err := r.await(ctx, func(s status) bool { return s.Ready && s.Lag == 0 && (i == 0 || s.Applied >= int64(len(list))) })
		if err != nil {
			return err
		}
		if s.Bad > 0 {
			return fmt.Errorf("%d records could not be read", s.Bad)
		}
		walls[i], cpus[i] = time.Since(r.side.began), r.side.used().CPU
		if err := r.stopSide(); err != nil {
			return err
		}
	}
	wall, cpu := walls[1]-walls[0], cpus[1]-cpus[0]
	n := float64(len(list))
	fmt.Printf("follower, %d records of the changelog at random in %d identities: %.0f records/s, %.2f us of CPU each: %.0f records/s and core\n",
		len(list), r.identities, n/wall.Seconds(), cpu.Seconds()*1e6/n, n/cpu.Seconds())
	return nil
}

// question is a kind of question; path returns one of it.
type question struct {
	name string
	path func() string
}

func (r *rig) questions() []question {
	stub := func() string { return attribution.Stub([]byte(attackerOf(r.random.IntN(r.identities)))).String() }
	var mu sync.Mutex // random is for one goroutine
	locked := func(f func() string) func() string {
		return func() string { mu.Lock(); defer mu.Unlock(); return f() }
	}
	hash := r.primitives[0]
	return []question{
		{"list, newest", func() string { return listPath }},
		{"list, multi_actor, with counts", func() string { return "/api/v1/identities?state=multi_actor&counts=states&limit=50" }},
		{"list, a value of a primitive", locked(func() string {
			return "/api/v1/identities?primitive=" + hash.Name + "&value=" + url.QueryEscape(valueOf(hash, r.random.IntN(r.templates), 0))
		})},
		{"list, most rows that are not stable", func() string { return "/api/v1/identities?sort=-unstable&limit=50" }},
		{"identity", locked(func() string { return "/api/v1/identities/" + stub() })},
		{"values of a primitive", func() string { return "/api/v1/primitives/" + hash.Name + "/values?limit=50" }},
		{"counts (overview)", func() string { return "/api/v1/overview" }},
		{"explain", locked(func() string {
			return "/api/v1/identities/" + stub() + "/explain/" + r.primitives[r.random.IntN(len(r.primitives))].Name
		})},
		{"search by a prefix", locked(func() string { return "/api/v1/search?q=" + stub()[:6] })},
	}
}

// timings are how long questions of a kind took.
type timings struct {
	mu   sync.Mutex
	took map[string][]time.Duration
	bad  map[string]int
}

func newTimings() *timings {
	return &timings{took: map[string][]time.Duration{}, bad: map[string]int{}}
}

func (t *timings) add(name string, d time.Duration, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !ok {
		t.bad[name]++
		return
	}
	t.took[name] = append(t.took[name], d)
}

func (t *timings) print(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Printf("| %-36s | %6s | %9s | %9s |\n| --- | --- | --- | --- |\n", "question", "asked", "p50 ms", "p99 ms")
	for _, name := range names {
		all := t.took[name]
		if len(all) == 0 {
			fmt.Printf("| %-36s | none answered, %d refused |\n", name, t.bad[name])
			continue
		}
		slices.Sort(all)
		at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Microseconds()) / 1000 }
		fmt.Printf("| %-36s | %6d | %9.1f | %9.1f |", name, len(all), at(0.5), at(0.99))
		if t.bad[name] > 0 {
			fmt.Printf(" %d refused", t.bad[name])
		}
		fmt.Println()
	}
}

// bestRate measures what the engine makes of a backlog when nothing else runs, once.
func (r *rig) bestRate(ctx context.Context) error {
	if r.best > 0 {
		return nil
	}
	if err := r.stopSide(); err != nil {
		return err
	}
	if err := r.backlogOf(ctx, r.backlog); err != nil {
		return err
	}
	if err := r.startEngine(); err != nil {
		return err
	}
	before, began := r.engine.used(), time.Now()
	rate, err := r.drain(ctx)
	if err != nil {
		return err
	}
	cpu := r.engine.used().CPU - before.CPU
	r.best = rate
	fmt.Printf("engine alone, %d observations at random in %d identities: %.0f a second, %.1f us of CPU each, %.1f s\n", r.backlog, r.identities, rate, cpu.Seconds()*1e6/float64(r.backlog), time.Since(began).Seconds())
	return nil
}

// warm is how long a rate is held before something is timed.
const warm = 5 * time.Second

// underLoad calls do while the engine works at a share of its best rate, with the read
// side's status once that has caught up.
func (r *rig) underLoad(ctx context.Context, do func(rate float64, s status) error) error {
	if r.best == 0 {
		if err := r.bestRate(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(r.startEngine(), r.startSide()); err != nil {
		return err
	}
	s, err := r.await(ctx, func(s status) bool { return s.Ready && s.Lag == 0 })
	if err != nil {
		return err
	}
	pacing, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	rate := r.best * r.share
	running.Go(func() { r.pace(pacing, rate) })
	defer running.Wait()
	defer stop()
	time.Sleep(warm)
	return do(rate, s)
}

// measureQueries asks questions while the engine works at a share of its best rate.
func (r *rig) measureQueries(ctx context.Context) error {
	return r.underLoad(ctx, func(rate float64, s status) error { return r.askUnderLoad(ctx, rate, s) })
}

func (r *rig) askUnderLoad(ctx context.Context, rate float64, s status) (err error) {
	began, before, engineBefore := time.Now(), r.side.used(), r.engine.used()
	if s, err = r.side.ask(); err != nil {
		return err
	}
	applied := s.Applied
	t := newTimings()
	questions := (&rig{plan: r.plan, primitives: r.primitives, random: newRandom()}).questions()
	asking, done := context.WithTimeout(ctx, r.hold)
	defer done()
	var asked sync.WaitGroup
	for i := range 2 { // two people ask, one question after the other
		asked.Go(func() {
			for n := i * len(questions) / 2; asking.Err() == nil; n++ {
				q := &questions[n%len(questions)]
				took, code, _, err := get(asking, s.URL+q.path())
				if asking.Err() == nil {
					t.add(q.name, took, err == nil && code == http.StatusOK)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	worst := int64(0)
	for asking.Err() == nil {
		if s, err = r.side.ask(); err != nil {
			return err
		}
		worst = max(worst, s.Lag)
		time.Sleep(100 * time.Millisecond)
	}
	asked.Wait()
	spent := time.Since(began)
	cpu := func(p *process, b proc.Usage) float64 {
		return 100 * (p.used().CPU - b.CPU).Seconds() / spent.Seconds()
	}
	fmt.Printf("questions while the engine works at %.0f observations/s (%.0f %% of its best): read side %.0f %% of a core, %.0f changelog records/s; engine %.0f %%; at most %d records behind; %d MB\n",
		rate, 100*r.share, cpu(r.side, before), float64(s.Applied-applied)/spent.Seconds(), cpu(r.engine, engineBefore), worst, r.side.used().Memory>>20)
	var names []string
	for _, q := range questions {
		names = append(names, q.name)
	}
	t.print(names)
	return nil
}
