package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/schemas"
)

func (a *app) explainCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "explain IDENTITY [PRIMITIVE]",
		Short: "Say why: on what evidence, by which rule, and what would change it",
		Long: `Say why an identity's rows are what they are: its attackers, the suspicion that
is open, and for each primitive that is not stable (or the one that is named) the
observations that decide, the questions of the rule in their order, and what one
more observation would do. IDENTITY is an address, an id, or the beginning of
one; PRIMITIVE may be named as suspicions name it: 80 bytes of a long name, ~
and 32 digits.

Use the thresholds and the registry that the instances run with. Evidence
references are read from the input topic, as far as it still has them.`,
		Example: `  handprint explain 127.0.9.9
  handprint explain 6af1e32f toolchain.ssh.hassh_client --json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.explain(cmd.Context(), args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print JSON: of one primitive the object of the HTTP API.")
	return a.configureReading(cmd, config.GroupConnection, config.GroupApplication, config.GroupTopics, config.GroupThresholds, config.GroupSchemas, "registry-file")
}

// explained is what is said of a whole identity.
type explained struct {
	Identity   string              `json:"identity_uuid"`
	MergedInto string              `json:"merged_into,omitempty"`
	Attackers  []explainedAttacker `json:"attackers"`
	Suspicion  *explainedSuspicion `json:"suspicion"`
	// Why is the object of the HTTP API: what speaks for several actors now.
	Why        engine.SuspicionExplanation `json:"suspicion_explained"`
	Primitives []engine.Explanation        `json:"explanations"`
	Stable     int                         `json:"stable"` // primitives that are left out
}

type explainedAttacker struct {
	Attacker  string   `json:"attacker_uuid"`
	Addresses []string `json:"addresses"`
}

type explainedSuspicion struct {
	Since   float64              `json:"since"` // 0: not known
	Reasons []attribution.Reason `json:"reasons"`
}

func (a *app) explain(ctx context.Context, args []string, asJSON bool) error {
	e, err := a.engineConfig()
	if err != nil {
		return err
	}
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	known, err := a.readDirectory(ctx, cl)
	if err != nil {
		return err
	}
	id, err := a.findIdentity(ctx, cl, known, args[0])
	if err != nil {
		return err
	}
	primitive := ""
	if len(args) > 1 {
		primitive = args[1]
	}
	records, err := a.readChangelog(ctx, cl, func(n int32) int32 { return attribution.IdentityPartition(id, n) },
		func(key []byte) bool { return engine.Concerns(key, id) || engine.ConcernsRow(key, id, primitive) })
	if err != nil {
		return err
	}
	view, err := engine.View(records, id)
	if err != nil {
		return err
	}
	primitive = wholePrimitive(view.Rows, primitive)
	said := explained{Identity: id, MergedInto: view.MergedInto, Attackers: []explainedAttacker{}, Primitives: []engine.Explanation{}}
	for _, m := range view.Members {
		said.Attackers = append(said.Attackers, explainedAttacker{m.Attacker, append([]string{}, known.addresses[m.Attacker]...)})
	}
	if s := view.Suspicion; s != nil {
		said.Suspicion = &explainedSuspicion{Since: s.Raised, Reasons: s.Named}
	}
	if primitive == "" {
		if said.Why, err = engine.ExplainSuspicion(records, &e, id); err != nil {
			return err
		}
	}
	for _, r := range view.Rows {
		if primitive != "" && r.Primitive != primitive {
			continue
		}
		if primitive == "" && r.Row.State == attribution.Stable && !r.Row.Returns {
			said.Stable++
			continue
		}
		x, found, err := engine.Explain(records, &e, id, r.Primitive)
		if err != nil {
			return err
		}
		if found {
			said.Primitives = append(said.Primitives, x)
		}
	}
	if primitive != "" && len(said.Primitives) == 0 {
		return fmt.Errorf("identity %s has no row of %s", printable(id), printable(primitive))
	}
	a.readEvidence(ctx, cl, said.Primitives)
	switch {
	case asJSON && primitive != "":
		return a.writeJSON(&said.Primitives[0])
	case asJSON:
		return a.writeJSON(&said)
	}
	out := bufio.NewWriter(a.out)
	a.writeExplained(out, &said)
	return out.Flush()
}

// wholePrimitive returns the name of the primitive that suspicions name as name. It is
// another only if name is one that was cut, and there is its row.
func wholePrimitive(rows []engine.RowView, name string) string {
	if _, cut := attribution.BeginOfShort(name); !cut {
		return name
	}
	for i := range rows {
		if attribution.ShortPrimitive(rows[i].Primitive) == name {
			return rows[i].Primitive
		}
	}
	return name
}

// writeJSON writes an object. What a terminal might obey is escaped there.
func (a *app) writeJSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", a.safeJSON(text))
	return err
}

// safeJSON returns JSON as it is shown: to a terminal with escapes in the place
// of what it would obey or not show.
func (a *app) safeJSON(text []byte) []byte {
	if !isTerminal(a.out) {
		return text
	}
	return escapeJSON(text)
}

// escapeJSON writes invisible characters as the escapes of JSON. They stand only
// within strings.
func escapeJSON(text []byte) []byte {
	hidden := func(r rune) bool { return invisible(r) && r != '\n' } // a line's end is outside of strings
	if strings.IndexFunc(string(text), hidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return []byte(b.String())
}

// Bounds on what is read of the input for evidence references.
const (
	maxEvidence  = 200
	evidenceTime = 10 * time.Second
)

// readEvidence fills in the evidence references of the newest observations, as
// far as the input topic still has their records.
func (a *app) readEvidence(ctx context.Context, cl *kgo.Client, list []engine.Explanation) {
	ctx, cancel := context.WithTimeout(ctx, evidenceTime)
	defer cancel()
	reader, err := a.recordReader(ctx)
	decoder := schemas.ObservationDecoder{MaxBytes: a.cfg.Values.RecordSizeLimit, Writers: reader.Writers}
	read := 0
	for i := range list {
		w := &list[i].Window
		for _, entries := range [][]engine.ExplainedEntry{w.Recent, w.Older} {
			for j := len(entries) - 1; j >= 0; j-- {
				x := &entries[j]
				if read++; err != nil || read > maxEvidence || ctx.Err() != nil {
					x.Gone = "not read"
					continue
				}
				x.Gone = "no longer in the topic"
				_ = broker.ScanRange(ctx, cl, func(r *kgo.Record) error {
					var o attribution.Observation
					if reader.await(r.Value) == nil && decoder.Decode(r.Value, &o) == nil && string(o.Attacker) == x.Attacker {
						ref := string(o.Evidence)
						x.Evidence, x.Source, x.Gone = &ref, string(o.Source), ""
					}
					return nil
				}, a.cfg.Topics.Observations, x.At.Partition, x.At.Offset, x.At.Offset+1)
			}
		}
	}
}

func (a *app) writeExplained(out io.Writer, e *explained) {
	p := a.paper()
	fmt.Fprintf(out, "%s %s\n", p.paint(bold, "identity"), printable(e.Identity))
	if e.MergedInto != "" {
		fmt.Fprintf(out, "merged into %s\n", printable(e.MergedInto))
	}
	known := make(map[string]string)
	for i, at := range e.Attackers {
		if len(at.Addresses) > 0 {
			known[at.Attacker] = at.Addresses[0]
		}
		switch {
		case i < 10:
			p.wrap(out, "", printable("attacker "+at.Attacker+" "+strings.Join(at.Addresses, " ")))
		case i == 10:
			fmt.Fprintf(out, "and %s\n", plural(len(e.Attackers)-i, "more attacker"))
		}
	}
	writeSuspicionExplained(out, p, e, known)
	for i := range e.Primitives {
		writeExplanation(out, p, &e.Primitives[i])
	}
	if e.Stable > 0 {
		fmt.Fprintf(out, "\n%s stable\n", plural(e.Stable, "primitive"))
	}
}

// writeSuspicionExplained says what speaks for several actors. known has the
// addresses of attackers.
func writeSuspicionExplained(out io.Writer, p paper, e *explained, known map[string]string) {
	if len(e.Why.Steps) == 0 {
		return // one primitive was asked for
	}
	if s := e.Suspicion; s != nil {
		fmt.Fprintf(out, "%s since %s UTC\n", p.paint(stateColours[attribution.MultiActor], "several actors suspected"), showTime(s.Since))
	} else {
		fmt.Fprintln(out, "no suspicion is open")
	}
	for _, s := range e.Why.Steps {
		writeStep(out, p, &s)
	}
	for i := range e.Why.Evidence {
		v := &e.Why.Evidence[i]
		fmt.Fprintf(out, "  %s %s (%s)\n", printable(v.Primitive), v.Kind, printable(v.Group))
		for j := range v.Returning {
			writeReturning(out, p, &v.Returning[j], known)
		}
	}
	if s := e.Suspicion; s != nil {
		gone := func(r attribution.Reason) bool {
			return slices.ContainsFunc(e.Why.Evidence, func(v engine.ExplainedEvidence) bool { return v.Primitive == r.Primitive })
		}
		for _, r := range slices.DeleteFunc(slices.Clone(s.Reasons), gone) {
			head := fmt.Sprintf("  %s, named before, does not hold now: ", printable(r.Primitive))
			fmt.Fprintf(out, "%s%s\n", head, showValues(r.Values, p.width-utf8.RuneCountInString(head)))
		}
	}
	if e.Why.WouldClear != "" {
		p.wrap(out, "  ", printable(e.Why.WouldClear))
	}
}

// writeReturning shows the runs of an attacker's fingerprints, and the lags
// between them.
func writeReturning(out io.Writer, p paper, w *engine.ExplainedReturning, known map[string]string) {
	who := w.Attacker
	if address := known[who]; address != "" {
		who = address
	}
	fmt.Fprintf(out, "    of %s: %s; a value came back %s\n", printable(shorten(who, 39)), plural(len(w.Runs), "run"), plural(w.Times, "time"))
	for _, r := range w.Runs {
		head := fmt.Sprintf("    %s to %s UTC  %4dx  ", showTime(r.First), showTime(r.Last), r.Observations)
		fmt.Fprintf(out, "%s%s\n", p.paint(faint, head), shorten(printable(string(r.Value)), max(10, p.width-len(head))))
	}
	for _, c := range w.Changes {
		lags := fmt.Sprintf("%s, median lag %s, spread %.2f", plural(len(c.Lags), "change"), seconds(c.Median), c.Spread)
		if c.Fixed {
			lags += ", fixed"
		}
		room := max(20, p.width-len(lags)-12) / 2
		fmt.Fprintf(out, "    %s -> %s: %s\n", shorten(printable(string(c.From)), room), shorten(printable(string(c.To)), room), lags)
	}
}

// seconds writes a span for people, in its two largest units.
func seconds(s float64) string {
	if !(s < 1e9) {
		return strconv.FormatFloat(s, 'g', 3, 64) + " s"
	}
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return strconv.FormatFloat(s, 'g', 3, 64) + " s"
}

func showValues(values []attribution.Value, width int) string {
	var list []string
	for _, v := range values {
		list = append(list, string(v))
	}
	return shorten(printable(strings.Join(list, " ")), max(width, 10))
}

// writeStep shows a question of a rule, and its answer.
func writeStep(out io.Writer, p paper, s *attribution.Step) {
	mark := "no "
	if s.Holds {
		mark = "yes"
	}
	text := printable(s.Text)
	if s.Decides {
		text += " <- decides"
	}
	var lines strings.Builder
	p.wrap(&lines, "       ", text)
	fmt.Fprintf(out, "  %s  %s", mark, strings.TrimLeft(lines.String(), " "))
}

func writeExplanation(out io.Writer, p paper, x *engine.Explanation) {
	state, err := attribution.ParseState(x.Row.State)
	shown := cell{text: x.Row.State}
	if err == nil {
		shown = stateCell(state)
	}
	name := shorten(printable(x.Primitive), max(20, p.width-len(shown.text)-20))
	fmt.Fprintf(out, "\n%s  %s %s  %s\n", p.paint(bold, name), p.paint(shown.sgr, shown.text), showConfidence(x.Row.Confidence),
		shorten(printable(string(x.Row.Value)), max(10, p.width-utf8.RuneCountInString(name)-len(shown.text)-9)))
	if x.Row.Returns {
		fmt.Fprintln(out, "  a value came back after another: two clients take turns")
	}
	if !x.Agrees {
		fmt.Fprintln(out, "  the merger does not give what the row says: an identity event is not over,")
		fmt.Fprintln(out, "  or these are not the thresholds that the instances run with")
	}
	for _, s := range x.Steps {
		writeStep(out, p, &s)
	}
	for _, w := range []struct {
		name string
		list []engine.ExplainedEntry
	}{{"before", x.Window.Older}, {"recent", x.Window.Recent}} {
		for i := range w.list {
			e := &w.list[i]
			evidence := e.Gone
			if e.Evidence != nil {
				evidence = *e.Evidence
			}
			room := max(12, (p.width-len("  before  2006-01-02 15:04:05 UTC    "))/2)
			fmt.Fprintf(out, "  %s  %s UTC  %-*s  %s\n", w.name, showTime(e.TS), room, shorten(printable(string(e.Value)), room), shorten(printable(evidence), room))
		}
	}
	var next []string
	for _, o := range x.WouldChange {
		next = append(next, fmt.Sprintf("%s -> %s %s", shorten(printable(string(o.NextValue)), 24), o.State, showConfidence(o.Confidence)))
	}
	if len(next) > 0 {
		fmt.Fprintf(out, "  if next comes:\n    %s\n", strings.Join(next, "\n    "))
	}
}

// plural writes a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
