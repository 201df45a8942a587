package metrics

import (
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"handprint/engine"
	"handprint/processor"
	"handprint/siem/deliver"
	"handprint/state"
)

// View is a process at one moment, as the metrics show it.
type View struct {
	Version string
	Ready   bool
	Live    bool
	Status  processor.Status
	Store   state.Metrics
	// DiskFree is how many bytes are free for the store; negative if not
	// known.
	DiskFree int64
	Engine   *engine.Counters // nil: all 0
	Sinks    []deliver.Status // of a process that delivers
	Formats  []FormatCounts   // of a process that formats
	Reading  *Reading         // nil: there is no read side
}

// Reading is how far a read side is, and who asks it.
type Reading struct {
	Lag     int64   `json:"read_lag"` // offsets
	AsOf    float64 `json:"as_of"`    // Unix seconds; 0: not known yet
	Applied int64   `json:"applied"`  // changelog records
	Bad     int64   `json:"bad"`      // records that could not be decoded

	// Disagreed are explanations that did not give what their row says.
	Disagreed int64 `json:"explanations_disagreed"`

	Complete     bool  `json:"complete"` // the catalogue is
	CatalogBytes int64 `json:"catalog_bytes"`
	HistoryBytes int64 `json:"history_bytes"`

	Clients  int   `json:"live_clients"`
	Missed   int64 `json:"live_missed"`
	Cut      int64 `json:"live_cut"`
	Requests int64 `json:"requests"`

	Stuck         []string `json:"-"` // copies that do not get on, a line for each
	Waiting       string   `json:"-"` // why the catalogue is not complete; empty: it is
	Alone         string   `json:"-"` // how old what is shown is, while the brokers have not said since the start how far the changelog is
	MissingTopics []string `json:"-"` // event topics that are not there
	LeavesOut     bool     `json:"-"` // the catalogue leaves primitives out: too many are not registered
}

// FormatCounts are what became of the events of a format.
type FormatCounts struct {
	Format                    string
	Formatted, Dead, Filtered int64
}

// collector asks for a view at each scrape.
type collector struct{ look func() View }

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range catalog {
		if !measured[m] {
			out <- m.desc
		}
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	v := c.look()
	put := func(m *Metric, value float64, labels ...string) { out <- m.sample(value, labels...) }
	put(buildInfo, 1, v.Version, v.Status.Instance)
	put(ready, truth(v.Ready))
	put(live, truth(v.Live))
	put(differ, float64(len(v.Status.Differ)))
	for _, m := range v.Status.Members {
		put(joined, truth(m.MemberID != ""), strconv.Itoa(m.Worker))
	}
	collectTasks(&v.Status, put)
	n := &v.Status.Counters
	for _, counted := range []struct {
		m *Metric
		n int64
	}{
		{rejoins, n.Rejoins}, {restores, n.Restores}, {restoredRecords, n.RestoredRecords}, {rebuilds, n.Rebuilds},
		{records, n.Records}, {produced, n.Produced}, {commits, n.Commits}, {aborts, n.Aborts}, {panics, n.Panics}, {fetchErrors, n.FetchErrors}, {movedOffsets, n.MovedOffsets},
		{ticks, n.Ticks}, {tickFailures, n.TickFailures}, {heartbeats, n.Heartbeats}, {heartbeatErrors, n.HeartbeatErrors}, {controlIgnored, n.ControlIgnored},
	} {
		put(counted.m, float64(counted.n))
	}
	for i := range v.Status.HeldUp {
		h := &v.Status.HeldUp[i]
		partition := strconv.Itoa(int(h.Partition))
		put(heldUp, float64(h.Behind), h.Topic, partition)
		put(heldUpSince, float64(h.Since.UnixMilli())/1e3, h.Topic, partition)
	}
	for i := range v.Status.Faults {
		put(faults, 1, v.Status.Faults[i].Kind, v.Status.Faults[i].Topic)
	}
	for topic, lost := range v.Status.LostOffsets {
		put(lostOffsets, float64(lost), topic)
	}
	e := v.Engine
	if e == nil {
		e = new(engine.Counters)
	}
	for _, counted := range []struct {
		m *Metric
		n int64
	}{
		{observations, e.Observations.Load()}, {replaced, e.Replaced.Load()}, {beyond, e.Beyond.Load()}, {odd, e.OutOfRange.Load()},
		{misrouted, e.Misrouted.Load()}, {forwarded, e.Forwarded.Load()}, {waiting, e.Waiting.Load()},
		{transitions, e.Transitions.Load()}, {suspicions, e.Suspicions.Load()}, {events, e.Events.Load()}, {moves, e.Moves.Load()}, {forgotten, e.Forgotten.Load()},
		{changesRounds, e.Rounds.Load()},
	} {
		put(counted.m, float64(counted.n))
	}
	for i, stage := range engine.Stages() {
		put(deadLetters, float64(e.DeadLettersOf(i)), stage)
	}
	collectChanges(&v.Status, &e.Changes, put)
	collectDelivery(&v, put)
	collectReading(v.Reading, put)
	s := &v.Store
	put(storeDisk, float64(s.DiskBytes))
	put(storeMemtable, float64(s.MemtableBytes))
	put(storeCache, float64(s.CacheBytes))
	put(recordHits, float64(s.RecordHits))
	put(recordMisses, float64(s.RecordMisses))
	put(storeHits, float64(s.CacheHits))
	put(storeMisses, float64(s.CacheMisses))
	put(storeReadAmp, float64(s.ReadAmp))
	put(storeDebt, float64(s.CompactionDebt))
	put(storeCompaction, float64(s.Compactions))
	put(storeFlushes, float64(s.Flushes))
	put(storeWAL, float64(s.WALBytes))
	put(storeStalls, float64(s.Stalls))
	if v.DiskFree >= 0 {
		put(diskFree, float64(v.DiskFree))
	}
}

func collectDelivery(v *View, put func(*Metric, float64, ...string)) {
	for _, s := range v.Sinks {
		for _, counted := range []struct {
			outcome string
			n       int64
		}{{"delivered", s.Delivered}, {"had", s.Had}, {"again", s.Again}, {"never", s.Never}, {"bad", s.Bad}, {"filtered", s.Filtered}} {
			put(sinkEvents, float64(counted.n), s.Name, counted.outcome)
		}
		put(sinkRequests, float64(s.Requests), s.Name)
		put(sinkFailures, float64(s.Failures), s.Name)
		put(sinkOpen, truth(s.Open), s.Name)
		if !s.Oldest.IsZero() {
			put(sinkOldest, float64(s.Oldest.UnixMilli())/1e3, s.Name)
		}
	}
	for _, f := range v.Formats {
		put(formatEvents, float64(f.Formatted), f.Format, "formatted")
		put(formatEvents, float64(f.Dead), f.Format, "dead")
		put(formatEvents, float64(f.Filtered), f.Format, "filtered")
	}
}

func collectReading(r *Reading, put func(*Metric, float64, ...string)) {
	if r == nil {
		return
	}
	put(readLag, float64(r.Lag))
	if r.AsOf > 0 {
		put(readAsOf, r.AsOf)
	}
	put(readApplied, float64(r.Applied))
	put(readBad, float64(r.Bad))
	put(readMissing, float64(len(r.MissingTopics)))
	put(readDisagree, float64(r.Disagreed))
	put(catalogReady, truth(r.Complete))
	put(catalogBytes, float64(r.CatalogBytes))
	put(historyBytes, float64(r.HistoryBytes))
	put(liveClients, float64(r.Clients))
	put(liveMissed, float64(r.Missed))
	put(liveCut, float64(r.Cut))
	put(webRequests, float64(r.Requests))
}

func collectTasks(s *processor.Status, put func(*Metric, float64, ...string)) {
	count := map[processor.TaskState]int{}
	seen := map[int32]bool{}
	for _, t := range s.Tasks {
		count[t.State]++
		if seen[t.Partition] {
			continue // it moves from one worker to another: one is enough
		}
		seen[t.Partition] = true
		task := strconv.Itoa(int(t.Partition))
		if t.Lag != nil {
			put(taskLag, float64(*t.Lag), task)
		}
		if !t.LastProgress.IsZero() {
			put(taskProgress, float64(t.LastProgress.UnixMilli())/1e3, task)
		}
		if l := t.Load; l != nil {
			put(taskRecords, l.Records, task)
			put(taskBusy, l.Busy, task)
			put(taskCostliest, l.Share, task)
		}
		put(taskBlocked, truth(t.Blocked != ""), task)
		put(taskStuck, truth(t.Stuck != ""), task)
		if p := t.Restore; p != nil {
			put(restoreDone, float64(p.Done), task)
			put(restoreTotal, float64(p.Total), task)
			put(restoreLeft, p.Left.Seconds(), task)
		}
	}
	for _, phase := range []processor.TaskState{processor.TaskWaiting, processor.TaskRestoring, processor.TaskRunning} {
		put(tasks, float64(count[phase]), string(phase))
	}
	for _, b := range s.Standbys {
		task := strconv.Itoa(int(b.Partition))
		if b.Lag >= 0 {
			put(standbyLag, float64(b.Lag), task)
		}
		put(standbyStuck, truth(b.Stuck != ""), task)
	}
}

// collectChanges shows the identity events of the process that runs task 0.
func collectChanges(s *processor.Status, c *engine.Changes, put func(*Metric, float64, ...string)) {
	here := slices.ContainsFunc(s.Tasks, func(t processor.TaskStatus) bool {
		return t.Partition == engine.CoordinatorTask && t.State == processor.TaskRunning
	})
	if !here {
		return
	}
	put(changesWaiting, float64(c.Waiting.Load()))
	put(changesUnder, float64(c.InProgress.Load()))
	if oldest := c.Oldest.Load(); oldest > 0 {
		put(changesOldest, float64(oldest)/1e3)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
