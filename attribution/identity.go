package attribution

// EventType is the kind of an identity event.
type EventType uint8

// The identity events (docs/attribution.md, "Identities").
const (
	Formed EventType = iota + 1
	Linked
	Merged
	Unmerged
)

// String returns what the event does, as pages and the API say it: formed, linked, merged
// or unmerged; claimed for 0, a claim that no event made.
func (t EventType) String() string {
	switch t {
	case Formed:
		return "formed"
	case Linked:
		return "linked"
	case Merged:
		return "merged"
	case Unmerged:
		return "unmerged"
	}
	return "claimed"
}

// MaxIdentityID is the longest id of an identity that an event names, in bytes. The id
// stands in the link of each of its attackers and in every command about one.
const MaxIdentityID = 1024

// IdentityEvent is what a clusterer says about who is who.
type IdentityEvent struct {
	Type EventType
	// Identity is identity_uuid of Formed and Linked, winner_uuid of Merged
	// and Unmerged.
	Identity string
	// Loser is loser_uuid of Merged and Unmerged, empty otherwise.
	Loser string
	// Attackers are the listed attackers, each once, in the order of the
	// event. (The events call them observation_uuid.)
	Attackers []string
}
