package deliver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"handprint/internal/canonical"
	"handprint/siem"
)

// Elastic is Elasticsearch or OpenSearch: events are created in data streams
// under their ids, rows are documents of an index, each under its key and with
// its offset for a version, so that an older one never takes a newer one's place.
type Elastic struct {
	client    *webClient
	url       string // of _bulk
	formatter *siem.Formatter
	streams   string // beginning of the data streams' names: logs-
	namespace string
	rows      string // index of the rows
}

// ElasticConfig says where an Elastic is.
type ElasticConfig struct {
	URL       string // such as https://elastic:9200
	Rows      string // index of the rows; empty: handprint-state
	Namespace string // of the data streams; empty: default
	Formatter *siem.Formatter
}

func newElastic(c ElasticConfig, client *webClient) *Elastic {
	e := &Elastic{client: client, url: c.URL + "/_bulk", formatter: c.Formatter, streams: "logs-", namespace: c.Namespace, rows: c.Rows}
	if e.rows == "" {
		e.rows = "handprint-state"
	}
	if e.namespace == "" {
		e.namespace = "default"
	}
	return e
}

// Prepare implements Receiver: the two lines of a bulk request, one of a delete.
func (e *Elastic) Prepare(it *Item) {
	dst := it.Body[:0]
	if it.Event.Kind != siem.Row && it.Event.Kind != siem.Tombstone {
		dst = canonical.AppendString(append(dst, `{"create":{"_index":`...), e.streams+"handprint."+siem.Dataset(it.Event)+"-"+e.namespace)
		dst = canonical.AppendString(append(dst, `,"_id":`...), it.Event.ID)
		it.Body = append(e.document(append(dst, "}}\n"...), it.Event), '\n')
		return
	}
	action := `{"index":{"_index":`
	if it.Event.Kind == siem.Tombstone {
		action = `{"delete":{"_index":`
	}
	dst = canonical.AppendString(append(dst, action...), e.rows)
	dst = canonical.AppendString(append(dst, `,"_id":`...), siem.DocumentID(it.Record.Key))
	dst = strconv.AppendInt(append(dst, `,"version_type":"external","version":`...), it.Record.Offset, 10)
	dst = append(dst, "}}\n"...)
	if it.Event.Kind == siem.Row {
		dst = append(e.document(dst, it.Event), '\n')
	}
	it.Body = dst
}

// document appends an event as a document. A data stream takes none without
// @timestamp, which OCSF does not have.
func (e *Elastic) document(dst []byte, event *siem.Event) []byte {
	if e.formatter.Format() == siem.ECS {
		return e.formatter.Append(dst, event)
	}
	dst = append(strconv.AppendInt(append(dst, `{"@timestamp":`...), event.Time, 10), ',')
	at := len(dst)
	dst = e.formatter.Append(dst, event)
	return append(dst[:at], dst[at+1:]...) // without its brace
}

// bulkAnswer is what is read of the answer to a bulk request.
type bulkAnswer struct {
	Errors bool `json:"errors"`
	Items  []map[string]struct {
		Status int             `json:"status"`
		Error  json.RawMessage `json:"error"`
	} `json:"items"`
}

// Deliver implements Receiver.
func (e *Elastic) Deliver(ctx context.Context, items []*Item) error {
	var body []byte
	for _, it := range items {
		body = append(body, it.Body...)
	}
	a, err := e.client.post(ctx, e.url, "application/x-ndjson", body, nil)
	if err != nil {
		return err
	}
	if err := a.problem(); err != nil {
		return err
	}
	var answer bulkAnswer
	if err := json.Unmarshal(a.body, &answer); err != nil {
		return fmt.Errorf("%w: %s", errNoJSON, oneLine(a.body))
	}
	if len(answer.Items) != len(items) {
		return unexpected("documents", len(answer.Items), len(items))
	}
	for i, it := range items {
		for action, got := range answer.Items[i] {
			it.Verdict = bulkVerdict(action, got.Status, got.Error)
		}
	}
	return nil
}

func bulkVerdict(action string, status int, problem []byte) Verdict {
	reason := strconv.Itoa(status) + " " + oneLine(problem)
	switch {
	case status/100 == 2:
		return Verdict{Done, ""}
	case status == http.StatusConflict, status == http.StatusNotFound && action == "delete":
		return Verdict{Had, ""}
	case status == http.StatusTooManyRequests, status >= 500, status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Verdict{Again, reason}
	case status == http.StatusNotFound: // no such index, and none may be made
		return Verdict{Again, reason}
	}
	return Verdict{Never, reason}
}

// Close implements Receiver.
func (e *Elastic) Close(context.Context) error { e.client.close(); return nil }
