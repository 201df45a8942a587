package ui

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// askList asks for the list of identities as a browser that has cookies.
func askList(t *testing.T, h http.Handler, query string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/hp/identities"+query, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// heads are the columns that a list shows.
func heads(page string) (shown []string) {
	for name, says := range map[string]string{
		"attackers": `sort=-members`, "rows": `>Rows</th>`, "bar": `States as a bar</span></th>`, "counts": `<th scope="col" class="num stable">`,
		"matched": `>Matched</th>`, "ids": `>Ids of attackers</th>`, "changed": `sort=-last_change`, "seen": `sort=-last_seen`,
	} {
		if _, table, ok := strings.Cut(page, "<thead>"); ok && strings.Contains(strings.SplitN(table, "</thead>", 2)[0], says) {
			shown = append(shown, name)
		}
	}
	slices.Sort(shown)
	return shown
}

// A URL that names columns shows only them. One that names none shows what was chosen
// last; else the usual ones. Links to the API have nothing of it.
func TestColumnsOfTheList(t *testing.T) {
	h := serve(t, &fake{text: "x"})
	cookie := func(value string) *http.Cookie { return &http.Cookie{Name: columnCookie, Value: value} }
	usual := []string{"attackers", "bar", "changed", "counts", "matched", "seen"}
	for _, c := range []struct {
		query  string
		cookie *http.Cookie
		want   []string
	}{
		{"", nil, []string{"attackers", "bar", "changed", "counts", "seen"}}, {"?state=stable", nil, usual}, {"?column=rows&column=ids", nil, []string{"ids", "rows"}},
		{"?column=none", nil, nil}, {"?column=odd", nil, []string{"attackers", "bar", "changed", "counts", "seen"}}, {"?column=odd&column=seen&column=seen", nil, []string{"seen"}},
		{"", cookie("rows.seen"), []string{"rows", "seen"}}, {"?column=ids", cookie("rows.seen"), []string{"ids"}}, {"", cookie("none"), nil},
		{"", cookie("odd.<script>"), []string{"attackers", "bar", "changed", "counts", "seen"}}, {"?state=stable&column=matched", nil, []string{"matched"}},
	} {
		var cookies []*http.Cookie
		if c.cookie != nil {
			cookies = append(cookies, c.cookie)
		}
		w := askList(t, h, c.query, cookies...)
		page := w.Body.String()
		if got := heads(page); w.Code != http.StatusOK || !slices.Equal(got, c.want) {
			t.Errorf("%s %v: %d, columns %v, want %v", c.query, c.cookie, w.Code, got, c.want)
		}
		_, body, _ := strings.Cut(page, "<tbody>")
		row, _, _ := strings.Cut(body, "</tr>")
		if head, cells := strings.Count(page, `<th scope="col"`), strings.Count(row, "<td"); head != cells+1 {
			t.Errorf("%s: %d heads, and %d cells beside the identity", c.query, head, cells)
		}
		for _, link := range []string{"/api/v1/identities?", "/api/v1/export/csv?"} {
			_, rest, there := strings.Cut(page, link)
			if href, _, _ := strings.Cut(rest, `"`); !there || strings.Contains(href, "column") {
				t.Errorf("%s: the link to the API is %s%s", c.query, link, href)
			}
		}
	}
}

// What is chosen by the form stands in the URL with all the filters, and is remembered;
// the usual columns are forgotten again.
func TestColumnsAreChosen(t *testing.T) {
	h := serve(t, &fake{text: "x"})
	names := []string{}
	for _, o := range listColumns {
		names = append(names, o.value)
	}
	rapid.Check(t, func(t *rapid.T) {
		chosen := rapid.SliceOfDistinct(rapid.SampledFrom(names), func(s string) string { return s }).Draw(t, "chosen")
		filters := url.Values{"state": {"stable", "drifting"}, "q": {rapid.StringMatching(`[a-z&=%+ ]{2,5}`).Draw(t, "q")}}
		sent := url.Values{"column": chosen, "choose": {"these"}, "state": filters["state"], "q": filters["q"]}
		r := httptest.NewRequest(http.MethodGet, "/hp/identities?"+sent.Encode(), nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		to, err := url.Parse(w.Header().Get("Location"))
		if w.Code != http.StatusSeeOther || err != nil || to.Path != "/hp/identities" || to.IsAbs() || len(w.Result().Cookies()) != 1 {
			t.Fatalf("%d %v %v", w.Code, w.Header(), err)
		}
		q, cookie := to.Query(), w.Result().Cookies()[0]
		if !slices.Equal(q["state"], filters["state"]) || q.Get("q") != filters.Get("q") || q.Has("choose") {
			t.Errorf("the filters are %v, and were %v", q, filters)
		}
		want := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(chosen, n) })
		if slices.Equal(want, usualColumns) {
			if q.Has("column") || cookie.MaxAge >= 0 {
				t.Errorf("the usual columns: %v, %v", q, cookie)
			}
			return
		}
		if got, ok := chosenColumns(q["column"]); !ok || !slices.Equal(got, want) {
			t.Errorf("the URL has %v, chosen were %v", q["column"], want)
		}
		if got, ok := chosenColumns(strings.Split(cookie.Value, ".")); !ok || !slices.Equal(got, want) || cookie.Path != "/hp/" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
			t.Errorf("remembered is %v, chosen were %v", cookie, want)
		}
	})
	w := askList(t, h, "?choose=usual&column=rows&sort=identity_uuid")
	if got := w.Header().Get("Location"); got != "/hp/identities?sort=identity_uuid" || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("the usual ones: %s %v", got, w.Result().Cookies())
	}
}
