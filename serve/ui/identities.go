package ui

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// order is an entry of the list's orders, by the API's names.
type order struct{ value, text string }

var orders = []order{
	{"-suspected", "suspected first"}, {"-last_change", "last change"}, {"last_change", "oldest change"},
	{"-last_seen", "last seen"}, {"-unstable", "most that is not stable"}, {"-members", "most attackers"}, {"identity_uuid", "id"},
}

func has(q url.Values, name, value string) bool { return slices.Contains(q[name], value) }

// listParameters are the API's parameters that the list of identities takes; a
// page ignores others, since links to it come from anywhere.
var listParameters = []string{
	"state", "primitive", "value", "value_prefix", "domain", "min_confidence", "max_confidence", "suspected", "unsettled", "returns",
	"members_min", "changed_since", "changed_before", "seen_since", "merged", "q", "sort", "limit", "cursor",
}

// listQuery is the query of a list page as the API takes it.
func listQuery(q url.Values) url.Values {
	out := url.Values{}
	for _, name := range listParameters {
		for _, v := range q[name] {
			if v != "" {
				out.Add(name, v)
			}
		}
	}
	if out.Get("value") != "" && out.Get("primitive") == "" {
		out.Del("value")
	}
	if out.Get("sort") == "" {
		out.Set("sort", "-suspected")
	}
	if out.Get("limit") == "" {
		out.Set("limit", "50")
	}
	return out
}

// chipsOf are the conditions that are set, in the words of the page.
func chipsOf(q url.Values, now time.Time) []chip {
	var chips []chip
	for _, name := range listParameters {
		for _, v := range q[name] {
			if v == "" || name == "sort" || name == "limit" || name == "cursor" {
				continue
			}
			text := name + " " + printable(v, 40)
			switch name {
			case "state":
				text = stateWord(v)
			case "suspected":
				text = "suspected"
			case "primitive", "domain":
				text = printable(v, 60)
			case "value":
				text = "value " + valueText([]byte(v))
			case "min_confidence":
				text = "confidence at least " + printable(v, 10)
			case "changed_since", "changed_before", "seen_since":
				text = strings.ReplaceAll(name, "_", " ") + " " + printable(v, 20)
				if ts, err := strconv.ParseFloat(v, 64); err == nil {
					text = strings.ReplaceAll(name, "_", " ") + " " + clock(ts, now) + " UTC"
				}
			case "q":
				text = "begins with " + printable(v, 40)
			}
			chips = append(chips, chip{text, without(q, name, v)})
		}
	}
	return chips
}

// sinceOptions are the times from which on a list can ask for changes, in Unix
// seconds: the URL of the page is that of the API. One that is asked for and is none
// of them is offered as well.
func sinceOptions(p *page) []order {
	var out []order
	asked := p.query.Get("changed_since")
	for _, w := range []string{"15m", "1h", "24h", "168h"} {
		_, d := windowOf(w)
		o := order{strconv.FormatInt(p.now.Add(-d).Unix(), 10), "in the last " + windowWord(w)}
		if ts, err := strconv.ParseFloat(asked, 64); err == nil && math.Abs(ts-float64(p.now.Add(-d).Unix())) < 60 {
			o.value = asked
		}
		out = append(out, o)
	}
	if asked != "" && !slices.ContainsFunc(out, func(o order) bool { return o.value == asked }) {
		text := printable(asked, 20)
		if ts, err := strconv.ParseFloat(asked, 64); err == nil {
			text = p.clock(ts) + " UTC"
		}
		out = append(out, order{asked, "since " + text})
	}
	return out
}

// exportFormats are the formats of the API's export.
var exportFormats = []order{
	{"csv", "CSV, a row a line"}, {"json", "JSON, an identity a line"}, {"ocsf", "OCSF"}, {"ecs", "ECS"}, {"cef", "CEF"}, {"leef", "LEEF"},
	{"stix", "STIX 2.1"}, {"misp", "MISP"}, {"navigator", "ATT&CK Navigator"},
}
