package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/schemas"
)

func (a *app) identityShowCommand() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "show IDENTITY",
		Short: "Show an identity's members, pointer, history and rows",
		Long: `Show what is known of an identity, which is named by an address, an id, or the
beginning of one: which attackers belong to it, what it is
merged into, the identity events that touched it, and its rows. It is read from
the changelog of the identity's partition, as committed, to its end, which takes
a while where that is long.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.showIdentity(cmd.Context(), args[0], o) },
	}
	outputFlag(cmd, &o)
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics)
}

func (a *app) showIdentity(ctx context.Context, id string, o output) error {
	pretty, err := a.pretty(o)
	if err != nil {
		return err
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	names, err := a.readDirectory(ctx, cl)
	if err != nil {
		return err
	}
	if id, err = a.findIdentity(ctx, cl, names, id); err != nil {
		return err
	}
	records, err := a.readChangelog(ctx, cl, func(n int32) int32 { return attribution.IdentityPartition(id, n) },
		func(key []byte) bool { return engine.Concerns(key, id) })
	if err != nil {
		return err
	}
	v, err := engine.View(records, id)
	if err != nil {
		return err
	}
	if len(records.entries) == 0 {
		return fmt.Errorf("identity %s is not known", printable(id))
	}
	if !pretty {
		return a.writeJSON(identityJSON(&v))
	}
	out := bufio.NewWriter(a.out)
	return errors.Join(a.writeIdentity(out, &v, names), out.Flush())
}

// readChangelog reads the records that are wanted from the partition of the
// changelog that home names, given how many there are.
func (a *app) readChangelog(ctx context.Context, cl *kgo.Client, home func(partitions int32) int32, wanted func(key []byte) bool) (*changelog, error) {
	topic := a.cfg.Topics.Changelog
	infos, err := broker.List(ctx, cl, []broker.TopicSpec{{Name: topic, Partitions: 1, AnyPartitions: true}})
	if err != nil {
		return nil, err
	}
	if len(infos) == 0 || infos[0].Partitions == 0 {
		return nil, &codeError{exitTopics, fmt.Errorf("topic %s is missing: the application has not run yet", topic)}
	}
	records := new(changelog)
	return records, broker.ScanPartition(ctx, cl, func(r *kgo.Record) error {
		if wanted(r.Key) {
			records.set(r.Key, r.Value)
		}
		return nil
	}, topic, home(int32(infos[0].Partitions)))
}

// changelog is some records of a changelog, the last of each key: an
// engine.Reader.
type changelog struct{ entries []changelogEntry } // sorted

type changelogEntry struct{ key, value []byte }

func (c *changelog) find(key []byte) (at int, found bool) {
	return slices.BinarySearchFunc(c.entries, key, func(e changelogEntry, key []byte) int { return bytes.Compare(e.key, key) })
}

func (c *changelog) set(key, value []byte) {
	at, found := c.find(key)
	switch {
	case value == nil && found:
		c.entries = slices.Delete(c.entries, at, at+1)
	case value != nil && found:
		c.entries[at].value = value
	case value != nil:
		c.entries = slices.Insert(c.entries, at, changelogEntry{key, value})
	}
}

// Get implements engine.Reader.
func (c *changelog) Get(key []byte) ([]byte, error) {
	if at, found := c.find(key); found {
		return c.entries[at].value, nil
	}
	return nil, nil
}

// Scan implements engine.Reader.
func (c *changelog) Scan(prefix, from []byte, yield func(key, value []byte) bool) error {
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	at, _ := c.find(from)
	for ; at < len(c.entries) && bytes.HasPrefix(c.entries[at].key, prefix); at++ {
		if !yield(c.entries[at].key, c.entries[at].value) {
			break
		}
	}
	return nil
}

func (a *app) writeIdentity(out io.Writer, v *engine.IdentityView, names *directory) error {
	p := a.paper()
	fmt.Fprintf(out, "%s %s\n", p.paint(bold, "identity "), printable(v.Identity))
	if v.MergedInto != "" {
		fmt.Fprintf(out, "%s %s\n", p.paint(bold, "merged into"), printable(v.MergedInto))
	}
	if v.Unsettled {
		fmt.Fprintln(out, p.paint("33", "an identity event that touches it is not over: rows are as before it"))
	}
	if o := v.Suspicion; o != nil {
		fmt.Fprintln(out, p.paint(stateColours[attribution.MultiActor], "several actors suspected:"))
		if err := p.wrap(out, "    ", printable(o.Words(attribution.DefaultRegistry()))); err != nil {
			return err
		}
	} else if len(v.Suspected) > 0 {
		fmt.Fprintln(out, p.paint(stateColours[attribution.MultiActor], "several actors suspected:"))
		if err := p.wrap(out, "    ", printable(strings.Join(v.Suspected, " "))); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%s\n", p.paint(bold, plural(len(v.Members), "attacker")))
	for _, m := range v.Members {
		by := "its own"
		if m.Version > 0 {
			by = fmt.Sprintf("by event %d", m.Version)
		}
		fmt.Fprintf(out, "    %s  %s\n", printable(m.Attacker), p.paint(faint, by))
		if err := p.wrap(out, "        ", printable(strings.Join(names.addresses[m.Attacker], " "))); err != nil {
			return err
		}
	}
	if len(v.History) > 0 {
		fmt.Fprintf(out, "\n%s\n", p.paint(bold, "history"))
	}
	for _, h := range v.History {
		fmt.Fprintf(out, "    %s  event %d (offset %d)\n        %s\n        attackers +%d -%d, contributions +%d -%d\n",
			p.paint(faint, time.UnixMilli(h.Time).UTC().Format(time.DateTime)+" UTC"), h.Version, h.Offset, describeEvent(&h), h.In, h.Out, h.RowsIn, h.RowsOut)
	}
	fmt.Fprintln(out)
	table := make([][]cell, len(v.Rows))
	for i, r := range v.Rows {
		table[i] = append([]cell{{text: printable(r.Primitive)}}, rowCells(&r.Row)...)
	}
	return p.writeTable(out, append([]column{{head: "PRIMITIVE", least: 24, tail: true}}, rowColumns...), table)
}

func describeEvent(h *engine.HistoryEntry) string {
	switch h.Type {
	case attribution.Merged:
		return fmt.Sprintf("%s merged into %s", shortID(h.Loser), shortID(h.Winner))
	case attribution.Unmerged:
		return fmt.Sprintf("%s unmerged", shortID(h.Loser))
	case attribution.Formed:
		return fmt.Sprintf("%s formed", shortID(h.Winner))
	case attribution.Linked:
		return fmt.Sprintf("attacker linked to %s", shortID(h.Winner))
	}
	return fmt.Sprintf("attacker seen first, stub stands for %s", shortID(h.Winner))
}

// identityJSON is an identity as programs read it.
func identityJSON(v *engine.IdentityView) any {
	type member struct {
		Attacker string `json:"attacker_uuid"`
		Version  uint64 `json:"event_version,omitempty"`
	}
	type event struct {
		Version uint64  `json:"version"`
		Type    string  `json:"type"`
		Offset  int64   `json:"offset"`
		Time    float64 `json:"ts"`
		Winner  string  `json:"winner_uuid"`
		Loser   string  `json:"loser_uuid,omitempty"`
		In      uint64  `json:"attackers_in"`
		Out     uint64  `json:"attackers_out"`
		RowsIn  uint64  `json:"contributions_in"`
		RowsOut uint64  `json:"contributions_out"`
	}
	shown := struct {
		Identity   string            `json:"identity_uuid"`
		MergedInto string            `json:"merged_into,omitempty"`
		Unsettled  bool              `json:"unsettled"`
		Members    []member          `json:"attackers"`
		History    []event           `json:"history"`
		Suspected  []string          `json:"suspected_primitives"`
		Rows       []json.RawMessage `json:"rows"`
	}{Identity: v.Identity, MergedInto: v.MergedInto, Unsettled: v.Unsettled, Members: []member{}, History: []event{}, Suspected: append([]string{}, v.Suspected...), Rows: []json.RawMessage{}}
	for _, m := range v.Members {
		shown.Members = append(shown.Members, member(m))
	}
	types := map[attribution.EventType]string{
		attribution.Formed: "identity.formed", attribution.Linked: "identity.observation.linked",
		attribution.Merged: "identity.merged", attribution.Unmerged: "identity.unmerged", 0: "claim",
	}
	for _, h := range v.History {
		shown.History = append(shown.History, event{h.Version, types[h.Type], h.Offset, float64(h.Time) / 1000, h.Winner, h.Loser, h.In, h.Out, h.RowsIn, h.RowsOut})
	}
	for _, r := range v.Rows {
		shown.Rows = append(shown.Rows, schemas.AppendStateRowJSON(nil, &schemas.StateRow{Identity: v.Identity, Primitive: r.Primitive, Row: r.Row}))
	}
	return shown
}
