package serve

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"handprint/attribution"
	"handprint/schemas"
	"handprint/serve/query"
	"handprint/siem"
)

// SIEMExporter is the api.Exporter of the formats of package siem. An identity
// becomes its rows and its suspicion, with the ids that the events of the topics
// have; transitions are not exported.
type SIEMExporter struct {
	options  siem.ExportOptions
	topics   siem.Topics
	registry *attribution.Registry
}

// NewSIEMExporter returns a SIEMExporter. Rows are always exported. The topics are named
// where a format says what an event comes from. A registry that is nil stands for the
// built-in one.
func NewSIEMExporter(o siem.ExportOptions, topics siem.Topics, r *attribution.Registry) *SIEMExporter {
	o.Rows = true
	return &SIEMExporter{options: o, topics: topics, registry: r}
}

// Formats returns the formats of lines and of documents with their media types.
func (*SIEMExporter) Formats() map[string]string {
	to := map[string]string{}
	for _, f := range siem.Formats() {
		to[string(f)] = siem.ContentType(string(f))
	}
	for _, f := range siem.Documents() {
		to[f] = siem.ContentType(f)
	}
	return to
}

// Export writes the identities that next returns, until that is nil.
func (x *SIEMExporter) Export(ctx context.Context, to io.Writer, format string, next func() (*query.Identity, error)) error {
	out := bufio.NewWriter(to)
	e, err := siem.NewExporter(format, out, x.options)
	if err != nil {
		return err
	}
	decoder := &siem.Decoder{Topics: x.topics, Registry: x.registry, Attack: siem.DefaultAttackMap()}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		i, err := next()
		if err != nil {
			return err
		}
		if i == nil {
			return errors.Join(e.Close(), out.Flush())
		}
		if err := exportIdentity(e, decoder, i); err != nil {
			return fmt.Errorf("exporting identity %s as %s: %w", i.Identity, format, err)
		}
	}
}

// exportIdentity adds the rows and the suspicion of an identity.
func exportIdentity(to *siem.Exporter, decoder *siem.Decoder, i *query.Identity) error {
	addresses := addressesOf(i.Attackers)
	for n := range i.Rows {
		row := &i.Rows[n]
		state, err := attribution.ParseState(row.State)
		if err != nil {
			return err
		}
		// By way of the record, so that the event's id is that of the topic's row.
		record := schemas.AppendStateRowJSON(nil, &schemas.StateRow{Identity: i.Identity, Primitive: row.Primitive, Row: attribution.Row{
			State: state, Value: attribution.Value(row.Value), Confidence: row.Confidence, Count: row.Count,
			LastChangeTS: row.ChangeTS, LastObservationTS: row.SeenTS, UpdatedAt: row.UpdatedAt, Returns: row.Returns,
		}})
		e, err := decoder.Decode(&siem.Record{Topic: decoder.Topics.State, Value: record})
		if err != nil {
			return fmt.Errorf("primitive %s: %w", row.Primitive, err)
		}
		e.Addresses = addresses
		if err := to.Add(e); err != nil {
			return err
		}
	}
	if i.Suspicion == nil {
		return nil
	}
	e := suspicionEvent(i.Suspicion)
	e.Topic = decoder.Topics.Suspected
	e.Addresses = addresses
	return to.Add(e)
}

// suspicionEvent is the last event of a suspicion.
func suspicionEvent(s *query.Suspicion) *siem.Event {
	e := &siem.Event{
		Kind: siem.Suspicion, ID: s.EventID, Time: siem.Millis(s.TS), Identity: s.Identity, Primitives: s.Primitives, Confidence: s.Confidence,
		SuspicionID: s.ID, Groups: s.Groups,
	}
	switch s.Status {
	case siem.Grown.String():
		e.Status = siem.Grown
	case siem.Cleared.String(), "replaced":
		e.Status = siem.Cleared
	}
	if s.ID != "" {
		e.Summary = s.Summary
	}
	for _, r := range s.Reasons {
		reason := siem.Reason{Primitive: r.Primitive, Kind: r.Kind, Group: r.Group, New: r.New}
		for _, v := range r.Values {
			reason.Values = append(reason.Values, attribution.Value(v))
		}
		e.Reasons = append(e.Reasons, reason)
	}
	return e
}

// addressesOf returns the network addresses of attackers, sorted, at most
// siem.MaxAddresses. Opaque ones are left out.
func addressesOf(members []query.Member) []siem.Address {
	var list []siem.Address
	for _, m := range members {
		if m.Address == nil {
			continue
		}
		ip, err := netip.ParseAddr(m.Address.Address)
		if m.Address.Kind != string(schemas.AddressIP) || err != nil || ip.Zone() != "" {
			continue
		}
		a := siem.Address{IP: ip.Unmap().String(), First: siem.Millis(m.Address.FirstTS), Last: siem.Millis(m.Address.LastTS)}
		if n := slices.IndexFunc(list, func(have siem.Address) bool { return have.IP == a.IP }); n >= 0 {
			list[n].First, list[n].Last = min(list[n].First, a.First), max(list[n].Last, a.Last)
			continue
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b siem.Address) int { return cmp.Compare(a.IP, b.IP) })
	return list[:min(len(list), siem.MaxAddresses)]
}
