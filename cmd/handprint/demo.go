package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/ingest"
	"handprint/ingest/cowrie/lab"
	"handprint/internal/config"
	"handprint/processor"
)

func (a *app) demoCommand() *cobra.Command {
	once := false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show transitions from a real Cowrie log, on a broker inside this process",
		Long: `Show what handprint does, with nothing else installed: start a broker inside
this process, read a real Cowrie log into it (81 SSH sessions from 15 addresses
of a lab, driven by five scripted "hands"), show transitions as they happen, and
then a table of identities and states.

It goes on until it is interrupted, so that other commands can look at it:
"handprint rows --brokers ADDRESS" with the address that it prints.`,
		Example: `  handprint demo
  handprint demo --once`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), once) },
	}
	cmd.Flags().BoolVar(&once, "once", false, "End when everything is shown.")
	return a.configure(cmd, config.GroupApplication, config.GroupTopics, config.GroupThresholds, "max-ahead", "addresses", "web-listen", config.GroupCowrie)
}

func (a *app) demo(ctx context.Context, once bool) (err error) {
	e, err := a.startEmbedded(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	p := palette(a.coloured())
	if !once {
		serving, stop := context.WithCancel(ctx)
		link, wait, err := a.demoWeb(serving, e, labStory())
		if err != nil {
			stop()
			return err
		}
		defer func() { stop(); err = errors.Join(err, wait()) }()
		fmt.Fprintf(a.out, "\n%s %s\n\n", p.paint(bold, "OPEN      "), p.paint(bold, link))
	}
	fmt.Fprintf(a.out, "%s a Kafka broker inside this process, at %s\n", p.paint(bold, "broker    "), strings.Join(e.broker.Addrs(), ","))

	log := filepath.Join(e.dir, "cowrie.json.gz")
	if err := os.WriteFile(log, lab.Packed(), 0o600); err != nil {
		return fmt.Errorf("unpacking the sample log: %w", err)
	}
	amounts, err := e.ingest(ctx, a.adapter("cowrie"), &ingest.Files{Names: []string{log}})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s %d lines of a real Cowrie log became %d observations\n", p.paint(bold, "sensor    "), amounts.Lines, amounts.Observations)
	fmt.Fprintf(a.out, "%s rows that are new or change their state; the first is what is concluded, the last the value\n\n", p.paint(bold, "transitions"))

	// From here on the follower writes too. It begins with the first event, so
	// it misses none of the events that are there by now.
	following, stop := context.WithCancel(ctx)
	events, err := e.followEvents(following)
	if err != nil {
		stop()
		return err
	}
	end := sync.OnceValue(func() error { stop(); return events.wait() })
	defer func() { err = errors.Join(err, end()) }()
	if err := e.settle(ctx); err != nil {
		return err
	}
	if err := e.sweep(ctx); err != nil {
		return err
	}
	// Everything is committed: what the follower has not shown is on its way.
	if err := events.until(ctx, e.rest.Emitted(a.cfg.Topics.StateChanged, a.cfg.Topics.MultiActorSuspects)); err != nil {
		return err
	}
	if err := events.silent(func() error { return a.demoTable(ctx, e) }); err != nil {
		return err
	}
	if once {
		return nil
	}
	err = events.silent(func() error {
		_, err := fmt.Fprintf(a.out, "\nThe pipeline goes on. In another terminal:\n    handprint events --brokers %[1]s --from beginning\n    handprint rows   --brokers %[1]s --state multi_actor\nInterrupt to end.\n", strings.Join(e.broker.Addrs(), ","))
		return err
	})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.done:
		e.done <- err
		return err
	}
}

// demoTable shows what is concluded, and whose address is behind each
// identity: in the demo both are known.
func (a *app) demoTable(ctx context.Context, e *embedded) error {
	rows, err := a.readRows(ctx, e.client, new(filter))
	if err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	hands := labHands()
	states := map[string]int{}
	table := map[string]map[string]cell{}
	var order []string
	shown := []string{"toolchain.ssh.hassh_client", "cognitive.inter_command_latency_class", "cognitive.tool_vocabulary"}
	counts := map[string]int{}
	for _, r := range rows {
		states[r.Row.State.String()]++
		counts[r.Identity]++
		if table[r.Identity] == nil {
			table[r.Identity] = map[string]cell{}
			order = append(order, r.Identity)
		}
		table[r.Identity][r.Primitive] = rowStateCell(&r.Row)
	}
	sortByAddress(order, hands)
	lines := make([][]cell, 0, len(order))
	for _, id := range order {
		line := []cell{{text: shortID(id)}, {text: hands[id].address}, {text: hands[id].names}, {text: fmt.Sprint(counts[id]), right: true}}
		for _, primitive := range shown {
			line = append(line, table[id][primitive])
		}
		lines = append(lines, line)
	}
	out := bufio.NewWriter(a.out)
	columns := []column{{head: "IDENTITY", drop: 1}, {head: "ADDRESS"}, {head: "SCRIPTED HANDS", least: 14}, {head: "ROWS", drop: 2}, {head: "HASSH"}, {head: "LATENCY"}, {head: "TOOLS"}}
	err = a.paper().writeTable(out, columns, lines)
	fmt.Fprintf(out, "\n%d identities, %d rows:", len(order), len(rows))
	for _, s := range []string{"unknown", "stable", "drifting", "conflicted", "multi_actor"} {
		fmt.Fprintf(out, " %d %s", states[s], s)
	}
	fmt.Fprintln(out)
	return errors.Join(err, out.Flush())
}

// follower prints events while the demo goes on.
type follower struct {
	client *kgo.Client
	done   chan error
	mu     sync.Mutex // held while it writes, see silent
	next   map[processor.TopicPartition]int64
	moved  chan struct{}
}

func (e *embedded) followEvents(ctx context.Context) (*follower, error) {
	a := e.app
	client, err := kgo.NewClient(append(e.broker.ClientOpts(), kgo.ConsumeTopics(a.cfg.Topics.StateChanged, a.cfg.Topics.MultiActorSuspects),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return nil, fmt.Errorf("following the events: %w", err)
	}
	f := &follower{client: client, done: make(chan error, 1), next: map[processor.TopicPartition]int64{}, moved: make(chan struct{})}
	hands := labHands()
	p := &eventPrinter{app: a, query: new(eventsQuery), pretty: true, page: newPage(a.paper()), address: func(id string) string { return hands[id].address }, out: bufio.NewWriter(a.out)}
	go func() { f.done <- f.run(ctx, p) }()
	return f, nil
}

func (f *follower) run(ctx context.Context, p *eventPrinter) error {
	for {
		fetches := f.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("following the events: %w", err)
		}
		var err error
		f.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			err = errors.Join(err, p.print(r))
			f.next[processor.TopicPartition{Topic: r.Topic, Partition: r.Partition}] = r.Offset + 1
		})
		err = errors.Join(err, p.out.Flush())
		close(f.moved)
		f.moved = make(chan struct{})
		f.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// until waits until everything before ends is printed.
func (f *follower) until(ctx context.Context, ends map[processor.TopicPartition]int64) error {
	for {
		f.mu.Lock()
		left := false
		for tp, end := range ends {
			left = left || f.next[tp] < end
		}
		moved := f.moved
		f.mu.Unlock()
		if !left {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case err := <-f.done:
			f.done <- err
			return err
		}
	}
}

// silent calls write while the follower writes nothing.
func (f *follower) silent(write func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return write()
}

func (f *follower) wait() error {
	err := <-f.done
	f.client.Close()
	return err
}
