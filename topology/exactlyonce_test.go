package topology_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/processor"
	"handprint/processor/clocktest"
	"handprint/schemas"
)

var errCrash = errors.New("crash of the test")

// What becomes of the store in a crash.
type loss int

const (
	nothingLost  loss = iota // the process died
	unsyncedLost             // the machine died
	storeLost                // and its disk
)

var losses = []string{"store kept", "unsynced writes lost", "store lost"}

// crash is one that will happen when `after` batches have passed the step.
type crash struct {
	step  processor.Step
	loss  loss
	after int
}

func (c crash) String() string { return fmt.Sprintf("%s, %s", c.step, losses[c.loss]) }

// crashes is a schedule: one crash after the other, as often as it is armed.
type crashes struct {
	mu       sync.Mutex
	rand     *rand.Rand
	next     int // counts through steps and losses
	armed    *crash
	happened []crash

	app  *app
	disk *vfs.MemFS // as the last crash left it, if unsynced writes are lost
}

func (c *crashes) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed != nil {
		return
	}
	steps := processor.Steps()
	c.armed = &crash{step: steps[c.next%len(steps)], loss: loss(c.next % len(losses)), after: c.rand.IntN(3)}
	c.next++
}

func (c *crashes) fault(step processor.Step, _ []int32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if step == processor.AfterApply {
		// What the store holds in memory is written by another goroutine from the
		// next batch on, which is then under way at some crashes.
		c.app.config.Runtime.Clock.(*clocktest.Clock).Advance(5 * time.Second)
	}
	if c.armed == nil || step != c.armed.step {
		return nil
	}
	if c.armed.after--; c.armed.after >= 0 {
		return nil
	}
	if c.armed.loss == unsyncedLost {
		// Now, and not when the application has ended and given up its store.
		c.disk = c.app.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[c.rand.IntN(3)], RNG: c.rand})
	}
	c.happened = append(c.happened, *c.armed)
	c.armed = nil
	return fmt.Errorf("%w %s", errCrash, step)
}

// TestCrashesChangeNothing crashes an application again and again, at every
// step of a transaction, with and without its store, while it works on a
// history with all there is: observations, links, merges and unmerges, bad
// records, sweeps. What it sends, read committed, must be what the same
// application sends without a crash: each row's transitions with their ids,
// each identity's suspicions, each dead letter once, and the rows.
func TestCrashesChangeNothing(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	covered := make(map[string]int)
	t.Run("histories", func(t *testing.T) {
		for seed := range uint64(2) {
			for _, partitions := range []int32{1, 4} {
				t.Run(fmt.Sprintf("seed=%d/partitions=%d", seed, partitions), func(t *testing.T) {
					t.Parallel()
					b := startBroker(t)
					h := newHistory(rand.New(rand.NewPCG(seed, uint64(partitions))), 6, 8)
					want := runHistory(t, newHistoryApp(t, b, partitions, 1, nil, nil), h, nil)
					mu.Lock()
					for at := range want {
						what, _, _ := strings.Cut(at, " ")
						covered[what]++
					}
					mu.Unlock()
					for _, threads := range []int{1, 2} {
						t.Run(fmt.Sprintf("threads=%d", threads), func(t *testing.T) {
							rnd := rand.New(rand.NewPCG(seed, uint64(partitions)*10+uint64(threads)))
							schedule := &crashes{rand: rnd, next: int(seed)*10 + threads*7 + int(partitions)*3}
							fs := vfs.NewCrashableMem()
							got := runHistory(t, newHistoryApp(t, b, partitions, threads, fs, schedule.fault), h, schedule)
							if diff := diffOutputs(want, got); diff != "" {
								t.Errorf("after crashes %v: %s", schedule.happened, diff)
							}
							mu.Lock()
							defer mu.Unlock()
							for _, c := range schedule.happened {
								covered[c.String()]++
							}
						})
					}
				})
			}
		}
	})
	for _, what := range []string{"transitions", "suspicions", "row", "dead"} {
		if covered[what] == 0 {
			t.Errorf("the histories lead to no %s: they test nothing", what)
		}
	}
	for _, step := range processor.Steps() {
		for l := range losses {
			if c := (crash{step: step, loss: loss(l)}); covered[c.String()] == 0 {
				t.Errorf("no crash %s", c)
			}
		}
	}
}

// TestCrashesChangeNothingOfWhatIsForgotten does the same to an application that
// forgets, with sweeps that forget some attackers and only look at others.
func TestCrashesChangeNothingOfWhatIsForgotten(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	for _, partitions := range []int32{1, 4} {
		t.Run(fmt.Sprintf("partitions=%d", partitions), func(t *testing.T) {
			t.Parallel()
			h := newForgettingHistory(rand.New(rand.NewPCG(7, uint64(partitions))), 8, 12)
			run := func(a *app, schedule *crashes) (sent map[string][]string, forgotten, left int) {
				a.config.Engine.Retention = historyRetention
				sent = runHistory(t, a, h, schedule)
				gone := make(map[string]bool)
				for _, r := range a.read(a.names.State) {
					gone[string(r.Key)] = r.Value == nil
				}
				for _, is := range gone {
					if is {
						forgotten++
					} else {
						left++
					}
				}
				return sent, forgotten, left
			}
			want, forgotten, left := run(newHistoryApp(t, b, partitions, 1, nil, nil), nil)
			if forgotten == 0 || left == 0 {
				t.Fatalf("%d rows are gone and %d are there: that proves nothing", forgotten, left)
			}
			t.Logf("%d rows are gone, %d are there", forgotten, left)
			schedule := &crashes{rand: rand.New(rand.NewPCG(7, uint64(partitions))), next: int(partitions)}
			got, _, _ := run(newHistoryApp(t, b, partitions, 2, vfs.NewCrashableMem(), schedule.fault), schedule)
			if diff := diffOutputs(want, got); diff != "" {
				t.Errorf("after crashes %v: %s", schedule.happened, diff)
			}
			if len(schedule.happened) == 0 {
				t.Error("nothing crashed")
			}
		})
	}
}

// How much of the input is in one transaction changes nothing of what is sent. The
// ids of events are left out: a row that came into being because an attacker was
// claimed has its id from the claim, a command that no two runs send at the same
// time.
func TestTheSizeOfTransactionsChangesNothing(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		for _, partitions := range []int32{1, 4} {
			t.Run(fmt.Sprintf("seed=%d/partitions=%d", seed, partitions), func(t *testing.T) {
				t.Parallel()
				b := startBroker(t)
				h := newHistory(rand.New(rand.NewPCG(100+seed, uint64(partitions))), 12, 8)
				var commits [2]atomic.Int64
				var sent [2]map[string][]string
				for i, records := range []int{1, 1000} {
					a := newHistoryApp(t, b, partitions, 1, nil, nil)
					a.config.Runtime.MaxBatchRecords, a.config.Runtime.TurnRecords = records, records
					a.config.Runtime.Hooks.Batch = func(processor.BatchReport) { commits[i].Add(1) }
					sent[i] = runHistory(t, a, h, nil)
					for _, list := range sent[i] {
						for j, value := range list {
							if id := eventID([]byte(value)); id != "" {
								list[j] = strings.ReplaceAll(value, id, "ID")
							}
						}
					}
				}
				if diff := diffOutputs(sent[0], sent[1]); diff != "" {
					t.Error(diff)
				}
				if few, many := commits[1].Load(), commits[0].Load(); few == 0 || 2*few > many {
					t.Errorf("%d transactions instead of %d: they are hardly larger", few, many)
				}
			})
		}
	}
}

var appsStarted = struct {
	sync.Mutex
	n int
}{}

func newHistoryApp(t *testing.T, b *broker.Embedded, partitions int32, threads int, fs vfs.FS, fault func(processor.Step, []int32) error) *app {
	t.Helper()
	appsStarted.Lock()
	appsStarted.n++
	prefix := fmt.Sprintf("app%d-", appsStarted.n)
	appsStarted.Unlock()
	registry, err := attribution.NewRegistry(historyKinds)
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t, b, options{prefix: prefix, partitions: partitions, threads: threads, registry: registry, fs: fs, fault: fault, bulk: 1 + int(partitions)<<8})
	a.config.Runtime.StaticMembership = true // so that a restart need not wait for a session to time out
	a.config.Runtime.MaxBatchRecords, a.config.Runtime.TurnRecords = 7, 3
	return a
}

// runHistory runs the application over the history, with crashes if there is a
// schedule, and returns what it sent.
func runHistory(t *testing.T, a *app, h history, schedule *crashes) map[string][]string {
	t.Helper()
	if schedule != nil {
		schedule.app = a
	}
	a.start()
	for _, phase := range h {
		for again := range 2 {
			if schedule != nil {
				schedule.arm()
			}
			if again == 0 {
				a.putAll(a.records(phase))
			}
			if !a.settleOrCrash(schedule) {
				break
			}
		}
		for a.settleOrCrash(schedule) {
		}
	}
	if err := a.end(); err != nil && !errors.Is(err, errCrash) {
		t.Error(err)
	}
	return a.summary()
}

// settleOrCrash waits until nothing is left to do, or for a crash, after which
// it starts the application again.
func (a *app) settleOrCrash(schedule *crashes) (crashed bool) {
	a.t.Helper()
	err := a.await()
	if err == nil {
		return false
	}
	if !errors.Is(err, errCrash) || schedule == nil {
		a.t.Fatal(err)
	}
	last := schedule.happened[len(schedule.happened)-1]
	fs := a.fs
	switch last.loss {
	case unsyncedLost:
		fs = schedule.disk
	case storeLost:
		fs = vfs.NewCrashableMem()
	}
	if err := a.store.Close(); err != nil {
		a.t.Fatal(err)
	}
	a.open(fs)
	offsets := a.offsets()
	a.forget()
	a.start()
	a.catchUp(offsets)
	return true
}

// summary is what the world can read of an application, by where it stands:
// the transitions of each row, the suspicions of each identity and the dead
// letters of each partition in their order, and the rows as they are.
func (a *app) summary() map[string][]string {
	a.t.Helper()
	sent := make(map[string][]string)
	ids := make(map[string]bool)
	suspicions := make(map[string][]string) // ids, in the order in which they come
	for _, r := range a.read(a.outputs()...) {
		value := string(r.Value)
		if id := eventID(r.Value); id != "" {
			if ids[id] {
				a.t.Errorf("event id %s stands twice", id)
			}
			ids[id] = true
		}
		switch r.Topic {
		case a.names.StateChanged:
			tr, err := schemas.DecodeTransitionJSON(r.Value)
			if err != nil {
				a.t.Fatalf("transition %s: %v", r.Value, err)
			}
			at := "transitions of " + tr.Identity + "/" + tr.Primitive
			sent[at] = append(sent[at], value)
		case a.names.MultiActorSuspects:
			// Its id is of the tick that it was found at, whose offset
			// depends on what stands before it; so is the id of the
			// suspicion, which stays a name: the n-th of its identity.
			at := "suspicions of " + string(r.Key)
			if id := textField(r.Value, "suspicion_id"); id != "" {
				ids, known := suspicions[at], slices.Index(suspicions[at], id)
				if known < 0 {
					known, suspicions[at] = len(ids), append(ids, id)
				}
				value = strings.ReplaceAll(value, id, fmt.Sprintf("SUSPICION %d", known))
			}
			sent[at] = append(sent[at], strings.ReplaceAll(value, eventID(r.Value), "ID"))
		case a.names.State:
			at := "row " + string(r.Key)
			if delete(sent, at); r.Value != nil {
				row, err := schemas.DecodeStateRowJSON(r.Value)
				if err != nil {
					a.t.Fatalf("row %s: %v", r.Value, err)
				}
				row.Row.UpdatedAt = 0
				sent[at] = []string{string(schemas.AppendStateRowJSON(nil, &row))}
			}
		case a.names.IdentityChanged:
			c, err := schemas.DecodeIdentityChangeJSON(r.Value)
			if err != nil {
				a.t.Fatalf("change of an identity %s: %v", r.Value, err)
			}
			c.Version = 0 // claims are numbered too, and their order is free
			at := "changes of " + c.Identity
			sent[at] = append(sent[at], string(schemas.AppendIdentityChangeJSON(nil, &c)))
		case a.names.Identities:
			m, err := schemas.DecodeMembershipJSON(r.Value)
			if err != nil {
				a.t.Fatalf("identity %s: %v", r.Value, err)
			}
			m.UpdatedAt, m.Version = 0, 0
			sent["identity "+m.Identity] = []string{string(schemas.AppendMembershipJSON(nil, &m))}
		case a.names.DeadLetter:
			var headers []string
			for _, h := range r.Headers {
				headers = append(headers, fmt.Sprintf("%s=%q", h.Key, h.Value))
			}
			topic, _ := schemas.Header(r.Headers, schemas.HeaderSourceTopic)
			partition, _ := schemas.Header(r.Headers, schemas.HeaderSourcePartition)
			at := fmt.Sprintf("dead letters of %s[%s]", topic, partition)
			text := fmt.Sprintf("%q %q %s", r.Key, r.Value, strings.Join(headers, " "))
			at, text = strings.ReplaceAll(at, a.prefix, ""), strings.ReplaceAll(text, a.prefix, "")
			sent[at] = append(sent[at], text)
		}
	}
	return sent
}

// diffOutputs says where two summaries differ first; empty if they do not.
func diffOutputs(want, got map[string][]string) string {
	keys := make(map[string]bool)
	for k := range want {
		keys[k] = true
	}
	for k := range got {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Equal(want[k], got[k]) {
			return fmt.Sprintf("%s\n got %s\nwant %s", k, strings.Join(got[k], "\n     "), strings.Join(want[k], "\n     "))
		}
	}
	return ""
}
