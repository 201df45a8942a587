package ui

import (
	"html"
	"net/url"
	"regexp"
	"testing"
)

var hrefs = regexp.MustCompile(`href="([^"]*)"`)

// Links ask for the very id that they are about, whatever signs of a query it has.
func TestLinksWithAQueryAskForWhatTheyName(t *testing.T) {
	for _, text := range []string{"=1+1", "a&kind=value", "a;b", "a%2Bb", "a b", "a#b?c=d"} {
		h := serve(t, &fake{text: text})
		asked := map[string]int{}
		for _, path := range []string{"/", "/identities/x"} {
			for _, href := range hrefs.FindAllStringSubmatch(ask(t, h, "GET", "/hp"+path, nil).Body.String(), -1) {
				to, err := url.Parse(html.UnescapeString(href[1]))
				if err != nil {
					t.Fatal(err)
				}
				q, err := url.ParseQuery(to.RawQuery)
				if err != nil {
					t.Errorf("%q: %v", href[1], err)
				}
				for _, name := range []string{"q", "identity", "a", "domain"} {
					if !q.Has(name) {
						continue
					}
					if asked[name]++; q.Get(name) != text || q.Has("kind") || q.Has("c") {
						t.Errorf("of %q a link asks for %v", text, q)
					}
				}
			}
		}
		for _, name := range []string{"q", "identity", "a", "domain"} {
			if asked[name] == 0 {
				t.Errorf("no link has %s: nothing was tried", name)
			}
		}
	}
}
