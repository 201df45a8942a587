package cowrie

import "handprint/ingest"

// fromCommands sends what the commands say (docs/cowrie.md, "Computed from the
// commands").
func (r *report) fromCommands(a *activity) {
	if len(a.commands) == 0 {
		return
	}
	r.vocabulary(a)
	r.branches(a)
	r.exploration(a)
	r.pipes(a)
	r.landing(a)
	r.exit(a)
	r.cleanup(a)
	r.opsec(a)
	r.objective(a)
	r.retries(a)
	r.manual(a)
}

// confidence returns full if n is at least from, else the low confidence.
func (r *report) confidence(full float64, n, from int) float64 {
	if n >= from {
		return full
	}
	return r.settings.LowConfidence
}

// byCommands is the confidence of a row that names no bound of its own.
func (r *report) byCommands(full float64, a *activity) float64 {
	return r.confidence(full, len(a.commands), r.settings.FullFrom)
}

func distinctHeads(commands []command) int {
	seen := make(map[string]struct{}, len(commands))
	for _, c := range commands {
		seen[c.head] = struct{}{}
	}
	return len(seen)
}

func (r *report) vocabulary(a *activity) {
	distinct, label := distinctHeads(a.commands), "moderate"
	switch {
	case distinct <= r.settings.VocabularyNarrow:
		label = "narrow"
	case distinct >= r.settings.VocabularyBroad:
		label = "broad"
	}
	r.label("cognitive.tool_vocabulary", label, r.byCommands(r.settings.VocabularyConfidence, a))
}

func (r *report) branches(a *activity) {
	const primitive = "cognitive.command_branch_diversity"
	n := len(a.commands)
	switch {
	case n < r.settings.BranchFrom:
		r.label(primitive, "unknown", r.settings.BranchUnknownConfidence)
	case r.settings.BranchLinear.atMost(distinctHeads(a.commands), n):
		r.label(primitive, "linear_playbook", r.byCommands(r.settings.BranchConfidence, a))
	default:
		r.label(primitive, "adaptive_branching", r.byCommands(r.settings.BranchConfidence, a))
	}
}

func (r *report) exploration(a *activity) {
	seen := make(map[string]struct{}, len(a.commands))
	m, back, before := 0, 0, ""
	for _, c := range a.commands {
		if neutral[c.head] {
			continue
		}
		if _, known := seen[c.head]; known && c.head != before {
			back++
		}
		seen[c.head] = struct{}{}
		before = c.head
		m++
	}
	if m == 0 {
		return
	}
	label := "methodical"
	switch {
	case r.settings.ExplorationChaotic.atMost(back, max(m-1, 1)):
		label = "chaotic"
	case r.settings.ExplorationTargeted.atMost(m-len(seen), m):
		label = "targeted"
	}
	r.label("cognitive.exploration_style", label, r.confidence(r.settings.ExplorationConfidence, m, r.settings.ExplorationFullFrom))
}

func (r *report) pipes(a *activity) {
	a.spare = a.spare[:0]
	for _, l := range a.lines {
		a.spare = append(a.spare, l.pipes)
	}
	twice, label := twiceMedian(a.spare), "shallow"
	moderate, deep := 2*r.settings.PipesModerate, 2*r.settings.PipesDeep
	switch {
	case twice >= deep:
		label = "deep"
	case twice >= moderate:
		label = "moderate"
	}
	full := r.settings.PipesConfidence
	if twice == moderate || twice == deep {
		full = r.settings.PipesEdgeConfidence
	}
	r.label("motor.shell_mastery.pipe_chaining_depth", label, r.byCommands(full, a))
}

func (r *report) landing(a *activity) {
	found, label := 0, "absent"
	for _, c := range a.commands[:min(r.settings.LandingFirst, len(a.commands))] {
		if landing[c.head] {
			found++
		}
	}
	if found >= r.settings.LandingLeast {
		label = "present"
	}
	r.label("temporal.lifecycle_markers.landing_ritual", label,
		r.confidence(r.settings.LandingConfidence, len(a.commands), r.settings.LandingFullFrom))
}

func anyCleans(commands []command) bool {
	for _, c := range commands {
		if c.cleans() {
			return true
		}
	}
	return false
}

func (r *report) exit(a *activity) {
	label := ""
	switch {
	case leaving[a.commands[len(a.commands)-1].head]:
		label = "graceful"
	case anyCleans(a.last(r.settings.ExitLast)):
		label = "cleanup"
	default:
		return
	}
	r.label("temporal.lifecycle_markers.exit_behavior", label, r.byCommands(r.settings.ExitConfidence, a))
}

func (r *report) cleanup(a *activity) {
	var cleaning []command
	for _, c := range a.last(r.settings.CleanupLast) {
		if c.cleans() {
			cleaning = append(cleaning, c)
		}
	}
	distinct, label := distinctHeads(cleaning), "none"
	switch {
	case distinct >= r.settings.CleanupThorough:
		label = "thorough"
	case distinct > 0:
		label = "partial"
	}
	confidence := r.settings.CleanupLowConfidence
	if len(a.commands) >= r.settings.CleanupFullFrom {
		confidence = r.settings.CleanupConfidence
	}
	r.label("operational.cleanup_behavior", label, confidence)
}

func (r *report) opsec(a *activity) {
	if len(a.commands) < r.settings.OpsecFrom {
		return
	}
	label := "careless"
	for _, c := range a.commands {
		if c.guards() {
			label = "learning"
			break
		}
	}
	if label == "learning" && anyCleans(a.last(r.settings.OpsecLast)) {
		label = "careful"
	}
	r.label("operational.opsec_discipline", label, r.settings.OpsecConfidence)
}

func (r *report) objective(a *activity) {
	var counts [len(objectives)]int
	classified := 0
	for _, c := range a.commands {
		for i := range objectives {
			if objectives[i].heads[c.head] {
				counts[i]++
				classified++
				break
			}
		}
	}
	if classified < r.settings.ObjectiveFrom {
		return
	}
	r.label("operational.objective", objectives[mostFrequent(counts[:])].name,
		r.confidence(r.settings.ObjectiveConfidence, classified, r.settings.ObjectiveFullFrom))
}

// mostFrequent returns the index of the greatest count, the first of equals.
func mostFrequent(counts []int) int {
	top := 0
	for i, n := range counts {
		if n > counts[top] {
			top = i
		}
	}
	return top
}

// retryTactics are in the order in which ties go.
var retryTactics = [...]string{"rerun", "modify", "switch", "abort"}

const (
	rerun = iota
	modify
	switched
	aborted
)

func (r *report) retries(a *activity) {
	if len(a.failures) == 0 {
		return
	}
	var counts [len(retryTactics)]int
	for _, f := range a.failures {
		counts[a.tactic(f)]++
	}
	r.label("cognitive.error_resilience.retry_tactic", retryTactics[mostFrequent(counts[:])],
		r.confidence(r.settings.RetryConfidence, len(a.failures), r.settings.RetryFullFrom))
}

func (a *activity) tactic(f failure) int {
	if f.line+1 == len(a.lines) {
		return aborted
	}
	next := a.lines[f.line+1]
	switch {
	case next.text == a.lines[f.line].text:
		return rerun
	case f.program != "" && a.heads(next, func(head string) bool { return head == f.program }):
		return modify
	}
	return switched
}

func (r *report) manual(a *activity) {
	if len(a.failures) == 0 {
		return
	}
	label := "absent"
	for _, f := range a.failures {
		if f.line+1 == len(a.lines) {
			continue
		}
		next := a.lines[f.line+1]
		if next.help || a.heads(next, func(head string) bool { return manual[head] }) {
			label = "present"
			break
		}
	}
	r.label("cognitive.error_resilience.fallback_to_man", label,
		r.confidence(r.settings.ManualConfidence, len(a.failures), r.settings.ManualFullFrom))
}

func (r *report) label(primitive, label string, confidence float64) {
	r.say(primitive, ingest.Text(label), confidence)
}
