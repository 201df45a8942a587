package engine

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"handprint/attribution"
)

// FactKind is what a record of the store is about.
type FactKind uint8

// The facts that Inspect reads. Other records are how the work goes on, not
// what is known.
const (
	OtherFact FactKind = iota
	RowFact
	ContributionFact
	LinkFact
	FlaggedFact
	FlagCountFact
	SuspectFact
	ReturningFact
	SuspicionFact
)

// Fact is what one record of the store says, read without the others.
type Fact struct {
	Kind      FactKind
	Identity  string
	Primitive string // of a row; of a contribution, a flagged or a returning one as ShortPrimitive has it
	Attacker  string // of a contribution or a link
	Gone      bool   // the record was deleted: what follows is empty

	// By is where the event stands that made a link, or the claim, if it was one.
	By attribution.Arrival

	Published bool // of a row: the world was told of it
	Row       attribution.Row
	HasSeries bool // of a contribution, and of a row that holds the stub's own
	Spilled   bool // values that were pushed out are records of their own: Series.Gone has not all of them
	Series    attribution.Series
	Count     int              // how many primitives are flagged
	Told      attribution.Told // of a suspect identity
	Suspicion *attribution.OpenSuspicion
}

// Inspect reads one record of the store, or of its changelog: value is nil for
// one that was deleted. Values longer than 256 bytes stand as [StoredValue]
// has them, those of series from 41 bytes on as [SeriesValue] has them. It is for those who check a store from outside.
func Inspect(key, value []byte) (f Fact, err error) {
	if len(key) == 0 {
		return f, fmt.Errorf("a record without a key")
	}
	f.Gone = value == nil
	value = bytes.Clone(value)
	rest := key[1:]
	var id, primitive, attacker []byte
	take := func(part *[]byte, cut func([]byte) ([]byte, []byte, error)) {
		if err == nil {
			*part, rest, err = cut(rest)
		}
	}
	switch key[0] {
	case kindRow:
		f.Kind = RowFact
		take(&id, cutID)
		take(&primitive, cutPrimitive)
	case kindContribution:
		f.Kind = ContributionFact
		take(&id, cutID)
		take(&primitive, cutPrimitive)
		take(&attacker, cutID)
	case kindLink:
		f.Kind = LinkFact
		take(&attacker, cutID)
	case kindFlagged:
		f.Kind = FlaggedFact
		take(&id, cutID)
		take(&primitive, cutPrimitive)
	case kindFlagCount:
		f.Kind = FlagCountFact
		take(&id, cutID)
	case kindSuspect:
		f.Kind = SuspectFact
		take(&id, cutID)
	case kindReturning:
		f.Kind = ReturningFact
		take(&id, cutID)
		take(&primitive, cutPrimitive)
	case kindSuspicion:
		f.Kind = SuspicionFact
		take(&id, cutID)
	default:
		return f, nil
	}
	f.Identity, f.Primitive, f.Attacker = string(id), string(primitive), string(attacker)
	if err != nil || f.Gone {
		return f, err
	}
	var values values
	switch f.Kind {
	case RowFact:
		var r row
		err = decodeRow(value, &r, &values)
		f.Published, f.Row = r.published, r.was
		f.HasSeries, f.Spilled, f.Series = r.inline, r.series.Elsewhere > 0, r.series.Series
	case ContributionFact:
		var s series
		err = decodeContribution(value, &s, &values)
		f.HasSeries, f.Spilled, f.Series = true, s.Elsewhere > 0, s.Series
	case LinkFact:
		var l link
		l, err = decodeLink(value)
		f.Identity = string(l.Identity)
		f.By = attribution.Arrival{Time: l.By.Time, Offset: l.By.Offset}
	case SuspicionFact:
		f.Suspicion, err = decodeSuspicion(value)
	case FlagCountFact:
		var n uint64
		n, err = decodeCount(value)
		f.Count = int(n)
	case SuspectFact:
		f.Told, err = decodeTold(value)
	}
	for i := range f.Series.Entries {
		showLong(&f.Series.Entries[i].Value)
	}
	for i := range f.Series.Gone {
		showLong(&f.Series.Gone[i].Value)
	}
	return f, err
}

// showLong has what stands for a long value in a record stand as SeriesValue
// has it.
func showLong(v *attribution.Value) {
	if isLong(*v) {
		*v = append(attribution.Value{largeMark}, (*v)[1:]...)
	}
}

// StoredValue returns a value as rows in the store have it: one of more than 256
// bytes stands there as a digest.
func StoredValue(v attribution.Value) attribution.Value {
	if len(v) <= largeValue {
		return v
	}
	return digestValue(v)
}

// SeriesValue returns a value as those who compare series that Inspect shows have to
// take it: one of more than 40 bytes as a digest, which Inspect shows of some of them.
func SeriesValue(v attribution.Value) attribution.Value {
	if len(v) <= middleValue {
		return v
	}
	return digestValue(v)
}

func digestValue(v attribution.Value) attribution.Value {
	sum := sha256.Sum256(v)
	return attribution.Value(append([]byte{largeMark}, sum[:digestSize]...))
}
