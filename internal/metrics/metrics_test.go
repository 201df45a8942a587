package metrics

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"handprint/engine"
	"handprint/processor"
	"handprint/siem/deliver"
)

var update = flag.Bool("update", false, "write docs/metrics.md anew")

// full is a view in which every metric has a value.
func full() View {
	lag := int64(7)
	counters := new(engine.Counters)
	counters.Changes.Oldest.Store(1)
	sinks := []deliver.Status{{Name: "elastic", Delivered: 5, Had: 1, Requests: 3, Failures: 2, Open: true, Oldest: time.Unix(7, 0)}}
	formats := []FormatCounts{{Format: "cef", Formatted: 9}}
	return View{Version: "v1", Ready: true, DiskFree: 1, Engine: counters, Sinks: sinks, Formats: formats, Reading: &Reading{MissingTopics: []string{"a", "b"}, Lag: 4, AsOf: 6}, Status: processor.Status{
		Instance: "i",
		Members:  []processor.MemberStatus{{Worker: 0, MemberID: "m"}, {Worker: 1}},
		Tasks: []processor.TaskStatus{
			{Partition: engine.CoordinatorTask, State: processor.TaskRunning, Blocked: "no task answers"},
			{Partition: 3, State: processor.TaskRunning, Lag: &lag, LastProgress: time.Unix(5, 0), Stuck: "it does not get on", Load: &processor.Load{Records: 5, Busy: 0.5, Share: 0.25}},
			{Partition: 4, State: processor.TaskRestoring, Restore: &processor.Progress{Done: 1, Total: 10, Left: 9 * time.Second}},
			{Partition: 4, State: processor.TaskWaiting, Worker: 1},
		},
		Standbys:    []processor.StandbyStatus{{Partition: 5, Lag: 12}, {Partition: 6, Lag: -1, Stuck: "no"}},
		Counters:    processor.Counters{Records: 11, Rebuilds: 2},
		HeldUp:      []processor.HeldUp{{Topic: "in", Behind: 5, Since: time.Unix(7, 0)}},
		LostOffsets: map[string]int64{"in": 3},
		Faults:      []processor.Fault{{Kind: processor.TopicMadeAnew, Topic: "out"}},
	}}
}

func gather(t *testing.T, look func() View) map[string]*dto.MetricFamily {
	t.Helper()
	r := New(look, func() time.Time { return time.Unix(100, 0) })
	for _, o := range []processor.Outcome{processor.Committed, processor.Aborted} {
		r.Hooks().Batch(processor.BatchReport{Worker: 1, Outcome: o, Records: 5, BytesIn: 50, Changes: 2, Oldest: time.Unix(98, 0), Poll: time.Millisecond, Commit: time.Second})
	}
	families, err := r.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	by := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		by[f.GetName()] = f
	}
	return by
}

// Every metric of the catalogue is exported as it is declared, and nothing of
// handprint is exported that is not there.
func TestCatalogueIsWhatIsExported(t *testing.T) {
	have := gather(t, full)
	declared := map[string]bool{}
	for _, m := range Catalog() {
		declared[m.Name] = true
		f, ok := have[m.Name]
		if !ok {
			t.Errorf("%s is not exported", m.Name)
			continue
		}
		if kind := strings.ToLower(f.GetType().String()); kind != string(m.Kind) || f.GetHelp() != m.Help {
			t.Errorf("%s is a %s, %q", m.Name, kind, f.GetHelp())
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		want := slices.Sorted(slices.Values(m.Labels))
		if !slices.Equal(labels, want) {
			t.Errorf("%s has labels %v, want %v", m.Name, labels, want)
		}
		if (m.Kind == Counter) != strings.HasSuffix(m.Name, "_total") || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: name or help is not as they all are", m.Name)
		}
	}
	for name := range have {
		if strings.HasPrefix(name, "handprint_") && !declared[name] {
			t.Errorf("%s is not declared", name)
		}
	}
}

func TestValues(t *testing.T) {
	have := gather(t, full)
	for _, c := range []struct {
		name  string
		at    int
		value float64
	}{
		{"handprint_ready", 0, 1},
		{"handprint_live", 0, 0},
		{"handprint_read_lag_offsets", 0, 4},
		{"handprint_read_missing_topics", 0, 2},
		{"handprint_worker_joined", 0, 1},
		{"handprint_worker_joined", 1, 0},
		{"handprint_tasks", 0, 1}, // restoring
		{"handprint_tasks", 1, 2}, // running
		{"handprint_tasks", 2, 1}, // waiting
		{"handprint_task_input_lag_offsets", 0, 7},
		{"handprint_task_last_progress_timestamp_seconds", 0, 5},
		{"handprint_task_stuck", 1, 1},
		{"handprint_task_blocked", 0, 1},
		{"handprint_identity_changes_oldest_timestamp_seconds", 0, 0.001},
		{"handprint_task_restore_total_offsets", 0, 10},
		{"handprint_task_restore_left_seconds", 0, 9},
		{"handprint_standby_lag_offsets", 0, 12},
		{"handprint_standby_stuck", 1, 1},
		{"handprint_records_total", 0, 11},
		{"handprint_store_rebuilds_total", 0, 2},
		{"handprint_batches_total", 1, 1},
		{"handprint_input_bytes_total", 0, 100},
	} {
		f := have[c.name]
		if f == nil || len(f.GetMetric()) <= c.at {
			t.Errorf("%s: no value %d", c.name, c.at)
			continue
		}
		m := f.GetMetric()[c.at]
		if got := m.GetGauge().GetValue() + m.GetCounter().GetValue(); got != c.value {
			t.Errorf("%s[%d] is %v, want %v", c.name, c.at, got, c.value)
		}
	}
	if n := len(have["handprint_standby_lag_offsets"].GetMetric()); n != 1 {
		t.Errorf("%d standbys with a lag that is known, want 1", n)
	}
	h := have["handprint_latency_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 1 || h.GetSampleSum() != 2 {
		t.Errorf("latency: %v; an aborted batch has none", h)
	}
	if n := len(have["handprint_batch_step_seconds"].GetMetric()); n != 2 {
		t.Errorf("%d steps, want those that were reached", n)
	}
}

func TestThePageIsCurrent(t *testing.T) {
	const path = "../../docs/metrics.md"
	var b strings.Builder
	if err := WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != b.String() {
		t.Errorf("docs/metrics.md is stale (%v): make docs", err)
	}
}

// The rules and the dashboard ask for metrics that exist.
func TestRulesAndDashboardUseWhatExists(t *testing.T) {
	known := map[string]bool{}
	for _, m := range Catalog() {
		known[m.Name] = true
		if m.Kind == Histogram {
			known[m.Name+"_bucket"], known[m.Name+"_sum"], known[m.Name+"_count"] = true, true, true
		}
	}
	name := regexp.MustCompile(`\bhandprint_[a-z_]+`)
	for _, path := range []string{"../../deploy/prometheus/rules.yml", "../../deploy/grafana/dashboards/handprint.json"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		used := name.FindAllString(string(text), -1)
		if len(used) == 0 {
			t.Errorf("%s uses no metric", path)
		}
		for _, n := range used {
			if !known[n] {
				t.Errorf("%s uses %s, which does not exist", path, n)
			}
		}
	}
}
