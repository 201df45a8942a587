package attribution

import "fmt"

// SuspicionRule is the rule by which the sweep makes suspicions
// (docs/attribution.md, "Suspicions").
type SuspicionRule uint8

// The rules.
const (
	RuleEvidence   SuspicionRule = iota // evidence of two people; suspicions have a life
	RulePrimitives                      // so many primitives in multi_actor
)

var ruleNames = [...]string{"evidence", "primitives"}

// String returns the name that the setting has for the rule.
func (r SuspicionRule) String() string {
	if int(r) < len(ruleNames) {
		return ruleNames[r]
	}
	return fmt.Sprintf("SuspicionRule(%d)", uint8(r))
}

// ParseSuspicionRule returns the rule that the setting calls name.
func ParseSuspicionRule(name string) (SuspicionRule, error) {
	for r, n := range ruleNames {
		if n == name {
			return SuspicionRule(r), nil
		}
	}
	return 0, fmt.Errorf("unknown suspicion rule %q", name)
}
