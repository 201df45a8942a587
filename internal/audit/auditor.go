package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/unpack"
	"handprint/processor"
	"handprint/schemas"
)

// Auditor follows the topics of an application. It is for one goroutine.
type Auditor struct {
	o       Options
	writers *schemas.Writers // of the outputs
	client  *kgo.Client
	adm     *kadm.Client
	model   *model
	next    map[string]map[int32]int64 // where to read on

	links            map[string]link     // by attacker, as the changelog has them
	stored           []map[string]uint64 // changelog: digest of each key's last value
	lastOf           map[int32]int64     // changelog: offset of the last record
	rows, identities int64

	kept       map[topicPartition]*kept // collected for the next Advance
	lostBefore map[topicPartition]int64 // offsets that were lost up to the last Advance
	audited    ends                     // where the topics ended at the last Advance

	// Of the Advance under way.
	positions     map[int32]processor.Positions
	lost          map[topicPartition][]processor.Range
	told          map[topicPartition][]int64 // ends of ranges of lost that are there and were told
	report        Report
	letters       map[origin]*letter
	dropped       []unpack.Batch // of the input, found by the scan
	suspicions    map[string]place
	changes       map[string]*change // by event id
	newSuspicions map[*identity][]suspected
	batchTicks    map[tickAt][]attribution.Arrival

	commandsFrom map[int32]int64 // where the commands that were not deleted begin, by partition
	unchecked    int             // event ids of the batch that are of commands that were deleted
}

type link struct {
	identity string
	place    place
	by       attribution.Arrival // the event or claim that made it
}

// New returns an Auditor that has read nothing yet. Close it.
func New(o Options) (*Auditor, error) {
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.MaxDifferences == 0 {
		o.MaxDifferences = 100
	}
	if o.Rules.Registry == nil {
		o.Rules.Registry = attribution.DefaultRegistry()
	}
	if err := o.Rules.Thresholds.Validate(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	outputs := o.Writers
	if outputs == nil {
		outputs = schemas.NewWriters()
	}
	client, err := kgo.NewClient(o.Client...)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return &Auditor{
		o: o, writers: outputs, client: client, adm: kadm.NewClient(client),
		next: make(map[string]map[int32]int64), links: make(map[string]link), lastOf: make(map[int32]int64),
		kept: make(map[topicPartition]*kept), lostBefore: make(map[topicPartition]int64),
		suspicions: make(map[string]place), commandsFrom: make(map[int32]int64),
	}, nil
}

// Close ends the connection.
func (a *Auditor) Close() { a.client.Close() }

// Advance waits until the application is at rest, reads what is new since the
// last Advance, and compares. A difference is told once; what is wrong goes on
// being taken as it should be, so that one fault is not told again by all that
// follows. An error says that the audit could not be made; then the Auditor is
// of no more use.
func (a *Auditor) Advance(ctx context.Context) (Report, error) {
	ends, err := a.awaitRest(ctx)
	if err != nil {
		return Report{}, err
	}
	began := time.Now()
	names := &a.o.Topics
	a.report, a.unchecked = Report{most: a.o.MaxDifferences}, 0
	a.findLost(a.positions)
	if err := a.whole(ctx); err != nil {
		return a.report, err
	}
	if a.model == nil {
		n := int32(len(ends[names.Observations]))
		a.model = newModel(a.o.Rules, n)
		if len(a.o.StateDirs) > 0 || a.o.Stores {
			a.stored = make([]map[string]uint64, n)
			for p := range a.stored {
				a.stored[p] = make(map[string]uint64)
			}
		}
	} else {
		a.model.begin()
	}
	a.letters, a.newSuspicions = make(map[origin]*letter), make(map[*identity][]suspected)
	a.changes = make(map[string]*change)
	a.batchTicks = make(map[tickAt][]attribution.Arrival)
	if err := a.survey(ctx, ends); err != nil {
		return a.report, err
	}
	for _, part := range []struct {
		topic string
		take  func(*kgo.Record) error
	}{
		{names.IdentityEvents, a.identityEvent},
		{names.Observations, a.observation()},
		{names.StateChanged, a.transition},
		{names.MultiActorSuspects, a.suspicion},
		{names.IdentityChanged, a.identityChanged},
		{names.Identities, a.membership},
		{names.DeadLetter, a.deadLetter},
		{names.State, a.stateRow},
		{names.Changelog, a.changelog},
		{names.Commands, a.command},
	} {
		if part.topic == names.StateChanged && a.model.rules.Retention > 0 {
			a.model.endForgotten()
		}
		if err := a.read(ctx, part.topic, ends[part.topic], part.take); err != nil {
			return a.report, err
		}
	}
	a.kept, a.audited = make(map[topicPartition]*kept), ends
	a.rememberedClaims()
	a.model.settle(func(name string) string { return a.links[name].identity }, func(by *attacker, linked string) {
		a.differs(Different, names.Changelog, a.links[by.name].place, by.name, "the attacker is linked to %s, but belongs to %s", linked, by.may[0].id)
	})
	a.compare()
	if a.unchecked > 0 {
		a.report.Notes = append(a.report.Notes, fmt.Sprintf("the event ids of %d transitions and suspicions are of claims or ticks whose commands were deleted: the ids were not checked, all else was", a.unchecked))
	}
	if err := a.stores(); err != nil {
		return a.report, err
	}
	a.report.Identities, a.report.Rows = a.identities, a.rows
	a.report.Took = time.Since(began).Seconds()
	return a.report, nil
}

func (a *Auditor) identityEvent(r *kgo.Record) error {
	a.report.IdentityEvents++
	header, _ := schemas.Header(r.Headers, schemas.TypeHeader)
	decoder := schemas.IdentityEventDecoder{MaxBytes: a.o.Rules.RecordLimit, Writers: a.o.Writers}
	e, err := decoder.Decode(string(header), r.Value)
	if err != nil {
		a.wantDeadLetter(r)
		return nil
	}
	c := a.wantChange(&e, r)
	if a.model.identityEvent(&e, arrival(r)) {
		a.wantDeadLetter(r)
		return nil
	}
	a.changes[c.want.EventID] = c
	return nil
}

func (a *Auditor) observation() func(*kgo.Record) error {
	var o attribution.Observation
	decoder := schemas.ObservationDecoder{MaxBytes: a.o.Rules.RecordLimit, Writers: a.o.Writers}
	return func(r *kgo.Record) error {
		a.report.Observations++
		if err := decoder.Decode(r.Value, &o); err != nil {
			a.wantDeadLetter(r)
			return nil
		}
		if r.Timestamp.UnixMilli() >= 0 && attribution.Ahead(o.TS, float64(r.Timestamp.UnixMilli())/1e3, a.o.Rules.MaxAhead) != "" {
			a.wantDeadLetter(r)
			return nil
		}
		_, fit := a.o.Rules.Registry.Check(o.Primitive, o.Value)
		if fit == attribution.Misfit || fit == attribution.OutOfRange && a.o.Rules.Strict {
			a.wantDeadLetter(r)
			return nil
		}
		a.model.observe(&o, arrival(r))
		return nil
	}
}

// command takes note where the claims and the ticks of the batch stand: their
// places are in the ids of what they caused.
func (a *Auditor) command(r *kgo.Record) error {
	a.tick(r)
	if places, claims := a.model.batchClaims[string(r.Key)]; claims {
		a.model.batchClaims[string(r.Key)] = append(places, arrival(r))
	}
	return nil
}

// rememberedClaims takes the places of claims from the links that they made, which
// the changelog keeps when the commands are deleted.
func (a *Auditor) rememberedClaims() {
	for name, places := range a.model.batchClaims {
		if l, linked := a.links[name]; linked {
			a.model.batchClaims[name] = append(places, l.by)
		}
	}
}

// isCommandGone reports whether commands of a partition were deleted.
func (a *Auditor) isCommandGone(partition int32) bool { return a.commandsFrom[partition] > 0 }

func arrival(r *kgo.Record) attribution.Arrival {
	return attribution.Arrival{Time: r.Timestamp.UnixMilli(), Partition: r.Partition, Offset: r.Offset}
}
