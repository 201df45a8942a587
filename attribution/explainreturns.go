package attribution

import (
	"bytes"
	"slices"
)

// ExplainedReturns is what makes one attacker's series return, or why it does
// not (docs/attribution.md, "Returning fingerprints").
type ExplainedReturns struct {
	Returns bool              `json:"returns" doc:"The series counts as evidence."`
	Times   int               `json:"times" doc:"Runs of a value that had a run before."`
	Runs    []ExplainedRun    `json:"runs" doc:"Neighbours of equal value among the entries that count, oldest first."`
	Changes []ExplainedChange `json:"changes" doc:"Pairs of values that followed each other."`
	// EndsAfter is how many more observations of the newest value that counts end
	// it; 0: it does not return.
	EndsAfter int `json:"ends_after" doc:"How many more observations of the last run's value end it; 0: it does not return."`
}

// ExplainedRun is a run: neighbours of equal value.
type ExplainedRun struct {
	Value        Value   `json:"value"`
	First        float64 `json:"first_ts"` // Unix seconds
	Last         float64 `json:"last_ts"`
	Observations int     `json:"observations"`
}

// ExplainedChange is an ordered pair of values that followed each other, with
// the time between the end of the one's run and the begin of the other's.
type ExplainedChange struct {
	From   Value     `json:"from"`
	To     Value     `json:"to"`
	Lags   []float64 `json:"lags" doc:"Seconds, the shortest first."`
	Median float64   `json:"median_lag"`
	Spread float64   `json:"lag_cv" doc:"Standard deviation by mean."`
	Fixed  bool      `json:"fixed_short_lag" doc:"One script with two tools: the series does not count."`
}

// ExplainReturns says whether a series returns, and why.
func ExplainReturns(s *Series, t *Thresholds) ExplainedReturns {
	runs, times := runsOf(s, t)
	x := ExplainedReturns{Times: times, Runs: []ExplainedRun{}, Changes: []ExplainedChange{}}
	x.Returns = times > 0 && !fixedLag(runs, t)
	values := make(map[int]Value)
	number, _ := countValues(s, t)
	for i := range s.Entries {
		if n, known := number[string(s.Entries[i].Value)]; known {
			values[n] = s.Entries[i].Value
		}
	}
	for _, r := range runs {
		x.Runs = append(x.Runs, ExplainedRun{Value: bytes.Clone(values[r.value]), First: r.first, Last: r.last, Observations: r.entries})
	}
	for p, lags := range lagsOf(runs) {
		x.Changes = append(x.Changes, ExplainedChange{
			From: bytes.Clone(values[p.from]), To: bytes.Clone(values[p.to]),
			Median: median(lags), Spread: spread(lags), Fixed: fixed(lags, t), Lags: lags,
		})
	}
	slices.SortFunc(x.Changes, func(a, b ExplainedChange) int {
		if c := len(b.Lags) - len(a.Lags); c != 0 {
			return c
		}
		if c := bytes.Compare(a.From, b.From); c != 0 {
			return c
		}
		return bytes.Compare(a.To, b.To)
	})
	if x.Returns {
		x.EndsAfter = endsAfter(s, runs, values, t)
	}
	return x
}

// endsAfter is how many more observations of the value of the last run make a
// series that returns not return.
func endsAfter(s *Series, runs []run, values map[int]Value, t *Thresholds) int {
	last := runs[len(runs)-1]
	next := Series{Entries: slices.Clone(s.Entries)}
	for n := 1; n <= t.SeriesEntries; n++ {
		next.Entries = append(next.Entries, Entry{TS: s.Entries[len(s.Entries)-1].TS, Value: values[last.value]})
		if over := len(next.Entries) - t.SeriesEntries; over > 0 {
			next.Entries = slices.Delete(next.Entries, 0, over)
		}
		if !Returns(&next, t) {
			return n
		}
	}
	return t.SeriesEntries
}

// EndsAfter is how many more observations of the newest value, at the time of
// the newest one, make the merger conclude another state than what e says. 0: as
// many as a series keeps do not. It concludes with m.
func (m *Merger) EndsAfter(e *Explained, kind Kind, t *Thresholds) int {
	if len(e.Recent) == 0 {
		return 0
	}
	newest := e.Recent[len(e.Recent)-1].Value
	next := Series{Count: e.series.Count, Entries: slices.Clone(e.series.Entries), Gone: e.series.Gone}
	for n := 1; n <= t.SeriesEntries; n++ {
		next.Count++
		next.Entries = append(next.Entries, Entry{TS: e.Conclusion.LastTS, Value: newest, Place: Arrival{Time: maxTime, Offset: int64(n)}, Confidence: -1})
		c, err := m.Conclude(kind, &next)
		if err != nil {
			c = m.EndCategorical()
		}
		if c.State != e.Conclusion.State {
			return n
		}
	}
	return 0
}
