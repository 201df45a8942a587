package engine

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"

	"handprint/attribution"
)

// rowsOf says to which rows of one identity its attackers have contributed. Whoever leaves
// an identity would have to look at all its rows to find that out, however many others have
// made up. It is made while an attacker of an identity with very many rows leaves, who
// looks at all of them, and is in memory alone.
//
// It may name more rows than there are. It names all that have a record of a contribution:
// what has none is in the row's record, and is of the identity's own attacker.
type rowsOf struct {
	identity string // empty: of none
	next     []byte // the row to go on with; nil: it is complete
	by       string // the attacker that leaves meanwhile
	waits    int    // how often others have waited since it went on
	refused  bool   // it would be too large: nothing else of it is there
	asked    float64

	names []byte   // of rows
	ends  []uint32 // of each in names
	of    map[uint64][]uint32
	all   []uint32 // rows that so many have contributed to that everybody looks at them
	size  int
	seed  maphash.Seed
}

const (
	// maxListed is how many attackers of a row are listed. A row of more is looked at by
	// all of them.
	maxListed = 8
	// maxRowsOf is how much memory it takes at most, in bytes.
	maxRowsOf = 4 << 20
	// maxWaits is how often attackers wait at most before it goes on.
	maxWaits = 256
	// maxRowsOfRest is how long, in seconds, nobody has asked for it when another
	// identity takes its place.
	maxRowsOfRest = 60
	// maxRowsOfKept is how long, in seconds, it is kept while nobody asks for it.
	maxRowsOfKept = 300
	// maxSkipped is how many contributions of other rows one scan goes over.
	maxSkipped = 64
)

// rowsOfFrom is how many rows an identity has at least for it to be made.
var rowsOfFrom = 256 // tests have less

// begins reports whether it is made of an identity from here on, beginning with its first
// rows. One that another identity has needed lately stays.
func (r *rowsOf) begins(identity, attacker []byte, now float64) bool {
	switch {
	case r.identity == string(identity) && (r.refused || r.next == nil):
		return false // it is there, or is not to be
	case r.identity != "" && r.identity != string(identity) && r.asked <= now && now < r.asked+maxRowsOfRest:
		return false
	}
	*r = rowsOf{identity: string(identity), by: string(attacker), asked: now, of: make(map[uint64][]uint32), seed: maphash.MakeSeed()}
	return true
}

func (r *rowsOf) forget() { *r = rowsOf{} }

// tick gives the memory back if nobody has asked for it for long.
func (r *rowsOf) tick(now float64) {
	if !r.refused && (now < r.asked || r.asked+maxRowsOfKept <= now) {
		r.forget()
	}
}

// grew bounds the memory. Behind it nothing may be added any more: see refused.
func (r *rowsOf) grew(more int) {
	if r.size += more; r.size > maxRowsOf {
		*r = rowsOf{identity: r.identity, asked: r.asked, refused: true}
	}
}

// addRow adds a row to names and returns its number.
func (r *rowsOf) addRow(primitive []byte) uint32 {
	r.names = append(r.names, primitive...)
	r.ends = append(r.ends, uint32(len(r.names)))
	return uint32(len(r.ends) - 1)
}

func (r *rowsOf) row(n uint32) []byte {
	from := uint32(0)
	if n > 0 {
		from = r.ends[n-1]
	}
	return r.names[from:r.ends[n]]
}

// add says that an attacker, as keys have it, has contributed to the row n.
func (r *rowsOf) add(attacker uint64, n uint32) {
	if r.refused {
		return
	}
	rows, known := r.of[attacker]
	if r.of[attacker] = append(rows, n); !known {
		r.grew(64)
	}
}

// came is told of a contribution that is new to a row.
func (r *rowsOf) came(identity, primitive, attacker []byte) {
	if r.identity == "" || r.refused || r.identity != string(identity) {
		return
	}
	r.add(maphash.Bytes(r.seed, appendID(nil, attacker)), r.addRow(primitive))
	r.grew(len(primitive) + 16)
}

// wait reports whether an attacker that begins to leave an identity had better wait for what
// is being made of it. The one that makes it goes on meanwhile: others are told to leave a
// wave at a time, and each waits once. If it does not, for its command was lost, nobody waits
// any more.
func (r *rowsOf) wait(identity, attacker []byte) bool {
	if r.identity != string(identity) || r.refused || r.next == nil || r.by == string(attacker) {
		return false
	}
	r.waits++
	return r.waits <= maxWaits
}

// list returns the rows of an identity that an attacker may have contributed to, in the
// order of their keys. ok: they are known, and few.
func (r *rowsOf) list(identity, attacker []byte, now float64) (primitives [][]byte, ok bool) {
	if r.identity != string(identity) || r.refused || r.next != nil {
		return nil, false
	}
	r.asked = now
	rows := r.of[maphash.Bytes(r.seed, appendID(nil, attacker))]
	if len(rows)+len(r.all) > detachRows {
		return nil, false
	}
	for _, list := range [][]uint32{r.all, rows} {
		for _, n := range list {
			primitives = append(primitives, bytes.Clone(r.row(n)))
		}
	}
	slices.SortFunc(primitives, bytes.Compare) // no primitive has the zero that ends it in keys
	return slices.CompactFunc(primitives, bytes.Equal), true
}

// isCut reports whether a primitive stands cut in the keys of contributions.
func isCut(primitive []byte) bool { return len(primitive) > attribution.MaxPrimitiveName }

// listRows adds rows of an identity, which are in the order of their keys, to what is known
// of it. None of them has its contributions in the row's record.
func (e *Engine) listRows(identity []byte, primitives [][]byte) error {
	prefix := idKey(nil, kindContribution, identity)
	for len(primitives) > 0 && !e.rowsOf.refused {
		// One scan goes on from row to row, until one has too many attackers. The
		// contributions of rows with long names are not in the order of their rows.
		row := rowKey(nil, kindContribution, identity, primitives[0])
		var attackers [maxListed]uint64
		n, next := 0, 1 // attackers of this row, and the row after it
		skipped := 0    // contributions of rows with long names
		done := func() {
			number := e.rowsOf.addRow(primitives[next-1])
			for _, attacker := range attackers[:min(n, maxListed)] {
				e.rowsOf.add(attacker, number)
			}
			if n > maxListed && !e.rowsOf.refused {
				e.rowsOf.all = append(e.rowsOf.all, number)
			}
			e.rowsOf.grew(len(primitives[next-1]) + 4 + 8*n)
			n = 0
		}
		err := scan(e.store, prefix, row, func(rest, _ []byte) error {
			for !bytes.HasPrefix(rest, row[len(prefix):]) {
				if bytes.Compare(rest, row[len(prefix):]) < 0 { // of a row with a long name
					if skipped++; skipped > maxSkipped {
						return errStop
					}
					return nil
				}
				if next == len(primitives) || isCut(primitives[next-1]) || isCut(primitives[next]) {
					return errStop
				}
				if done(); e.rowsOf.refused {
					return errStop
				}
				next++
				row = rowKey(row, kindContribution, identity, primitives[next-1])
			}
			if n < maxListed {
				attackers[n] = maphash.Bytes(e.rowsOf.seed, rest[len(row)-len(prefix):])
			}
			if n++; n > maxListed {
				return errStop
			}
			return nil
		})
		switch {
		case err != nil:
			return fmt.Errorf("reading who has contributed to %s: %w", identity, err)
		case e.rowsOf.refused:
			return nil
		case skipped > maxSkipped: // there may be any number of them: the next scan begins behind them
			primitives = primitives[next-1:]
			continue
		}
		done()
		primitives = primitives[next:]
	}
	return nil
}
