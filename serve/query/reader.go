package query

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"handprint/attribution"
	"handprint/engine"
	"handprint/serve/catalog"
	"handprint/serve/follow"
	"handprint/serve/history"
	"handprint/state"
)

// Source is where a Reader gets the catalogue from, and how far everything is.
type Source interface {
	Catalog() (*catalog.Catalog, follow.Phase)
	Freshness(partition int32) follow.Freshness
	EventsAsOf() float64
	IdentitiesWithheld() bool
	MissingTopics() []string
}

// Config is what a Reader needs.
type Config struct {
	Source     Source
	Store      *state.Store // the copy
	History    *history.History
	Partitions int32
	Registry   *attribution.Registry
	Thresholds attribution.Thresholds
	Now        func() time.Time
}

// Reader answers questions. Its methods may be called by any number of goroutines.
type Reader struct {
	Config
	suggestions suggestions
	disagreed   atomic.Int64
}

// New returns a Reader. Somebody has to run [Reader.Work].
func New(c Config) *Reader {
	return &Reader{Config: c, suggestions: suggestions{wanted: make(chan struct{}, 1)}}
}

// AsOf returns until when everything is applied, Unix seconds.
func (r *Reader) AsOf() float64 { return r.Source.Freshness(-1).AsOf }

// Freshness returns how far a partition, or of -1 the oldest of all, is.
func (r *Reader) Freshness(partition int32) follow.Freshness { return r.Source.Freshness(partition) }

// catalog returns the catalogue if it is complete.
func (r *Reader) catalog() (*catalog.Catalog, error) {
	c, phase := r.Source.Catalog()
	switch {
	case phase.TooSmall:
		p := problem(CatalogTooSmall, "The catalogue needs about %d MiB, which is more than catalog-memory allows. Lists are not answered; single identities are.", phase.Needed>>20)
		p.Needed = phase.Needed
		return nil, p
	case !phase.Ready:
		p := problem(CatalogBuilding, "The catalogue is being built; lists answer in about %s. Single identities are answered already.", max(phase.Left, time.Second).Round(time.Second))
		p.Progress, p.After = phase.Progress, max(phase.Left, time.Second)
		return nil, p
	}
	return c, nil
}

// listing returns the catalogue for a list of a primitive, if it has all rows of it; an
// empty name is of all that it has.
func (r *Reader) listing(primitive string) (*catalog.Catalog, error) {
	c, err := r.catalog()
	if err == nil && primitive != "" && c.LeavesOut(primitive) {
		return nil, problem(CatalogTooSmall, "There are more than %d primitives that are not registered. Rows of this one are in no list; single identities show them.", catalog.MaxMadeUp)
	}
	return c, err
}

// home returns the partition of an identity.
func (r *Reader) home(id string) int32 { return attribution.IdentityPartition(id, r.Partitions) }

// snapshot is the copy of one partition at one moment.
type snapshot struct {
	*state.Snapshot
	partition int32
	offset    int64
	asOf      float64
}

func (r *Reader) snapshot(partition int32) (*snapshot, error) {
	s := &snapshot{partition: partition, asOf: r.Source.Freshness(partition).AsOf}
	s.Snapshot = r.Store.Partition(partition).Snapshot()
	cp, found, err := s.Checkpoint()
	if err != nil {
		s.Close()
		return nil, fault(err)
	}
	if found {
		s.offset = cp.Offset
	}
	return s, nil
}

func (s *snapshot) position() Position { return Position{s.partition, s.offset} }

// jsonValue returns a value as JSON; a digest of a long one as null.
func jsonValue(v attribution.Value) json.RawMessage {
	if len(v) == 0 || !json.Valid(v) {
		return json.RawMessage("null")
	}
	return json.RawMessage(v)
}

// digestOf returns the digest of a long value as text; empty: it is not one.
func digestOf(v attribution.Value) string {
	if len(v) > 0 && json.Valid(v) {
		return ""
	}
	return hex.EncodeToString(v)
}

func domainOf(primitive string) string {
	domain, _, _ := strings.Cut(primitive, ".")
	return domain
}

func (r *Reader) kindOf(primitive string) string { return r.Registry.Kind([]byte(primitive)).String() }

func addressOf(a *catalog.Address) *Address {
	if a == nil {
		return nil
	}
	kind := "ip"
	if a.Opaque {
		kind = "opaque"
	}
	return &Address{Address: a.Address, Kind: kind, Sensors: orEmpty(a.Sensors), FirstTS: a.FirstTS, LastTS: a.LastTS}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// deref returns what optional was given.
func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// finite returns n, or 0 where there is no such number.
func finite(n float64) float64 {
	if math.IsInf(n, 0) || math.IsNaN(n) {
		return 0
	}
	return n
}

func (r *Reader) suspicion(c *catalog.Catalog, s *catalog.Suspicion) *Suspicion {
	if s == nil {
		return nil
	}
	to := &Suspicion{
		ID: s.ID, Identity: s.Identity, Status: s.Status, Since: s.Since, TS: s.TS, Confidence: s.Confidence,
		Primitives: orEmpty(s.Primitives), Groups: orEmpty(s.Groups), Reasons: []Reason{}, Added: []string{}, Summary: s.Summary, EventID: s.EventID,
	}
	if i, ok := c.Identity(s.Identity); ok {
		to.Address = addressOf(i.Address)
	}
	for _, reason := range s.Reasons {
		shown := Reason{Primitive: reason.Primitive, Kind: reason.Kind, Group: reason.Group, New: reason.New, Values: []json.RawMessage{}}
		for _, v := range reason.Values {
			shown.Values = append(shown.Values, jsonValue(attribution.Value(v)))
		}
		if reason.New {
			to.Added = append(to.Added, reason.Primitive)
		}
		to.Reasons = append(to.Reasons, shown)
	}
	return to
}

// row returns a row of the copy as it is shown. c may be nil: how common the value is
// is not known yet.
func (r *Reader) row(c *catalog.Catalog, v *engine.RowView) Row {
	to := Row{
		Primitive: v.Primitive, Domain: domainOf(v.Primitive), Kind: r.kindOf(v.Primitive), Value: jsonValue(v.Row.Value), State: v.Row.State.String(),
		Confidence: v.Row.Confidence, Count: v.Row.Count, ChangeTS: v.Row.LastChangeTS, SeenTS: v.Row.LastObservationTS, UpdatedAt: v.Row.UpdatedAt,
		Returns: v.Row.Returns,
	}
	if c != nil {
		to.Holders, to.Of = c.Commonness(v.Primitive, engine.StoredValue(v.Row.Value))
		to.Bits = attribution.Bits(to.Holders, to.Of)
	}
	return to
}

func (r *Reader) rows(views []engine.RowView) []Row {
	c, _ := r.catalog()
	rows := make([]Row, 0, len(views))
	for i := range views {
		rows = append(rows, r.row(c, &views[i]))
	}
	return rows
}

// Freshness is how far the read side is, for people who run it.
type Freshness struct {
	AsOf     float64 `json:"as_of"`
	ReadLag  int64   `json:"read_lag"`
	Ready    bool    `json:"catalog_ready"`
	Progress float64 `json:"catalog_progress"`
	TooSmall bool    `json:"catalog_too_small"`
	Needed   int64   `json:"catalog_needed_bytes"`
	Memory   int64   `json:"catalog_bytes"`
	Begins   float64 `json:"history_begins"`

	LeavesOut bool `json:"catalog_leaves_out_primitives" doc:"There are more than 60,000 primitives that are not registered: rows of later ones are in no list and no count."`

	MissingTopics []string `json:"missing_topics" doc:"Event topics that are not there: what they said is shown as it was, and nothing new comes of them."`
}

// ReadFreshness returns how far the read side is.
func (r *Reader) ReadFreshness() Freshness {
	f := r.Source.Freshness(-1)
	c, phase := r.Source.Catalog()
	crowded, _ := c.IsCrowded()
	return Freshness{f.AsOf, f.ReadLag, phase.Ready, phase.Progress, phase.TooSmall, phase.Needed, c.Bytes(), finite(r.History.Begins()), crowded, orEmpty(r.Source.MissingTopics())}
}
