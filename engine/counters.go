package engine

import "sync/atomic"

// Counters count what the tasks of a process did, in records whose transaction
// may yet abort: they are for people, not for accounts.
type Counters struct {
	Observations atomic.Int64 // taken into a series
	Replaced     atomic.Int64 // of these: another record of known evidence
	Beyond       atomic.Int64 // of these: older than all that is kept
	Odd          atomic.Int64 // of these: outside the registry's list or minimum
	Misrouted    atomic.Int64 // forwarded to their attacker's home
	Forwarded    atomic.Int64 // forwarded to the identity their attacker is linked to
	Waiting      atomic.Int64 // held back until their attacker's move is over
	OtherKind    atomic.Int64 // rows concluded otherwise: the registry changed a kind
	DeadLetters  atomic.Int64
	Transitions  atomic.Int64
	Suspicions   atomic.Int64
	Events       atomic.Int64 // identity events taken
	Moves        atomic.Int64 // attackers that came to an identity
	Rounds       atomic.Int64 // identity changes that began anew because commands were lost
}
