package processor

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

func drawPositions(t *rapid.T) Positions {
	offset := rapid.Int64Min(0)
	p := Positions{
		Nonce: rapid.Uint64().Draw(t, "nonce"), Reset: offset.Draw(t, "reset"), OlderTerms: rapid.Uint64().Draw(t, "older"),
	}
	for range rapid.IntRange(0, maxTerms).Draw(t, "terms") {
		p.Terms = append(p.Terms, Term{ID: rapid.Uint64().Draw(t, "id"), Start: offset.Draw(t, "start")})
	}
	for range rapid.IntRange(0, 4).Draw(t, "inputs") {
		in := Position{Topic: rapid.String().Draw(t, "topic"), First: offset.Draw(t, "first"), Next: offset.Draw(t, "next"), Epoch: rapid.Int32Min(-1).Draw(t, "epoch")}
		in.OlderLost = rapid.Uint64().Draw(t, "older lost")
		for range rapid.IntRange(0, 3).Draw(t, "lost") {
			from := rapid.Int64Range(0, 1<<62).Draw(t, "from")
			in.Lost = append(in.Lost, Range{from, from + rapid.Int64Range(0, 1<<61).Draw(t, "length")})
		}
		for range rapid.IntRange(0, maxEarlier).Draw(t, "earlier") {
			e := Earlier{Next: offset.Draw(t, "next of an earlier one")}
			copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id of an earlier one"))
			in.Earlier = append(in.Earlier, e)
		}
		copy(in.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic id"))
		p.Inputs = append(p.Inputs, in)
	}
	return p
}

func TestPositionsReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPositions(t)
		b := AppendPositions(nil, &p)
		got, err := DecodePositions(b)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%+v was read as %+v, %v", p, got, err)
		}
		for n := range b {
			if got, err := DecodePositions(b[:n]); err == nil {
				t.Fatalf("%d of %d bytes were read as %+v", n, len(b), got)
			}
		}
	})
}

func FuzzDecodePositions(f *testing.F) {
	f.Add(AppendPositions(nil, &Positions{}))
	f.Add(AppendPositions(nil, &Positions{
		Nonce: 1, Reset: 2, Terms: []Term{{3, 4}}, Inputs: []Position{{Topic: "in", ID: [16]byte{5}, First: 2, Next: 6, Epoch: 7, Lost: []Range{{1, 3}}, OlderLost: 4, Earlier: []Earlier{{[16]byte{8}, 9}}}},
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePositions(b)
		if err != nil {
			return
		}
		again, err := DecodePositions(AppendPositions(nil, &p))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%x reads as %+v, and written again as %+v, %v", b, p, again, err)
		}
	})
}

// A log in which tasks are started again and again, and which is cut now and then and
// goes on otherwise, with every record that compaction may leave or take away: a
// store of the same history is never taken for another's, and one that lacks the cut
// is never taken for the same.
func TestHistories(t *testing.T) {
	type record struct {
		*kgo.Record
		line int // which history wrote it
	}
	rapid.Check(t, func(t *rapid.T) {
		var log []record
		var in inputs
		nonce, line := uint64(0), 0
		begin := func() {
			h := noHistory
			for _, r := range log {
				if err := h.take([]*kgo.Record{r.Record}); err != nil {
					t.Fatalf("a log does not follow on itself: %v", err)
				}
			}
			in = inputs{}
			in.begin(&h, int64(len(log)))
		}
		var stores []history
		var stored []record // the last record of each store
		begin()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0: // another owner, or the same one again
				begin()
			case 1: // the log is cut, and goes on with somebody who has read what is left
				if len(log) > 0 {
					log = log[:rapid.IntRange(0, len(log)-1).Draw(t, "cut")]
					line++
					begin()
				}
			case 2: // a store stays behind
				h := noHistory
				for _, r := range log {
					_ = h.take([]*kgo.Record{r.Record})
				}
				if h.at >= 0 {
					stores, stored = append(stores, h), append(stored, log[h.at])
				}
			default:
				nonce++
				p := Positions{Nonce: nonce, Terms: in.terms, OlderTerms: in.older}
				log = append(log, record{&kgo.Record{Offset: int64(len(log)), Key: positionsKey, Value: AppendPositions(nil, &p)}, line})
			}
		}
		if len(log) == 0 {
			return
		}
		// Compaction leaves the newest record, and of the others what it likes.
		var left []*kgo.Record
		for i, r := range log {
			if i == len(log)-1 || rapid.Bool().Draw(t, "kept") {
				left = append(left, r.Record)
			}
		}
		for i, h := range stores {
			if int(h.at) > len(log)-1 {
				continue // out of range, which is seen without this
			}
			same := bytes.Equal(log[h.at].Value, stored[i].Value)
			err := h.take(left)
			if !same && in.older > 0 {
				continue // of what happened more than maxTerms starts ago only compaction knows
			}
			if same != (err == nil) {
				t.Fatalf("a store at offset %d of the same history (%v): %v", stores[i].at, same, err)
			}
		}
	})
}

// The newest earlier topics are kept. A topic that was never read is not one of them.
func TestPositionRemembersEarlierTopics(t *testing.T) {
	p := Position{ID: [16]byte{1}}
	var all []Earlier
	for n := range int64(7) {
		next := Position{ID: [16]byte{byte(n + 2)}}
		p.Next = n * 10
		kept := slices.Clone(p.Earlier)
		next.had(&p)
		if !slices.Equal(p.Earlier, kept) {
			t.Fatal("the position before was changed")
		}
		if n > 0 {
			all = append(all, Earlier{p.ID, p.Next})
		}
		if want := all[max(0, len(all)-maxEarlier):]; !slices.Equal(next.Earlier, want) {
			t.Fatalf("it had %v, want %v", next.Earlier, want)
		}
		p = next
	}
}

// The newest ranges are kept, and none of the offsets is forgotten.
func TestPositionRemembersWhatWasLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Position
		next, lost := int64(0), int64(0)
		for range rapid.IntRange(0, 3*maxLost).Draw(t, "losses") {
			from := next + rapid.Int64Range(0, 2).Draw(t, "read")
			next = from + rapid.Int64Range(1, 100).Draw(t, "lost")
			lost += next - from
			before := p
			kept := slices.Clone(before.Lost)
			p = p.lose(Range{from, next})
			if !slices.Equal(before.Lost, kept) {
				t.Fatal("the position before was changed")
			}
			if p.LostOffsets() != lost || len(p.Lost) > maxLost || p.Lost[len(p.Lost)-1].To != next {
				t.Fatalf("%d offsets were lost, up to %d: %+v says %d", lost, next, p, p.LostOffsets())
			}
		}
	})
}
