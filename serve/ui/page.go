package ui

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"handprint/attribution"
	"handprint/serve/query"
)

// page is what every page has around its content.
type page struct {
	title   string
	current string // the entry of the top bar that it belongs to
	base    string // before every path, without a slash at the end
	now     time.Time
	fresh   Freshness
	who     string // name and role
	operate bool   // may form, link, merge and unmerge
	assets  map[string]string
	query   url.Values
	path    string
	// timeline: the page has one, and so its script.
	timeline bool
}

// to is the link to a path of ours.
func (p *page) to(path string) templ.SafeURL { return templ.SafeURL(p.base + path) }

// maxLinked is how long an id or a value may be, in bytes, to have a link: the
// server takes no URL above 8 KiB. Attackers choose both.
const maxLinked = 1 << 10

// linkTo is the link to a path of ours that holds texts from outside, or to
// nowhere if they are too long for one.
func (p *page) linkTo(path string, texts ...string) templ.SafeURL {
	for _, t := range texts {
		if len(t) > maxLinked {
			return "#main"
		}
	}
	return p.to(path)
}

// cutID cuts a text that is too long for a link, before it is escaped.
func cutID(id string) string { return id[:min(len(id), maxLinked+1)] }

func (p *page) identity(id string) templ.SafeURL {
	return p.linkTo("/identities/"+pathPart(cutID(id)), id)
}

// why is the link to why a row says what it says. A primitive whose name is too long for a
// link is named as suspicions name it, cut.
func (p *page) why(id, primitive string) templ.SafeURL {
	if len(primitive) > maxLinked {
		primitive = attribution.ShortPrimitive(primitive)
	}
	return p.linkTo("/identities/"+pathPart(cutID(id))+"/why/"+pathPart(cutID(primitive)), id, primitive)
}

func (p *page) value(primitive string, value []byte) templ.SafeURL {
	if len(value) > maxLinked {
		return "#main"
	}
	return p.linkTo("/values?"+url.Values{"primitive": {cutID(primitive)}, "value": {string(value)}}.Encode(), primitive)
}

func (p *page) compare(a, b string) templ.SafeURL {
	return p.linkTo("/compare?"+url.Values{"a": {cutID(a)}, "b": {cutID(b)}}.Encode(), a, b)
}

// ofIdentity is the link to something below an identity: /history, /merge, ....
func (p *page) ofIdentity(id, rest string) templ.SafeURL {
	return p.linkTo("/identities/"+pathPart(cutID(id))+rest, id)
}

func (p *page) asset(name string) string { return p.base + "/static/" + p.assets[name] }

// here is this page with other parameters.
func (p *page) here(query string) templ.SafeURL { return p.to(p.path + query) }

// matched reports whether the list has conditions on rows, so that it shows which
// rows they hold for.
func (p *page) matched() bool {
	for _, name := range []string{"state", "primitive", "value", "value_prefix", "domain", "min_confidence", "max_confidence", "returns"} {
		if p.query.Get(name) != "" {
			return true
		}
	}
	return false
}

func (p *page) clock(ts float64) string { return clock(ts, p.now) }
func (p *page) ago(ts float64) string   { return ago(ts, p.now) }

// asOf says until when everything is applied; 0: it is not known yet.
func (p *page) asOf(ts float64) string {
	if ts == 0 {
		return "not complete yet"
	}
	return "as of " + p.clock(ts) + " UTC"
}

// message is a framed line: something is stale, building, missing or wrong.
type message struct {
	title, text string
	id          string // of the request, to name when asking for help
	action      string // of the link, empty: none
	to          templ.SafeURL
}

// missing is what a page says first if an event topic is not there, and if lists leave
// something out. It holds beside whatever freshness says, and what is live does not replace it.
func (p *page) missing() (m []message) {
	switch topics := p.fresh.Missing; len(topics) {
	case 0:
	case 1:
		m = append(m, message{title: "A topic is not there.", text: "What was read of " + topics[0] + " before is shown as it was, and nothing new comes of it until it is made again."})
	default:
		m = append(m, message{title: "Topics are not there.", text: "What was read of " + list(topics) + " before is shown as it was, and nothing new comes of them until they are made again."})
	}
	if p.fresh.LeavesOut {
		m = append(m, message{title: "Too many primitives are made up.", text: "Lists and counts leave out rows of new primitives that are not registered. An identity shows all its rows."})
	}
	return m
}

// freshness is what a page says of how fresh it is; ok is false when there is
// nothing to say.
func (p *page) freshness() (m message, ok bool) {
	f := p.fresh
	switch {
	case f.Building < 1:
		return message{title: "The catalogue is being built.", text: strconv.Itoa(int(100*f.Building)) + " % read. Lists, counts and search come with it; an identity by its whole id works already."}, true
	case f.AsOf == 0:
		return message{title: "What is shown is not complete yet.", text: "Addresses, suspicions and what has happened are still being read from their topics."}, true
	case f.Stale == "read" && f.ReadLag == 0:
		return message{title: "What is shown is behind.", text: "It is what was committed until " + p.clock(f.AsOf) + " UTC (" + p.ago(f.AsOf) + " ago). The brokers do not say how much was committed since."}, true
	case f.Stale == "read":
		return message{title: "What is shown is behind.", text: "It is what was committed until " + p.clock(f.AsOf) + " UTC (" + p.ago(f.AsOf) + " ago, " + plural(int(f.ReadLag), "record", "records") + " behind)."}, true
	case f.Stale == "input":
		return message{title: "Input is waiting.", text: plural(f.Waiting, "task has", "tasks have") + " input waiting (" + plural(int(f.InputLag), "observation", "observations") + "). What is shown is the newest there is."}, true
	}
	return message{}, false
}

func itoa(n int) string { return strconv.Itoa(n) }

func addressOf(a *query.Address) string {
	if a == nil {
		return ""
	}
	return printable(a.Address, 64)
}

// name is what an identity is called in words: its address, else its short id.
func name(a *query.Address, id string) string {
	if a != nil && a.Address != "" {
		return addressOf(a)
	}
	return shortID(id)
}

// steps10 is a confidence in ten steps.
func steps10(confidence float64) int { return int(confidence*10 + 0.5) }

// share is a part of a whole in thousandths, at least 1 if it is not nothing, so
// that it can be seen.
func share(n, of int) int {
	if n == 0 || of == 0 {
		return 0
	}
	return max(1000*n/of, 3)
}

func list(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}

// perMille is a length in thousandths as an attribute of SVG.
func perMille(n int) string { return strconv.FormatFloat(float64(n)/10, 'f', 1, 64) + "%" }
