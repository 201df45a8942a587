package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"handprint/attribution"
	"handprint/internal/memory"
	"handprint/topology"
)

// The headings that settings stand under; commands choose by them which flags
// they have.
const (
	GroupConnection  = "Connection"
	GroupApplication = "Application"
	GroupTopics      = "Topics"
	GroupRuntime     = "Runtime"
	GroupThresholds  = "Thresholds"
	GroupValues      = "Values"
	GroupSchemas     = "Schemas"
	GroupCowrie      = "Cowrie"
	GroupNetwork     = "Network sensors"
	GroupLogging     = "Logging"
	GroupAdmin       = "Administration"
)

// Config holds the value of every setting, after [Set.Load] and
// [Config.Finish].
type Config struct {
	Connection  Connection
	Application Application
	Topics      topology.Names
	Layout      topology.Layout // Partitions and Replication included
	Runtime     Runtime
	Thresholds  attribution.Thresholds
	Values      Values
	Schemas     Schemas
	Logging     Logging
	Admin       Admin
	Web         Web

	prefix                  string
	partitions, replication int
	suspicionRule           string // as Thresholds.SuspicionRule is called
}

// Application is who this is, among others on the same cluster.
type Application struct {
	ID          string // consumer group, and beginning of transactional ids
	UpgradeFrom string // release of the oldest process in the group; empty: none is older than this one
}

// Runtime is how the stream processor runs.
type Runtime struct {
	StateDir           string
	InstanceID         string // empty: kept in the state directory
	StaticMembership   bool
	Standbys           int
	RecoveryLag        int
	Rack               string
	StallTimeout       time.Duration
	OnLostInput        string
	Threads            int
	BatchRecords       int
	BatchBytes         int
	RecordCache        int // bytes; 0: see Caches
	StoreCache         int // bytes
	TransactionTimeout time.Duration
	SessionTimeout     time.Duration
	RebalanceTimeout   time.Duration
	HeartbeatInterval  time.Duration
	SweepInterval      time.Duration
}

// Values is what is demanded of observations beyond the envelope.
type Values struct {
	RegistryFile    string        // empty: the built-in registry
	Strict          bool          // a value outside a primitive's list or below its minimum is a bad record
	RecordSizeLimit int           // bytes of a record's value; that many are inside
	Addresses       bool          // adapters write addresses
	MaxAhead        time.Duration // how far ts may lie ahead; 0: any
	Retention       time.Duration // after which an identity that no event has named is forgotten; 0: never
}

// Logging is what is logged, and how.
type Logging struct {
	Level  string // debug, info, warn or error
	Format string // text, json or auto
}

// Admin is what a running process shows of itself.
type Admin struct {
	Listen       string // host:port of metrics, health and status; empty: none
	OTLPEndpoint string // URL that traces go to; empty: none
}

// Declare declares every setting of handprint, bound to c. The numbers of a
// sensor's adapter are declared by the command that has the adapter.
func Declare(c *Config) *Set {
	s := NewSet()
	declareConnection(s, &c.Connection)
	declareApplication(s, c)
	declareTopics(s, c)
	declareRuntime(s, &c.Runtime)
	declareThresholds(s, c)
	declareValues(s, &c.Values)
	declareSchemas(s, &c.Schemas)
	s.Group(GroupLogging)
	s.Text(&c.Logging.Level, "log-level", "info", OneOf("debug", "info", "warn", "error"), "Least level that is logged.")
	s.Text(&c.Logging.Format, "log-format", "auto", OneOf("auto", "text", "json"), "How log lines look; auto is text on a terminal and JSON elsewhere.", Important(Low))
	declareAdmin(s, &c.Admin)
	declareWeb(s, &c.Web)
	return s
}

func declareAdmin(s *Set, a *Admin) {
	s.Group(GroupAdmin)
	s.Text(&a.Listen, "admin-listen", "",
		Matching("empty, or host:port", func(t string) bool { return t == "" || isListenAddr(t) }),
		"Address that serves metrics, health and status over HTTP, such as 127.0.0.1:9464; empty serves none. It has no access control.", Important(High))
	s.Text(&a.OTLPEndpoint, "otlp-endpoint", "",
		Matching("empty, or a URL that begins with http:// or https://", func(t string) bool { return t == "" || webURL(t) }),
		"OpenTelemetry collector that gets a trace of every batch, such as http://localhost:4318; empty traces nothing.", Important(Low))
}

// isListenAddr reports whether t is an address to listen on: a host, which may
// be empty for every interface, and a port, which may be 0 for a free one.
func isListenAddr(t string) bool {
	_, port, err := net.SplitHostPort(t)
	if err != nil {
		return false
	}
	n, err := strconv.Atoi(port)
	return err == nil && n >= 0 && n <= 65535
}

func webURL(t string) bool {
	u, err := url.Parse(t)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func declareApplication(s *Set, c *Config) {
	s.Group(GroupApplication)
	s.Text(&c.Application.ID, "application-id", "handprint",
		Matching("1 to 100 of the letters a-z, A-Z, 0-9, '.', '_' and '-'", func(t string) bool { return kafkaName(t, 100) }),
		"Name of the application: its consumer group, its transactional ids and the beginning of its internal topics.", Important(High))
	s.Text(&c.Application.UpgradeFrom, "upgrade-from", "", Matching("empty, or 0.1", func(t string) bool { return t == "" || t == "0.1" }),
		"Release from which the application is being upgraded, process by process: what it cannot read is not written. Empty once all processes are upgraded.", Important(Low))
	s.Int(&c.partitions, "partitions", 8, Between(1, 10_000),
		"Partitions of the observations, and so the number of tasks. Cannot be changed once there are data.", Important(High))
	s.Int(&c.replication, "replication-factor", -1, Matching("-1 for the cluster's default, or between 1 and 15", func(n int) bool { return n == -1 || n >= 1 && n <= 15 }),
		"Replicas of every topic that is created.")
	s.Duration(&c.Layout.Retention, "retention", 0, AtLeast[time.Duration](0), "How long the input and output topics keep records; 0 leaves it to the cluster.")
	s.Duration(&c.Layout.CommandRetention, "command-retention", 7*24*time.Hour, AtLeast(time.Hour), "How long commands between tasks are kept after they were read and committed, so that a state that was put back from a backup finds them. Each task deletes its older ones, if it may; the topic itself keeps everything.", Important(Low))
	s.Duration(&c.Layout.ProfileRetention, "profile-retention", topology.DefaultProfileRetention, AtLeast(time.Hour), "How long an attacker's address is kept after the last that is heard of it.")
	s.Duration(&c.Layout.TombstoneLifetime, "tombstone-lifetime", topology.DefaultTombstoneLifetime, AtLeast(time.Minute), "How long compacted topics keep deletions (delete.retention.ms); a store that was away longer is rebuilt.", Important(Low))
}

const topicLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// kafkaName reports whether s has 1 to most letters that Kafka takes in names
// of topics.
func kafkaName(s string, most int) bool {
	return s != "" && len(s) <= most && s != "." && s != ".." &&
		strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(topicLetters, r) }) < 0
}

// topicSetting is a topic's name as a setting.
type topicSetting struct {
	name string
	at   func(*topology.Names) *string
	doc  string
}

var topicSettings = []topicSetting{
	{"topic-observations", func(n *topology.Names) *string { return &n.Observations }, "Topic of the observations, from sensors."},
	{"topic-identity-events", func(n *topology.Names) *string { return &n.IdentityEvents }, "Topic of the identity events, from a clusterer."},
	{"topic-state-changed", func(n *topology.Names) *string { return &n.StateChanged }, "Topic of the transitions."},
	{"topic-multi-actor-suspected", func(n *topology.Names) *string { return &n.MultiActorSuspects }, "Topic of the suspicions."},
	{"topic-identity-changed", func(n *topology.Names) *string { return &n.IdentityChanged }, "Topic that says what each identity event has changed."},
	{"topic-identity", func(n *topology.Names) *string { return &n.Identities }, "Compacted topic of what each identity is now."},
	{"topic-attacker-profile", func(n *topology.Names) *string { return &n.Profiles }, "Compacted topic of the attackers' addresses, from the sensors' adapters."},
	{"topic-state", func(n *topology.Names) *string { return &n.State }, "Compacted topic of the state rows."},
	{"topic-dead-letter", func(n *topology.Names) *string { return &n.DeadLetter }, "Topic of the records that cannot be used."},
	{"topic-siem", func(n *topology.Names) *string { return &n.SIEM }, "Beginning of the names of the topics of formatted events, before .ocsf, .ecs, .cef and .leef."},
	{"topic-health", func(n *topology.Names) *string { return &n.Health }, "Topic of the heartbeats."},
	{"topic-control", func(n *topology.Names) *string { return &n.Control }, "Topic that a stop is sent to."},
	{"topic-commands", func(n *topology.Names) *string { return &n.Commands }, "Internal topic of what tasks tell each other."},
	{"topic-state-changelog", func(n *topology.Names) *string { return &n.Changelog }, "Internal, compacted topic of every store write."},
}

func declareTopics(s *Set, c *Config) {
	s.Group(GroupTopics)
	name := Matching("1 to 249 of the letters a-z, A-Z, 0-9, '.', '_' and '-'", func(t string) bool { return kafkaName(t, 249) })
	s.Text(&c.prefix, "topic-prefix", "", Matching("empty, or up to 100 of the letters a-z, A-Z, 0-9, '.', '_' and '-'", func(t string) bool { return t == "" || kafkaName(t, 100) }),
		"Put before the name of every topic that is not set by itself.")
	defaults := topology.DefaultNames("", "handprint")
	for _, t := range topicSettings {
		s.Text(t.at(&c.Topics), t.name, *t.at(&defaults), name, t.doc, Important(Low))
	}
}

// orByLimit demands a size, or 0 for what follows the memory limit.
func orByLimit(lo, hi int) Check[int] {
	return Check[int]{"0, or between " + formatBytes(lo) + " and " + formatBytes(hi), func(n int) bool { return n == 0 || lo <= n && n <= hi }}
}

// Caches returns the sizes of the record cache and the store cache, in bytes: as
// they are set, else by the memory limit of this process.
func (r *Runtime) Caches() (record, store int) {
	record, store = memory.Read().Caches()
	if r.RecordCache > 0 {
		record = r.RecordCache
	}
	if r.StoreCache > 0 {
		store = r.StoreCache
	}
	return record, store
}

func declareRuntime(s *Set, r *Runtime) {
	s.Group(GroupRuntime)
	s.Path(&r.StateDir, "state-dir", "handprint-state", NotEmpty(), "Folder of the local store. Each process has its own; keep it across restarts.", Important(High))
	s.Text(&r.InstanceID, "instance-id", "", Any[string](), "Name of this process among those of the application; empty takes one that is kept in the state folder.")
	s.Bool(&r.StaticMembership, "static-membership", true, "Keep this process's tasks for it if it is killed and back within the session timeout, instead of moving them.", Important(Low))
	s.Int(&r.Standbys, "standby-replicas", 1, Between(0, 10), "Copies of each task's store that other processes keep up to date. The same in all processes.")
	s.Int(&r.RecoveryLag, "acceptable-recovery-lag", 10_000, Between(0, 1_000_000_000), "Changelog records that a copy may lack and still be given its task. The same in all processes.", Important(Low))
	s.Text(&r.Rack, "rack", "", Any[string](), "Where this process runs; copies of its tasks are kept in another rack if there is one.", Important(Low))
	s.Text(&r.OnLostInput, "on-lost-input", "continue", OneOf("continue", "stop"), "What to do when input was deleted before it was read: log and count it and go on, or stop.", Important(Low))
	s.Duration(&r.StallTimeout, "stall-timeout", time.Minute, Matching("0, or at least 1s", func(d time.Duration) bool { return d == 0 || d >= time.Second }), "How long a task may have input without getting on before it is reported as stuck. After half of it, and 10s at least, the session of a worker that does not get what others can read is replaced. 0 turns both off.", Important(Low))
	s.Int(&r.Threads, "threads", 2, Between(1, 256), "Workers of this process. More than its share of the partitions stay idle.", Important(High))
	s.Int(&r.BatchRecords, "batch-records", 160_000, Between(1, 1_000_000), "Most records of one transaction of a worker that is behind; one that keeps up commits what there is.")
	s.Bytes(&r.BatchBytes, "batch-bytes", 1<<18, Sizes(1<<10, 1<<30), "About the most input, compressed, that one fetch brings.")
	s.Bytes(&r.RecordCache, "record-cache", 0, orByLimit(1<<20, 1<<30), "Memory for what tasks have read and written lately, shared by all tasks. What is in it costs no read, and reaches the local store once every few seconds. 0 follows the memory limit of the process: with store-cache and 16MiB of writes, 512MiB if there is none, a third of a container's (beyond 512MiB an eighth), nine tenths of what GOMEMLIMIT leaves of a container's.", Important(High))
	s.Bytes(&r.StoreCache, "store-cache", 0, orByLimit(1<<20, 1<<34), "Memory for blocks of the local store, read when the record cache does not have a record. 0 follows the memory limit, as that of record-cache does; of serve it is 16MiB.")
	s.Duration(&r.TransactionTimeout, "transaction-timeout", 10*time.Second, Between(time.Second, 15*time.Minute), "How long a transaction that nobody ends keeps readers waiting.")
	s.Duration(&r.SessionTimeout, "group-session-timeout", 10*time.Second, Between(100*time.Millisecond, 30*time.Minute), "How long after its last sign of life a worker is taken for dead.")
	s.Duration(&r.RebalanceTimeout, "rebalance-timeout", time.Minute, Between(time.Second, time.Hour), "How long the group waits for a worker to end its batch when tasks move.", Important(Low))
	s.Duration(&r.HeartbeatInterval, "health-interval", 30*time.Second, Between(100*time.Millisecond, time.Hour), "Time between heartbeats on the health topic.", Important(Low))
	s.Duration(&r.SweepInterval, "sweep-interval", time.Minute, Between(10*time.Millisecond, 24*time.Hour), "Time between two looks for identities that several actors may share.")
}

func declareValues(s *Set, v *Values) {
	s.Group(GroupValues)
	s.Path(&v.RegistryFile, "registry-file", "", Any[string](), "Primitive registry as JSON, instead of the one that is built in.")
	s.Bool(&v.Strict, "strict-values", false, "Make a value outside its primitive's list, or below its minimum, a bad record; otherwise it is counted.")
	s.Duration(&v.MaxAhead, "max-ahead", 24*time.Hour, Matching("0, or at least 1s", func(d time.Duration) bool { return d == 0 || d >= time.Second }),
		"How far the ts of an observation may lie ahead of its record's timestamp; one further ahead is a bad record, for it would freeze its row. Adapters hold ts against their own clock. 0 takes any.")
	s.Duration(&v.Retention, "identity-retention", 0, Matching("0, or at least 24h and at most 876000h", func(d time.Duration) bool { return d == 0 || d >= 24*time.Hour && d <= 876_000*time.Hour }),
		"How long an identity of one attacker that no identity event has named is kept after its newest observation, to the end of a day (UTC). Then it is forgotten, and is new when it comes back. It goes by the ts of observations: older logs that are read in are forgotten at once. 0 keeps all.")
	s.Bool(&v.Addresses, "addresses", true, "Let adapters write attackers' addresses to the topic of the profiles, for events, pages and commands to show them.")
	s.Bytes(&v.RecordSizeLimit, "record-size-limit", 256<<10, Sizes(1<<10, 1<<20), "Largest value of an input record; a larger one is a bad record.")
}

func declareThresholds(s *Set, c *Config) {
	s.Group(GroupThresholds)
	t, d := &c.Thresholds, attribution.DefaultThresholds()
	t.NamedPrimitives = d.NamedPrimitives // no setting
	s.Int(&t.Window, "window", d.Window, Between(1, 1000), "Observations in the recent window and in the older one.")
	s.Int(&t.MinObservations, "min-observations", d.MinObservations, Between(1, 1000), "Fewest observations for a state other than unknown. At most the window.")
	s.Int(&t.CategoricalMajority, "categorical-majority", d.CategoricalMajority, Between(1, 1000), "How many of a full window must agree. At most the window.")
	s.Float(&t.EWMAAlpha, "numeric-ewma-alpha", d.EWMAAlpha, Above(0.0, 1), "Weight of the newest number in the mean.")
	s.Float(&t.DriftMeanShift, "numeric-drift-mean-shift", d.DriftMeanShift, Above(0, 1e9), "Relative shift of the mean from which on numbers drift.")
	s.Float(&t.ConflictCV, "numeric-conflict-cv", d.ConflictCV, Above(0, 1e9), "Coefficient of variation above which numbers conflict.")
	s.Float(&t.StableCV, "numeric-stable-cv", d.StableCV, Between(0, 1e9), "Coefficient of variation of stable numbers; reported, decides nothing today.", Important(Low))
	s.Int(&t.HashDriftMaxRotation, "hash-drift-max-rotations", d.HashDriftMaxRotation, Between(0, 1_000_000), "Most rotations of a hash within its window that still count as drift.")
	s.Seconds(&t.HashWindow, "hash-window", seconds(d.HashWindow), Between(0, 100*365*24*time.Hour), "Span before the newest observation in which the values of a hash are counted.")
	s.Float(&t.MultiActorCap, "multi-actor-confidence-cap", d.MultiActorCap, Between(0.0, 1), "Most confidence of a suspicion.")
	s.Float(&t.MultiActorStateCap, "multi-actor-state-cap", d.MultiActorStateCap, Between(0.0, 1), "Most confidence of a row in state multi_actor.", Important(Low))
	s.Int(&t.MultiActorPrimitives, "multi-actor-min-primitives", d.MultiActorPrimitives, Between(1, 1000), "Primitives in multi_actor from which on an identity is suspected.")
	s.Text(&c.suspicionRule, "suspicion-rule", d.SuspicionRule.String(), OneOf("evidence", "primitives"),
		"Rule by which identities are suspected: evidence weighs what is independent and says when a suspicion is over; primitives counts traits in multi_actor.")
	s.Int(&t.ReturnMinSeen, "return-min-seen", d.ReturnMinSeen, Between(1, 4096), "Times that a fingerprint has to occur to count as one that returns.")
	s.Seconds(&t.ReturnLag, "return-lag", seconds(d.ReturnLag), Between(0, 100*365*24*time.Hour), "Lag between two fingerprints below which it is short; 0: none is.")
	s.Int(&t.ReturnLagChanges, "return-lag-changes", d.ReturnLagChanges, Between(1, 4096), "Changes between two fingerprints from which on their lag can be a fixed one.")
	s.Float(&t.ReturnLagCV, "return-lag-cv", d.ReturnLagCV, Between(0, 1e9), "Coefficient of variation below which a lag is a fixed one; 0: none is.")
	s.Int(&t.SuspicionGroups, "suspicion-groups", d.SuspicionGroups, Between(1, 1000), "Evidence groups from which on a suspicion has its full confidence.")
	s.Seconds(&t.SuspicionQuiet, "suspicion-quiet", seconds(d.SuspicionQuiet), Between(0, 100*365*24*time.Hour), "How long an identity must not have been suspected before its suspicion is cleared.")
	s.Int(&t.SeriesEntries, "series-entries", d.SeriesEntries, Between(3, 4096), "Newest entries kept of one identity, primitive and attacker. At least three windows.")
	s.Int(&t.HashValues, "hash-values-kept", d.HashValues, Between(0, 1<<20), "Values of a hash kept besides those entries.", Important(Low))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Finish works out what follows from several settings (names of topics,
// secrets in files) and checks the rules between them. It is called once,
// after Load. The error is one line that says what to change and where.
func (c *Config) Finish(s *Set) error {
	rule, err := attribution.ParseSuspicionRule(c.suspicionRule)
	if err != nil {
		return s.Errorf("suspicion-rule", "%w", err)
	}
	c.Thresholds.SuspicionRule = rule
	c.Layout.Partitions, c.Layout.Replication = int32(c.partitions), int16(c.replication)
	names := topology.DefaultNames(c.prefix, c.Application.ID)
	seen := make(map[string]string)
	for _, t := range topicSettings {
		at := t.at(&c.Topics)
		if s.Lookup(t.name).Origin() == (Origin{}) {
			*at = *t.at(&names)
		}
		if other, twice := seen[*at]; twice {
			return s.Errorf(t.name, "must not be the topic of %s, is %s", other, *at)
		}
		seen[*at] = t.name
	}
	t := &c.Thresholds
	for _, rule := range []struct {
		broken bool
		name   string
		must   string
		is     int
	}{
		{t.MinObservations > t.Window, "min-observations", fmt.Sprintf("at most the window (%d)", t.Window), t.MinObservations},
		{t.CategoricalMajority > t.Window, "categorical-majority", fmt.Sprintf("at most the window (%d)", t.Window), t.CategoricalMajority},
		{t.SeriesEntries < 3*t.Window, "series-entries", fmt.Sprintf("at least three windows (%d)", 3*t.Window), t.SeriesEntries},
	} {
		if rule.broken {
			return s.blame(rule.name, "window", "must be %s, is %d", rule.must, rule.is)
		}
	}
	if err := t.Validate(); err != nil {
		return errors.New(firstLine(err.Error()))
	}
	if err := c.Schemas.finish(s); err != nil {
		return err
	}
	return c.Connection.finish(s)
}

// blame is Errorf for a rule between two settings: where the first has its
// default, the second is the one that somebody set.
func (s *Set) blame(name, other, format string, args ...any) error {
	err := s.Errorf(name, format, args...)
	if s.Lookup(name).Origin() == (Origin{}) {
		if o := s.Lookup(other).Origin(); o != (Origin{}) {
			return fmt.Errorf("%s: %w", o.of(other), err)
		}
	}
	return err
}
