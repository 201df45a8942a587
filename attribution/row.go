package attribution

import "fmt"

// State is what the engine concludes about one (identity, primitive). The five
// values are frozen: consumers may switch over them.
type State uint8

// The states, in the order in which tables show them.
const (
	Unknown State = iota
	Stable
	Drifting
	Conflicted
	MultiActor
)

var stateNames = [...]string{"unknown", "stable", "drifting", "conflicted", "multi_actor"}

// String returns the name that events and rows carry.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// ParseState returns the state that events and rows call name.
func ParseState(name string) (State, error) {
	for s, n := range stateNames {
		if n == name {
			return State(s), nil
		}
	}
	return 0, fmt.Errorf("unknown state %q", name)
}

// SchemaVersion is the version that every state row carries.
const SchemaVersion = 1

// Row is the state row of one (identity, primitive), as it was last published
// (docs/attribution.md, "State row").
type Row struct {
	State             State
	Value             Value   // current_value
	Confidence        float64 // in [0, 1]
	Count             int64   // observation_count
	LastChangeTS      float64 // Unix seconds
	LastObservationTS float64 // Unix seconds
	UpdatedAt         float64 // Unix seconds, wall clock of the write
	// Returns says that a fingerprint of one of the identity's attackers came
	// back after another one (docs/attribution.md, "Returning fingerprints").
	Returns bool
}

// Transition is one state change of a row: the event
// attribution.profile.state_changed.
type Transition struct {
	EventID   string // stable: the same cause gives the same id
	Identity  string
	Primitive string
	Old       State
	IsNew     bool // the row is new: there is no old state
	New       State
	Value     Value
	// Previous is previous_value: of a row that drifts what it drifted from, of
	// any other the value before; nil: there is none.
	Previous   Value
	Confidence float64
	Count      int64
	TS         float64 // last_observation_ts, Unix seconds
}
