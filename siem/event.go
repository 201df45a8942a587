package siem

import (
	"math"

	"handprint/attribution"
)

// Kind is what an event is about. It decides which fields of Event are set.
type Kind uint8

// The kinds of events.
const (
	Transition Kind = iota // a trait changed its state
	Suspicion              // several actors may share an identity
	Row                    // a trait's state as it is now
	Tombstone              // a trait is not judged any more
	Identity               // an identity event is over
)

// Event is one output record of handprint, as the formats need it.
type Event struct {
	Kind  Kind
	ID    string // event.id, metadata.uid: a function of the record
	Topic string // where the record came from
	// Time is in milliseconds since 1970, held between minTime and maxTime.
	Time     int64
	Identity string

	// Of transitions, rows and tombstones.
	Primitive string
	// Trait is the kind of the primitive.
	Trait attribution.Kind

	// Of transitions and rows.
	State        attribution.State
	Value        attribution.Value // canonical JSON
	Confidence   float64           // in [0, 1]; of suspicions too
	Observations int64
	Old          attribution.State // of a transition that is not new
	IsNew        bool              // the row of a transition is new
	Previous     attribution.Value // of a transition; nil: none
	Since        int64             // of a row, milliseconds: its last change of state
	LastSeen     int64             // of a row, milliseconds: its newest observation
	Returns      bool              // of a row: a value came back after another

	// Of suspicions.
	Status      Status
	SuspicionID string // empty under the rule primitives
	Primitives  []string
	Total       int // how many primitives there are, where Primitives has not all; else 0
	Reasons     []Reason
	Groups      []string
	Summary     string

	// Of identity events.
	Change    attribution.EventType
	Other     string   // the loser of a merge, or whom it stood for; else empty
	Attackers []string // moved, as far as the record lists them
	Moved     int64    // how many attackers moved
	Rows      int64    // how many rows were written or deleted

	// Addresses are the network addresses of the identity's attackers, sorted,
	// at most MaxAddresses.
	Addresses []Address
	// Techniques are the ATT&CK entries that the value stands for.
	Techniques []Technique
}

// Status is where in its life a suspicion is.
type Status uint8

// The life of a suspicion. One that a record says nothing of is raised.
const (
	Raised Status = iota
	Grown
	Cleared
)

var statusNames = [...]string{"raised", "grown", "cleared"}

// String returns the name that records carry.
func (s Status) String() string { return statusNames[s] }

// Reason is one primitive that speaks for several actors.
type Reason struct {
	Primitive string
	Kind      string // alternates or returns
	Group     string
	Values    []attribution.Value // canonical JSON
	New       bool
}

// Times that text can show: the years 1 to 9999.
const (
	minTime = -62135596800000
	maxTime = 253402300799999
)

// Millis is ms(ts) of docs/siem.md: seconds to milliseconds, rounded down, and
// held between minTime and maxTime.
func Millis(ts float64) int64 {
	ms := math.Floor(ts * 1000)
	switch {
	case !(ms >= minTime):
		return minTime
	case ms > maxTime:
		return maxTime
	}
	return int64(ms)
}

// code is event.code: what the event is, in one word.
func (e *Event) code() string {
	switch e.Kind {
	case Transition:
		return "state_changed"
	case Suspicion:
		return "multi_actor_suspected"
	case Row:
		return "state"
	case Tombstone:
		return "state_deleted"
	}
	switch e.Change {
	case attribution.Formed:
		return "identity_formed"
	case attribution.Linked:
		return "identity_linked"
	case attribution.Merged:
		return "identity_merged"
	}
	return "identity_unmerged"
}

// loserWinner returns the two identities of a merge or an unmerge: the one that
// was or is no longer merged away, and the one that it was merged into.
func (e *Event) loserWinner() (loser, winner string) {
	if e.Change == attribution.Merged {
		return e.Other, e.Identity
	}
	return e.Identity, e.Other
}

// pair reports whether the event is about two identities.
func (e *Event) pair() bool {
	return e.Kind == Identity && (e.Change == attribution.Merged || e.Change == attribution.Unmerged)
}

// subject is the identity that the event is filed under.
func (e *Event) subject() string {
	if e.pair() {
		loser, _ := e.loserWinner()
		return loser
	}
	return e.Identity
}

// finding is the id of the finding that the event is about (OCSF
// finding_info.uid).
func (e *Event) finding(dst []byte) []byte {
	dst = append(append(dst, e.Identity...), '/')
	if e.Kind != Suspicion {
		return append(dst, e.Primitive...)
	}
	dst = append(dst, "multi_actor_suspected"...)
	if e.SuspicionID != "" {
		dst = append(append(dst, '/'), e.SuspicionID...)
	}
	return dst
}

// hash returns the value of a HASH trait, nil if there is none.
func (e *Event) hash() attribution.Value {
	if e.Trait == attribution.Hash && len(e.Value) > 2 && e.Value[0] == '"' {
		return e.Value
	}
	return nil
}

// MaxAddresses is how many addresses an event carries.
const MaxAddresses = 20

// Address is a network address under which sensors know an attacker.
type Address struct {
	IP    string // in canonical form
	First int64  // milliseconds: seen first, as far as is known
	Last  int64  // milliseconds: seen last
}
