package audit_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"

	"handprint/attribution"
	"handprint/internal/audit"
	"handprint/state"
	"handprint/topology"
)

// deleteInput deletes the input up to where it ends now, and returns how many
// offsets that are.
func (a *app) deleteInput() (n int64) {
	a.t.Helper()
	admin := kadm.NewClient(a.client)
	topics := []string{a.names.Observations, a.names.IdentityEvents}
	starts, err := admin.ListStartOffsets(a.t.Context(), topics...)
	if err != nil {
		a.t.Fatal(err)
	}
	ends, err := admin.ListEndOffsets(a.t.Context(), topics...)
	if err != nil {
		a.t.Fatal(err)
	}
	all := make(kadm.Offsets)
	ends.Each(func(e kadm.ListedOffset) {
		start, _ := starts.Lookup(e.Topic, e.Partition)
		n += e.Offset - start.Offset
		all.AddOffset(e.Topic, e.Partition, e.Offset, -1)
	})
	deleted, err := admin.DeleteRecords(a.t.Context(), all)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

// Input that is deleted before the application has read it is a gap that an audit
// steps over as the application did: it says how much that was, and the rest is as
// the input has it. What was read and deleted it can check only if it was collected
// before.
func TestInputThatWasDeleted(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			prefix := fmt.Sprintf("gaps%d.", seed)
			fs := vfs.NewMem()
			run := func() *app {
				return startAppIn(t, b, prefix, 3, attribution.DefaultRegistry(), "store", state.Options{FS: fs}, func(c *topology.Config) {
					c.Runtime.InstanceID = "gaps"
				})
			}
			a := run()
			g := &generator{Rand: rand.New(rand.NewPCG(seed, 7)), app: a, attackers: 12, misrouted: 4}
			following := a.auditor(a.options())
			advance := func(lost int64) {
				t.Helper()
				report, err := following.Advance(t.Context())
				clean(t, report, err)
				counted := a.processor.Status().LostOffsets // since it was started, behind the last gap
				if counted[a.names.Observations]+counted[a.names.IdentityEvents] != report.InputLost && lost > 0 {
					t.Fatalf("the processor has counted %v, the audit %d", counted, report.InputLost)
				}
				if report.InputLost != lost || report.CommandsLost != 0 {
					t.Fatalf("%d offsets of the input are said to be lost, %d of the commands, want %d: %q", report.InputLost, report.CommandsLost, lost, report.Notes)
				}
			}
			total := int64(0)
			for n := range 3 {
				a.put(g.round(100, 6)...)
				if n > 0 { // read, collected, and then deleted
					if err := following.Collect(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				advance(0)
				a.stop()
				a.put(g.round(100, 6)...)
				if n > 0 {
					if err := following.Collect(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				gone := a.deleteInput()
				if n == 0 {
					gone -= 100 // was read
				} else {
					gone = 100
				}
				total += gone
				a = run()
				g.app = a
				a.put(g.round(100, 6)...)
				advance(gone)
			}
			if total == 0 {
				t.Fatal("nothing was lost")
			}
			// Who comes now has not seen what was read and deleted.
			_, err := audit.Run(t.Context(), a.options())
			if !errors.Is(err, audit.ErrHistoryGone) {
				t.Errorf("an audit of everything: %v", err)
			}
		})
	}
}

// An application that never read what was deleted is audited as a whole: whether it
// was there before, or begins behind it.
func TestInputThatNobodyRead(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprintf("it was there before %v", before), func(t *testing.T) {
			fs := vfs.NewMem()
			run := func() *app {
				return startAppIn(t, b, fmt.Sprintf("unread-%v.", before), 2, attribution.DefaultRegistry(), "store", state.Options{FS: fs})
			}
			a := run()
			if before {
				a.tick()
				report, err := a.auditor(a.options()).Advance(t.Context())
				clean(t, report, err)
			}
			a.stop()
			g := &generator{Rand: rand.New(rand.NewPCG(1, 8)), app: a, attackers: 12}
			a.put(g.round(300, 8)...)
			gone := a.deleteInput()
			a = run()
			a.put(g.round(300, 8)...)
			report, err := audit.Run(t.Context(), a.options())
			clean(t, report, err)
			if want := map[bool]int64{true: gone}[before]; report.InputLost != want || (len(report.Notes) > 0) != before {
				t.Errorf("%d offsets are said to be lost, want %d: %q", report.InputLost, want, report.Notes)
			}
		})
	}
}
