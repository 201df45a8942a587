package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"handprint/attribution"
	"handprint/engine"
	"handprint/serve/api"
	"handprint/serve/guard"
	"handprint/serve/history"
	"handprint/serve/query"
	"handprint/serve/ui"
)

// pages gives the analysts' pages what the API gives: the same Reader, the same
// operations. It is ui.Source and ui.Actor.
type pages struct {
	reader     *query.Reader
	history    *history.History
	operations api.Operations
	evidence   func(ctx context.Context, x *engine.Explanation)
	stale      staleness
	catalog    func() int64
	noted      *samples
	now        func() time.Time
	log        *slog.Logger
}

// Pages returns what registers the analysts' pages with a web interface. story is
// told on the first page; nil: none.
func Pages(story *ui.Story) func(w *Web, mux *guard.Mux) error {
	return func(w *Web, mux *guard.Mux) error {
		side := w.Side
		p := &pages{
			reader: side.Reader, history: side.history, operations: w.brokers, evidence: w.brokers.Evidence, stale: staleness{2 * time.Second, 30 * time.Second},
			noted: &w.brokers.noted, now: side.cfg.Clock.Now, log: side.cfg.Logger,
			catalog: func() int64 {
				c, _ := side.Follower.Catalog()
				return c.Bytes()
			},
		}
		h, err := ui.New(ui.Options{
			Source: p, Actor: p, BasePath: w.Guard.BasePath(), Story: story, Now: side.cfg.Clock.Now, Log: side.cfg.Logger,
			Person: func(r *http.Request) ui.Person {
				s := guard.SubjectOf(r.Context())
				return ui.Person{Name: s.Name, Role: string(s.Role), Operate: s.Role == guard.Operate}
			},
		})
		if err != nil {
			return err
		}
		w.Guard.UseLoginPage(h.Login)
		for _, route := range h.Routes() {
			mux.Handle(route.Pattern, route.Handler)
		}
		return nil
	}
}

// staleness is from when on an answer is called stale.
type staleness struct{ read, input time.Duration }

// silentAfter is how old the last answer of the brokers may be that the page of
// operations shows as if it were of now: five questions.
const silentAfter = 5 * healthEvery

// maxLane is how many transitions of an identity its lanes are drawn from.
const maxLane = 500

func (p *pages) Overview(_ context.Context, window time.Duration) (*query.Overview, error) {
	return p.reader.Overview(window)
}

// Identities reads the API's parameters. One that cannot be read is a problem, as
// there.
func (p *pages) Identities(_ context.Context, v url.Values) (*query.IdentityList, error) {
	r := parameters{v: v}
	q := query.IdentityQuery{
		State: v["state"], Primitive: v.Get("primitive"), Value: v.Get("value"), ValuePrefix: v.Get("value_prefix"), Domain: v.Get("domain"),
		MinConfidence: r.number("min_confidence"), MaxConfidence: r.number("max_confidence"), Returns: v.Get("returns") == "true",
		Suspected: r.truth("suspected"), Unsettled: r.truth("unsettled"), MembersMin: r.count("members_min"),
		ChangedSince: r.number("changed_since"), ChangedBefore: r.number("changed_before"), SeenSince: r.number("seen_since"),
		Merged: v.Get("merged"), Q: v.Get("q"), Sort: v.Get("sort"), Limit: r.count("limit"), Cursor: v.Get("cursor"), Counts: v.Get("counts") == "states",
	}
	if r.err != nil {
		return nil, r.err
	}
	return p.reader.Identities(q)
}

func (p *pages) Identity(_ context.Context, name string) (*query.Identity, error) {
	id, err := p.reader.IdentityOf(name)
	if err != nil {
		return nil, err
	}
	return p.reader.Identity(id, false)
}

func (p *pages) Timeline(_ context.Context, id string, v url.Values) (*query.Timeline, error) {
	return p.reader.Timeline(query.TimelineQuery{Identity: id, Kinds: v["kinds"], Limit: maxLane})
}

func (p *pages) History(_ context.Context, id string) (*query.IdentityHistory, error) {
	return p.reader.IdentityHistory(id)
}

func (p *pages) Similar(ctx context.Context, id string) (*query.PairList, error) {
	return p.reader.Similar(ctx, id, 10)
}

func (p *pages) Explain(ctx context.Context, id, primitive string, evidence bool) (json.RawMessage, error) {
	x, _, err := p.reader.Explain(id, primitive)
	if err != nil {
		return nil, err
	}
	if evidence && p.evidence != nil {
		p.evidence(ctx, x)
	}
	text, err := json.Marshal(x)
	if err != nil {
		return nil, fmt.Errorf("explaining %s of identity %s: %w", primitive, id, err)
	}
	return text, nil
}

func (p *pages) Windows(_ context.Context, id string, primitives []string) (map[string]json.RawMessage, query.Position, error) {
	found, at, err := p.reader.Windows(id, primitives)
	if err != nil {
		return nil, at, err
	}
	out := make(map[string]json.RawMessage, len(found))
	for primitive, x := range found {
		if out[primitive], err = json.Marshal(x); err != nil {
			return nil, at, fmt.Errorf("explaining %s of identity %s: %w", primitive, id, err)
		}
	}
	return out, at, nil
}

func (p *pages) Compare(_ context.Context, a, b string) (*query.Comparison, error) {
	return p.reader.Compare(a, b)
}

func (p *pages) Suspicions(_ context.Context, v url.Values) (*query.SuspicionList, error) {
	r := parameters{v: v}
	q := query.SuspicionQuery{Status: v["status"], Current: v.Get("current") == "true", Limit: r.count("limit"), Cursor: v.Get("cursor")}
	if c := r.number("min_confidence"); c != nil {
		q.MinConfidence = *c
	}
	if r.err != nil {
		return nil, r.err
	}
	return p.reader.Suspicions(q)
}

func (p *pages) Suggestions(context.Context) (*query.PairList, error) {
	return p.reader.Suggestions(0, 50)
}
func (p *pages) Primitives(context.Context) (*query.PrimitiveList, error) {
	return p.reader.Primitives()
}

func (p *pages) Values(_ context.Context, primitive, prefix string, limit int) (*query.ValueList, error) {
	return p.reader.Values(query.ValuesQuery{Primitive: primitive, Prefix: prefix, Limit: limit})
}

func (p *pages) Value(_ context.Context, primitive string, value json.RawMessage) (*query.ValueInfo, error) {
	return p.reader.Value(primitive, string(value))
}

func (p *pages) Search(_ context.Context, q string) (*query.SearchResult, error) {
	return p.reader.Search(q)
}

func (p *pages) Recent(_ context.Context, limit int) ([]ui.Recent, error) {
	entries, err := p.history.Latest(limit, history.State)
	if err != nil {
		return nil, err
	}
	out := make([]ui.Recent, len(entries))
	for i := range entries {
		out[i] = ui.Recent{Identity: entries[i].Identity, Happening: query.HappeningOf(&entries[i])}
	}
	return out, nil
}

func (p *pages) Address(_ context.Context, identity string) *query.Address {
	return p.reader.AddressOf(identity)
}

func (p *pages) Operations(ctx context.Context) (*ui.Operations, error) {
	o := &ui.Operations{Begins: p.history.Begins()}
	if p.catalog != nil {
		o.Catalog = p.catalog()
	}
	if p.operations == nil {
		o.DeadLettersUnknown = true
		return o, nil
	}
	if h := p.operations.Health(); h != nil {
		o.Group, o.State, o.Unowned, o.Asked = h.Group, h.State, h.Unowned, h.TS
		o.Silent = p.now().Sub(time.UnixMilli(int64(h.TS*1000))) > silentAfter
		for _, t := range h.Tasks {
			phase := "owned"
			if t.Owner == "" {
				phase = "no owner"
			}
			if t.Owner != "" && t.Phase != "" {
				phase = t.Phase
			}
			shown := ui.Task{Number: t.Task, Owner: t.Owner, Host: t.Host, Phase: phase, InputLag: t.InputLag, ReadLag: p.reader.Freshness(t.Task).ReadLag, Stuck: t.Stuck}
			if r := t.Restore; r != nil && r.Total > 0 {
				shown.Restores, shown.Restore, shown.Left = true, float64(r.Done)/float64(r.Total), r.Left
			}
			for _, s := range t.Standbys {
				behind := "not known how far"
				if s.Lag >= 0 {
					behind = fmt.Sprintf("%d behind", s.Lag)
				}
				shown.Standbys = append(shown.Standbys, fmt.Sprintf("%s: %s, %s", s.Instance, s.Phase, behind))
			}
			o.Tasks = append(o.Tasks, shown)
		}
		for _, i := range h.Instances {
			o.Instances = append(o.Instances, ui.Instance{Name: i.Instance, Version: i.Version, TS: i.TS, Running: int(i.Running), Restoring: int(i.Restoring)})
		}
	}
	o.Series = p.series()
	o.Reads, o.Writes = wires(p.operations.Topology())
	letters, err := p.operations.DeadLetters(ctx, 20)
	if err != nil { // the page stands without brokers
		p.log.Warn("the dead letters cannot be read for the operations page", "error", err)
		o.DeadLettersUnknown = true
		return o, nil
	}
	for _, l := range letters {
		o.DeadLetters = append(o.DeadLetters, ui.DeadLetter{
			Partition: l.Partition, Offset: l.Offset, TS: l.TS, Reason: l.Reason, Stage: l.Stage, Bytes: l.Size, Preview: l.Preview, Source: fmt.Sprintf("%s[%d]@%d", l.Topic, l.Source, l.At),
		})
	}
	return o, nil
}

// series are what the page of operations draws of the last hour.
func (p *pages) series() []ui.Series {
	now := p.now()
	minutes := p.history.ByMinute(float64(now.Unix()), 60)
	rates := make([]float64, len(minutes))
	for i, n := range minutes {
		rates[i] = float64(n)
	}
	list := []ui.Series{{Title: "Transitions", Unit: "a minute", Step: 60, Until: float64(now.Unix()), Values: rates}}
	if p.noted == nil {
		return list
	}
	input, behind, until := p.noted.get()
	end := float64(until.Unix())
	return append(list,
		ui.Series{Title: "Input waiting", Unit: "observations", Step: sampleStep.Seconds(), Until: end, Values: input},
		ui.Series{Title: "What is shown is old by", Unit: "s", Step: sampleStep.Seconds(), Until: end, Values: behind})
}

// wires are the topics that tasks read and write.
func wires(g api.Graph) (reads, writes []ui.Wire) {
	kinds := map[string]string{}
	for _, n := range g.Nodes {
		kinds[n.Name] = n.Kind
	}
	for _, e := range g.Edges {
		switch {
		case kinds[e.From] == "topic" && kinds[e.To] == "task":
			reads = append(reads, ui.Wire{Topic: e.From, What: e.What})
		case kinds[e.From] == "task" && kinds[e.To] == "topic":
			writes = append(writes, ui.Wire{Topic: e.To, What: e.What})
		}
	}
	return reads, writes
}

func (p *pages) Freshness(context.Context) ui.Freshness {
	read := p.reader.Freshness(-1)
	f := ui.Freshness{AsOf: read.AsOf, ReadLag: read.ReadLag, Missing: p.reader.Source.MissingTopics(), Building: 1}
	c, phase := p.reader.Source.Catalog()
	f.LeavesOut, _ = c.IsCrowded()
	if !phase.Ready && !phase.TooSmall {
		f.Building = min(phase.Progress, 0.99)
	}
	if p.reader.Now != nil && read.AsOf > 0 && p.reader.Now().Sub(time.UnixMilli(int64(read.AsOf*1000))) > p.stale.read {
		f.Stale = "read"
	}
	if p.operations == nil {
		return f
	}
	if h := p.operations.Health(); h != nil {
		f.InputLag = h.InputLag
		for _, t := range h.Tasks {
			if t.InputLag > 0 {
				f.Waiting++
			}
		}
		if f.Stale == "" && h.BehindFor > p.stale.input.Seconds() {
			f.Stale = "input"
		}
	}
	return f
}

// Merge implements ui.Actor.
func (p *pages) Merge(ctx context.Context, winner, loser string) (string, error) {
	return p.send(ctx, &attribution.IdentityEvent{Type: attribution.Merged, Identity: winner, Loser: loser})
}

// Unmerge implements ui.Actor.
func (p *pages) Unmerge(ctx context.Context, winner, loser string, attackers []string) (string, error) {
	return p.send(ctx, &attribution.IdentityEvent{Type: attribution.Unmerged, Identity: winner, Loser: loser, Attackers: attackers})
}

// Replay implements ui.Actor.
func (p *pages) Replay(ctx context.Context, partition int32, offset int64) (string, error) {
	if p.operations == nil {
		return "", noBroker(errNoOperations)
	}
	sent, err := p.operations.Replay(ctx, partition, offset)
	switch {
	case errors.Is(err, api.ErrNotFound):
		return "", &query.Problem{Kind: query.BadParameter, Detail: "There is no such dead letter, or retention has taken it."}
	case errors.Is(err, api.ErrNotReplayable):
		return "", &query.Problem{Kind: query.InTheWay, Detail: "The original cannot be sent again: it is not whole, or came from no input of the engine."}
	case err != nil:
		return "", noBroker(err)
	}
	return fmt.Sprintf("%s[%d], offset %d", sent.Topic, sent.Partition, sent.Offset), nil
}

// noBroker is what a page is told when something that needs a broker failed.
func noBroker(err error) error {
	return &query.Problem{Kind: query.NoBroker, Detail: "Nothing is known to be sent. Reading identities goes on.", Cause: err}
}

var errNoOperations = errors.New("this read side has no access to the brokers")

func (p *pages) send(ctx context.Context, e *attribution.IdentityEvent) (string, error) {
	if p.operations == nil {
		return "", noBroker(errNoOperations)
	}
	sent, err := p.operations.SendEvent(ctx, e)
	if err != nil {
		return "", noBroker(err)
	}
	return fmt.Sprintf("%s[%d], offset %d", sent.Topic, sent.Partition, sent.Offset), nil
}

// parameters reads numbers of a URL's query; the first that cannot be read is the
// error.
type parameters struct {
	v   url.Values
	err error
}

func (p *parameters) bad(name, what string) {
	if p.err == nil {
		p.err = &query.Problem{Kind: query.BadParameter, Detail: name + " is no " + what + "."}
	}
}

func (p *parameters) number(name string) *float64 {
	text := p.v.Get(name)
	if text == "" {
		return nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != f {
		p.bad(name, "number")
		return nil
	}
	return &f
}

func (p *parameters) count(name string) int {
	text := p.v.Get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		p.bad(name, "number of things")
	}
	return n
}

func (p *parameters) truth(name string) *bool {
	switch text := p.v.Get(name); text {
	case "":
		return nil
	case "true", "false":
		b := text == "true"
		return &b
	default:
		p.bad(name, "true or false")
		return nil
	}
}
