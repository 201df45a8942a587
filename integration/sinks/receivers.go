package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"handprint/siem"
)

// receivers are the receivers that make sinks-check knows how to get.
func receivers(dir, tools string) ([]receiver, error) {
	if err := certificates(dir); err != nil {
		return nil, err
	}
	return []receiver{
		openSearch(dir, tools), rsyslog(dir, tools, "tcp"), rsyslog(dir, tools, "tls"), rsyslog(dir, tools, "udp"),
		victoriaLogs(dir, tools), victoriaLogsHEC(dir, tools), medallion(dir, tools),
	}, nil
}

// faultsEvery is how many requests there are to one that fails.
const faultsEvery = 5

// impatient are settings of web sinks that make faults pass fast.
const impatient = "timeout: 3s, retry-max: 1s, break-wait: 1s"

// victoriaLogs takes bulk requests as Elasticsearch does. It keeps no documents by
// id, so a repeat is there twice, under the same event.id.
func victoriaLogs(dir, tools string) receiver {
	r := victoriaLogsAt(dir, tools, "victorialogs", "event.id", siem.ECS)
	r.sink = "type: elasticsearch, url: 'http://ADDRESS/insert/elasticsearch', events: [state_changed, multi_actor_suspected, identity_formed, identity_linked, identity_merged, identity_unmerged], batch-records: 100, " +
		impatient + ", headers: {VL-Msg-Field: message, VL-Time-Field: '@timestamp', VL-Stream-Fields: event.dataset}"
	r.front = func(_ context.Context, seed uint64) (proxy, error) {
		return newWebProxy(r.target(), seed, faultsEvery, true), nil
	}
	return r
}

// victoriaLogsHEC takes what Splunk's collector takes, without acknowledgements.
func victoriaLogsHEC(dir, tools string) receiver {
	r := victoriaLogsAt(dir, tools, "victorialogs-hec", "event.metadata.uid", siem.OCSF)
	r.sink = "type: splunk, url: 'http://ADDRESS/insert/splunk', acks: false, batch-records: 100, " + impatient + ", headers: {VL-Stream-Fields: event.metadata.event_code}"
	r.front = func(_ context.Context, seed uint64) (proxy, error) {
		return newWebProxy(r.target(), seed, faultsEvery, false), nil
	}
	return r
}

func victoriaLogsAt(dir, tools, name, id string, format siem.Format) receiver {
	binary, port := filepath.Join(tools, "victoria-logs"), freePort()
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	r := receiver{name: name, needs: binary, port: port, early: true}
	r.start = func(ctx context.Context) (*exec.Cmd, error) {
		return startServer(ctx, dir, name, port, nil, binary, "-storageDataPath="+filepath.Join(dir, name), "-httpListenAddr=127.0.0.1:"+strconv.Itoa(port),
			"-retentionPeriod=100y", "-insert.maxLineSizeBytes=2097152", "-inmemoryDataFlushInterval=1s")
	}
	r.count = func(ctx context.Context) (int, error) {
		text, err := get(ctx, base+"/select/logsql/query?query="+url.QueryEscape("* | stats count_uniq("+id+") n"), nil)
		if err != nil {
			return 0, err
		}
		var row struct{ N string }
		if err := json.Unmarshal(text, &row); err != nil {
			return 0, err
		}
		return strconv.Atoi(row.N)
	}
	r.compare = func(ctx context.Context, w *wanted) (int, string, error) {
		text, err := get(ctx, base+"/select/logsql/query?query="+url.QueryEscape("* | fields "+id+", _msg, handprint.value"), nil)
		if err != nil {
			return 0, "", err
		}
		lines, seen, repeats := w.lines(format), map[string]bool{}, 0
		for line := range bytes.Lines(text) {
			var got map[string]string
			if err := json.Unmarshal(line, &got); err != nil {
				return 0, "", fmt.Errorf("%w in %.300s", err, line)
			}
			var want struct {
				Message   string
				Handprint struct{ Value string }
			}
			if err := json.Unmarshal([]byte(lines[got[id]]), &want); err != nil {
				return 0, "", fmt.Errorf("the event %q was not sent", got[id])
			}
			if got["_msg"] != want.Message || got["handprint.value"] != want.Handprint.Value {
				return 0, "", fmt.Errorf("the event %s is not as it was sent: %.500s", got[id], line)
			}
			if seen[got[id]] {
				repeats++
			}
			seen[got[id]] = true
		}
		return repeats, "", missing(len(seen), len(lines))
	}
	return r
}

// missing is the error of a receiver that has not all events.
func missing(got, want int) error {
	if got != want {
		return fmt.Errorf("%d of %d events are there", got, want)
	}
	return nil
}

// medallion is the TAXII server of the specification's own committee; its memory
// takes some thousand objects.
func medallion(dir, tools string) receiver {
	binary, port := filepath.Join(tools, "python/bin/medallion"), freePort()
	const collection = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
	password := filepath.Join(dir, "password")
	r := receiver{name: "medallion", needs: binary, port: port, most: 400, forgets: true, unique: true,
		sink: fmt.Sprintf("type: taxii, url: 'http://ADDRESS/soc/collections/%s', user: admin, password-file: %s, events: [state_changed, multi_actor_suspected, identity_formed, identity_linked, identity_merged, identity_unmerged], batch-records: 10, timeout: 60s, retry-max: 1s, break-wait: 1s", collection, password)}
	base := "http://" + r.target() + "/soc"
	// Medallion takes seconds for a request, so the timeout is long and a stall ends
	// before it.
	r.front = func(_ context.Context, seed uint64) (proxy, error) {
		p := newWebProxy(r.target(), seed, faultsEvery, false)
		p.stall = 3 * time.Second
		return p, nil
	}
	r.start = func(ctx context.Context) (*exec.Cmd, error) {
		data := `{"/discovery":{"title":"t","default":"` + base + `/","api_roots":["` + base + `/"]},"soc":{"information":{"title":"r","versions":["application/taxii+json;version=2.1"],"max_content_length":104857600},"status":[],"collections":[{"id":"` + collection + `","title":"c","can_read":true,"can_write":true,"media_types":["application/stix+json;version=2.1"],"objects":[],"manifest":[]}]}}`
		config := `{"backend":{"module":"medallion.backends.memory_backend","module_class":"MemoryBackend","filename":"` + filepath.Join(dir, "taxii.json") + `"},"users":{"admin":"secret"},"taxii":{"max_page_size":1000}}`
		for name, text := range map[string]string{"password": "secret\n", "taxii.json": data, "medallion.json": config} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				return nil, err
			}
		}
		return startServer(ctx, dir, "medallion", port, nil, binary, "--host", "127.0.0.1", "--port", strconv.Itoa(port), filepath.Join(dir, "medallion.json"))
	}
	// Not of all types: medallion takes the version of an extension-definition for a
	// time, and fails.
	objects := func(ctx context.Context) (map[string]json.RawMessage, int, error) {
		header := http.Header{"Accept": {"application/taxii+json;version=2.1"}}
		header.Set("Authorization", "Basic YWRtaW46c2VjcmV0") // admin:secret
		all, next, repeats := map[string]json.RawMessage{}, "", 0
		for {
			text, err := get(ctx, base+"/collections/"+collection+"/objects/?match%5Btype%5D=note,intrusion-set,identity,relationship,attack-pattern&limit=1000"+next, header)
			if err != nil {
				return nil, 0, err
			}
			var page struct {
				More    bool
				Next    string
				Objects []json.RawMessage
			}
			if err := json.Unmarshal(text, &page); err != nil {
				return nil, 0, err
			}
			for _, o := range page.Objects {
				var head struct{ ID string }
				if err := json.Unmarshal(o, &head); err != nil {
					return nil, 0, err
				}
				if all[head.ID] != nil {
					repeats++
				}
				all[head.ID] = o
			}
			if !page.More {
				return all, repeats, nil
			}
			next = "&next=" + page.Next
		}
	}
	r.count = func(ctx context.Context) (int, error) {
		all, _, err := objects(ctx)
		return len(all), err
	}
	r.compare = func(ctx context.Context, w *wanted) (int, string, error) {
		got, repeats, err := objects(ctx)
		if err != nil {
			return 0, "", err
		}
		notes := 0
		for _, e := range w.events {
			b := siem.NewBundle()
			b.Add(e)
			err := b.Objects(func(id, _ string, text []byte) error {
				if got[id] == nil && !strings.HasPrefix(id, "extension-definition--") {
					return fmt.Errorf("%s is missing", id)
				}
				// Objects of several events, such as intrusion sets, have the time of
				// the newest.
				if strings.HasPrefix(id, "note--") {
					notes++
					return sameJSON(id, got[id], text)
				}
				return nil
			})
			if err != nil {
				return 0, "", err
			}
		}
		return repeats, fmt.Sprintf("%d objects, %d of them notes;", len(got), notes), nil
	}
	return r
}

func sameJSON(id string, got, want []byte) error {
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		return err
	}
	if err := json.Unmarshal(want, &b); err != nil {
		return err
	}
	left, _ := json.Marshal(a)
	right, _ := json.Marshal(b)
	if !bytes.Equal(left, right) {
		return fmt.Errorf("%s is not as it was sent: %.500s", id, got)
	}
	return nil
}

func get(ctx context.Context, address string, header http.Header) ([]byte, error) {
	return call(ctx, http.MethodGet, address, header, nil)
}

func call(ctx context.Context, method, address string, header http.Header, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(bufio.NewReader(resp.Body))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %.500s", resp.Status, strings.TrimSpace(string(text)))
	}
	return text, err
}
