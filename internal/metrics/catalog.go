package metrics

import (
	"fmt"
	"io"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Kind is what can be done with a metric's values.
type Kind string

// The kinds, as Prometheus calls them.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric is one metric that handprint has.
type Metric struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string // a sentence with its unit

	desc *prometheus.Desc
}

// catalog holds every metric, in the order of the documentation.
var catalog []*Metric

// Catalog returns every metric of handprint, in the order of the
// documentation. The Go runtime's and the process's own are not among them.
func Catalog() []Metric {
	list := make([]Metric, len(catalog))
	for i, m := range catalog {
		list[i] = *m
	}
	return list
}

func declare(kind Kind, name, help string, labels ...string) *Metric {
	name = "handprint_" + name
	m := &Metric{Name: name, Kind: kind, Labels: labels, Help: help, desc: prometheus.NewDesc(name, help, labels, nil)}
	catalog = append(catalog, m)
	return m
}

// sample returns one value of a counter or a gauge.
func (m *Metric) sample(v float64, labels ...string) prometheus.Metric {
	kind := prometheus.GaugeValue
	if m.Kind == Counter {
		kind = prometheus.CounterValue
	}
	return prometheus.MustNewConstMetric(m.desc, kind, v, labels...)
}

// The process and its membership of the group.
var (
	buildInfo = declare(Gauge, "build_info", "Always 1; the labels say what runs.", "version", "instance")
	ready     = declare(Gauge, "ready", "1 if every task that is owned here runs, as /readyz has it.")
	live      = declare(Gauge, "live", "1 unless a task is stuck, as /livez has it.")
	joined    = declare(Gauge, "worker_joined", "1 if the worker is a member of the group.", "worker")
	differ    = declare(Gauge, "settings_differ", "In how many settings other members of the group differ from this process, foreign members included; 0 if they work by the same rules.")
	rejoins   = declare(Counter, "rejoins_total", "Times that a worker closed its session and joined again.")
)

// Tasks and standbys.
var (
	tasks           = declare(Gauge, "tasks", "Tasks owned here, by phase: waiting, restoring, running.", "state")
	taskLag         = declare(Gauge, "task_input_lag_offsets", "Input offsets that the task has not processed. Missing until the brokers were heard.", "task")
	taskRecords     = declare(Gauge, "task_records_per_second", "Input records that the task processes a second, over the last seconds. Missing while it has nothing to do.", "task")
	taskBusy        = declare(Gauge, "task_busy_ratio", "Share of the time that the task's handler works. Missing while it has nothing to do.", "task")
	taskCostliest   = declare(Gauge, "task_costliest_ratio", "Share of the task's time that the costliest key of its input takes, an attacker as a rule, from a sample; the status says which. Missing while it has nothing to do.", "task")
	taskProgress    = declare(Gauge, "task_last_progress_timestamp_seconds", "When the task last got on, in Unix seconds.", "task")
	taskBlocked     = declare(Gauge, "task_blocked", "1 if the task waits for another task and has got no answer for the stall timeout.", "task")
	taskStuck       = declare(Gauge, "task_stuck", "1 if the task has something to do and has not got on for the stall timeout.", "task")
	restoreDone     = declare(Gauge, "task_restore_done_offsets", "Changelog offsets that the restore under way has read.", "task")
	restoreTotal    = declare(Gauge, "task_restore_total_offsets", "Changelog offsets that the restore under way has to read.", "task")
	restoreLeft     = declare(Gauge, "task_restore_left_seconds", "Estimate of how long the restore under way still takes; 0 if it cannot be told.", "task")
	standbyLag      = declare(Gauge, "standby_lag_offsets", "Changelog offsets that the standby copy has not read. Missing if not known.", "task")
	standbyStuck    = declare(Gauge, "standby_stuck", "1 if the standby copy does not get on.", "task")
	restores        = declare(Counter, "restores_total", "Tasks restored.")
	restoredRecords = declare(Counter, "restored_records_total", "Changelog records applied by restores.")
	rebuilds        = declare(Counter, "store_rebuilds_total", "Stores of a task that were rebuilt from the whole changelog because theirs could not be used.")
)

// Batches; each is a transaction.
var (
	records      = declare(Counter, "records_total", "Input records processed and committed.")
	produced     = declare(Counter, "produced_records_total", "Records sent in committed transactions, those of the changelog included.")
	commits      = declare(Counter, "commits_total", "Transactions committed.")
	aborts       = declare(Counter, "aborts_total", "Transactions rolled back. Their input is read again.")
	panics       = declare(Counter, "panics_total", "Records whose processing panicked; each became a dead letter.")
	fetchErrors  = declare(Counter, "fetch_errors_total", "Errors of the client while reading.")
	heldUpSince  = declare(Gauge, "input_held_up_timestamp_seconds", "Since when an open transaction holds up the partition, in Unix seconds. Missing until that is longer than the stall timeout.", "topic", "partition")
	heldUp       = declare(Gauge, "input_held_up_offsets", "Offsets behind the first record of an open transaction that holds up the partition. Missing likewise.", "topic", "partition")
	lostOffsets  = declare(Counter, "input_lost_offsets_total", "Offsets of a topic that is read that could not be read, and were stepped over: they were deleted before, or their batch unpacks to more than max-batch-unpacked.", "topic")
	faults       = declare(Gauge, "environment_faults", "1 for each change by others to topics or files of this process: \"changelog policy\" until it is right again, \"topic made anew\" until the process ends, \"state taken away\", which ends the process.", "kind", "topic")
	movedOffsets = declare(Counter, "group_offsets_moved_total", "Starts of a task where the group had other offsets than the state, which counts.")
	batches      = declare(Counter, "batches_total", "Batches by how they ended: committed, aborted, unknown.", "worker", "outcome")
	batchRecords = declare(Histogram, "batch_records", "Input records of a batch.", "worker")
	batchStep    = declare(Histogram, "batch_step_seconds", "How long a step of a batch took, in seconds. The poll includes the wait for input.", "step")
	bytesIn      = declare(Counter, "input_bytes_total", "Bytes of keys and values read, of every batch however it ended.", "worker")
	bytesOut     = declare(Counter, "output_bytes_total", "Bytes of keys and values sent, of every batch however it ended.", "worker")
	changes      = declare(Counter, "changelog_records_total", "Records sent to the changelog, of every batch however it ended.", "worker")
	latency      = declare(Histogram, "latency_seconds", "From the timestamp of a batch's oldest record to the end of its transaction, in seconds.")
)

// What the tasks concluded. They count what was processed, in transactions that
// may have aborted.
var (
	observations = declare(Counter, "observations_total", "Observations taken into a series.")
	replaced     = declare(Counter, "observations_replaced_total", "Of these, those whose evidence was known already.")
	beyond       = declare(Counter, "observations_beyond_total", "Of these, those older than all that is kept.")
	odd          = declare(Counter, "observations_odd_total", "Of these, those outside the registry's list or minimum.")
	misrouted    = declare(Counter, "observations_misrouted_total", "Observations that came to the wrong partition and were forwarded.")
	forwarded    = declare(Counter, "observations_forwarded_total", "Observations forwarded to the identity that their attacker is linked to.")
	waiting      = declare(Counter, "observations_held_back_total", "Observations that waited for the move of their attacker.")
	deadLetters  = declare(Counter, "dead_letters_total", "Records that could not be used.", "stage")
	transitions  = declare(Counter, "transitions_total", "Transitions sent.")
	suspicions   = declare(Counter, "suspicions_total", "Suspicions of several actors sent.")
	events       = declare(Counter, "identity_events_total", "Identity events taken.")
	moves        = declare(Counter, "attackers_moved_total", "Attackers that came to an identity.")
	forgotten    = declare(Counter, "identities_forgotten_total", "Identities that identity-retention has ended.")

	changesWaiting = declare(Gauge, "identity_changes_waiting", "Identity events, and claims, that wait for their turn. Only where task 0 runs.")
	changesUnder   = declare(Gauge, "identity_changes_in_progress", "Identity events, and claims, that are carried out now. Only where task 0 runs.")
	changesOldest  = declare(Gauge, "identity_changes_oldest_timestamp_seconds", "Timestamp of the oldest identity event that is carried out now, in Unix seconds; missing if there is none. Only where task 0 runs.")
	changesRounds  = declare(Counter, "identity_changes_repeated_total", "Identity events that began anew because commands were lost.")
)

// Ticks, heartbeats and the control topic.
var (
	ticks           = declare(Counter, "ticks_total", "Ticks written; each makes a task sweep.")
	tickFailures    = declare(Counter, "tick_failures_total", "Ticks that could not be written.")
	heartbeats      = declare(Counter, "heartbeats_total", "Heartbeats written to the health topic.")
	heartbeatErrors = declare(Counter, "heartbeat_errors_total", "Heartbeats that could not be written.")
	controlIgnored  = declare(Counter, "control_ignored_total", "Messages on the control topic that were not understood.")
)

// The local store.
var (
	storeDisk       = declare(Gauge, "store_disk_bytes", "Bytes of the store on disk.")
	storeMemtable   = declare(Gauge, "store_memtable_bytes", "Bytes of the store in memory that are not in tables yet.")
	storeCache      = declare(Gauge, "store_cache_bytes", "Bytes in the block cache.")
	recordHits      = declare(Counter, "record_cache_hits_total", "Reads of tasks that the record cache answered.")
	recordMisses    = declare(Counter, "record_cache_misses_total", "Reads of tasks that the record cache had to ask the store for.")
	storeHits       = declare(Counter, "store_cache_hits_total", "Block reads that the cache answered.")
	storeMisses     = declare(Counter, "store_cache_misses_total", "Block reads that went to the disk.")
	storeReadAmp    = declare(Gauge, "store_read_amplification", "Tables that a read may have to look into, at most.")
	storeDebt       = declare(Gauge, "store_compaction_debt_bytes", "Bytes that compactions still have to rewrite.")
	storeCompaction = declare(Counter, "store_compactions_total", "Compactions of the store.")
	storeFlushes    = declare(Counter, "store_flushes_total", "Memtables written to tables.")
	storeWAL        = declare(Counter, "store_wal_bytes_total", "Bytes written to the store's log.")
	storeStalls     = declare(Counter, "store_stalls_total", "Times that writes had to wait for the disk.")
	diskFree        = declare(Gauge, "state_dir_free_bytes", "Bytes free for this user on the state directory's filesystem.")
)

// The sinks of `handprint sink run`.
var (
	sinkEvents   = declare(Counter, "sink_events_total", "Events by what became of them: delivered, had (the receiver had them already), again (to be sent once more), never and bad (dead letters), filtered.", "sink", "outcome")
	sinkRequests = declare(Counter, "sink_requests_total", "Requests to the receiver.", "sink")
	sinkFailures = declare(Counter, "sink_failures_total", "Requests that failed as a whole.", "sink")
	sinkOpen     = declare(Gauge, "sink_circuit_open", "1 while the receiver has failed so often that it is only probed.", "sink")
	sinkOldest   = declare(Gauge, "sink_oldest_undelivered_timestamp_seconds", "Time of the oldest record that is being delivered; not there if there is none.", "sink")
)

// The formatted topics of `handprint format run`.
var formatEvents = declare(Counter, "format_events_total", "Events by what became of them: formatted, dead (dead letters), filtered.", "format", "outcome")

// The read side: `handprint serve`, or a run with --web.
var (
	readLag      = declare(Gauge, "read_lag_offsets", "Committed changelog offsets that the read side has not applied.")
	readAsOf     = declare(Gauge, "read_as_of_timestamp_seconds", "Everything committed until then is applied, in Unix seconds. Missing until that is known.")
	readApplied  = declare(Counter, "read_records_total", "Changelog records that the read side has applied.")
	readBad      = declare(Counter, "read_bad_records_total", "Records that the read side could not decode.")
	readMissing  = declare(Gauge, "read_missing_topics", "Event topics that are not there: what they said is shown as it was, and nothing new comes of them.")
	readDisagree = declare(Counter, "explanations_disagreed_total", "Explanations that did not give what their row says, which is a fault unless thresholds have changed.")
	catalogReady = declare(Gauge, "catalog_complete", "1 if the catalogue has everything. Lists are not answered while it is being built or too small; they leave out some while there are too many primitives that are not registered.")
	catalogBytes = declare(Gauge, "catalog_bytes", "Bytes of memory that the catalogue takes.")
	historyBytes = declare(Gauge, "history_bytes", "Bytes of the history on disk.")
	liveClients  = declare(Gauge, "live_clients", "Clients of live events.")
	liveMissed   = declare(Counter, "live_missed_events_total", "Live events that slow clients missed; each was told.")
	liveCut      = declare(Counter, "live_clients_cut_total", "Live clients that were cut off because they took nothing.")
	webRequests  = declare(Counter, "http_requests_total", "Requests to the API and the pages, refused ones included.")
)

// WriteMarkdown writes the page docs/metrics.md.
func WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Metrics

` + "`handprint run --admin-listen 127.0.0.1:9464`" + ` and the other commands with that setting serve these at /metrics, with those of the Go runtime (` + "`go_`" + `) and of the process (` + "`process_`" + `). This page is made from the code: ` + "`make docs`" + `. What to alert on is in [operations.md](operations.md#alerts), as rules in [deploy/prometheus/rules.yml](../deploy/prometheus/rules.yml).

A counter begins at 0 when the process starts. ` + "`task`" + ` is the number of a partition, ` + "`worker`" + ` the number of a worker of this process.

| metric | kind | labels | what it is |
| --- | --- | --- | --- |
`)
	for _, m := range catalog {
		labels := "none"
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Kind, labels, m.Help)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
