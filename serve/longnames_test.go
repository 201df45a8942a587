package serve_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/schemas"
	"handprint/serve"
	"handprint/serve/guard"
	"handprint/serve/servetest"
)

// A suspicion names a primitive with a long name cut. Its row is marked as evidence all the
// same, and the name that was cut has a page and an answer.
func TestASuspicionOfALongName(t *testing.T) {
	t.Parallel()
	app := servetest.Start(t)
	long := "odd." + strings.Repeat("abcdefgh", 40)
	other := long + "x" // begins alike
	short := attribution.ShortPrimitive(long)
	var alike []*kgo.Record // more rows than are searched, before the one that is meant
	value := fmt.Sprintf("%q", strings.Repeat("v", 200))
	for n := range 4000 {
		alike = append(alike, app.Observation("a1", fmt.Sprintf("%s.%06d%s", long[:90], n, strings.Repeat("y", 900)), value, 1_699_999_000))
	}
	if err := app.Client.ProduceSync(context.Background(), alike...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	app.Send(app.Observation("a1", long, `"f1"`, 1_699_999_000), app.Observation("a1", other, `"f2"`, 1_699_999_000), app.Observation("a1", hassh, `"f3"`, 1_699_999_000))
	suspicion := attribution.Suspicion{
		ID: "s1", EventID: "e1", Identity: stub("a1"), Status: attribution.SuspicionRaised, TS: 1_699_999_100, Confidence: 0.5, Primitives: []string{short}, Groups: []string{"other"},
		Reasons: []attribution.Reason{{Primitive: short, Kind: attribution.ReasonAlternates, Group: "other"}}, Summary: "two people",
	}
	r := &kgo.Record{Topic: app.Names.MultiActorSuspects, Key: []byte(stub("a1")), Timestamp: app.Now, Value: schemas.AppendSuspicionJSON(nil, &suspicion)}
	if err := app.Client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, app, t.TempDir())
	caught(t, s)
	w, secrets := web(t, s, func(c *serve.WebConfig) { c.Pages = serve.Pages(nil) })
	if x := get[engine.Explanation](t, w, "/api/v1/identities/"+stub("a1")+"/explain/"+short, secrets[guard.Read]); x.Primitive != long {
		t.Errorf("the API explains %q", x.Primitive)
	}
	why := fmt.Sprintf("/identities/%s/why/%s", stub("a1"), short)
	for path, want := range map[string]string{
		"/identities/" + stub("a1"): `<span class="vh">evidence of the suspicion</span>`,
		"/suspicions":               fmt.Sprintf("href=%q", why),
		why:                         "f1",
	} {
		resp, body := ask(t, w, http.MethodGet, path, secrets[guard.Read], "")
		if resp.StatusCode != http.StatusOK || strings.Count(string(body), want) < 1 {
			t.Errorf("%s: %d, without %s", path, resp.StatusCode, want)
		}
	}
	resp, body := ask(t, w, http.MethodGet, "/identities/"+stub("a1"), secrets[guard.Read], "")
	if n := strings.Count(string(body), "evidence of the suspicion</span>"); resp.StatusCode != http.StatusOK || n != 1 {
		t.Errorf("%d rows are evidence, want the one that is named", n)
	}
	none := short[:len(short)-1] + "g" // a name that nobody has
	if resp, _ := ask(t, w, http.MethodGet, "/api/v1/identities/"+stub("a1")+"/explain/"+none, secrets[guard.Read], ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a name that nobody has: %d", resp.StatusCode)
	}
}
