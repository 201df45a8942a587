package query

import "encoding/json"

// States are numbers by state.
type States struct {
	Unknown    int `json:"unknown"`
	Stable     int `json:"stable"`
	Drifting   int `json:"drifting"`
	Conflicted int `json:"conflicted"`
	MultiActor int `json:"multi_actor"`
}

func statesOf(n [5]int) States { return States{n[0], n[1], n[2], n[3], n[4]} }

// Of returns the number of a state by its name, 0 of an unknown one.
func (s States) Of(name string) int {
	switch name {
	case "unknown":
		return s.Unknown
	case "stable":
		return s.Stable
	case "drifting":
		return s.Drifting
	case "conflicted":
		return s.Conflicted
	case "multi_actor":
		return s.MultiActor
	}
	return 0
}

// Total returns the sum.
func (s States) Total() int {
	return s.Unknown + s.Stable + s.Drifting + s.Conflicted + s.MultiActor
}

// Address is what sensors know of where an attacker came from.
type Address struct {
	Address string   `json:"address" doc:"As the sensor recorded it."`
	Kind    string   `json:"kind" enum:"ip,opaque"`
	Sensors []string `json:"sensors"`
	FirstTS float64  `json:"first_seen_ts" doc:"Unix seconds."`
	LastTS  float64  `json:"last_seen_ts" doc:"Unix seconds, at most an hour behind."`
}

// Row is a row: what is concluded of one primitive of one identity.
type Row struct {
	Primitive  string          `json:"primitive"`
	Domain     string          `json:"domain"`
	Kind       string          `json:"kind"`
	Value      json.RawMessage `json:"current_value" doc:"Any JSON."`
	State      string          `json:"state" enum:"unknown,stable,drifting,conflicted,multi_actor"`
	Confidence float64         `json:"confidence"`
	Count      int64           `json:"observation_count"`
	ChangeTS   float64         `json:"last_change_ts"`
	SeenTS     float64         `json:"last_observation_ts"`
	UpdatedAt  float64         `json:"updated_at"`
	Returns    bool            `json:"returns" doc:"A fingerprint of one of its attackers came back after another one."`
	Holders    int             `json:"holders" doc:"Identities that are stable with this value; 0 while the catalogue is built."`
	Of         int             `json:"of" doc:"Identities that are stable in this primitive."`
	Bits       float64         `json:"bits" doc:"What it weighs that two identities agree on this value, before confidence."`
}

// Match is a row that the conditions of a list hold for.
type Match struct {
	Primitive  string          `json:"primitive"`
	State      string          `json:"state"`
	Value      json.RawMessage `json:"current_value"`
	Confidence float64         `json:"confidence"`
	Count      int64           `json:"observation_count"`
	ChangeTS   float64         `json:"last_change_ts"`
	Returns    bool            `json:"returns"`
}

// ListedIdentity is an identity in a list.
type ListedIdentity struct {
	Identity   string     `json:"identity_uuid"`
	States     States     `json:"states" doc:"Rows by state."`
	Rows       int        `json:"rows"`
	Attackers  int        `json:"attackers"`
	First      []string   `json:"first_attackers" doc:"At most 3."`
	Address    *Address   `json:"address,omitempty" doc:"Of an identity that is one attacker."`
	ChangeTS   float64    `json:"last_change_ts"`
	SeenTS     float64    `json:"last_observation_ts"`
	Suspected  []string   `json:"suspected_primitives"`
	Suspicion  *Suspicion `json:"suspicion,omitempty" doc:"The one that holds now."`
	Matched    []Match    `json:"matched" doc:"Rows that the conditions on rows hold for, at most 20."`
	Unsettled  bool       `json:"unsettled" doc:"An identity event that touches it is not over."`
	MergedInto *string    `json:"merged_into"`
}

// Facets are counts beside a list.
type Facets struct {
	State States `json:"state" doc:"Identities that match, by state of a row, without the condition on the state."`
}

// IdentityList is a page of identities.
type IdentityList struct {
	Items   []ListedIdentity `json:"items"`
	Total   int              `json:"total"`
	TotalIs string           `json:"total_is" enum:"exact,at_least"`
	Facets  *Facets          `json:"facets,omitempty"`
	Next    string           `json:"next_cursor,omitempty"`
	AsOf    float64          `json:"as_of"`
}

// Member is an attacker of an identity.
type Member struct {
	Attacker string   `json:"attacker_uuid"`
	Version  uint64   `json:"event_version" doc:"Of the event that brought it; 0: the identity is its own."`
	Address  *Address `json:"address,omitempty"`
}

// Position is a place in the changelog.
type Position struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// IdentityRecord is what the topic of identities says of one: what others were told.
type IdentityRecord struct {
	Attackers  []string `json:"attackers" doc:"The first 100."`
	Total      int64    `json:"attackers_total"`
	MergedInto *string  `json:"merged_into"`
	Version    uint64   `json:"version" doc:"Of the identity event that was the last to change it."`
	LastEvent  *string  `json:"last_event" doc:"identity.formed, identity.observation.linked, identity.merged or identity.unmerged; null: an attacker came whose stub was touched before it was seen."`
	Origin     *int64   `json:"origin_offset" doc:"Of that event, in the topic of identity events."`
	EventTS    float64  `json:"last_event_ts"`
	UpdatedAt  float64  `json:"updated_at"`
}

// Identity is everything of one identity, from one snapshot.
type Identity struct {
	Identity   string     `json:"identity_uuid"`
	Followed   []string   `json:"followed,omitempty" doc:"The identities that were merged, from the one asked for to this one."`
	MergedInto *string    `json:"merged_into"`
	Unsettled  bool       `json:"unsettled"`
	Attackers  []Member   `json:"attackers" doc:"The first 200."`
	Total      int        `json:"attackers_total"`
	Suspicion  *Suspicion `json:"suspicion"`
	Rows       []Row      `json:"primitives"`
	// Record is from another topic than the rest: for a moment it may be older.
	Record   *IdentityRecord `json:"record" doc:"What attribution.identity says of it, which is what others are told. It is of another topic than the rest, and for a moment it may be older. null: no identity event has touched the identity, or the topic cannot be read."`
	Position Position        `json:"position"`
	AsOf     float64         `json:"as_of"`
}

// Attribution is the rows of an identity.
type Attribution struct {
	Identity string  `json:"identity_uuid"`
	Attacker string  `json:"attacker_uuid,omitempty"`
	Rows     []Row   `json:"primitives"`
	AsOf     float64 `json:"as_of"`
}

// Attacker is an attacker, where it came from and whose it is.
type Attacker struct {
	Attacker string   `json:"attacker_uuid"`
	Identity string   `json:"identity_uuid,omitempty" doc:"Empty: only an address is known."`
	Address  *Address `json:"address,omitempty"`
}

// AttackerList is a page of attackers.
type AttackerList struct {
	Items []Attacker `json:"items"`
	Total int        `json:"total"`
	Next  string     `json:"next_cursor,omitempty"`
	AsOf  float64    `json:"as_of"`
}

// MemberList is a page of the attackers of an identity.
type MemberList struct {
	Items []Member `json:"items"`
	Total int      `json:"total"`
	Next  string   `json:"next_cursor,omitempty"`
	AsOf  float64  `json:"as_of"`
}

// Happening is one entry of a timeline.
type Happening struct {
	TS         float64         `json:"ts" doc:"When it was observed."`
	Recorded   float64         `json:"recorded" doc:"When it was written."`
	Kind       string          `json:"kind" enum:"state,value,suspicion,identity"`
	Primitive  string          `json:"primitive,omitempty"`
	OldState   *string         `json:"old_state"`
	NewState   string          `json:"new_state,omitempty"`
	Value      json.RawMessage `json:"current_value,omitempty"`
	Previous   json.RawMessage `json:"previous_value,omitempty"`
	Confidence float64         `json:"confidence"`
	EventID    string          `json:"event_id,omitempty"`
	Status     string          `json:"status,omitempty" doc:"Of a suspicion: raised, grown, cleared. Of an identity event: formed, linked, merged, unmerged."`
	Record     json.RawMessage `json:"record,omitempty" doc:"The event as its topic has it."`
	Sampled    bool            `json:"sampled" doc:"Seen while catching up: compaction may have hidden values before it."`
	At         Position        `json:"at"`
}

// Timeline is a page of what happened to an identity, the latest first.
type Timeline struct {
	Identity string      `json:"identity_uuid"`
	Begins   float64     `json:"begins" doc:"Everything recorded from then on is in the history; 0: there is none."`
	Complete bool        `json:"complete" doc:"The history reaches back to the first observation of the range."`
	Items    []Happening `json:"items"`
	Next     string      `json:"next_cursor,omitempty"`
	AsOf     float64     `json:"as_of"`
}

// IdentityEvent is an identity event that has touched an identity.
type IdentityEvent struct {
	Version uint64  `json:"version"`
	Type    string  `json:"type"`
	Offset  int64   `json:"offset" doc:"In the topic of identity events."`
	TS      float64 `json:"ts"`
	Winner  string  `json:"winner_uuid"`
	Loser   string  `json:"loser_uuid,omitempty"`
	In      uint64  `json:"attackers_in"`
	Out     uint64  `json:"attackers_out"`
	RowsIn  uint64  `json:"contributions_in"`
	RowsOut uint64  `json:"contributions_out"`
}

// IdentityHistory is the identity events of an identity, the newest 100, oldest
// first.
type IdentityHistory struct {
	Identity   string          `json:"identity_uuid"`
	MergedInto *string         `json:"merged_into"`
	Items      []IdentityEvent `json:"items"`
	AsOf       float64         `json:"as_of"`
}

// Reason is one piece of a suspicion's evidence.
type Reason struct {
	Primitive string            `json:"primitive"`
	Kind      string            `json:"kind" enum:"alternates,returns"`
	Group     string            `json:"group"`
	Values    []json.RawMessage `json:"values"`
	New       bool              `json:"new"`
}

// Suspicion is a suspicion as its last event left it.
type Suspicion struct {
	ID         string   `json:"suspicion_id"`
	Identity   string   `json:"identity_uuid"`
	Address    *Address `json:"address,omitempty"`
	Status     string   `json:"status" enum:"raised,grown,cleared,replaced"`
	Since      float64  `json:"since" doc:"When it was raised."`
	TS         float64  `json:"ts" doc:"Of its last event."`
	Confidence float64  `json:"confidence"`
	Primitives []string `json:"primitives"`
	Reasons    []Reason `json:"reasons"`
	Groups     []string `json:"groups"`
	Added      []string `json:"added" doc:"Primitives that the last event was the first to name."`
	Summary    string   `json:"evidence_summary"`
	EventID    string   `json:"event_id"`
}

// SuspicionList is a page of suspicions.
type SuspicionList struct {
	Items []Suspicion `json:"items"`
	Total int         `json:"total"`
	Next  string      `json:"next_cursor,omitempty"`
	AsOf  float64     `json:"as_of"`
}

// Agreement is a primitive in which two identities are stable.
type Agreement struct {
	Primitive string          `json:"primitive"`
	Value     json.RawMessage `json:"current_value,omitempty" doc:"That both have; absent where they differ."`
	Holders   int             `json:"holders"`
	Of        int             `json:"of"`
	Bits      float64         `json:"bits" doc:"0: a weightier one of its group counts."`
}

// Pair is two identities that may be the same hands. It suggests, it links nothing.
type Pair struct {
	A        string      `json:"a"`
	B        string      `json:"b"`
	Score    float64     `json:"score" doc:"Bits."`
	Agree    []Agreement `json:"agree" doc:"The weightiest first, 128 at most. The score is of all."`
	Disagree []Agreement `json:"disagree" doc:"The weightiest first, 128 at most."`
}

// PairList is pairs, the highest score first.
type PairList struct {
	Items      []Pair  `json:"items"`
	ComputedAt float64 `json:"computed_at"`
	Complete   bool    `json:"complete" doc:"All pairs were scored. False: there were too many rows to look at."`
	AsOf       float64 `json:"as_of"`
}

// ComparedRow is one primitive of two identities.
type ComparedRow struct {
	Primitive string  `json:"primitive"`
	A         *Row    `json:"a"`
	B         *Row    `json:"b"`
	Bits      float64 `json:"bits"`
	Relation  string  `json:"relation" enum:"agree,disagree,one_sided,not_stable"`
}

// Comparison is two identities side by side.
type Comparison struct {
	A     string        `json:"a"`
	B     string        `json:"b"`
	Score float64       `json:"score"`
	Rows  []ComparedRow `json:"primitives"`
	AsOf  float64       `json:"as_of"`
}

// Primitive is an entry of the registry with the rows that there are.
type Primitive struct {
	Primitive  string   `json:"primitive"`
	Domain     string   `json:"domain"`
	Kind       string   `json:"kind"`
	Registered bool     `json:"registered"`
	Group      string   `json:"group" doc:"Evidence group."`
	Returning  bool     `json:"returning" doc:"Values that come back count as evidence."`
	Values     []string `json:"values" doc:"That it is known to take; empty: any."`
	Unit       string   `json:"unit,omitempty"`
	Meaning    string   `json:"meaning,omitempty"`
	States     States   `json:"states"`
	Rows       int      `json:"rows"`
	Distinct   int      `json:"distinct_values"`
}

// PrimitiveList is all primitives, by name.
type PrimitiveList struct {
	Items []Primitive `json:"items"`
	AsOf  float64     `json:"as_of"`
}

// ValueCount is a value and the rows that have it.
type ValueCount struct {
	Value   json.RawMessage `json:"current_value" doc:"null for a long value: only its digest is known."`
	Digest  string          `json:"digest,omitempty" doc:"Of a value over 256 bytes, hexadecimal."`
	Holders int             `json:"holders"`
	States  States          `json:"states"`
}

// ValueList is a page of values of a primitive.
type ValueList struct {
	Primitive string       `json:"primitive"`
	Items     []ValueCount `json:"items"`
	Total     int          `json:"total"`
	Next      string       `json:"next_cursor,omitempty"`
	AsOf      float64      `json:"as_of"`
}

// ValueInfo is how common one value is.
type ValueInfo struct {
	Primitive string `json:"primitive"`
	ValueCount
	Of   int     `json:"of" doc:"Rows of the primitive."`
	Bits float64 `json:"bits" doc:"What it weighs that two identities are stable with it."`
	AsOf float64 `json:"as_of"`
}

// FoundValue is a value in a search.
type FoundValue struct {
	Primitive string `json:"primitive"`
	ValueCount
}

// SearchResult is what a search found, a few of each kind.
type SearchResult struct {
	Q          string       `json:"q"`
	Identities []string     `json:"identities"`
	Attackers  []Attacker   `json:"attackers"`
	Total      int          `json:"attackers_total"`
	Primitives []string     `json:"primitives"`
	Values     []FoundValue `json:"values"`
	AsOf       float64      `json:"as_of"`
}

// DomainCount is the rows of a domain.
type DomainCount struct {
	Domain string `json:"domain"`
	States States `json:"states"`
}

// PrimitiveRows is the rows of a primitive by state.
type PrimitiveRows struct {
	Primitive string `json:"primitive"`
	States    States `json:"states"`
}

// Change is how many transitions there were from one state to another.
type Change struct {
	Old   *string `json:"old_state"`
	New   string  `json:"new_state"`
	Count int     `json:"count"`
}

// Overview is totals over everything.
type Overview struct {
	Identities  int             `json:"identities" doc:"Merged ones included."`
	Merged      int             `json:"merged"`
	Suspected   int             `json:"suspected"`
	Attackers   int             `json:"attackers"`
	Addresses   int             `json:"addresses" doc:"Attackers with a known address."`
	Rows        int             `json:"rows"`
	States      States          `json:"states"`
	Domains     []DomainCount   `json:"domains"`
	Primitives  []PrimitiveRows `json:"primitives"`
	Window      float64         `json:"window" doc:"Seconds that the changes are of."`
	Changes     []Change        `json:"changes" doc:"Transitions within the window, by pair of states, most first."`
	Transitions int             `json:"transitions" doc:"Their sum."`
	Truncated   bool            `json:"truncated" doc:"There were more than were counted."`
	AsOf        float64         `json:"as_of"`
}
