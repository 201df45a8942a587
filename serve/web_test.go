package serve_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/serve"
	"handprint/serve/api"
	"handprint/serve/guard"
	"handprint/serve/servetest"
)

var update = flag.Bool("update", false, "write docs/openapi.json")

// tokens makes a token of each role.
func tokens(t *testing.T, dir string) (file string, secrets map[guard.Role]string) {
	t.Helper()
	file = filepath.Join(dir, "tokens.json")
	secrets = map[guard.Role]string{}
	var list []guard.Token
	for _, role := range []guard.Role{guard.Read, guard.Operate, guard.Ingest} {
		secret, kept := guard.NewToken("test-"+string(role), role, time.Now(), time.Time{})
		secrets[role] = secret
		list = append(list, kept)
	}
	if err := guard.WriteTokens(file, list); err != nil {
		t.Fatal(err)
	}
	return file, secrets
}

// web starts the interface of a read side.
func web(t *testing.T, s *serve.Side, change func(*serve.WebConfig)) (w *serve.Web, secrets map[guard.Role]string) {
	t.Helper()
	dir := t.TempDir()
	file, secrets := tokens(t, dir)
	audit, err := guard.OpenAudit(filepath.Join(dir, "audit.log"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = audit.Close() })
	c := serve.WebConfig{
		Guard:       guard.Config{Listen: "127.0.0.1:0", TokenFile: file, LocalRole: guard.Read, Audit: audit, Rate: 0},
		LiveClients: 10, LivePerSubject: 5, Version: "test",
		Watch: func(context.Context) (*api.Health, error) {
			return &api.Health{Group: "app", Tasks: []api.Task{{Task: 0, Owner: "test"}}}, nil
		},
	}
	if change != nil {
		change(&c)
	}
	w, err = s.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w, secrets
}

// ask sends a request and returns the answer.
func ask(t *testing.T, w *serve.Web, method, path, token, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+w.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

func get[T any](t *testing.T, w *serve.Web, path, token string) (to T) {
	t.Helper()
	resp, text := ask(t, w, "GET", path, token, "")
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, &to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return to
}

func TestAnalystsAndOperatorsAreAnswered(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, nil)
	read, operate := secrets[guard.Read], secrets[guard.Operate]

	list := get[struct {
		Items []struct {
			Identity string `json:"identity_uuid"`
		}
		Total int
	}](t, w, "/api/v1/identities?q=192.0.2.0/24&state=unknown&state=stable&counts=states", read)
	if list.Total != 1 || list.Items[0].Identity != stub("a1") {
		t.Fatalf("%+v", list)
	}
	for _, path := range []string{
		"/identities/" + stub("a1"), "/identities/" + stub("a3") + "/attribution", "/identities/" + stub("a3") + "/attackers", "/identities/" + stub("a3") + "/timeline?limit=2",
		"/identities/" + stub("a3") + "/history", "/identities/" + stub("a3") + "/explain", "/identities/" + stub("a3") + "/explain/" + hassh + "?evidence=true",
		"/identities/" + stub("a1") + "/similar", "/compare?a=" + stub("a1") + "&b=" + stub("a2"), "/attackers?q=a", "/attackers/192.0.2.7", "/attackers/a1/attribution",
		"/primitives", "/primitives/" + hassh + "/values?prefix=f", "/values?primitive=" + hassh + "&value=%22f1%22", "/suspicions?current=true", "/suggestions", "/search?q=f1",
		"/overview", "/topology", "/tasks", "/dead-letters", "/whoami", "/version", "/openapi.json", "/export/json", "/export/csv?state=stable",
	} {
		resp, text := ask(t, w, "GET", "/api/v1"+path, read, "")
		if resp.StatusCode != 200 || len(text) == 0 {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
		if path != "/openapi.json" && !strings.HasPrefix(path, "/export") && (resp.Header.Get("Handprint-As-Of") == "" || resp.Header.Get("Handprint-Read-Lag") != "0") {
			t.Errorf("%s: freshness %v", path, resp.Header)
		}
	}
	until(t, "the evidence is told", func() bool { // it is looked for two seconds a time
		x := get[struct {
			Agrees bool
			Window struct {
				Recent []struct {
					Evidence string `json:"evidence_ref"`
					Gone     string `json:"evidence"`
				}
			}
		}](t, w, "/api/v1/identities/"+stub("a3")+"/explain/"+hassh+"?evidence=true", read)
		if !x.Agrees || len(x.Window.Recent) == 0 {
			t.Fatalf("explained as %+v", x)
		}
		first := x.Window.Recent[0]
		if first.Gone != "" && !strings.Contains(first.Gone, "two seconds") {
			t.Fatalf("the evidence is %s", first.Gone)
		}
		return strings.HasPrefix(first.Evidence, "e:")
	})

	// What is refused, and how.
	for _, c := range []struct {
		path, kind string
		status     int
	}{
		{"/identities?sate=stable", "unprocessable", 422}, {"/identities?state=odd", "unprocessable", 422}, {"/identities?limit=0", "unprocessable", 422},
		{"/identities?value=1", "bad-parameter", 400}, {"/identities?cursor=%21", "cursor-invalid", 400}, {"/identities/none", "unknown-identity", 404},
		{"/attackers/none", "unknown-attacker", 404}, {"/identities/" + stub("a1") + "/explain/none.here", "no-row", 404}, {"/nothing", "not-found", 404},
		{"/identities?after=identity.events:0:999&wait=0", "not-there-yet", 503}, {"/identities?max_staleness=0", "unprocessable", 422}, {"/identities?limit=5&limit=6", "unprocessable", 422},
		{"/overview?window=", "unprocessable", 422}, {"/export/none", "bad-parameter", 400},
		{"/events?rate=0", "unprocessable", 422}, {"/dead-letters/0/99", "not-found", 404},
	} {
		resp, text := ask(t, w, "GET", "/api/v1"+c.path, read, "")
		var p struct{ Type, Title string }
		if err := json.Unmarshal(text, &p); err != nil || resp.StatusCode != c.status || p.Type != "/problems/"+c.kind || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", c.path, resp.StatusCode, text)
		}
	}

	// An operator's event, twice with one key, and read back.
	body := fmt.Sprintf(`{"type":"merged","winner_uuid":%q,"loser_uuid":"192.0.2.7"}`, stub("a3"))
	resp, text := ask(t, w, "POST", "/api/v1/identity-events?dry_run=true", operate, body)
	if resp.StatusCode != 202 || !strings.Contains(string(text), `"attacker_uuid":"a1"`) {
		t.Fatalf("dry run: %d %s", resp.StatusCode, text)
	}
	var sent [2]struct{ Sent api.Sent }
	for n := range sent {
		resp, text := ask(t, w, "POST", "/api/v1/identity-events", operate, body, "Idempotency-Key", "k")
		if err := json.Unmarshal(text, &sent[n]); err != nil || resp.StatusCode != 202 {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
	}
	if sent[0] != sent[1] || sent[0].Sent.After == "" {
		t.Fatalf("%+v", sent)
	}
	if resp, text := ask(t, w, "POST", "/api/v1/identity-events", operate, strings.Replace(body, "merged", "unmerged", 1), "Idempotency-Key", "k"); resp.StatusCode != 422 {
		t.Errorf("another body with the key: %d %s", resp.StatusCode, text)
	}
	until(t, "the event is over", func() bool {
		resp, _ := ask(t, w, "GET", "/api/v1/identities/"+stub("a1")+"?after="+sent[0].Sent.After+"&wait=10", read, "")
		return resp.StatusCode == 200
	})
	merged := get[struct {
		MergedInto *string `json:"merged_into"`
	}](t, w, "/api/v1/identities/"+stub("a1"), read)
	if merged.MergedInto == nil || *merged.MergedInto != stub("a3") {
		t.Errorf("merged into %v", merged.MergedInto)
	}
	until(t, "the same again is 304", func() bool { // once all topics are read that say something of it
		resp, _ := ask(t, w, "GET", "/api/v1/identities/"+stub("a3"), read, "")
		tag := resp.Header.Get("ETag")
		again, body := ask(t, w, "GET", "/api/v1/identities/"+stub("a3"), read, "", "If-None-Match", `"other", W/`+tag)
		return tag != "" && again.StatusCode == 304 && len(body) == 0 && again.Header.Get("ETag") == tag
	})

	// An event that the engine refuses is not waited for in vain.
	nonsense := &kgo.Record{Topic: app.Names.IdentityEvents, Value: []byte("nonsense")}
	app.Send(nonsense)
	until(t, "the event was refused", func() bool { // the dead letters are read once a second
		resp, text = ask(t, w, "GET", fmt.Sprintf("/api/v1/identities?after=identity.events:0:%d&wait=0.1", nonsense.Offset), read, "")
		return resp.StatusCode == 409 && strings.Contains(string(text), "in-the-way") && strings.Contains(string(text), "refused")
	})

	// A dead letter, sent again.
	bad := app.Observation("a1", hassh, `17`, 1)
	app.Send(bad)
	letters := get[struct{ Items []api.DeadLetter }](t, w, "/api/v1/dead-letters", operate)
	if len(letters.Items) != 2 || letters.Items[0].Preview == "" || letters.Items[0].At != bad.Offset {
		t.Fatalf("%+v", letters)
	}
	d := letters.Items[0]
	resp, text = ask(t, w, "POST", fmt.Sprintf("/api/v1/dead-letters/%d/%d/replay", d.Partition, d.Offset), operate, "")
	if resp.StatusCode != 202 {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	trail := get[struct{ Items []guard.AuditLine }](t, w, "/api/v1/audit", operate)
	if len(trail.Items) < 8 || trail.Items[0].Phase != "after" || trail.Items[0].Status != 202 || trail.Items[0].Subject != "test-operate" {
		t.Errorf("audit %+v", trail.Items)
	}
}

// Every route of the document refuses those without credentials, and everybody whose
// role is not enough.
func TestWhoMayWhatRouteByRoute(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	s, _ := open(t, app, t.TempDir())
	w, secrets := web(t, s, nil)
	needs := map[string]guard.Role{}
	for pattern, access := range guard.Table() {
		needs[pattern] = access.Role
	}
	routes := 0
	for path, item := range w.Document.Paths {
		for method, op := range map[string]any{"GET": item.Get, "POST": item.Post} {
			if fmt.Sprint(op) == "<nil>" {
				continue
			}
			routes++
			at := strings.NewReplacer("{id}", "x", "{primitive}", "y", "{format}", "json", "{partition}", "0", "{offset}", "0").Replace(path)
			body := ""
			if method == "POST" {
				body = "{}"
			}
			if resp, text := ask(t, w, method, at, "", body); resp.StatusCode != 401 {
				t.Errorf("%s %s without credentials: %d %s", method, path, resp.StatusCode, text)
			}
			if resp, text := ask(t, w, method, at, secrets[guard.Ingest], body); resp.StatusCode != 403 {
				t.Errorf("%s %s as a sensor: %d %s", method, path, resp.StatusCode, text)
			}
			if needs[method+" "+path] == guard.Operate {
				if resp, text := ask(t, w, method, at, secrets[guard.Read], body); resp.StatusCode != 403 {
					t.Errorf("%s %s as a reader: %d %s", method, path, resp.StatusCode, text)
				}
			}
		}
	}
	if routes < 30 {
		t.Errorf("only %d routes", routes)
	}
	for _, pattern := range w.Guard.Mux().Routes() {
		if _, ok := needs[pattern]; !ok {
			t.Errorf("%s is not in the table", pattern)
		}
	}
}

func TestOthersSitesAndNamesAreKeptOut(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	s, _ := open(t, app, t.TempDir())
	w, secrets := web(t, s, nil)
	for _, c := range []struct {
		name    string
		status  int
		method  string
		path    string
		headers []string
	}{
		{"a name of somebody else", 403, "GET", "/api/v1/whoami", []string{"Host", "evil.example"}},
		{"localhost", 200, "GET", "/api/v1/whoami", []string{"Host", "localhost:1234"}},
		{"a post of another site", 403, "POST", "/api/v1/identity-events", []string{"Sec-Fetch-Site", "cross-site"}},
		{"a post of another origin", 403, "POST", "/api/v1/identity-events", []string{"Origin", "https://evil.example"}},
		{"a form", 415, "POST", "/api/v1/identity-events", []string{"Content-Type", "text/plain"}},
		{"a token in the URL", 401, "GET", "/api/v1/whoami?token=" + secrets[guard.Read], []string{"Authorization", ""}},
		{"a long URL", 413, "GET", "/api/v1/search?q=" + strings.Repeat("x", 9000), nil},
		{"the method", 405, "DELETE", "/api/v1/identities", nil},
	} {
		body := ""
		if c.method == "POST" {
			body = "{}"
		}
		token := secrets[guard.Operate]
		if slices.Contains(c.headers, "Authorization") {
			token = ""
		}
		resp, text := ask(t, w, c.method, c.path, token, body, c.headers...)
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, text)
		}
		if resp.Header.Get("Content-Security-Policy") == "" || resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", c.name, resp.Header)
		}
	}
	large := `{"type":"formed","identity_uuid":"` + strings.Repeat("x", 70<<10) + `"}`
	if resp, text := ask(t, w, "POST", "/api/v1/identity-events", secrets[guard.Operate], large); resp.StatusCode != 413 {
		t.Errorf("a large body: %d %s", resp.StatusCode, text)
	}
	// Logging in with a token gives a cookie, which ends with the token.
	resp, _ := ask(t, w, "POST", "/login", "", "token="+secrets[guard.Read], "Content-Type", "application/x-www-form-urlencoded")
	if resp.StatusCode != 303 || len(resp.Cookies()) != 1 || !resp.Cookies()[0].HttpOnly {
		t.Fatalf("login: %d %v", resp.StatusCode, resp.Cookies())
	}
	cookie := resp.Cookies()[0]
	if resp, text := ask(t, w, "GET", "/api/v1/whoami", "", "", "Cookie", cookie.Name+"="+cookie.Value); resp.StatusCode != 200 {
		t.Errorf("with the cookie: %d %s", resp.StatusCode, text)
	}
	damaged := "x" + cookie.Value[1:]
	if damaged == cookie.Value { // it begins with any of 64 characters
		damaged = "y" + cookie.Value[1:]
	}
	if resp, _ := ask(t, w, "GET", "/api/v1/whoami", "", "", "Cookie", cookie.Name+"="+damaged); resp.StatusCode != 401 {
		t.Errorf("with a damaged cookie: %d", resp.StatusCode)
	}
}

func TestLiveClientsAreToldAndComeBack(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, nil)
	stream := func(query string, headers ...string) (*bufio.Scanner, func()) {
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+w.Addr()+"/api/v1/events"+query, nil)
		req.Header.Set("Authorization", "Bearer "+secrets[guard.Read])
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
		return bufio.NewScanner(resp.Body), func() { cancel(); _ = resp.Body.Close() }
	}
	// next returns the next event of a type, and its id and data.
	next := func(in *bufio.Scanner, event string) (id, data string) {
		is := false
		for in.Scan() {
			line := in.Text()
			switch {
			case line == "" && is:
				return id, data
			case strings.HasPrefix(line, "event: "):
				is = line == "event: "+event
				id = ""
			case strings.HasPrefix(line, "id: "):
				id = line[4:]
			case strings.HasPrefix(line, "data: "):
				data = line[6:]
			}
		}
		t.Fatalf("the stream ended before %s: %v", event, in.Err())
		return "", ""
	}
	one, stop := stream("?types=state_changed")
	if _, data := next(one, "snapshot"); !strings.Contains(data, `"counts"`) {
		t.Errorf("snapshot %s", data)
	}
	app.Send(app.Observation("b1", hassh, `"g"`, 1_699_999_500))
	id, data := next(one, "state_changed")
	if !strings.Contains(data, stub("b1")) || !strings.Contains(data, `"old_state":null`) || id == "" {
		t.Fatalf("%s %s", id, data)
	}
	stop()
	app.Send(app.Observation("b2", hassh, `"g"`, 1_699_999_600))
	caught(t, s)
	again, stop := stream("", "Last-Event-ID", id)
	defer stop()
	for {
		if _, data := next(again, "state_changed"); strings.Contains(data, stub("b2")) {
			break
		}
	}
	app.Send(app.Event(attribution.IdentityEvent{Type: attribution.Formed, Identity: "x", Attackers: []string{"b1"}}))
	if clients, missed, _ := w.Stream.Clients(); clients < 1 || missed != 0 {
		t.Errorf("%d clients, %d missed", clients, missed)
	}
}

func TestTheDocumentIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	s, _ := open(t, app, t.TempDir())
	w, _ := web(t, s, func(c *serve.WebConfig) { c.Version = "v1" })
	b, err := api.Document(w.Document)
	if err != nil {
		t.Fatal(err)
	}
	const file = "../docs/openapi.json"
	if *update {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(have, b) {
		t.Errorf("docs/openapi.json is not what the code says: go test ./serve -run Document -update (%v)", err)
	}
}

// A client that asks for them is told of an attacker's observations as they come, and
// of nobody else's.
func TestObservationsAsTheyCome(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, nil)
	for path, status := range map[string]int{
		"?types=observation": 422, "?types=observation&attacker=nobody": 404, "?types=observation&identity=nobody": 404, "?types=observation&identity=x&attacker=y": 422,
	} {
		if resp, body := ask(t, w, http.MethodGet, "/api/v1/events"+path, secrets[guard.Read], ""); resp.StatusCode != status {
			t.Errorf("%s: %d %.200s", path, resp.StatusCode, body)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.Addr()+"/api/v1/events?types=observation&attacker=a1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secrets[guard.Read])
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stop := make(chan struct{})
	sent := make(chan struct{})
	go func() { // until one arrives: a reader begins at the end of the topic
		defer close(sent)
		for n := 0; ; n++ {
			ts := 1_699_999_900 + float64(n)
			if err := app.Client.ProduceSync(ctx, app.Observation("a2", hassh, `"f7"`, ts), app.Observation("a1", hassh, `"f8"`, ts)).FirstErr(); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	in, event := bufio.NewScanner(resp.Body), ""
	for in.Scan() {
		if name, ok := strings.CutPrefix(in.Text(), "event: "); ok {
			event = name
		}
		if data, ok := strings.CutPrefix(in.Text(), "data: "); ok && event == "observation" {
			var o struct {
				Attacker string `json:"attacker_uuid"`
				Identity string `json:"identity_uuid"`
				Value    string `json:"value"`
			}
			if err := json.Unmarshal([]byte(data), &o); err != nil || o.Attacker != "a1" || o.Identity != stub("a1") || o.Value != "f8" {
				t.Errorf("%s: %v", data, err)
			}
			break
		}
	}
	if err := in.Err(); err != nil {
		t.Error(err)
	}
	close(stop)
	<-sent
}
