package cowrie

import (
	"fmt"
	"time"

	"handprint/ingest/internal/param"
)

// Settings are the numbers of docs/cowrie.md. DefaultSettings has that page's;
// Params names each, with its default, its range and what it decides.
type Settings struct {
	SessionTimeout  time.Duration
	TunnelTimeout   time.Duration
	SeparateParts   bool
	MaxOpenSessions int
	MaxEndedKeys    int
	MaxHeldBytes    int

	LowConfidence float64
	FullFrom      int

	BannerBytes        int
	HASSHConfidence    float64
	BannerConfidence   float64
	KexConfidence      float64
	JA4Confidence      float64
	LocaleConfidence   float64
	DurationConfidence float64
	DurationShort      time.Duration
	DurationMedium     time.Duration
	DurationLong       time.Duration

	VocabularyNarrow     int
	VocabularyBroad      int
	VocabularyConfidence float64

	BranchFrom              int
	BranchLinear            Ratio
	BranchConfidence        float64
	BranchUnknownConfidence float64

	ExplorationChaotic    Ratio
	ExplorationTargeted   Ratio
	ExplorationFullFrom   int
	ExplorationConfidence float64

	PipesModerate       int
	PipesDeep           int
	PipesConfidence     float64
	PipesEdgeConfidence float64

	LandingFirst      int
	LandingLeast      int
	LandingFullFrom   int
	LandingConfidence float64

	ExitLast       int
	ExitConfidence float64

	CleanupLast          int
	CleanupThorough      int
	CleanupFullFrom      int
	CleanupConfidence    float64
	CleanupLowConfidence float64

	OpsecFrom       int
	OpsecLast       int
	OpsecConfidence float64

	ObjectiveFrom       int
	ObjectiveFullFrom   int
	ObjectiveConfidence float64

	RetryFullFrom    int
	RetryConfidence  float64
	ManualFullFrom   int
	ManualConfidence float64

	PacedLines int

	LatencyInstant    time.Duration
	LatencyTyping     time.Duration
	LatencyDeliberate time.Duration
	LatencyLight      time.Duration
	LatencyHeavy      time.Duration
	LatencyConfidence float64

	ConsistencyAbove      time.Duration
	ConsistencyGaps       int
	ConsistencyMetronomic Ratio
	ConsistencyBimodal    Ratio
	ConsistencyConfidence float64

	PlanningPause      time.Duration
	PlanningInstant    time.Duration
	PlanningDeep       Ratio
	PlanningReactive   Ratio
	PlanningConfidence float64

	EscalationWindow     time.Duration
	EscalationMaxWindows int
	EscalationFullFrom   int
	EscalationEmpty      Ratio
	EscalationBursty     Ratio
	EscalationSustained  Ratio
	EscalationConfidence float64

	// MaxAhead is how far a line's time may lie ahead of the clock. A line
	// further ahead is a dead letter. 0: any time is taken.
	MaxAhead time.Duration
	// Now is the clock; nil: the machine's.
	Now func() time.Time

	// EndedEvent, if set, is called once a run, at the first event of a
	// session that has ended. In a topic that means that events overtake each
	// other: it has more than one partition, or is keyed by something else
	// than the session (docs/cowrie.md, "The log").
	EndedEvent func(sensor, session string)

	// OpaqueSource, if set, is called once a run, at the first source that is
	// no IP address, with a description that does not tell it.
	OpaqueSource func(form string)
}

// DefaultSettings returns the numbers of docs/cowrie.md.
func DefaultSettings() Settings {
	var s Settings
	for _, p := range s.Params() {
		p.Reset()
	}
	return s
}

// maxDuration bounds every duration: a hundred years is more than any log.
const maxDuration = 100 * 365 * 24 * time.Hour

// Params returns every number of s: its name, its default, its range and what
// it decides, and the way to set it. Setting one changes s.
func (s *Settings) Params() []Param {
	const second, any = time.Second, 1 << 30
	return []Param{
		param.Durations("session-timeout", &s.SessionTimeout, time.Hour, time.Microsecond, maxDuration, "a session ends when a line of its sensor is stamped more than this after its latest event"),
		param.Durations("tunnel-timeout", &s.TunnelTimeout, 24*time.Hour, time.Microsecond, maxDuration, "the same for a session with an open tunnel, if it is longer than session-timeout; with separate-parts also how long a session that a timeout has cut is remembered"),
		param.Switches("separate-parts", &s.SeparateParts, false, "the rest of a session that a timeout has cut gets an evidence_ref and ids of its own, and its duration from its closing event"),
		param.Counts("max-open-sessions", &s.MaxOpenSessions, 100_000, 1, any, "most open sessions over all sensors; one more ends the one opened first"),
		param.Counts("max-ended-keys", &s.MaxEndedKeys, 1_000_000, 1, any, "most ended sessions remembered over all sensors, to ignore their late events; one more forgets the one that ended first"),
		param.Counts("max-held-bytes", &s.MaxHeldBytes, 256<<20, 1<<16, 1<<40, "most memory in bytes for the commands of open sessions; more ends the session opened first"),

		param.Confidences("low-confidence", &s.LowConfidence, 0.40, "confidence of a feature worked out from few commands, lines or failures"),
		param.Counts("full-from", &s.FullFrom, 5, 1, any, "fewest commands (for gaps: lines) for full confidence"),

		param.Counts("banner-bytes", &s.BannerBytes, 255, 4, 1<<16, "bytes of UTF-8 that are kept of a client banner"),
		param.Confidences("hassh-confidence", &s.HASSHConfidence, 0.95, "confidence of toolchain.ssh.hassh_client"),
		param.Confidences("banner-confidence", &s.BannerConfidence, 0.95, "confidence of toolchain.ssh.ssh_client_banner"),
		param.Confidences("kex-confidence", &s.KexConfidence, 0.95, "confidence of toolchain.ssh.kex_algorithm_order"),
		param.Confidences("ja4-confidence", &s.JA4Confidence, 0.50, "confidence of toolchain.tls.ja4_client"),
		param.Confidences("locale-confidence", &s.LocaleConfidence, 0.80, "confidence of environmental.locale"),
		param.Confidences("duration-confidence", &s.DurationConfidence, 0.85, "confidence of temporal.session_duration"),
		param.Durations("duration-short", &s.DurationShort, 60*second, 0, maxDuration, "a session shorter than this is short"),
		param.Durations("duration-medium", &s.DurationMedium, 600*second, 0, maxDuration, "a session shorter than this is medium"),
		param.Durations("duration-long", &s.DurationLong, 3600*second, 0, maxDuration, "a session shorter than this is long, any other a marathon"),

		param.Counts("vocabulary-narrow", &s.VocabularyNarrow, 3, 0, any, "at most this many distinct heads are a narrow vocabulary"),
		param.Counts("vocabulary-broad", &s.VocabularyBroad, 10, 1, any, "at least this many distinct heads are a broad vocabulary"),
		param.Confidences("vocabulary-confidence", &s.VocabularyConfidence, 0.70, "full confidence of cognitive.tool_vocabulary"),

		param.Counts("branch-from", &s.BranchFrom, 5, 1, any, "fewer commands than this have unknown branch diversity"),
		ratios("branch-linear", &s.BranchLinear, 700_000, "distinct heads per command from which a session is a linear playbook"),
		param.Confidences("branch-confidence", &s.BranchConfidence, 0.80, "full confidence of cognitive.command_branch_diversity"),
		param.Confidences("branch-unknown-confidence", &s.BranchUnknownConfidence, 1, "confidence that branch diversity is unknown"),

		ratios("exploration-chaotic", &s.ExplorationChaotic, 300_000, "share of back-jumps from which exploration is chaotic"),
		ratios("exploration-targeted", &s.ExplorationTargeted, 500_000, "share of repeated heads from which exploration is targeted"),
		param.Counts("exploration-full-from", &s.ExplorationFullFrom, 5, 1, any, "fewest heads that are not neutral for full confidence in exploration"),
		param.Confidences("exploration-confidence", &s.ExplorationConfidence, 0.60, "full confidence of cognitive.exploration_style"),

		param.Counts("pipes-moderate", &s.PipesModerate, 2, 1, any, "median of pipes per line from which chaining is moderate"),
		param.Counts("pipes-deep", &s.PipesDeep, 3, 1, any, "median of pipes per line from which chaining is deep"),
		param.Confidences("pipes-confidence", &s.PipesConfidence, 0.70, "full confidence of motor.shell_mastery.pipe_chaining_depth"),
		param.Confidences("pipes-edge-confidence", &s.PipesEdgeConfidence, 0.55, "the same where the median lies on a threshold"),

		param.Counts("landing-first", &s.LandingFirst, 5, 1, any, "how many first heads a landing ritual is looked for in"),
		param.Counts("landing-least", &s.LandingLeast, 2, 1, any, "fewest of them that make one"),
		param.Counts("landing-full-from", &s.LandingFullFrom, 3, 1, any, "fewest commands for full confidence in the landing ritual"),
		param.Confidences("landing-confidence", &s.LandingConfidence, 0.65, "full confidence of temporal.lifecycle_markers.landing_ritual"),

		param.Counts("exit-last", &s.ExitLast, 3, 1, any, "how many last commands an exit by cleaning up is looked for in"),
		param.Confidences("exit-confidence", &s.ExitConfidence, 0.65, "full confidence of temporal.lifecycle_markers.exit_behavior"),

		param.Counts("cleanup-last", &s.CleanupLast, 5, 1, any, "how many last commands cleaning up is looked for in"),
		param.Counts("cleanup-thorough", &s.CleanupThorough, 3, 1, any, "distinct heads among them from which it is thorough"),
		param.Counts("cleanup-full-from", &s.CleanupFullFrom, 8, 1, any, "fewest commands for full confidence in cleaning up"),
		param.Confidences("cleanup-confidence", &s.CleanupConfidence, 0.55, "full confidence of operational.cleanup_behavior"),
		param.Confidences("cleanup-low-confidence", &s.CleanupLowConfidence, 0.35, "the same with fewer commands"),

		param.Counts("opsec-from", &s.OpsecFrom, 5, 1, any, "fewer commands than this say nothing of discipline"),
		param.Counts("opsec-last", &s.OpsecLast, 3, 1, any, "how many last commands a careful exit is looked for in"),
		param.Confidences("opsec-confidence", &s.OpsecConfidence, 0.45, "confidence of operational.opsec_discipline"),

		param.Counts("objective-from", &s.ObjectiveFrom, 3, 1, any, "fewest classified heads for an objective"),
		param.Counts("objective-full-from", &s.ObjectiveFullFrom, 6, 1, any, "fewest classified heads for full confidence in it"),
		param.Confidences("objective-confidence", &s.ObjectiveConfidence, 0.60, "full confidence of operational.objective"),

		param.Counts("retry-full-from", &s.RetryFullFrom, 5, 1, any, "fewest failures for full confidence in the retry tactic"),
		param.Confidences("retry-confidence", &s.RetryConfidence, 0.65, "full confidence of cognitive.error_resilience.retry_tactic"),
		param.Counts("manual-full-from", &s.ManualFullFrom, 5, 1, any, "fewest failures for full confidence in the fallback to the manual"),
		param.Confidences("manual-confidence", &s.ManualConfidence, 0.65, "full confidence of cognitive.error_resilience.fallback_to_man"),

		param.Counts("paced-lines", &s.PacedLines, 5, 1, any, "lines from which a session is paced, terminal or not"),

		param.Durations("latency-instant", &s.LatencyInstant, 300*time.Millisecond, 0, maxDuration, "longest median gap that is instant"),
		param.Durations("latency-typing", &s.LatencyTyping, 1500*time.Millisecond, 0, maxDuration, "longest median gap at typing speed"),
		param.Durations("latency-deliberate", &s.LatencyDeliberate, 2*second, 0, maxDuration, "longest median gap that is deliberate"),
		param.Durations("latency-light", &s.LatencyLight, 8*second, 0, maxDuration, "longest median gap of a lightweight language model"),
		param.Durations("latency-heavy", &s.LatencyHeavy, 30*second, 0, maxDuration, "longest median gap of a heavyweight language model"),
		param.Confidences("latency-confidence", &s.LatencyConfidence, 0.60, "full confidence of cognitive.inter_command_latency_class"),

		param.Durations("consistency-above", &s.ConsistencyAbove, 300*time.Millisecond, 0, maxDuration, "a median gap up to this says nothing of consistency"),
		param.Counts("consistency-gaps", &s.ConsistencyGaps, 2, 2, any, "fewest gaps for consistency"),
		ratios("consistency-metronomic", &s.ConsistencyMetronomic, 400_000, "coefficient of variation of the gaps below which they are metronomic"),
		ratios("consistency-bimodal", &s.ConsistencyBimodal, 1_500_000, "coefficient of variation of the gaps from which they are bimodal"),
		param.Confidences("consistency-confidence", &s.ConsistencyConfidence, 0.60, "full confidence of cognitive.inter_command_consistency"),

		param.Durations("planning-pause", &s.PlanningPause, 1500*time.Millisecond, 0, maxDuration, "a longer gap is a pause to plan"),
		param.Durations("planning-instant", &s.PlanningInstant, 300*time.Millisecond, 0, maxDuration, "longest gap without any planning"),
		ratios("planning-deep", &s.PlanningDeep, 400_000, "share of pauses from which planning is deep"),
		ratios("planning-reactive", &s.PlanningReactive, 500_000, "share of gaps without planning from which it is reactive"),
		param.Confidences("planning-confidence", &s.PlanningConfidence, 0.50, "full confidence of cognitive.planning_depth"),

		param.Durations("escalation-window", &s.EscalationWindow, 10*second, time.Millisecond, maxDuration, "length of session per window"),
		param.Counts("escalation-max-windows", &s.EscalationMaxWindows, 10, 1, 10_000, "most windows of a session"),
		param.Counts("escalation-full-from", &s.EscalationFullFrom, 5, 1, any, "fewest windows for full confidence in the escalation pattern"),
		ratios("escalation-empty", &s.EscalationEmpty, 300_000, "share of empty windows from which a session can be bursty"),
		ratios("escalation-bursty", &s.EscalationBursty, 1_000_000, "coefficient of variation of the counts from which it then is"),
		ratios("escalation-sustained", &s.EscalationSustained, 500_000, "coefficient of variation of the counts below which it is sustained"),
		param.Confidences("escalation-confidence", &s.EscalationConfidence, 0.60, "full confidence of temporal.escalation_pattern"),
	}
}

// Validate returns an error that names the first number outside its range, or
// the first two that are the wrong way round; durations must be whole
// microseconds.
func (s *Settings) Validate() error {
	for _, p := range s.Params() {
		if err := p.Check(); err != nil {
			return fmt.Errorf("setting %s: %w", p.Name, err)
		}
	}
	for _, c := range []struct {
		ordered   bool
		low, high string
	}{
		{s.DurationShort <= s.DurationMedium, "duration-short", "duration-medium"},
		{s.DurationMedium <= s.DurationLong, "duration-medium", "duration-long"},
		{s.VocabularyNarrow < s.VocabularyBroad, "vocabulary-narrow", "vocabulary-broad"},
		{s.PipesModerate <= s.PipesDeep, "pipes-moderate", "pipes-deep"},
		{s.LatencyInstant <= s.LatencyTyping, "latency-instant", "latency-typing"},
		{s.LatencyTyping <= s.LatencyDeliberate, "latency-typing", "latency-deliberate"},
		{s.LatencyDeliberate <= s.LatencyLight, "latency-deliberate", "latency-light"},
		{s.LatencyLight <= s.LatencyHeavy, "latency-light", "latency-heavy"},
		{s.ConsistencyMetronomic <= s.ConsistencyBimodal, "consistency-metronomic", "consistency-bimodal"},
		{s.PlanningInstant <= s.PlanningPause, "planning-instant", "planning-pause"},
	} {
		if !c.ordered {
			return fmt.Errorf("settings %s and %s are the wrong way round", c.low, c.high)
		}
	}
	return nil
}
