package query

import (
	"fmt"
	"time"
)

// Kind is what a problem is about: the last part of its type in the API.
type Kind string

// The kinds of problems that a Reader has.
const (
	BadParameter    Kind = "bad-parameter"
	CursorInvalid   Kind = "cursor-invalid"
	CursorMismatch  Kind = "cursor-mismatch"
	UnknownIdentity Kind = "unknown-identity"
	UnknownAttacker Kind = "unknown-attacker"
	NoRow           Kind = "no-row"
	CatalogBuilding Kind = "catalog-building"
	CatalogTooSmall Kind = "catalog-too-small"
	TooStale        Kind = "too-stale"
	NotThereYet     Kind = "not-there-yet"
	InTheWay        Kind = "in-the-way"
	NoBroker        Kind = "no-broker"
	Fault           Kind = "fault"
)

// Problem is why a question has no answer, fit to be shown.
type Problem struct {
	Kind     Kind
	Detail   string
	Progress float64       // of catalog-building, in [0, 1]
	After    time.Duration // when to try again; 0: not said
	Needed   int64         // of catalog-too-small, bytes
	Cause    error         // of a fault; not to be shown
}

// Error returns the detail.
func (p *Problem) Error() string { return string(p.Kind) + ": " + p.Detail }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

func problem(kind Kind, format string, args ...any) *Problem {
	return &Problem{Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

func fault(err error) *Problem {
	return &Problem{Kind: Fault, Detail: "The answer could not be made.", Cause: err}
}
