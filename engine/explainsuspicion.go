package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"handprint/attribution"
)

// SuspicionExplanation is why an identity is suspected, or is not: each piece of
// evidence with what it rests on, the questions of the rule, and what would end
// the suspicion. It is part of the object of the HTTP API and of `handprint
// explain --json`.
type SuspicionExplanation struct {
	Identity   string              `json:"identity_uuid"`
	Rule       string              `json:"rule" enum:"evidence,primitives"`
	Suspected  bool                `json:"suspected" doc:"The rows as they are now suffice."`
	Evidence   []ExplainedEvidence `json:"evidence" doc:"What returns first, then what alternates: all that is registered, and at most 1,024 others."`
	Groups     []string            `json:"groups"`
	Confidence float64             `json:"confidence" doc:"Of what speaks for it now; 0: it does not suffice."`
	Steps      []attribution.Step  `json:"steps"`
	WouldClear string              `json:"would_clear" doc:"What would end the suspicion that is open; empty: none is."`
}

// ExplainedEvidence is one primitive that speaks for two people now.
type ExplainedEvidence struct {
	Primitive   string                 `json:"primitive"`
	Kind        attribution.ReasonKind `json:"kind" enum:"alternates,returns"`
	Group       string                 `json:"group"`
	Named       bool                   `json:"named" doc:"An event of the open suspicion has named it."`
	Explanation *Explanation           `json:"explanation" doc:"Why its row says what it says; null behind the first 64 pieces of evidence, and of a name of more than 128 bytes, which is cut."`
	Returning   []ExplainedReturning   `json:"returning,omitempty" doc:"Of one that returns: the runs of the attackers for which it does, at most 20 of them."`
	EndsAfter   int                    `json:"ends_after" doc:"How many more observations of the newest value end it; 0: not known."`
}

// ExplainedReturning is why a primitive returns for one attacker.
type ExplainedReturning struct {
	Attacker string `json:"attacker_uuid"`
	attribution.ExplainedReturns
}

// Bounds of what an explanation shows. An attacker may make up primitives.
const (
	maxReturning = 20 // attackers whose runs are shown, of each primitive
	maxExplained = 64 // pieces of evidence that are more than named
)

// ExplainSuspicion explains why an identity is suspected, or is not, from the
// task that is its home. It judges by the rows as they are, with the thresholds
// and the registry of cfg (nil: the built-in one), as the next sweep does.
func ExplainSuspicion(from Reader, cfg *Config, identity string) (SuspicionExplanation, error) {
	x, err := explainSuspicion(from, cfg, identity)
	if err != nil {
		err = fmt.Errorf("explaining the suspicion of identity %s: %w", identity, err)
	}
	return x, err
}

func explainSuspicion(from Reader, cfg *Config, identity string) (x SuspicionExplanation, err error) {
	t, registry := &cfg.Thresholds, cfg.Registry
	if registry == nil {
		registry = attribution.DefaultRegistry()
	}
	x = SuspicionExplanation{Identity: identity, Rule: t.SuspicionRule.String(), Evidence: []ExplainedEvidence{}, Groups: []string{}}
	id := []byte(identity)
	var e attribution.Evidence
	if e.Alternates, _, err = alternating(from, id, registry, t); err != nil {
		return x, err
	}
	total, err := flagged(from, id)
	if err != nil {
		return x, err
	}
	if t.SuspicionRule == attribution.RuleEvidence {
		if e.Returns, err = returning(from, id); err != nil {
			return x, err
		}
	}
	open, _, err := get(from, idKey(nil, kindSuspicion, id), decodeSuspicion)
	if err != nil {
		return x, err
	}
	for _, primitive := range e.Primitives() {
		one := ExplainedEvidence{Primitive: primitive, Kind: e.Kind(primitive), Group: registry.Group(primitive), Named: open != nil && open.Names(primitive)}
		if len(x.Evidence) < maxExplained {
			if err := one.fill(from, cfg, identity); err != nil {
				return x, err
			}
		}
		x.Evidence = append(x.Evidence, one)
		x.Groups = append(x.Groups, one.Group)
	}
	slices.Sort(x.Groups)
	x.Groups = slices.Compact(x.Groups)
	x.judge(&e, total, t)
	if open != nil && t.SuspicionRule == attribution.RuleEvidence {
		x.WouldClear = x.wouldClear(open, t)
	}
	return x, nil
}

// fill works out what a piece of evidence rests on.
func (v *ExplainedEvidence) fill(from Reader, cfg *Config, identity string) error {
	x, found, err := Explain(from, cfg, identity, v.Primitive)
	if err != nil || !found {
		return err
	}
	v.Explanation, v.EndsAfter = &x, x.EndsAfter
	if v.Kind != attribution.ReasonReturns {
		return nil
	}
	id, primitive := []byte(identity), []byte(v.Primitive)
	key := rowKey(nil, kindRow, id, primitive)
	var values values
	values.long.at(from, key)
	r, found, err := get(from, key, func(b []byte) (r row, err error) {
		err = decodeRow(b, &r, &values)
		return r, err
	})
	if err != nil || !found {
		return err
	}
	v.EndsAfter = 0
	several := 0
	err = eachSeries(from, &r, id, primitive, func(s *attribution.Series, attacker string) {
		if len(v.Returning) == maxReturning || !attribution.Returns(s, &cfg.Thresholds) {
			return
		}
		why := attribution.ExplainReturns(s, &cfg.Thresholds)
		several++
		v.EndsAfter = why.EndsAfter
		v.Returning = append(v.Returning, ExplainedReturning{attacker, why})
	})
	if several > 1 {
		v.EndsAfter = 0 // each of them has its own number
	}
	text := texts(from, id, primitive)
	spell := func(v *attribution.Value) {
		if err == nil {
			*v, err = text(*v)
		}
	}
	for i := range v.Returning {
		w := &v.Returning[i]
		for j := range w.Runs {
			spell(&w.Runs[j].Value)
		}
		for j := range w.Changes {
			spell(&w.Changes[j].From)
			spell(&w.Changes[j].To)
		}
	}
	return err
}

// judge asks the questions of the rule. total is how many primitives alternate, named or
// not.
func (x *SuspicionExplanation) judge(e *attribution.Evidence, total int, t *attribution.Thresholds) {
	many := func(n int, verb string) string {
		if n == 1 {
			return "1 primitive " + verb + "s"
		}
		return fmt.Sprintf("%d primitives %s", n, verb)
	}
	ask := func(rule, text string, holds bool) {
		x.Steps = append(x.Steps, attribution.Step{Rule: rule, Text: text, Holds: holds})
	}
	x.Suspected = e.Suspected(t)
	ask("alternate", fmt.Sprintf("%s, %d suffice", many(total, "alternate"), t.MultiActorPrimitives), total >= t.MultiActorPrimitives)
	full := true
	if t.SuspicionRule == attribution.RuleEvidence {
		ask("returns", many(len(e.Returns), "return")+", 1 suffices", len(e.Returns) > 0)
		full = len(e.Returns) > 0 || len(x.Groups) >= t.SuspicionGroups
		groups := "no evidence group"
		if n := len(x.Groups); n > 0 {
			named := strings.Join(x.Groups[:min(n, maxEnds)], ", ")
			if n > maxEnds {
				named += ", ..."
			}
			groups = fmt.Sprintf("%d evidence groups (%s)", n, named)
			if n == 1 {
				groups = "1 evidence group (" + x.Groups[0] + ")"
			}
		}
		ask("groups", fmt.Sprintf("it lies in %s; %d of them, or a return, give full confidence", groups, t.SuspicionGroups), full && x.Suspected)
	}
	switch {
	case x.Suspected && full:
		x.Confidence = t.MultiActorCap
	case x.Suspected:
		x.Confidence = t.MultiActorCap / 2
	}
}

// wouldClear says what ends a suspicion that is open.
func (x *SuspicionExplanation) wouldClear(open *attribution.OpenSuspicion, t *attribution.Thresholds) string {
	quiet := (time.Duration(t.SuspicionQuiet) * time.Second).String()
	quiet = strings.TrimSuffix(strings.TrimSuffix(quiet, "0s"), "0m")
	text := fmt.Sprintf("It is cleared when nothing returns and fewer than %d primitives alternate for %s, or when the identity has no row left.", t.MultiActorPrimitives, quiet)
	if t.SuspicionQuiet == 0 {
		text = fmt.Sprintf("It is cleared when nothing returns and fewer than %d primitives alternate, or when the identity has no row left.", t.MultiActorPrimitives)
	}
	if open.Quiet {
		at := time.Unix(int64(open.QuietSince), 0).UTC().Format(time.DateTime)
		return text + " That has been so since " + at + " UTC."
	}
	type end struct {
		kind  attribution.ReasonKind
		after int
	}
	ends := make(map[end][]string)
	var order []end
	for i := range x.Evidence {
		if v := &x.Evidence[i]; v.EndsAfter > 0 && i < maxEnds {
			e := end{v.Kind, v.EndsAfter}
			if ends[e] == nil {
				order = append(order, e)
			}
			ends[e] = append(ends[e], v.Primitive)
		}
	}
	for _, e := range order {
		verb := "alternate"
		if e.kind == attribution.ReasonReturns {
			verb = "return"
		}
		whose := "their newest values"
		if len(ends[e]) == 1 {
			verb, whose = verb+"s", "its newest value"
		}
		observations := fmt.Sprintf("%d more observations", e.after)
		if e.after == 1 {
			observations = "1 more observation"
		}
		text += fmt.Sprintf(" No longer %s after %s of %s: %s.", verb, observations, whose, strings.Join(ends[e], ", "))
	}
	return text
}

// maxEnds is how many pieces of evidence the words name.
const maxEnds = 8
