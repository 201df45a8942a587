package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/serve/guard"
	"handprint/serve/query"
	"handprint/serve/servetest"
)

// What clients of others may send: nothing is a fault of the server, nothing that does
// not fit is ignored, and what means the same is answered the same.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	app.Send(app.Profile("a2", "2001:db8::7"))
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, nil)
	read, operate := secrets[guard.Read], secrets[guard.Operate]
	const list = "/api/v1/identities"
	until(t, "the addresses are known", func() bool {
		return get[query.IdentityList](t, w, list+"?q=2001:db8::7", read).Total == 1 && get[query.IdentityList](t, w, list+"?q=198.51.100.1", read).Total == 1
	})

	t.Run("addresses and networks", func(t *testing.T) {
		for q, want := range map[string]int{
			"192.0.2.7": 1, "::ffff:192.0.2.7": 1, "::FFFF:c000:207": 1, "192.0.2.0/24": 1, "192.0.2.9/24": 1, "::ffff:192.0.2.0/120": 1, "::ffff:0:0/96": 2, "0.0.0.0/0": 2,
			"::/0": 1, "2001:db8::/32": 1, "2001:DB8:0:0::7": 1, "2001:db8:0::/33": 1, "2001:db8::8": 0, "192.0.2.8": 0, "192.0.2.": 1, "192.0": 1, "no/address": 0,
		} {
			if got := get[query.IdentityList](t, w, list+"?q="+url.QueryEscape(q), read); got.Total != want {
				t.Errorf("q=%s: %d identities, want %d", q, got.Total, want)
			}
			if got := get[query.AttackerList](t, w, "/api/v1/attackers?q="+url.QueryEscape(q), read); got.Total != want {
				t.Errorf("q=%s: %d attackers, want %d", q, got.Total, want)
			}
		}
		for _, q := range []string{"192.0.2.7/33", "192.0.2.7/", "2001:db8::/129", "::1/-1", "192.0.2.0/24/1", "192.0.2.0/2x"} {
			for _, path := range []string{list, "/api/v1/attackers", "/api/v1/search"} {
				if resp, text := ask(t, w, "GET", path+"?q="+url.QueryEscape(q), read, ""); resp.StatusCode != 400 || !strings.Contains(string(text), "CIDR") {
					t.Errorf("%s?q=%s: %d %s", path, q, resp.StatusCode, text)
				}
			}
		}
		for _, name := range []string{"::ffff:192.0.2.7", "192.0.2.7"} {
			if got := get[query.Attacker](t, w, "/api/v1/attackers/"+name, read); got.Attacker != "a1" {
				t.Errorf("%s is %+v", name, got)
			}
		}
	})

	t.Run("cursors", func(t *testing.T) {
		next := get[query.IdentityList](t, w, list+"?limit=1", read).Next
		line := get[query.Timeline](t, w, list+"/"+stub("a1")+"/timeline?limit=1", read).Next
		if next == "" || line == "" {
			t.Fatal("no cursors")
		}
		flipped := []byte(next)
		flipped[len(flipped)-9] ^= 1 // another letter of the alphabet, in most cases
		for path, want := range map[string]string{
			list + "?limit=2&cursor=" + next: "", list + "?limit=1&merged=exclude&sort=-last_change&cursor=" + next: "", "/api/v1/export/json?merged=exclude&cursor=" + next: "",
			"/api/v1/export/json?cursor=" + next: "", list + "?state=stable&cursor=" + next: "cursor-mismatch", list + "?sort=last_change&cursor=" + next: "cursor-mismatch",
			"/api/v1/suspicions?cursor=" + next: "cursor-mismatch", list + "?cursor=" + next[:len(next)-2]: "cursor-invalid", list + "?cursor=" + string(flipped): "cursor-invalid",
			list + "?cursor=" + next + "==": "cursor-invalid", list + "?cursor=" + next + "AAAA": "cursor-invalid", list + "?cursor=AQ": "cursor-invalid",
			list + "/" + stub("a1") + "/timeline?limit=5&cursor=" + line: "", list + "/" + stub("a1") + "/timeline?from=5&cursor=" + line: "cursor-mismatch",
			list + "/" + stub("a2") + "/timeline?cursor=" + line: "cursor-mismatch",
		} {
			resp, text := ask(t, w, "GET", path, read, "")
			if want == "" && resp.StatusCode != 200 || want != "" && (resp.StatusCode != 400 || !strings.Contains(string(text), want)) {
				t.Errorf("%s: %d %s, want %s", path, resp.StatusCode, text, want)
			}
		}
	})

	t.Run("parameters", func(t *testing.T) {
		value := "?primitive=environmental.locale&value=" + url.QueryEscape(" \n\"\\u0065n\" ")
		if got := get[query.IdentityList](t, w, list+value, read); got.Total != 1 {
			t.Errorf("a value with spaces and an escape: %d", got.Total)
		}
		if got := get[query.ValueInfo](t, w, "/api/v1/values"+value, read); got.Holders != 1 || string(got.Value) != `"en"` {
			t.Errorf("a value with spaces and an escape: %+v", got)
		}
		line := list + "/" + stub("a1") + "/timeline"
		if got := get[query.Timeline](t, w, line+"?to=5", read); len(got.Items) != 0 {
			t.Errorf("until 1970 there were %d", len(got.Items))
		}
		const suspicions = "/api/v1/suspicions"
		for path, want := range map[string]int{
			list + "?limit=1;q=aa": 422, list + "?q=%zz": 422, list + "?q=%ff%fe": 422, list + "?min_confidence=NaN": 422, list + "?changed_since=Inf": 422, list + "?limit=1&limit=2": 422,
			list + "?limit=99999999999999999999": 422, list + "?stat=stable": 422, list + "?state=Stable": 422, list + "?changed_since=9&changed_before=1": 200,
			line + "?from=9&to=1": 200, line + "?from=0&to=2.53402300799e11": 200, line + "?from=-1e308": 422, line + "?to=253402300800": 422, line + "?to=-5": 422, line + "?from=1_0": 422, line + "?from=0x1p4": 422, line + "?from=.5": 422,
			list + "?seen_since=1e12": 422, list + "?changed_since=1e308": 422, list + "?changed_before=-1": 422, list + "?min_confidence=0_1": 422, "/api/v1/export/csv?seen_since=1e12": 422, "/api/v1/export/csv?min_confidence=0_1": 422,
			suspicions + "?since=-5": 422, suspicions + "?before=-5": 422, suspicions + "?since=1e308": 422, suspicions + "?before=253402300800": 422, suspicions + "?since=0&before=253402300799": 200,
			line + "?from=-Inf": 422, "/api/v1/openapi.json?x=1": 422, "/api/v1/whoami?x=1": 422,
			list + "/%00": 404, list + "/%E2%80%AE": 404, list + "/a%2Fb": 404, list + "/" + strings.Repeat("a", 1025): 422, list + "/" + strings.ReplaceAll(stub("a1"), "-", "%2D"): 200,
			"/api/v1/%2e%2e/%2e%2e/etc/passwd": 404, list + "/": 404, "/api/v1/dead-letters/-1/0": 422, "/api/v1/events?types=odd": 422, "/api/v1/events?x=1": 422,
			"/api/v1/events?rate=0": 422, "/api/v1/events?last_event_id=odd": 422, "/api/v1/events?last_event_id=-1.0.0": 422, "/api/v1/events?rate=1&rate=2": 422,
			"/api/v1/export/csv?q=aa&q=bb": 422, "/api/v1/export/csv?members_min=1.5": 422, "/api/v1/export/csv?min_confidence=2": 422, "/api/v1/export/csv?merged=odd": 422,
		} {
			if resp, text := ask(t, w, "GET", path, read, ""); resp.StatusCode != want {
				t.Errorf("%.80s: %d, want %d: %.200s", path, resp.StatusCode, want, text)
			}
		}
	})

	t.Run("headers", func(t *testing.T) {
		for _, c := range []struct {
			method, path string
			want         int
			headers      []string
		}{
			{"HEAD", list, 200, nil}, {"HEAD", "/api/v1/events", 200, nil}, {"HEAD", "/api/v1/export/csv", 200, nil}, {"HEAD", list + "/none", 404, nil},
			{"OPTIONS", list, 405, nil}, {"PUT", list, 405, nil}, {"FOO", list, 405, nil},
			{"GET", list, 200, []string{"Accept", "application/xml"}}, {"GET", list, 200, []string{"Accept-Encoding", "gzip"}}, {"GET", list, 200, []string{"Range", "bytes=0-9"}},
			{"GET", list, 403, []string{"Host", "evil.example"}}, {"GET", list, 403, []string{"Host", "localhost.evil.example"}}, {"GET", list, 200, []string{"Host", "LOCALHOST.:1"}},
			{"GET", list, 403, []string{"Host", "127.1"}}, {"GET", list, 403, []string{"Host", "2130706433"}},
			{"GET", list, 200, []string{"Authorization", "bearer " + read}}, {"GET", list, 401, []string{"Authorization", "Basic " + read}}, {"GET", list, 401, []string{"Authorization", "Bearer"}},
			{"GET", list + "?token=" + read, 401, []string{"Authorization", ""}},
		} {
			token := read
			if len(c.headers) > 0 && c.headers[0] == "Authorization" {
				token = ""
			}
			resp, text := ask(t, w, c.method, c.path, token, "", c.headers...)
			if resp.StatusCode != c.want || resp.Header.Get("Content-Encoding") != "" {
				t.Errorf("%s %.60s %.60v: %d, want %d: %.200s", c.method, c.path, c.headers, resp.StatusCode, c.want, text)
			}
			if allow := resp.Header.Get("Allow"); resp.StatusCode == 405 && allow != "GET, HEAD" {
				t.Errorf("%s: Allow is %q", c.method, allow)
			}
		}
	})

	t.Run("bodies", func(t *testing.T) {
		const path = "/api/v1/identity-events?dry_run=true"
		body := fmt.Sprintf(`{"type":"merged","winner_uuid":%q,"loser_uuid":%q}`, stub("a1"), stub("a2"))
		for _, c := range []struct {
			body, kind string
			want       int
			headers    []string
		}{
			{body, "application/json", 202, nil}, {body, "Application/JSON", 202, nil}, {body, `application/json; charset="UTF-8"`, 202, nil}, {body, "application/json;charset=utf-16", 415, nil},
			{body, "application/json; charset=iso-8859-1", 415, nil}, {body, `application/json; boundary="x`, 415, nil}, {body, "application/vnd.x+json", 415, nil}, {body, "text/plain", 415, nil},
			{body, "application/json", 415, []string{"Content-Encoding", "gzip"}}, {body, "application/json", 202, []string{"Content-Encoding", "identity"}},
			{"\xef\xbb\xbf" + body, "application/json", 400, nil}, {body + body, "application/json", 400, nil}, {body + " x", "application/json", 400, nil}, {"null", "application/json", 422, nil},
			{"[]", "application/json", 422, nil}, {strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "application/json", 400, nil}, {`{"type":"merged","winner_uuid":"` + "\xff" + `"}`, "application/json", 400, nil},
			{`{"type":"merged","winner_uuid":"` + strings.Repeat("a", 70000) + `"}`, "application/json", 413, nil}, {`{"type":"merged","winner_uuid":"` + strings.Repeat("a", 60000) + `"}`, "application/json", 422, nil},
			{strings.Replace(body, "{", `{"x":1,`, 1), "application/json", 422, nil}, {body, "application/json", 403, []string{"Origin", "https://evil.example"}}, {body, "application/json", 403, []string{"Sec-Fetch-Site", "cross-site"}},
		} {
			resp, text := ask(t, w, http.MethodPost, path, operate, c.body, append([]string{"Content-Type", c.kind}, c.headers...)...)
			if resp.StatusCode != c.want || len(text) > 2000 {
				t.Errorf("%.60q %s %v: %d, want %d: %d bytes %.200s", c.body, c.kind, c.headers, resp.StatusCode, c.want, len(text), text)
			}
			if resp.StatusCode >= 400 && !json.Valid(text) {
				t.Errorf("%.60q %s: %s", c.body, c.kind, text)
			}
		}
	})
}

// A topic of events that is made anew while it is followed is followed from its beginning,
// without a restart, and what is shown is as of now again.
func TestATopicOfAddressesThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	some(app)
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	adm := kadm.NewClient(app.Client)
	if _, err := adm.DeleteTopic(context.Background(), app.Names.Profiles); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(context.Background(), servetest.Partitions, 1, nil, app.Names.Profiles); err != nil {
		t.Fatal(err)
	}
	// A client of its own: the application's has the topic that is gone.
	client, err := kgo.NewClient(append(app.Broker.ClientOpts(), kgo.RecordPartitioner(app.Names.Partitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, address := range []string{"203.0.113.9", "203.0.113.10", "203.0.113.11"} { // more than it had before
		for _, attacker := range []string{"a1", "a2", "a3"} {
			if err := client.ProduceSync(context.Background(), app.Profile(attacker, address)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	caught(t, s)
	list, err := s.Reader.Identities(query.IdentityQuery{Q: "203.0.113.0/24"})
	if err != nil || list.Total != 3 {
		t.Errorf("%+v, %v: want the addresses of three attackers", list, err)
	}
}
