package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/schemas"
)

func (a *app) rowsCommand() *cobra.Command {
	var (
		f filter
		o output
	)
	cmd := &cobra.Command{
		Use:   "rows",
		Short: "Show the state of every identity and primitive",
		Long: `Read the state topic (attribution.state) to its end and show the rows that it
holds now, by identity and primitive: as a table on a terminal, elsewhere one
JSON object a line.`,
		Example: `  handprint rows --brokers a:9092
  handprint rows --identity 6ec0bd7f --state drifting
  handprint rows --primitive 'toolchain.ssh.*' -o json | jq .current_value`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.rows(cmd.Context(), &f, o) },
	}
	f.flags(cmd)
	outputFlag(cmd, &o)
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics, config.GroupSchemas)
}

func (a *app) rows(ctx context.Context, f *filter, o output) error {
	pretty, err := a.pretty(o)
	if err != nil {
		return err
	}
	if err := f.parse(); err != nil {
		return err
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := a.requireTopics(ctx, cl, false, a.cfg.Topics.State); err != nil {
		return err
	}
	if err := a.filterIdentities(ctx, cl, f); err != nil {
		return err
	}
	rows, err := a.readRows(ctx, cl, f)
	if err != nil {
		return err
	}
	if pretty {
		return a.writeRows(rows)
	}
	out := bufio.NewWriter(a.out)
	var buf []byte
	for i := range rows {
		buf = append(schemas.AppendStateRowJSON(buf[:0], &rows[i]), '\n')
		if _, err := out.Write(a.safeJSON(buf)); err != nil {
			return err
		}
	}
	return out.Flush()
}

// readRows returns the rows that the state topic holds and that f lets
// through, by identity and primitive.
func (a *app) readRows(ctx context.Context, cl *kgo.Client, f *filter) ([]schemas.StateRow, error) {
	reader, err := a.recordReader(ctx)
	if err != nil {
		return nil, err
	}
	byKey := make(map[string]schemas.StateRow)
	err = broker.Scan(ctx, cl, func(r *kgo.Record) error {
		identity, primitive, ok := schemas.SplitStateRowKey(r.Key)
		if ok && (!f.identity(identity) || !f.primitive(primitive)) {
			return nil
		}
		key := string(r.Key)
		if len(r.Value) == 0 {
			delete(byKey, key)
			return nil
		}
		if err := reader.await(r.Value); err != nil {
			return err
		}
		row, err := reader.StateRow(r.Value)
		switch {
		case err != nil:
			a.log.Warn("a row cannot be read and is left out", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "error", err)
			delete(byKey, key)
		case f.state(row.Row.State):
			byKey[key] = row
		default:
			delete(byKey, key) // it may have been in a state that was asked for
		}
		return nil
	}, a.cfg.Topics.State)
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(byKey), func(x, y schemas.StateRow) int {
		return cmp.Or(cmp.Compare(x.Identity, y.Identity), cmp.Compare(x.Primitive, y.Primitive))
	}), nil
}

// wide is the width from which on ids are written whole.
const wide = 120

// writeRows writes rows as a table. An identity's id stands in its first row
// only, and as much of it as --identity takes where it does not fit.
func (a *app) writeRows(rows []schemas.StateRow) error {
	p := a.paper()
	out := bufio.NewWriter(a.out)
	table := make([][]cell, 0, len(rows))
	for i, r := range rows {
		identity := cell{text: printable(r.Identity)}
		if p.width < wide {
			identity.text = shortID(r.Identity)
		}
		if i > 0 && rows[i-1].Identity == r.Identity {
			identity.text = ""
		}
		table = append(table, append([]cell{identity, {text: printable(r.Primitive)}}, rowCells(&r.Row)...))
	}
	columns := append([]column{{head: "IDENTITY"}, {head: "PRIMITIVE", least: 24, tail: true}}, rowColumns...)
	err := p.writeTable(out, columns, table)
	return errors.Join(err, out.Flush())
}

// rowColumns are the columns of a row behind its names.
var rowColumns = []column{
	{head: "STATE"}, {head: "VALUE", least: 12}, {head: "CONF", drop: 1}, {head: "SEEN", drop: 2}, {head: "SINCE (UTC)", drop: 3}, {head: "LAST (UTC)", drop: 4},
}

func rowCells(r *attribution.Row) []cell {
	return []cell{
		rowStateCell(r),
		{text: shorten(printable(string(r.Value)), valueWidth)},
		{text: showConfidence(r.Confidence), right: true},
		{text: strconv.FormatInt(r.Count, 10), right: true},
		{text: showTime(r.LastChangeTS), sgr: faint},
		{text: showTime(r.LastObservationTS), sgr: faint},
	}
}
