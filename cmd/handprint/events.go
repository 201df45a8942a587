package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/schemas"
)

// The types of events, as --type names them.
const (
	typeStateChanged = "state_changed"
	typeSuspected    = "multi_actor_suspected"
)

// eventsQuery is what the flags of `handprint events` ask for.
type eventsQuery struct {
	filter
	from     string
	types    []string
	since    time.Duration
	until    time.Duration
	untilEnd bool
	output   output
	from0    time.Time // worked out of since
	to       time.Time // worked out of until
}

func (a *app) eventsCommand() *cobra.Command {
	var q eventsQuery
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow transitions and suspicions as they happen",
		Long: `Follow the events that handprint sends: attribution.profile.state_changed and
attribution.profile.multi_actor_suspected. Only committed events are shown. On a
terminal each is a line for people, with the address that the identity had when
the command began; elsewhere one JSON object a line, as it was sent. Events that
were sent as Avro look the same.`,
		Example: `  handprint events --brokers a:9092
  handprint events --from beginning --until-end -o json > events.ndjson
  handprint events --type multi_actor_suspected
  handprint events --since 1h --identity 192.0.2.1
  handprint events --primitive 'toolchain.*' --state drifting --state conflicted`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.events(cmd.Context(), &q) },
	}
	q.flags(cmd)
	cmd.Flags().StringVar(&q.from, "from", "now", "Where to begin: beginning or now.")
	cmd.Flags().StringSliceVar(&q.types, "type", []string{typeStateChanged, typeSuspected}, "Only events of these types.")
	cmd.Flags().DurationVar(&q.since, "since", 0, "Begin with what was sent this long ago, such as 1h, and end with the last one there is now; 0: see --from.")
	cmd.Flags().DurationVar(&q.until, "until", 0, "With --since: leave out what was sent later than this long ago.")
	cmd.Flags().BoolVar(&q.untilEnd, "until-end", false, "End with the last event that there is now, instead of waiting for more.")
	outputFlag(cmd, &q.output)
	complete(cmd, "from", "beginning", "now")
	complete(cmd, "type", typeStateChanged, typeSuspected)
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics, config.GroupSchemas)
}

func (a *app) events(ctx context.Context, q *eventsQuery) error {
	pretty, err := a.pretty(q.output)
	if err != nil {
		return err
	}
	if err := q.parse(); err != nil {
		return err
	}
	var topics []string
	for _, t := range q.types {
		switch t {
		case typeStateChanged:
			topics = append(topics, a.cfg.Topics.StateChanged)
		case typeSuspected:
			topics = append(topics, a.cfg.Topics.MultiActorSuspects)
		default:
			return usageErrorf("flag --type: must be %s or %s, is %s", typeStateChanged, typeSuspected, t)
		}
	}
	start := kgo.NewOffset().AtEnd()
	switch q.from {
	case "now":
	case "beginning":
		start = kgo.NewOffset().AtStart()
	default:
		return usageErrorf("flag --from: must be beginning or now, is %s", q.from)
	}
	switch {
	case q.since < 0 || q.until < 0 || q.until > 0 && q.until >= q.since:
		return usageErrorf("flags --since and --until: must be spans before now, --since the longer one")
	case q.since > 0:
		now := time.Now()
		q.from0, q.untilEnd, q.from = now.Add(-q.since), true, "beginning"
		if q.until > 0 {
			q.to = now.Add(-q.until)
		}
	}
	if q.untilEnd && q.from == "now" {
		return usageErrorf("flag --until-end: needs --from beginning; from now there is nothing until the end")
	}
	var more []kgo.Opt
	if !q.untilEnd {
		more = []kgo.Opt{kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(start), kgo.FetchIsolationLevel(kgo.ReadCommitted())}
	}
	cl, err := a.connect(ctx, more...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := a.requireTopics(ctx, cl, false, topics...); err != nil {
		return err
	}
	if err := a.filterIdentities(ctx, cl, &q.filter); err != nil {
		return err
	}
	reader, err := a.recordReader(ctx)
	if err != nil {
		return err
	}
	p := &eventPrinter{app: a, reader: reader, query: q, pretty: pretty, page: newPage(a.paper()), out: bufio.NewWriter(a.out)}
	if pretty {
		names, err := a.readNames(ctx, cl)
		if err != nil {
			return err
		}
		p.address = names.address
	}
	if q.untilEnd {
		take, rest := p.print, func() error { return nil }
		if pretty {
			sorted := &inOrder{print: p.print}
			take, rest = sorted.take, sorted.flush
		}
		if err := broker.ScanSince(ctx, cl, take, q.from0, topics...); err != nil {
			return errors.Join(err, p.out.Flush())
		}
		return errors.Join(rest(), p.out.Flush())
	}
	return follow(ctx, cl, p)
}

// inOrder prints records in the order in which they were sent, whatever their
// partitions: up to so many at a time, those before the next ones.
type inOrder struct {
	print func(*kgo.Record) error
	held  []*kgo.Record
}

// maxHeld bounds the events that wait to be sorted.
const maxHeld = 100_000

func (o *inOrder) take(r *kgo.Record) error {
	if o.held = append(o.held, r); len(o.held) < maxHeld {
		return nil
	}
	return o.flush()
}

func (o *inOrder) flush() error {
	slices.SortStableFunc(o.held, func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) })
	held := o.held
	o.held = nil
	for _, r := range held {
		if err := o.print(r); err != nil {
			return err
		}
	}
	return nil
}

// follow prints until ctx ends, which is how following ends well.
func follow(ctx context.Context, cl *kgo.Client, p *eventPrinter) error {
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			if failed == nil {
				failed = fmt.Errorf("reading %s[%d]: %w", topic, partition, err)
			}
		})
		if failed != nil {
			return failed
		}
		var err error
		fetches.EachRecord(func(r *kgo.Record) {
			if err == nil {
				err = p.print(r)
			}
		})
		if err = errors.Join(err, p.out.Flush()); err != nil {
			return err
		}
	}
}

// eventPrinter writes events for people or for programs.
type eventPrinter struct {
	*app
	reader  recordReader
	query   *eventsQuery
	pretty  bool
	page    *page
	address func(identity string) string // empty: none is known; nil: ids are shown
	out     *bufio.Writer
	buf     []byte
}

// print writes the event that r holds, if it is asked for. One that cannot be
// read is logged and left out.
func (p *eventPrinter) print(r *kgo.Record) error {
	if r.Timestamp.Before(p.query.from0) || !p.query.to.IsZero() && r.Timestamp.After(p.query.to) {
		return nil
	}
	if err := p.reader.await(r.Value); err != nil {
		return err
	}
	if r.Topic == p.cfg.Topics.MultiActorSuspects {
		e, err := p.reader.Suspicion(r.Value)
		if err != nil {
			p.skip(r, err)
			return nil
		}
		if !p.query.wants(&e) {
			return nil
		}
		if p.pretty {
			return p.suspicion(&e)
		}
		p.buf = schemas.AppendSuspicionJSON(p.buf[:0], &e)
	} else {
		e, err := p.reader.Transition(r.Value)
		if err != nil {
			p.skip(r, err)
			return nil
		}
		if !p.query.identity(e.Identity) || !p.query.primitive(e.Primitive) || !p.query.state(e.New) {
			return nil
		}
		if p.pretty {
			return p.transition(&e)
		}
		p.buf = schemas.AppendTransitionJSON(p.buf[:0], &e)
	}
	// As it was sent, if that is one line already.
	if !schemas.IsAvro(r.Value) && bytes.IndexByte(r.Value, '\n') < 0 {
		p.buf = append(p.buf[:0], r.Value...)
	}
	_, err := p.out.Write(append(p.safeJSON(p.buf), '\n'))
	return err
}

// wants reports whether e is asked for: by any of its primitives, and as
// one of the state multi_actor.
func (q *eventsQuery) wants(e *attribution.Suspicion) bool {
	if !q.identity(e.Identity) || !q.state(attribution.MultiActor) {
		return false
	}
	for _, name := range e.Primitives {
		if q.primitive(name) {
			return true
		}
	}
	return false
}

func (p *eventPrinter) skip(r *kgo.Record, err error) {
	p.log.Warn("an event cannot be read and is left out", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
}

func (p *eventPrinter) line(text string) error {
	_, err := p.out.WriteString(text + "\n")
	return err
}

// eventColumns are the columns of a line of events, with the widths of their
// usual texts.
var (
	eventColumns = []column{
		{head: "time"}, {head: "who"}, {head: "primitive", least: 24, tail: true}, {head: "from", drop: 2}, {head: "to"},
		{head: "confidence", drop: 1}, {head: "value", least: 11}, {head: "before", least: 12, drop: 3},
	}
	eventWidths = []int{len("2006-01-02 15:04:05 UTC"), len("255.255.255.255"), 40, len("multi_actor"), len("-> multi_actor"), len("0.60"), valueWidth, valueWidth}
)

// The widths of columns.
const (
	valueWidth = 40
	dayColumn  = len("15:04:05") // of a time whose day stands above
)

// page is how lines of events are laid out.
type page struct {
	paper
	widths []int
	days   bool // the day stands on a line of its own
	day    string
}

func newPage(p paper) *page {
	want := slices.Clone(eventWidths)
	g := &page{paper: p, days: p.width < wide}
	if g.days {
		want[0] = dayColumn
	}
	g.widths = fit(eventColumns, want, p.width)
	return g
}

// when returns a time for the first column, after it has written the day if it
// has to.
func (p *eventPrinter) when(ts float64) (string, error) {
	text := showTime(ts)
	day, clock, found := strings.Cut(text, " ")
	if !p.page.days || !found {
		return text + " UTC", nil
	}
	if day != p.page.day {
		p.page.day = day
		if err := p.line(p.page.paint(bold, day+" UTC")); err != nil {
			return "", err
		}
	}
	return clock, nil
}

func (p *eventPrinter) transition(e *attribution.Transition) error {
	when, err := p.when(e.TS)
	if err != nil {
		return err
	}
	from, to := cell{text: "new", sgr: faint}, stateCell(e.New)
	if !e.IsNew {
		from = stateCell(e.Old)
	}
	to.text = "-> " + to.text
	before := ""
	if len(e.Previous) > 0 && e.New == attribution.Drifting {
		before = "was " + printable(string(e.Previous))
	}
	return p.page.writeRow(p.out, eventColumns, p.page.widths, []cell{
		{text: when, sgr: faint}, {text: p.who(e.Identity)}, {text: printable(e.Primitive)}, from, to,
		{text: showConfidence(e.Confidence)}, {text: printable(string(e.Value))}, {text: before, sgr: faint},
	})
}

func (p *eventPrinter) suspicion(e *attribution.Suspicion) error {
	when, err := p.when(e.TS)
	if err != nil {
		return err
	}
	what, why := "several actors suspected", strings.Join(e.Primitives, " ")
	switch e.Status {
	case attribution.SuspicionRaised:
		why = e.Summary
	case attribution.SuspicionGrown:
		what, why = "more speaks for several actors", e.Summary
	case attribution.SuspicionCleared:
		what, why = "several actors no longer suspected", e.Summary
	}
	confidence := ""
	if e.Status != attribution.SuspicionCleared {
		confidence = gap + showConfidence(e.Confidence)
	}
	if err := p.line(fmt.Sprintf("%s  %-*s  %s%s", p.page.paint(faint, when), eventWidths[1], p.who(e.Identity),
		p.page.paint(stateColours[attribution.MultiActor], what), confidence)); err != nil {
		return err
	}
	return p.page.wrap(p.out, strings.Repeat(" ", p.page.widths[0]+len(gap)), printable(why))
}

// who returns an identity's address, or as much of its id as tells it from
// others.
func (p *eventPrinter) who(identity string) string {
	if p.address != nil {
		if address := printable(p.address(identity)); address != "" && len(address) <= eventWidths[1] {
			return address // a longer one would not tell it from others
		}
	}
	return shortID(identity)
}

// shortID is as much of an id as tells it from others in a list. --identity
// takes it.
func shortID(id string) string {
	const enough = 13 // the first two groups of a UUID
	if len(id) > enough {
		id = id[:enough]
	}
	return printable(id)
}

func showConfidence(c float64) string { return strconv.FormatFloat(c, 'f', 2, 64) }

// lastTime is the end of the year 9999, which no time to show lies beyond.
const lastTime = 253402300799

// showTime writes Unix seconds as a time in UTC. A sensor may send any number.
func showTime(ts float64) string {
	if !(ts >= 0 && ts <= lastTime) {
		return strconv.FormatFloat(ts, 'g', 6, 64)
	}
	return time.Unix(int64(ts), 0).UTC().Format("2006-01-02 15:04:05")
}
