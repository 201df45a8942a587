package attribution

// MaxListedAttackers is how many attackers a record lists. Their whole number
// stands beside the list.
const MaxListedAttackers = 100

// MaxListedID is the longest id of an attacker, in bytes, that a record lists.
// Longer ones are only counted, so that no record grows with them.
const MaxListedID = 512

// Membership is the record of attribution.identity: what an identity is now. An
// identity that no event has touched has none: it is its own attacker's stub.
type Membership struct {
	Identity   string
	Attackers  []string  // the first MaxListedAttackers: UUIDs first, then others, by their bytes
	Total      int64     // how many attackers there are
	MergedInto string    // the identity that it stands for; empty: itself
	Version    uint64    // of the identity event that was the last to change it
	LastEvent  EventType // its type; 0: an attacker came that was first seen when its stub was merged already
	Offset     int64     // its offset in the topic of the identity events; 0 if there was none
	EventTS    float64   // timestamp of its record, Unix seconds
	UpdatedAt  float64   // wall clock of the write, Unix seconds
}

// IdentityChange is the event attribution.profile.identity_changed: an identity
// event is over.
type IdentityChange struct {
	EventID  string
	Type     EventType
	Identity string // whom the event's name means; of Unmerged, the loser, which is itself again
	Other    string // of Merged the loser; of Unmerged whom it stood for until then; else empty

	Attackers []string // moved, the first MaxListedAttackers
	Moved     int64    // how many attackers were moved
	Rows      int64    // rows that were written or deleted because of it
	Version   uint64   // of the event
	Offset    int64    // of the event in its topic
	TS        float64  // timestamp of the event's record, Unix seconds
}
