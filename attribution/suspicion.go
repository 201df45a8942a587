package attribution

// Suspicion is the event attribution.profile.multi_actor_suspected: what is
// known of an identity looks like two people. Under the rule `primitives` it has
// none of the fields from Status on, and it alone has a Total.
type Suspicion struct {
	EventID    string
	Identity   string
	Primitives []string // all that are named, sorted, as ShortPrimitive has them
	// Total is how many there are, where that is more than are named; else 0.
	Total      int
	Confidence float64 // at most the cap; 0 of a cleared one
	TS         float64 // time of the tick, Unix seconds

	Status SuspicionStatus // empty: raised
	ID     string          // suspicion_id: the same from raised to cleared
	// Reasons are one for each of Primitives, in their order.
	Reasons []Reason
	Groups  []string // the evidence groups of the reasons, sorted, each once
	// Summary is evidence_summary, in words for people. If it is empty the
	// record says how many primitives there are.
	Summary string
}

// SuspicionStatus is what an event says of a suspicion's life.
type SuspicionStatus string

// The life of a suspicion.
const (
	SuspicionRaised  SuspicionStatus = "raised"
	SuspicionGrown   SuspicionStatus = "grown"
	SuspicionCleared SuspicionStatus = "cleared"
)

// Reason is one primitive that speaks for two people, and what it says.
type Reason struct {
	Primitive string
	Kind      ReasonKind
	Group     string  // evidence group of the primitive
	Values    []Value // the most frequent first, at most 8; may be none
	New       bool    // no earlier event of this suspicion has named the primitive
	Times     int     // how often a value came back; for Summary, not in the record
}

// ReasonKind is how a primitive speaks for two people.
type ReasonKind string

// The kinds of reasons.
const (
	ReasonAlternates ReasonKind = "alternates" // its row is in multi_actor
	ReasonReturns    ReasonKind = "returns"    // a value came back after another
)
