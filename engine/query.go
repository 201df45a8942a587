package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"handprint/attribution"
)

// Reader is the part of a Store that is read only: a store's snapshot, or what
// a task's changelog says.
type Reader interface {
	Get(key []byte) ([]byte, error)
	Scan(prefix, from []byte, yield func(key, value []byte) bool) error
}

// IdentityView is what the home of an identity knows about it.
type IdentityView struct {
	Identity   string
	MergedInto string   // empty: it stands for itself
	Members    []Member // by attacker, those of [ViewSome] at most
	Attackers  int      // how many there are altogether
	Rows       []RowView
	History    []HistoryEntry // oldest first
	Unsettled  bool           // an identity event that touches it is not over
	Suspected  []string       // what the last suspicion named that was sent under the rule primitives
	// Suspicion is the one that is open under the rule evidence; nil: none.
	Suspicion *attribution.OpenSuspicion
}

// Member is an attacker of an identity. Version is that of the event that
// brought it, 0 if none did: the identity is its stub.
type Member struct {
	Attacker string
	Version  uint64
}

// RowView is a row as it was last published.
type RowView struct {
	Primitive string
	Row       attribution.Row
}

// View reads what is known of an identity from the task that is its home.
func View(from Reader, id string) (v IdentityView, err error) {
	return ViewSome(from, id, math.MaxInt)
}

// ViewSome is [View] with so many of the attackers at most, as an identity may have a
// hundred thousand.
func ViewSome(from Reader, id string, members int) (v IdentityView, err error) {
	v.Identity = id
	key := []byte(id)
	read := func(what string, decode func() error) {
		if err == nil {
			if err = decode(); err != nil {
				err = fmt.Errorf("reading the %s of identity %s: %w", what, id, err)
			}
		}
	}
	read("record", func() error {
		i, _, err := get(from, idKey(nil, kindIdentity, key), decodeIdentity)
		v.MergedInto, v.Attackers = string(i.MergedInto), int(i.Members)
		if len(i.Own) > 0 {
			v.Attackers++
			v.Members = append(v.Members, Member{Attacker: string(i.Own)})
		}
		return err
	})
	read("members", func() error {
		brought, err := Members(from, id, "", members-len(v.Members))
		v.Members = append(v.Members, brought...)
		return err
	})
	read("rows", func() error {
		return scan(from, idKey(nil, kindRow, key), nil, func(rest, value []byte) error {
			primitive, _, err := cutPrimitive(rest)
			if err != nil {
				return err
			}
			var r row
			var values values
			if err := decodeRow(bytes.Clone(value), &r, &values); err != nil || !r.published {
				return err
			}
			v.Rows = append(v.Rows, RowView{Primitive: string(primitive), Row: r.was})
			return nil
		})
	})
	read("large values", func() error {
		for i := range v.Rows {
			if err := v.Rows[i].spellOut(from, key); err != nil {
				return err
			}
		}
		return nil
	})
	read("history", func() error {
		return scan(from, idKey(nil, kindHistory, key), nil, func(_, value []byte) error {
			h, err := decodeHistory(value)
			v.History = append(v.History, h)
			return err
		})
	})
	read("state", func() (err error) {
		_, v.Unsettled, err = get(from, idKey(nil, kindUnsettled, key), decodeUnsettled)
		return err
	})
	read("suspicion", func() (err error) {
		told, _, err := get(from, idKey(nil, kindSuspect, key), decodeTold)
		if v.Suspected = told.Names; err == nil {
			v.Suspicion, _, err = get(from, idKey(nil, kindSuspicion, key), decodeSuspicion)
		}
		return err
	})
	return v, err
}

// spellOut puts a large value in the place of its digest. It may be gone since
// the row was published: then the row says nothing.
func (r *RowView) spellOut(from Reader, identity []byte) error {
	if !isLarge(r.Row.Value) {
		return nil
	}
	text, err := largeText(from, r.Row.Value, identity, []byte(r.Primitive))
	if r.Row.Value = text; text == nil {
		r.Row.Value = attribution.Null
	}
	return err
}

// Owner returns whose an attacker is, from the task that is the attacker's home:
// the identity that it was linked to last, or its stub if it was seen and never
// linked. known is false for an attacker that was neither. There is one answer
// at every moment, also while what the attacker contributed is under way from
// one identity to another.
func Owner(from Reader, attacker string) (identity string, known bool, err error) {
	l, linked, err := get(from, idKey(nil, kindLink, []byte(attacker)), decodeLink)
	if err != nil || linked {
		return string(l.Identity), linked, err
	}
	stub := attribution.Stub([]byte(attacker)).String()
	i, _, err := get(from, idKey(nil, kindIdentity, []byte(stub)), decodeIdentity)
	if err != nil || len(i.Own) == 0 {
		return "", false, err
	}
	return stub, true, nil
}

// Concerns reports whether a record of the store belongs to what View reads of
// an identity.
func Concerns(key []byte, id string) bool {
	if len(key) == 0 {
		return false
	}
	switch key[0] {
	case kindIdentity, kindMember, kindRow, kindLarge, kindHistory, kindUnsettled, kindSuspect, kindSuspicion:
		return bytes.HasPrefix(key[1:], appendID(nil, []byte(id)))
	}
	return false
}

// ConcernsAttacker reports whether a record of the store belongs to what Owner
// reads of an attacker.
func ConcernsAttacker(key []byte, attacker string) bool {
	stub := attribution.Stub([]byte(attacker)).String()
	return bytes.Equal(key, idKey(nil, kindLink, []byte(attacker))) || bytes.Equal(key, idKey(nil, kindIdentity, []byte(stub)))
}

// Members returns attackers that events brought to an identity, in the order of
// their keys, from behind after unless it is empty, at most limit. A stub's own
// attacker is not among them.
func Members(from Reader, id, after string, limit int) (page []Member, err error) {
	prefix := idKey(nil, kindMember, []byte(id))
	var start []byte
	if after != "" {
		start = append(appendID(bytes.Clone(prefix), []byte(after)), 0)
	}
	if limit <= 0 {
		return nil, nil
	}
	var fault error
	err = from.Scan(prefix, start, func(key, value []byte) bool {
		attacker, _, err := cutID(key[len(prefix):])
		if err == nil && len(page) < limit {
			var m member
			m, err = decodeMember(value)
			page = append(page, Member{Attacker: string(attacker), Version: m.Version})
		}
		fault = err
		return err == nil && len(page) < limit
	})
	return page, errors.Join(err, fault)
}

// IsKnown reports whether the home of an identity has any record of it.
func IsKnown(from Reader, id string) (known bool, err error) {
	for _, kind := range []byte{kindIdentity, kindMember, kindRow, kindUnsettled, kindHistory} {
		prefix := idKey(nil, kind, []byte(id))
		err := from.Scan(prefix, nil, func(_, _ []byte) bool { known = true; return false })
		if known || err != nil {
			return known, err
		}
	}
	return false, nil
}
