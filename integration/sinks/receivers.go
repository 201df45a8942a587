package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// receivers are the receivers that make sinks-check knows how to get.
func receivers(dir, tools string) []receiver {
	return []receiver{rsyslog(dir, tools, "tcp"), victoriaLogs(dir, tools), medallion(dir, tools)}
}

// The id of an event in a line of CEF.
var externalID = regexp.MustCompile(` externalId=([0-9a-f-]{36}) `)

// rsyslog is Debian's, unpacked below tools/rsyslog.
func rsyslog(dir, tools, network string) receiver {
	root, port := filepath.Join(tools, "rsyslog"), freePort()
	out := filepath.Join(dir, "rsyslog.out")
	lib := filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	binary := filepath.Join(root, "usr/sbin/rsyslogd")
	return receiver{
		name: "rsyslog", needs: binary,
		sink: fmt.Sprintf("type: syslog, network: %s, address: '127.0.0.1:%d', format: cef, resend: 5s, batch-records: 3, events: [state_changed]", network, port),
		start: func(ctx context.Context) (*exec.Cmd, error) {
			config := filepath.Join(dir, "rsyslog.conf")
			text := fmt.Sprintf("global(maxMessageSize=\"1m\" workDirectory=%q)\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"%d\")\ntemplate(name=\"raw\" type=\"string\" string=\"%%msg%%\\n\")\naction(type=\"omfile\" file=%q template=\"raw\")\n", dir, port, out)
			if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
				return nil, err
			}
			return startServer(ctx, dir, "rsyslog", port, []string{"LD_LIBRARY_PATH=" + lib}, binary, "-n", "-f", config, "-i", filepath.Join(dir, "rsyslog.pid"), "-M", filepath.Join(lib, "rsyslog"))
		},
		count: func(context.Context) (int, error) {
			text, err := os.ReadFile(out)
			if err != nil {
				return 0, err
			}
			ids := map[string]bool{}
			for _, m := range externalID.FindAllSubmatch(text, -1) {
				ids[string(m[1])] = true
			}
			return len(ids), nil
		},
	}
}

// victoriaLogs takes bulk requests as Elasticsearch does. It keeps no documents by
// id, so distinct ids are counted.
func victoriaLogs(dir, tools string) receiver {
	binary, port := filepath.Join(tools, "victoria-logs"), freePort()
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	return receiver{
		name: "victorialogs", needs: binary, early: true,
		sink: fmt.Sprintf("type: elasticsearch, url: '%s/insert/elasticsearch', events: [state_changed], batch-records: 100, headers: {VL-Msg-Field: message, VL-Time-Field: '@timestamp', VL-Stream-Fields: event.dataset}", base),
		start: func(ctx context.Context) (*exec.Cmd, error) {
			return startServer(ctx, dir, "victorialogs", port, nil, binary, "-storageDataPath="+filepath.Join(dir, "vl"), "-httpListenAddr=127.0.0.1:"+strconv.Itoa(port),
				"-retentionPeriod=100y", "-insert.maxLineSizeBytes=2097152", "-inmemoryDataFlushInterval=1s")
		},
		count: func(ctx context.Context) (int, error) {
			text, err := get(ctx, base+"/select/logsql/query?query="+url.QueryEscape(`* | stats count_uniq(event.id) n`), nil)
			if err != nil {
				return 0, err
			}
			var row struct{ N string }
			if err := json.Unmarshal(text, &row); err != nil {
				return 0, err
			}
			return strconv.Atoi(row.N)
		},
	}
}

// medallion is the TAXII server of the specification's own committee; its memory
// takes some thousand objects.
func medallion(dir, tools string) receiver {
	binary, port := filepath.Join(tools, "python/bin/medallion"), freePort()
	const collection = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
	base := fmt.Sprintf("http://127.0.0.1:%d/root", port)
	password := filepath.Join(dir, "password")
	return receiver{
		name: "medallion", needs: binary, most: 400, forgets: true,
		sink: fmt.Sprintf("type: taxii, url: '%s/collections/%s', user: admin, password-file: %s, events: [state_changed], batch-records: 10, timeout: 120s", base, collection, password),
		start: func(ctx context.Context) (*exec.Cmd, error) {
			if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
				return nil, err
			}
			data := `{"/discovery":{"title":"t","default":"` + base + `/","api_roots":["` + base + `/"]},"root":{"information":{"title":"r","versions":["application/taxii+json;version=2.1"],"max_content_length":104857600},"status":[],"collections":[{"id":"` + collection + `","title":"c","can_read":true,"can_write":true,"media_types":["application/stix+json;version=2.1"],"objects":[],"manifest":[]}]}}`
			config := `{"backend":{"module":"medallion.backends.memory_backend","module_class":"MemoryBackend","filename":"` + filepath.Join(dir, "taxii.json") + `"},"users":{"admin":"secret"},"taxii":{"max_page_size":1000}}`
			if err := os.WriteFile(filepath.Join(dir, "taxii.json"), []byte(data), 0o644); err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(dir, "medallion.json"), []byte(config), 0o644); err != nil {
				return nil, err
			}
			return startServer(ctx, dir, "medallion", port, nil, binary, "--host", "127.0.0.1", "--port", strconv.Itoa(port), filepath.Join(dir, "medallion.json"))
		},
		count: func(ctx context.Context) (int, error) {
			header := http.Header{"Accept": {"application/taxii+json;version=2.1"}, "Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("admin:secret"))}}
			ids, next := map[string]bool{}, ""
			for {
				text, err := get(ctx, base+"/collections/"+collection+"/objects/?match%5Btype%5D=note&limit=1000"+next, header)
				if err != nil {
					return 0, err
				}
				var page struct {
					More    bool
					Next    string
					Objects []struct{ ID string }
				}
				if err := json.Unmarshal(text, &page); err != nil {
					return 0, err
				}
				for _, o := range page.Objects {
					if ids[o.ID] {
						return 0, fmt.Errorf("%s is there twice", o.ID)
					}
					ids[o.ID] = true
				}
				if !page.More {
					return len(ids), nil
				}
				next = "&next=" + page.Next
			}
		},
	}
}

func get(ctx context.Context, address string, header http.Header) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
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
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return text, err
}
