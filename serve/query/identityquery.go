package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/canonical"
	"handprint/serve/catalog"
)

// IdentityQuery says which identities are asked for, by the names of the API's
// parameters. Zero values ask for nothing.
type IdentityQuery struct {
	State         []string // any of these
	Primitive     string
	Value         string // JSON; needs Primitive
	ValuePrefix   string // needs Primitive
	Domain        string
	MinConfidence *float64
	MaxConfidence *float64
	Returns       bool
	Suspected     *bool
	Unsettled     *bool
	MembersMin    int
	ChangedSince  *float64
	ChangedBefore *float64
	SeenSince     *float64
	Merged        string // exclude (the default), include, only
	Q             string
	Sort          string // one of Sorts; empty: the first
	Limit         int    // 1 to 200; 0: 50
	Cursor        string
	Counts        bool // facets too
}

// Sorts are the orders of identities, by the names of the API.
var Sorts = []string{"-last_change", "last_change", "-last_seen", "-unstable", "-members", "identity_uuid", "-suspected"}

var sortsOf = map[string]catalog.Sort{
	"": catalog.NewestChange, "-last_change": catalog.NewestChange, "last_change": catalog.OldestChange, "-last_seen": catalog.NewestSeen,
	"-unstable": catalog.MostUnstable, "-members": catalog.MostMembers, "identity_uuid": catalog.ByID, "-suspected": catalog.SuspectedFirst,
}

const (
	defaultLimit = 50
	maxFirst     = 3
	maxMembers   = 200
)

// question is what may not change from page to page.
func (q *IdentityQuery) question() string {
	c := *q
	c.Cursor, c.Limit, c.Counts = "", 0, false
	if c.Sort == "" {
		c.Sort = Sorts[0]
	}
	if c.Merged == "" {
		c.Merged = "exclude"
	}
	parts := []string{}
	for _, p := range []*float64{c.MinConfidence, c.MaxConfidence, c.ChangedSince, c.ChangedBefore, c.SeenSince} {
		if p != nil {
			parts = append(parts, fmt.Sprint(*p))
		} else {
			parts = append(parts, "-")
		}
	}
	for _, p := range []*bool{c.Suspected, c.Unsettled} {
		if p != nil {
			parts = append(parts, fmt.Sprint(*p))
		} else {
			parts = append(parts, "-")
		}
	}
	slices.Sort(c.State)
	return fmt.Sprintf("identities %q %q %q %q %q %v %d %q %q %q %q", c.State, c.Primitive, c.Value, c.ValuePrefix, c.Domain, c.Returns, c.MembersMin, c.Merged, c.Q, c.Sort, parts)
}

func (q *IdentityQuery) filter() (*catalog.Filter, error) {
	f := &catalog.Filter{
		Primitive: q.Primitive, ValuePrefix: q.ValuePrefix, Domain: q.Domain, MinConfidence: q.MinConfidence, MaxConfidence: q.MaxConfidence,
		Returns: q.Returns, Suspected: q.Suspected, Unsettled: q.Unsettled, MinMembers: q.MembersMin,
		ChangedSince: q.ChangedSince, ChangedBefore: q.ChangedBefore, SeenSince: q.SeenSince, Q: q.Q,
	}
	for _, name := range q.State {
		s, err := attribution.ParseState(name)
		if err != nil {
			return nil, problem(BadParameter, "state: there is no state %q.", name)
		}
		f.States = append(f.States, s)
	}
	switch q.Merged {
	case "", "exclude":
	case "include":
		f.Merged = catalog.IncludeMerged
	case "only":
		f.Merged = catalog.OnlyMerged
	default:
		return nil, problem(BadParameter, "merged: exclude, include or only.")
	}
	if q.Primitive == "" && (q.Value != "" || q.ValuePrefix != "") {
		return nil, problem(BadParameter, "value and value_prefix need a primitive.")
	}
	if q.Value != "" {
		v, err := StoredForm(q.Value)
		if err != nil {
			return nil, err
		}
		f.Value = v
	}
	if err := checkText(q.Q); q.Q != "" && err != nil {
		return nil, err
	}
	return f, nil
}

// checkText returns what is wrong with a text that is looked for in ids and addresses.
func checkText(q string) error {
	if len(q) < 2 {
		return problem(BadParameter, "q: at least 2 characters.")
	}
	return checkNetwork(q)
}

// checkNetwork returns what is wrong with a text that looks like a network.
func checkNetwork(q string) error {
	if _, isNetwork := catalog.ParseNetwork(q); isNetwork {
		return nil
	}
	address, _, slash := strings.Cut(q, "/")
	if _, err := netip.ParseAddr(address); slash && err == nil {
		return problem(BadParameter, "q: an address with a / is a network in CIDR notation, such as 192.0.2.0/24 or 2001:db8::/32.")
	}
	return nil
}

// canonicalValue returns a value that is given as JSON as the engine compares it.
func canonicalValue(text string) (attribution.Value, error) {
	v, rest, err := canonical.Append(nil, []byte(strings.Trim(text, " \t\r\n")))
	if err != nil || len(rest) > 0 {
		return nil, problem(BadParameter, "value: not JSON. A text stands in quotation marks.")
	}
	return v, nil
}

// StoredForm returns a value that is given as JSON as the store has it.
func StoredForm(text string) (attribution.Value, error) {
	v, err := canonicalValue(text)
	if err != nil {
		return nil, err
	}
	return engine.StoredValue(v), nil
}
