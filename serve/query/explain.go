package query

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"handprint/attribution"
	"handprint/engine"
)

// Evidence is one primitive that speaks for two people now.
type Evidence struct {
	Primitive   string              `json:"primitive"`
	Kind        string              `json:"kind" enum:"alternates,returns"`
	Group       string              `json:"group"`
	Named       bool                `json:"named" doc:"An event of the open suspicion has named it."`
	Explanation *engine.Explanation `json:"explanation"`
}

// SuspicionExplanation is why an identity is suspected, or is not.
type SuspicionExplanation struct {
	Identity   string             `json:"identity_uuid"`
	Rule       string             `json:"rule" enum:"evidence,primitives"`
	Suspected  bool               `json:"suspected" doc:"The rows as they are now suffice."`
	Suspicion  *Suspicion         `json:"suspicion"`
	Evidence   []Evidence         `json:"evidence"`
	Groups     []string           `json:"groups"`
	Confidence float64            `json:"confidence" doc:"Of what speaks for it now; 0: it does not suffice."`
	Steps      []attribution.Step `json:"steps"`
	WouldClear string             `json:"would_clear" doc:"What would end the suspicion that is open; empty: none is."`
	Position   Position           `json:"position"`
	AsOf       float64            `json:"as_of"`
}

func (r *Reader) engineConfig() *engine.Config {
	return &engine.Config{Thresholds: r.Thresholds, Registry: r.Registry}
}

// Explain returns why a row says what it says.
func (r *Reader) Explain(id, primitive string) (*engine.Explanation, Position, error) {
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, Position{}, err
	}
	defer s.Close()
	x, found, err := engine.Explain(s, r.engineConfig(), id, primitive)
	switch {
	case err != nil:
		return nil, Position{}, fault(err)
	case found:
		if !x.Agrees && !x.Unsettled {
			r.disagreed.Add(1)
		}
		return &x, s.position(), nil
	}
	if _, _, err := r.view(id); err != nil {
		return nil, Position{}, err
	}
	return nil, Position{}, problem(NoRow, "This identity has no row of this primitive.")
}

// Disagreed returns how many explanations did not give what the row says, which is a
// fault unless thresholds have been changed.
func (r *Reader) Disagreed() int64 { return r.disagreed.Load() }

func (r *Reader) group(primitive string) string {
	if p := r.Registry.Lookup([]byte(primitive)); p != nil && p.Group != "" {
		return p.Group
	}
	return primitive
}

// ExplainSuspicion returns why an identity is suspected, or is not.
func (r *Reader) ExplainSuspicion(id string) (*SuspicionExplanation, error) {
	v, _, err := r.view(id)
	if err != nil {
		return nil, err
	}
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	c, _ := r.Source.Catalog()
	t := &r.Thresholds
	to := &SuspicionExplanation{
		Identity: id, Rule: t.SuspicionRule.String(), Suspicion: r.suspicion(c, c.SuspicionOf(id)), Evidence: []Evidence{}, Groups: []string{}, Position: s.position(), AsOf: s.asOf,
	}
	e := attribution.Evidence{}
	for i := range v.Rows {
		row := &v.Rows[i]
		if row.Row.State == attribution.MultiActor {
			e.Alternates = append(e.Alternates, row.Primitive)
		}
		if row.Row.Returns && t.SuspicionRule == attribution.RuleEvidence {
			e.Returns = append(e.Returns, row.Primitive)
		}
	}
	add := func(primitive, kind string) error {
		x, found, err := engine.Explain(s, r.engineConfig(), id, primitive)
		if err != nil {
			return fault(err)
		}
		one := Evidence{Primitive: primitive, Kind: kind, Group: r.group(primitive), Named: to.Suspicion != nil && slices.Contains(to.Suspicion.Primitives, primitive)}
		if found {
			one.Explanation = &x
		}
		to.Evidence = append(to.Evidence, one)
		if !slices.Contains(to.Groups, one.Group) {
			to.Groups = append(to.Groups, one.Group)
		}
		return nil
	}
	for _, p := range e.Returns {
		if err := add(p, "returns"); err != nil {
			return nil, err
		}
	}
	for _, p := range e.Alternates {
		if !slices.Contains(e.Returns, p) {
			if err := add(p, "alternates"); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(to.Groups)
	r.judge(to, &e)
	return to, nil
}

// judge fills in what the rule asks.
func (r *Reader) judge(to *SuspicionExplanation, e *attribution.Evidence) {
	t := &r.Thresholds
	alternate := attribution.Step{Rule: "alternate", Text: fmt.Sprintf("%d primitives alternate, at least %d are needed", len(e.Alternates), t.MultiActorPrimitives), Holds: len(e.Alternates) >= t.MultiActorPrimitives}
	to.Steps = append(to.Steps, alternate)
	to.Suspected = alternate.Holds
	if to.Rule == attribution.RuleEvidence.String() {
		to.Steps = append(to.Steps, attribution.Step{Rule: "returns", Text: fmt.Sprintf("%d primitives return, 1 is enough", len(e.Returns)), Holds: len(e.Returns) > 0})
		to.Suspected = e.Suspected(t)
		groups := attribution.Step{Rule: "groups", Text: fmt.Sprintf("the evidence lies in %d groups (%s), %d or a return give full confidence", len(to.Groups), strings.Join(to.Groups, ", "), t.SuspicionGroups),
			Holds: len(to.Groups) >= t.SuspicionGroups || len(e.Returns) > 0}
		to.Steps = append(to.Steps, groups)
		if to.Suspected {
			to.Confidence = t.MultiActorCap
			if !groups.Holds {
				to.Confidence /= 2
			}
		}
		if to.Suspicion != nil {
			quiet := (time.Duration(t.SuspicionQuiet) * time.Second).String()
			to.WouldClear = fmt.Sprintf("It is cleared when, for %s, fewer than %d primitives alternate and none returns, or when the identity has no row left.", quiet, t.MultiActorPrimitives)
		}
		return
	}
	if to.Suspected {
		to.Confidence = t.MultiActorCap
	}
}
