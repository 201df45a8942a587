package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// listColumns are the columns of the list of identities beside the identity itself, in
// their order, by the names that URLs have for them.
var listColumns = []order{
	{"attackers", "Attackers"}, {"rows", "Rows"}, {"bar", "States as a bar"}, {"counts", "States as counts"},
	{"matched", "Matched rows"}, {"ids", "Ids of attackers"}, {"changed", "Last change"}, {"seen", "Last seen"},
}

// usualColumns are shown if nobody says which.
var usualColumns = columnNames{"attackers", "bar", "counts", "matched", "changed", "seen"}

// noColumn stands for no column in a URL: an absent parameter stands for the usual ones.
const noColumn = "none"

// columnNames are names of columns, in the order of the list.
type columnNames []string

func (c columnNames) has(name string) bool { return slices.Contains(c, name) }

// values are the columns as a URL has them.
func (c columnNames) values() []string {
	if len(c) == 0 {
		return []string{noColumn}
	}
	return c
}

// chosenColumns are those of names that are columns; ok is false if nothing was chosen:
// names that are none are of a later release, or of no one.
func chosenColumns(names []string) (c columnNames, ok bool) {
	for _, o := range listColumns {
		if slices.Contains(names, o.value) {
			c = append(c, o.value)
		}
	}
	return c, len(c) > 0 || slices.Contains(names, noColumn)
}

// columnCookie has the columns that somebody has chosen in this browser. It holds their
// names alone: it is the same for all who have chosen the same.
const columnCookie = "handprint-columns"

// shownColumns are the columns of a list: the URL's; else the ones that were chosen last;
// else the usual ones. So a link that names columns shows everybody the same, and one that
// does not shows each what their browser remembers.
func shownColumns(r *http.Request, q url.Values) columnNames {
	if c, ok := chosenColumns(q["column"]); ok {
		return c
	}
	if cookie, err := r.Cookie(columnCookie); err == nil {
		if c, ok := chosenColumns(strings.Split(cookie.Value, ".")); ok {
			return c
		}
	}
	return usualColumns
}

// chooseColumns is the answer to the form that chooses columns: they are remembered, and
// stand in the URL. nil: the form was not sent.
func (h *Handler) chooseColumns(r *http.Request, p *page) *redirect {
	if p.query.Get("choose") == "" {
		return nil
	}
	q := url.Values{}
	for name, values := range p.query {
		if name != "choose" && name != "column" {
			q[name] = values
		}
	}
	c, _ := chosenColumns(p.query["column"])
	cookie := &http.Cookie{Name: columnCookie, Path: p.base + "/", MaxAge: int(365 * 24 * time.Hour / time.Second), HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil}
	if p.query.Get("choose") == "usual" || slices.Equal(c, usualColumns) {
		cookie.MaxAge = -1
	} else {
		q["column"], cookie.Value = c.values(), strings.Join(c.values(), ".")
	}
	return &redirect{"/identities" + strings.TrimSuffix("?"+q.Encode(), "?"), cookie}
}

// givenColumns are the columns that a URL names, as it would have them.
func givenColumns(q url.Values) []string {
	if c, ok := chosenColumns(q["column"]); ok {
		return c.values()
	}
	return nil
}

// kept are the conditions and the order of a list's URL, which the form of the columns
// keeps.
func kept(q url.Values) []order {
	var list []order
	for _, name := range listParameters {
		for _, v := range q[name] {
			if v != "" && name != "cursor" {
				list = append(list, order{name, v})
			}
		}
	}
	return list
}

// forAPI is the query of a list's URL without what is of the page alone.
func forAPI(q url.Values, without string) string {
	out := url.Values{}
	for _, name := range listParameters {
		if name != without && name != "cursor" {
			if values := q[name]; len(values) > 0 {
				out[name] = values
			}
		}
	}
	return "?" + out.Encode()
}
