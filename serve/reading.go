package serve

import (
	"fmt"
	"time"

	"handprint/internal/metrics"
)

// Reading returns how far the read side is and who asks it, as metrics and probes
// show it: stuck copies make it not live, an incomplete catalogue not ready.
func (w *Web) Reading() *metrics.Reading {
	f := w.Side.Follower
	catalog, phase := f.Catalog()
	fresh := f.Freshness(-1)
	crowded, _ := catalog.IsCrowded()
	r := &metrics.Reading{
		Lag: fresh.ReadLag, AsOf: fresh.AsOf, Complete: phase.Ready && !crowded, CatalogBytes: catalog.Bytes(), HistoryBytes: w.Side.HistoryBytes(),
		Requests: w.Guard.Requests(), Stuck: f.Stuck(), MissingTopics: f.MissingTopics(), LeavesOut: crowded,
	}
	r.Applied, r.Bad = f.Applied()
	r.Disagreed = w.Side.Reader.Disagreed()
	r.Clients, r.Missed, r.Cut = w.Stream.Clients()
	switch {
	case phase.Ready && f.Alone():
		r.Alone = fmt.Sprintf("the brokers have not said since the start how far the changelog is: what is shown is as of %s", time.Unix(int64(fresh.AsOf), 0).UTC().Format(time.RFC3339))
	case phase.Ready:
	case phase.TooSmall:
		r.Waiting = fmt.Sprintf("the catalogue needs more memory than catalog-memory lets it take: about %d bytes", phase.Needed)
	default:
		r.Waiting = fmt.Sprintf("the catalogue is being built: %.0f %%", 100*phase.Progress)
		if phase.Left > 0 {
			r.Waiting += ", " + phase.Left.Round(time.Second).String() + " left"
		}
	}
	return r
}
