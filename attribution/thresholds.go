package attribution

import (
	"errors"
	"fmt"
)

// Thresholds are all numbers that decide a conclusion (docs/attribution.md,
// "Thresholds"). They must be the same in every instance of an application.
type Thresholds struct {
	Window               int     // N: observations in the recent and in the older window
	MinObservations      int     // fewer give no state, except for HASH
	CategoricalMajority  int     // how many of a full window make it clear
	EWMAAlpha            float64 // weight of the newest value, in (0, 1]
	DriftMeanShift       float64 // relative shift of the mean from which on it drifts
	ConflictCV           float64 // coefficient of variation above which it conflicts
	StableCV             float64 // reported, decides nothing
	HashDriftMaxRotation int     // more rotations than this conflict
	HashWindow           float64 // seconds
	MultiActorCap        float64 // most confidence of a suspicion
	MultiActorStateCap   float64 // most confidence of a row in multi_actor
	MultiActorPrimitives int     // primitives in multi_actor that raise suspicion
	// Suspicions, see docs/attribution.md, "Suspicions".
	SuspicionRule    SuspicionRule
	ReturnMinSeen    int     // times that a value has to occur to count
	ReturnLag        float64 // seconds below which a lag is short; 0: off
	ReturnLagChanges int     // changes from which on a lag can be fixed
	ReturnLagCV      float64 // coefficient of variation below which a lag is fixed; 0: off
	SuspicionGroups  int     // evidence groups for full confidence
	SuspicionQuiet   float64 // seconds after which a suspicion without evidence is cleared

	SeriesEntries int // entries kept per (identity, primitive, attacker); at least 3 windows
	HashValues    int // values of pushed-out HASH entries kept besides

	// NamedPrimitives is how many primitives that are registered nowhere a suspicion
	// names. An attacker may make up any number; what is registered is always named.
	NamedPrimitives int
}

// DefaultThresholds returns the defaults of docs/attribution.md.
func DefaultThresholds() Thresholds {
	return Thresholds{
		Window:               5,
		MinObservations:      3,
		CategoricalMajority:  4,
		EWMAAlpha:            0.3,
		DriftMeanShift:       0.30,
		ConflictCV:           1.0,
		StableCV:             0.20,
		HashDriftMaxRotation: 2,
		HashWindow:           24 * 3600,
		MultiActorCap:        0.6,
		MultiActorStateCap:   0.6,
		MultiActorPrimitives: 2,
		SuspicionRule:        RuleEvidence,
		ReturnMinSeen:        2,
		ReturnLag:            600,
		ReturnLagChanges:     3,
		ReturnLagCV:          0.5,
		SuspicionGroups:      2,
		SuspicionQuiet:       24 * 3600,
		SeriesEntries:        32,
		HashValues:           4096,
		NamedPrimitives:      1024,
	}
}

// maxSeconds bounds settings that are times.
const maxSeconds = 1e12

// Validate says what is wrong with the thresholds, in one line a fault.
func (t Thresholds) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(t.Window >= 1 && t.Window <= 1000, "window must be between 1 and 1000, is %d", t.Window)
	need(t.MinObservations >= 1 && t.MinObservations <= t.Window, "min-observations must be between 1 and the window (%d), is %d", t.Window, t.MinObservations)
	need(t.CategoricalMajority >= 1 && t.CategoricalMajority <= t.Window, "categorical-majority must be between 1 and the window (%d), is %d", t.Window, t.CategoricalMajority)
	need(t.EWMAAlpha > 0 && t.EWMAAlpha <= 1, "numeric-ewma-alpha must be above 0 and at most 1, is %v", t.EWMAAlpha)
	need(t.DriftMeanShift > 0, "numeric-drift-mean-shift must be above 0, is %v", t.DriftMeanShift)
	need(t.ConflictCV > 0, "numeric-conflict-cv must be above 0, is %v", t.ConflictCV)
	need(t.StableCV >= 0, "numeric-stable-cv must be at least 0, is %v", t.StableCV)
	need(t.HashDriftMaxRotation >= 0, "hash-drift-max-rotations must be at least 0, is %d", t.HashDriftMaxRotation)
	need(t.HashWindow >= 0 && t.HashWindow <= 1e12, "hash-window must be at least 0 seconds, is %v", t.HashWindow)
	need(t.MultiActorCap >= 0 && t.MultiActorCap <= 1, "multi-actor-confidence-cap must be in [0, 1], is %v", t.MultiActorCap)
	need(t.MultiActorStateCap >= 0 && t.MultiActorStateCap <= 1, "multi-actor-state-cap must be in [0, 1], is %v", t.MultiActorStateCap)
	need(t.MultiActorPrimitives >= 1 && t.MultiActorPrimitives <= t.NamedPrimitives, "multi-actor-min-primitives must be between 1 and %d, is %d", t.NamedPrimitives, t.MultiActorPrimitives)
	need(t.SuspicionRule <= RulePrimitives, "suspicion-rule must be evidence or primitives, is %s", t.SuspicionRule)
	need(t.ReturnMinSeen >= 1, "return-min-seen must be at least 1, is %d", t.ReturnMinSeen)
	need(t.ReturnLag >= 0 && t.ReturnLag <= maxSeconds, "return-lag must be at least 0 seconds, is %v", t.ReturnLag)
	need(t.ReturnLagChanges >= 1, "return-lag-changes must be at least 1, is %d", t.ReturnLagChanges)
	need(t.ReturnLagCV >= 0, "return-lag-cv must be at least 0, is %v", t.ReturnLagCV)
	need(t.SuspicionGroups >= 1, "suspicion-groups must be at least 1, is %d", t.SuspicionGroups)
	need(t.SuspicionQuiet >= 0 && t.SuspicionQuiet <= maxSeconds, "suspicion-quiet must be at least 0 seconds, is %v", t.SuspicionQuiet)
	need(t.SeriesEntries >= 3*t.Window, "series-entries must be at least three windows (%d), is %d", 3*t.Window, t.SeriesEntries)
	need(t.SeriesEntries <= 4096, "series-entries must be at most 4096, is %d", t.SeriesEntries)
	need(t.HashValues >= 0 && t.HashValues <= 1<<20, "hash-values-kept must be between 0 and %d, is %d", 1<<20, t.HashValues)
	return errors.Join(errs...)
}
