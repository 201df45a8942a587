package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/schemas"
)

// deadLettersQuery is what the flags of `handprint dead-letters` ask for.
type deadLettersQuery struct {
	since  time.Duration
	reason string
	stage  string
	asJSON bool
	list   int
}

func (a *app) deadLettersCommand() *cobra.Command {
	var q deadLettersQuery
	cmd := &cobra.Command{
		Use:   "dead-letters",
		Short: "Count the records that could not be used, by reason",
		Long: `Read the dead letters to their end and count them by stage and reason, the most
frequent first, with the time of the newest one and where its original stands.
The originals themselves are not shown: they are what an attacker or a sensor
wrote.`,
		Example: `  handprint dead-letters --since 1h
  handprint dead-letters --reason ahead --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.deadLetters(cmd.Context(), &q) },
	}
	cmd.Flags().DurationVar(&q.since, "since", 0, "Only letters that were written within this time; 0 for all.")
	cmd.Flags().StringVar(&q.reason, "reason", "", "Only reasons that contain this text.")
	cmd.Flags().StringVar(&q.stage, "stage", "", "Only this stage: observation, identity-event, command, ingest, internal.")
	cmd.Flags().BoolVar(&q.asJSON, "json", false, "Print one JSON object a reason.")
	cmd.Flags().IntVar(&q.list, "show", 50, "How many reasons to list; all are counted.")
	return a.configureReading(cmd, config.GroupConnection, config.GroupTopics)
}

// reasonCount is how many dead letters have a reason.
type reasonCount struct {
	Stage  string `json:"stage"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	Newest int64  `json:"newest_ms"` // timestamp of the newest, Unix milliseconds
	From   string `json:"newest_source"`
}

// maxReasons bounds the reasons that are told apart: those beyond it are counted
// together.
const maxReasons = 10_000

func (a *app) deadLetters(ctx context.Context, q *deadLettersQuery) error {
	cl, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := a.requireTopics(ctx, cl, false, a.cfg.Topics.DeadLetter); err != nil {
		return err
	}
	counts, total := make(map[[2]string]*reasonCount), 0
	from := time.Time{}
	if q.since > 0 {
		from = time.Now().Add(-q.since)
	}
	err = broker.ScanSince(ctx, cl, func(r *kgo.Record) error {
		stage, reason := header(r, schemas.HeaderStage), header(r, schemas.HeaderReason)
		if r.Timestamp.Before(from) || q.stage != "" && stage != q.stage || !strings.Contains(reason, q.reason) {
			return nil
		}
		total++
		key := [2]string{stage, reason}
		c := counts[key]
		if c == nil && len(counts) >= maxReasons {
			key = [2]string{"", "other reasons"}
			c = counts[key]
		}
		if c == nil {
			c = &reasonCount{Stage: key[0], Reason: key[1]}
			counts[key] = c
		}
		if c.Count++; r.Timestamp.UnixMilli() >= c.Newest {
			c.Newest, c.From = r.Timestamp.UnixMilli(), originalOf(r)
		}
		return nil
	}, from, a.cfg.Topics.DeadLetter)
	if err != nil {
		return err
	}
	list := slices.SortedFunc(maps.Values(counts), func(x, y *reasonCount) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Stage, y.Stage), cmp.Compare(x.Reason, y.Reason))
	})
	out := bufio.NewWriter(a.out)
	if q.asJSON {
		for _, c := range list {
			text, err := json.Marshal(c)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\n", a.safeJSON(text))
		}
		return out.Flush()
	}
	var table [][]cell
	for i, c := range list {
		if i == q.list {
			break
		}
		table = append(table, []cell{
			{text: strconv.Itoa(c.Count), right: true}, {text: printable(c.Stage)},
			{text: time.UnixMilli(c.Newest).UTC().Format("01-02 15:04:05"), sgr: faint}, {text: printable(c.Reason)},
		})
	}
	if len(table) > 0 {
		columns := []column{{head: "COUNT"}, {head: "STAGE"}, {head: "NEWEST (UTC)", drop: 1}, {head: "REASON", least: 20}}
		if err := a.paper().writeTable(out, columns, table); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%s, %s\n", plural(total, "dead letter"), plural(len(list), "reason"))
	return out.Flush()
}

// originalOf says where the original of a dead letter stands.
func originalOf(r *kgo.Record) string {
	if file := header(r, schemas.HeaderFile); file != "" {
		return file + ":" + header(r, schemas.HeaderLine)
	}
	if topic := header(r, schemas.HeaderSourceTopic); topic != "" {
		return fmt.Sprintf("%s[%s] offset %s", topic, header(r, schemas.HeaderSourcePartition), header(r, schemas.HeaderSourceOffset))
	}
	return ""
}

func header(r *kgo.Record, name string) string {
	value, _ := schemas.Header(r.Headers, name)
	return string(value)
}
