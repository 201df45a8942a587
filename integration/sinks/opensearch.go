package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"handprint/siem"
	"handprint/siem/deliver"
)

// openSearch is OpenSearch from the jars of Maven, started by opensearch/Launcher.
// It keeps events by id and rows by external version, so nothing is there twice.
func openSearch(dir, tools string) receiver {
	jars, home, port := filepath.Join(tools, "opensearch"), filepath.Join(dir, "opensearch"), freePort()
	r := receiver{name: "opensearch", needs: filepath.Join(jars, "Launcher.class"), port: port, rows: true, unique: true,
		sink: "type: opensearch, url: 'http://ADDRESS', batch-records: 100, " + impatient}
	r.front = func(_ context.Context, seed uint64) (proxy, error) {
		return newWebProxy(r.target(), seed, faultsEvery, true), nil
	}
	base := "http://" + r.target()
	asJSON := http.Header{"Content-Type": {"application/json"}}
	r.start = func(ctx context.Context) (*exec.Cmd, error) {
		if err := os.MkdirAll(filepath.Join(home, "config"), 0o755); err != nil {
			return nil, err
		}
		cmd, err := startServer(ctx, dir, "opensearch", port, nil, "java", "-Xms512m", "-Xmx1g", "-cp", jars+string(filepath.ListSeparator)+jars+"/*", "Launcher", home, strconv.Itoa(port))
		if err != nil {
			return nil, err
		}
		_, err = get(ctx, base+"/_cluster/health?wait_for_status=yellow&timeout=60s", nil)
		return cmd, err
	}
	r.prepare = func(ctx context.Context) error {
		for name, template := range map[string][]byte{"handprint-events": deliver.EventsTemplate(), "handprint-state": deliver.RowsTemplate()} {
			if _, err := call(ctx, http.MethodPut, base+"/_index_template/"+name, asJSON, template); err != nil {
				return fmt.Errorf("the template %s: %w", name, err)
			}
		}
		return nil
	}
	r.count = func(ctx context.Context) (int, error) {
		text, err := get(ctx, base+"/logs-handprint.*/_count", nil)
		if err != nil {
			return 0, err
		}
		var got struct{ Count int }
		return got.Count, json.Unmarshal(text, &got)
	}
	r.compare = func(ctx context.Context, w *wanted) (int, string, error) {
		if _, err := call(ctx, http.MethodPost, base+"/_refresh", nil, nil); err != nil {
			return 0, "", err
		}
		lines, seen, repeats := w.lines(siem.ECS), map[string]bool{}, 0
		err := documents(ctx, base, "logs-handprint.*", func(d *document) error {
			if lines[d.ID] != string(d.Source) {
				return fmt.Errorf("the event %s is not as it was sent: %.500s", d.ID, d.Source)
			}
			if seen[d.ID] {
				repeats++
			}
			seen[d.ID] = true
			return nil
		})
		if err != nil {
			return 0, "", err
		}
		if err := missing(len(seen), len(lines)); err != nil {
			return 0, "", err
		}
		formatter, rows := siem.NewFormatter(siem.ECS, w.options), 0
		err = documents(ctx, base, "handprint-state", func(d *document) error {
			row, ok := w.rows[d.ID]
			switch {
			case !ok:
				return fmt.Errorf("the row %q was deleted, and is there", d.ID)
			case d.Version != row.offset:
				return fmt.Errorf("the row %q is that of offset %d, not of %d", d.ID, d.Version, row.offset)
			case string(formatter.Append(nil, row.event)) != string(d.Source):
				return fmt.Errorf("the row %q is not as it was sent: %.500s", d.ID, d.Source)
			}
			rows++
			return nil
		})
		if err == nil && rows != len(w.rows) {
			err = fmt.Errorf("%d of %d rows are there", rows, len(w.rows))
		}
		return repeats, fmt.Sprintf("%d rows are the newest of their keys, %d keys are deleted;", rows, w.deleted), err
	}
	return r
}

// document is one document of a search.
type document struct {
	ID      string          `json:"_id"`
	Version int64           `json:"_version"`
	Source  json.RawMessage `json:"_source"`
}

// documents calls each with all documents of some indexes.
func documents(ctx context.Context, base, index string, each func(*document) error) error {
	asJSON := http.Header{"Content-Type": {"application/json"}}
	text, err := call(ctx, http.MethodPost, base+"/"+index+"/_search?scroll=1m", asJSON, []byte(`{"size":500,"version":true,"sort":["_doc"]}`))
	for {
		if err != nil {
			return err
		}
		var page struct {
			Scroll string `json:"_scroll_id"`
			Hits   struct {
				Hits []document `json:"hits"`
			} `json:"hits"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return err
		}
		if len(page.Hits.Hits) == 0 {
			return nil
		}
		for i := range page.Hits.Hits {
			if err := each(&page.Hits.Hits[i]); err != nil {
				return err
			}
		}
		text, err = call(ctx, http.MethodPost, base+"/_search/scroll", asJSON, fmt.Appendf(nil, `{"scroll":"1m","scroll_id":%q}`, page.Scroll))
	}
}
