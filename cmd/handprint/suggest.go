package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"handprint/attribution"
	"handprint/internal/config"
)

func (a *app) suggestCommand() *cobra.Command {
	var (
		q attribution.SuggestOptions
		o output
	)
	cmd := &cobra.Command{
		Use:   "suggest",
		Short: "Suggest identities whose stable behaviour agrees (read only)",
		Long: `Read the state topic and rank pairs of identities whose stable rows agree. It
suggests and never links: to link, see "handprint identity".

The score is in bits, in the manner of record linkage (Fellegi and Sunter). That
two identities are stable with the same value counts log2(0.9 / u), u being the
share of the identities stable in that primitive that have the value: a
fingerprint of one in a thousand counts for nearly 10 bits, one that most share
for nothing. That they are stable with different values counts
log2(0.1 / (1 - u)), u being how likely two of them agree by chance: about -3
bits. Each is weighted by the smaller confidence of the two rows. Primitives
with the same first two tokens, such as toolchain.ssh, tend to follow from one
tool: of each such group only the weightiest agreement and the weightiest
disagreement count. 10 bits are odds of a thousand to one more than chance; they
are no probability that two identities are the same hands.

Pairs come up by values that at most --most-holders identities share.`,
		Example: `  handprint suggest --brokers a:9092
  handprint suggest --min-score 8 -o json | jq -c '[.score, .identities]'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.suggest(cmd.Context(), q, o) },
	}
	cmd.Flags().IntVar(&q.Most, "most", 20, "Most suggestions shown; 0 for all.")
	cmd.Flags().IntVar(&q.MostHolders, "most-holders", 100, "A value that more identities share brings no pair up.")
	cmd.Flags().Float64Var(&q.MinScore, "min-score", 3, "Least score, in bits.")
	outputFlag(cmd, &o)
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics, config.GroupSchemas)
}

func (a *app) suggest(ctx context.Context, q attribution.SuggestOptions, o output) error {
	pretty, err := a.pretty(o)
	if err != nil {
		return err
	}
	if q.Most < 0 || q.MostHolders < 2 {
		return usageErrorf("--most must be at least 0 and --most-holders at least 2")
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := a.requireTopics(ctx, cl, false, a.cfg.Topics.State); err != nil {
		return err
	}
	stable := &filter{states: []attribution.State{attribution.Stable}}
	rows, err := a.readRows(ctx, cl, stable)
	if err != nil {
		return err
	}
	list := make([]attribution.StableRow, len(rows))
	for i, r := range rows {
		list[i] = attribution.StableRow{Identity: r.Identity, Primitive: r.Primitive, Value: r.Row.Value, Confidence: r.Row.Confidence}
	}
	names, err := a.readDirectory(ctx, cl)
	if err != nil {
		return err
	}
	return a.writeSuggestions(attribution.Suggest(list, q), names, pretty)
}

func (a *app) writeSuggestions(list []attribution.Suggestion, names *directory, pretty bool) error {
	out := bufio.NewWriter(a.out)
	if !pretty {
		for _, s := range list {
			if err := a.writeJSON(suggestionJSON(s, names)); err != nil {
				return err
			}
		}
		return nil
	}
	p := a.paper()
	columns := []column{{head: ""}, {head: "PRIMITIVE", least: 24, tail: true}, {head: "BITS"}, {head: "SHARED BY", drop: 1}, {head: "VALUE", least: 12}}
	var err error
	for _, s := range list {
		_, lineErr := fmt.Fprintf(out, "%s  %s  %s\n", p.paint(bold, fmt.Sprintf("%6.1f bits", s.Score)), names.shown(s.A), names.shown(s.B))
		var table [][]cell
		for _, g := range s.Agree {
			table = append(table, []cell{
				{text: "  agree"}, {text: printable(g.Primitive)}, {text: fmt.Sprintf("%+.1f", g.Bits), right: true},
				{text: fmt.Sprintf("%d of %d", g.Holders, g.Of), right: true}, {text: shorten(printable(string(g.Value)), valueWidth)},
			})
		}
		for _, d := range s.Disagree {
			table = append(table, []cell{{text: "  differ", sgr: faint}, {text: printable(d.Primitive), sgr: faint}, {text: fmt.Sprintf("%+.1f", d.Bits), right: true, sgr: faint}, {}, {}})
		}
		err = errors.Join(err, lineErr, p.writeTable(out, columns, table))
	}
	if len(list) == 0 {
		_, err = fmt.Fprintln(out, "no two identities agree in anything uncommon")
	}
	return errors.Join(err, out.Flush())
}

type agreementJSON struct {
	Primitive string          `json:"primitive"`
	Value     json.RawMessage `json:"value"`
	Holders   int             `json:"identities"`
	Of        int             `json:"of"`
	Bits      float64         `json:"bits"`
}

type disagreementJSON struct {
	Primitive string  `json:"primitive"`
	Bits      float64 `json:"bits"`
}

// suggestionJSON is a suggestion as programs read it.
func suggestionJSON(s attribution.Suggestion, names *directory) any {
	v := struct {
		Identities [2]string          `json:"identities"`
		Addresses  [2][]string        `json:"addresses"` // of the first attackers, as far as they are known
		Score      float64            `json:"score"`
		Agree      []agreementJSON    `json:"agree"`
		Disagree   []disagreementJSON `json:"disagree"`
	}{Identities: [2]string{s.A, s.B}, Addresses: [2][]string{append([]string{}, names.addressesOf(s.A, 10)...), append([]string{}, names.addressesOf(s.B, 10)...)}, Score: s.Score, Agree: []agreementJSON{}, Disagree: []disagreementJSON{}}
	for _, g := range s.Agree {
		v.Agree = append(v.Agree, agreementJSON{g.Primitive, json.RawMessage(g.Value), g.Holders, g.Of, g.Bits})
	}
	for _, d := range s.Disagree {
		v.Disagree = append(v.Disagree, disagreementJSON(d))
	}
	return v
}
