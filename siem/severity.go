package siem

import "handprint/attribution"

// Severity is how much an event asks for attention. Nothing is above Medium
// unless a table says so: handprint judges coherence, not impact.
type Severity uint8

// The severities.
const (
	Informational Severity = iota
	Low
	Medium
	High
)

// severities are the numbers that the formats have for each Severity.
var severities = [...]struct {
	name      string
	ocsf      string
	ecs       string
	cef       string // LEEF has the same
	syslog    int
	ocsfTitle string
}{
	{name: "informational", ocsf: "1", ecs: "10", cef: "1", syslog: 6, ocsfTitle: "Informational"},
	{name: "low", ocsf: "2", ecs: "21", cef: "3", syslog: 5, ocsfTitle: "Low"},
	{name: "medium", ocsf: "3", ecs: "47", cef: "5", syslog: 4, ocsfTitle: "Medium"},
	{name: "high", ocsf: "4", ecs: "73", cef: "8", syslog: 3, ocsfTitle: "High"},
}

// ParseSeverity returns the severity with a name.
func ParseSeverity(name string) (Severity, bool) {
	for s, have := range severities {
		if have.name == name {
			return Severity(s), true
		}
	}
	return 0, false
}

// String returns the name, as ParseSeverity takes it.
func (s Severity) String() string { return severities[s].name }

// Syslog returns the severity as RFC 5424 counts it.
func (s Severity) Syslog() int { return severities[s].syslog }

// Table says how severe each sort of event is. The zero value is all
// informational; DefaultTable is what docs/siem.md has.
type Table struct {
	States    [attribution.MultiActor + 1]Severity // of transitions, by the new state
	Suspicion Severity                             // at more than half of the cap
	Weak      Severity                             // a suspicion at half of the cap
	Cleared   Severity
	Row       Severity
	Identity  Severity
}

// DefaultTable returns the severities of docs/siem.md.
func DefaultTable() Table {
	t := Table{Suspicion: Medium, Weak: Low}
	for _, s := range []attribution.State{attribution.Drifting, attribution.Conflicted, attribution.MultiActor} {
		t.States[s] = Low
	}
	return t
}

// Of returns the severity of e. Its names in a configuration are those of Set.
func (t *Table) of(e *Event, cap float64) Severity {
	switch e.Kind {
	case Transition:
		return t.States[e.State]
	case Suspicion:
		switch {
		case e.Status == Cleared:
			return t.Cleared
		case e.Confidence <= cap/2:
			return t.Weak
		}
		return t.Suspicion
	case Identity:
		return t.Identity
	}
	return t.Row
}

// Set gives one sort of event another severity: the name of a state, or
// suspicion, weak_suspicion, cleared, row, identity. It reports false if there is
// no such sort.
func (t *Table) Set(sort string, s Severity) bool {
	switch sort {
	case "suspicion":
		t.Suspicion = s
	case "weak_suspicion":
		t.Weak = s
	case "cleared":
		t.Cleared = s
	case "row":
		t.Row = s
	case "identity":
		t.Identity = s
	default:
		state, err := attribution.ParseState(sort)
		if err != nil {
			return false
		}
		t.States[state] = s
	}
	return true
}
