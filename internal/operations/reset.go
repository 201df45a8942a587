package operations

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/processor"
	"handprint/state"
)

// ResetOptions say what a reset is to do beyond the least.
type ResetOptions struct {
	// From is the time of the first observation to read again; zero is the
	// oldest that the topic still has. Identity events are always read from
	// the oldest: without them nobody knows whose an attacker is.
	From time.Time
	// Outputs has the output topics deleted and made anew as well.
	Outputs bool
	// StateDirs are state directories on this machine whose store is deleted.
	StateDirs []string
}

// Reset is a plan to begin an application again from nothing.
type Reset struct {
	app    *Application
	now    time.Time
	delete []string         // topics
	copies map[string]int16 // replication factor that they have, and are to have again
	offset kadm.Offsets
	stores []string

	// Steps say what Execute does, in order, a line for each.
	Steps []string
	// Notes are what it does not do and somebody has to know.
	Notes []string
}

// ErrRunning means that the application runs, or ran a moment ago.
var ErrRunning = errors.New("the application runs")

// PlanReset looks what there is to reset. It changes nothing. The error is
// ErrRunning while the group has members or a store is in use.
func PlanReset(ctx context.Context, cl *kgo.Client, a *Application, o ResetOptions) (*Reset, error) {
	adm := kadm.NewClient(cl)
	group, err := describeGroup(ctx, adm, a.ID)
	if err != nil {
		return nil, err
	}
	if err := refuseMembers(&group); err != nil {
		return nil, err
	}
	r := &Reset{app: a, now: time.Now(), copies: make(map[string]int16)}
	step := func(format string, args ...any) { r.Steps = append(r.Steps, fmt.Sprintf(format, args...)) }
	if group.State != deadGroup {
		step("delete the consumer group %s with its offsets", a.ID)
	}
	candidates := []string{a.Names.Changelog, a.Names.Commands}
	if o.Outputs {
		candidates = append(candidates, a.outputs()...)
	}
	infos, err := broker.List(ctx, cl, a.specs())
	if err != nil {
		return nil, err
	}
	for _, name := range candidates {
		i := slices.IndexFunc(infos, func(t broker.TopicInfo) bool { return t.Name == name })
		if i < 0 || !infos[i].Exists {
			continue
		}
		r.delete = append(r.delete, name)
		r.copies[name] = int16(infos[i].ReplicationFactor)
		step("delete topic %s (%d partitions, %d offsets) and make it anew, empty", name, infos[i].Partitions, infos[i].Records)
	}
	if o.From.IsZero() {
		step("read %s and %s from the oldest record", a.Names.Observations, a.Names.IdentityEvents)
	} else if err := r.planFrom(ctx, adm, o.From, step); err != nil {
		return nil, err
	}
	step("note in each partition of topic %s that the application begins anew, and where it reads from", a.Names.Changelog)
	for _, dir := range o.StateDirs {
		store := filepath.Join(dir, "store")
		if err := deletable(store); err != nil {
			return nil, err
		}
		r.stores = append(r.stores, store)
		step("delete the store %s", store)
	}
	if !o.Outputs {
		r.Notes = append(r.Notes, fmt.Sprintf("The outputs stay. What is sent again has the same event ids as before; rows in %s are overwritten. --outputs deletes them too.", a.Names.State))
	}
	if len(o.StateDirs) == 0 {
		r.Notes = append(r.Notes, "State directories stay. A store of before the reset is noticed at the start and emptied; --state-dir deletes one on this machine now.")
	}
	return r, nil
}

func refuseMembers(g *kadm.DescribedGroup) error {
	if len(g.Members) == 0 {
		return nil
	}
	var names []string
	for i := range g.Members {
		names = append(names, memberName(&g.Members[i])+" at "+g.Members[i].ClientHost)
	}
	slices.Sort(names)
	return fmt.Errorf("%w: group %s has %d member(s), the first is %s: stop every process of it; one that was killed is a member until its session timeout is over",
		ErrRunning, g.Group, len(names), names[0])
}

// planFrom works out where the observations begin.
func (r *Reset) planFrom(ctx context.Context, adm *kadm.Client, from time.Time, step func(string, ...any)) error {
	topic := r.app.Names.Observations
	at, err := adm.ListOffsetsAfterMilli(ctx, from.UnixMilli(), topic)
	if err == nil {
		err = at.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the offsets of %s at %s: %w", topic, from.Format(time.RFC3339), err)
	}
	r.offset = make(kadm.Offsets)
	var skipped int64
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("asking for the oldest offsets: %w", err)
	}
	at.Each(func(o kadm.ListedOffset) {
		r.offset.AddOffset(topic, o.Partition, o.Offset, -1)
		if s, ok := starts.Lookup(topic, o.Partition); ok {
			skipped += max(0, o.Offset-s.Offset)
		}
	})
	step("read %s from %s on, leaving out %d older offsets, and %s from the oldest record", topic, from.Format(time.RFC3339), skipped, r.app.Names.IdentityEvents)
	return nil
}

// deletable returns nil for a store of handprint that nobody has open, and for
// one that is not there.
func deletable(store string) error {
	if _, err := os.Stat(store); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	s, err := state.Open(store, state.Options{ReadOnly: true})
	switch {
	case errors.Is(err, state.ErrLocked):
		return fmt.Errorf("%w: the store %s is in use", ErrRunning, store)
	case errors.Is(err, state.ErrCorrupt), errors.Is(err, state.ErrNewerVersion):
		return nil
	case err != nil:
		return fmt.Errorf("deleting the store %s: %w", store, err)
	}
	return s.Close()
}

// Execute does what the steps say. The group goes first, which the cluster
// refuses if a process has joined it meanwhile. After an error the application
// must not be started before another reset has gone through, for what it would
// find is half of one.
func (r *Reset) Execute(ctx context.Context, cl *kgo.Client) error {
	adm := kadm.NewClient(cl)
	_, err := adm.DeleteGroup(ctx, r.app.ID)
	switch {
	case errors.Is(err, kerr.NonEmptyGroup):
		return fmt.Errorf("%w: a process has joined group %s meanwhile; nothing was changed", ErrRunning, r.app.ID)
	case err != nil && !isNoGroup(err):
		return fmt.Errorf("deleting group %s: %w; nothing was changed", r.app.ID, err)
	}
	if err := r.recreate(ctx, cl, adm); err != nil {
		return unfinished(err)
	}
	if err := r.begin(ctx, cl, adm); err != nil {
		return unfinished(err)
	}
	if len(r.offset) > 0 {
		if err := adm.CommitAllOffsets(ctx, r.app.ID, r.offset); err != nil {
			return unfinished(fmt.Errorf("setting the offsets of group %s: %w", r.app.ID, err))
		}
	}
	for _, store := range r.stores {
		if err := deletable(store); err != nil {
			return unfinished(err)
		}
		if err := os.RemoveAll(store); err != nil {
			return unfinished(fmt.Errorf("deleting the store: %w", err))
		}
	}
	return nil
}

// recreate deletes topics and makes them anew, which takes until the cluster
// has forgotten them.
func (r *Reset) recreate(ctx context.Context, cl *kgo.Client, adm *kadm.Client) error {
	if len(r.delete) == 0 {
		return nil
	}
	before, err := adm.Metadata(ctx, r.delete...)
	if err != nil {
		return fmt.Errorf("asking for topics %s: %w", strings.Join(r.delete, ", "), err)
	}
	deleted, err := adm.DeleteTopics(ctx, r.delete...)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("deleting topics %s: %w", strings.Join(r.delete, ", "), err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := adm.Metadata(ctx, r.delete...)
		if err == nil && !slices.ContainsFunc(r.delete, func(name string) bool {
			t, ok := now.Topics[name]
			return ok && t.Err == nil && t.ID == before.Topics[name].ID
		}) {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until topics %s are gone: %w", strings.Join(r.delete, ", "), ctx.Err())
		}
	}
	var specs []broker.TopicSpec
	for _, s := range r.app.specs() {
		if slices.Contains(r.delete, s.Name) {
			if s.ReplicationFactor < 0 {
				s.ReplicationFactor = r.copies[s.Name]
			}
			specs = append(specs, s)
		}
	}
	_, err = broker.Ensure(ctx, cl, specs)
	return err
}

// begin writes into each partition of the changelog that the application begins
// anew: stores of before are void, and tasks begin to read at the positions given.
// The changelog is the truth about both.
func (r *Reset) begin(ctx context.Context, cl *kgo.Client, adm *kadm.Client) error {
	for _, s := range r.app.specs() {
		if s.Name != r.app.Names.Changelog {
			continue
		}
		if _, err := broker.Ensure(ctx, cl, []broker.TopicSpec{s}); err != nil {
			return err
		}
	}
	observations := r.app.Names.Observations
	topics, err := adm.Metadata(ctx, observations)
	if err != nil {
		return fmt.Errorf("asking for topic %s: %w", observations, err)
	}
	var records []*kgo.Record
	for task := range r.app.Layout.Partitions {
		p := processor.Positions{Nonce: rand.Uint64(), Reset: r.now.UnixMilli()}
		if o, ok := r.offset.Lookup(observations, task); ok {
			p.Inputs = []processor.Position{{Topic: observations, ID: topics.Topics[observations].ID, First: o.At, Next: o.At, Epoch: -1}}
		}
		records = append(records, processor.ResetRecord(r.app.Names.Changelog, task, &p))
	}
	writer, err := kgo.NewClient(append(cl.Opts(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return err
	}
	defer writer.Close()
	if err := writer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("writing to topic %s that the application begins anew: %w", r.app.Names.Changelog, err)
	}
	return nil
}

func unfinished(err error) error {
	return fmt.Errorf("the reset is not finished, repeat it before you start the application: %w", err)
}

// isNoGroup reports whether err says that a group does not exist.
func isNoGroup(err error) bool { return errors.Is(err, kerr.GroupIDNotFound) }
