package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/integration/instance"
	"handprint/integration/lab"
	"handprint/internal/memory"
)

// manyRows makes an instance hold many rows in bounded memory, and starts it
// again with its state kept, with its state kept and others' work to catch up
// with, and with its state deleted.
func manyRows(ctx context.Context, l *lab.Lab, o *options) error {
	app, err := open(ctx, l, o, "rows")
	if err != nil {
		return err
	}
	defer app.Close()
	if err := feedRows(ctx, app, 0, o.rows); err != nil {
		return err
	}
	c := bounded(app, 0, o)
	if _, err := measure(ctx, app, c, o, fmt.Sprintf("%d rows made", o.rows), false); err != nil {
		return err
	}
	if _, err := measure(ctx, app, c, o, "killed and started with its state", true); err != nil {
		return err
	}
	tail := o.rows / 10
	if err := another(ctx, app, o, tail); err != nil {
		return err
	}
	restored, err := measure(ctx, app, c, o, fmt.Sprintf("started with its state, after another has made %d rows", tail), true)
	if err == nil && (restored < int64(tail) || restored > int64(o.rows)/2) {
		err = fmt.Errorf("%d records were restored for %d rows that were missed", restored, tail)
	}
	if err != nil {
		return err
	}
	if err := app.Forget(0); err != nil {
		return err
	}
	// Its name is gone with its state: for the group it is somebody else, who
	// would begin as a standby of the one that was killed.
	if err := awaitNoMembers(ctx, app); err != nil {
		return err
	}
	restored, err = measure(ctx, app, c, o, "started without its state", true)
	if err == nil && restored < int64(o.rows) {
		err = fmt.Errorf("%d rows were rebuilt from %d records", o.rows, restored)
	}
	return err
}

// awaitNoMembers waits until the group has forgotten everybody.
func awaitNoMembers(ctx context.Context, app *lab.App) error {
	adm := kadm.NewClient(app.Client)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		groups, err := adm.DescribeGroups(ctx, app.Name)
		if err == nil && groups.Error() == nil && len(groups[app.Name].Members) == 0 {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until group %s has no members: %w", app.Name, context.Cause(ctx))
		}
	}
}

// bounded is an instance whose memory is bounded.
func bounded(app *lab.App, n int, o *options) instance.Config {
	c := released(app, n)
	c.Env = append(c.Env, fmt.Sprintf("GOMEMLIMIT=%dMiB", goLimit(o.memory)))
	return c
}

// goLimit is how many MiB Go may take of so many, as handprint doctor advises: it
// leaves room for the caches, which are not in what Go counts.
func goLimit(container int64) int64 {
	record, blocks := memory.Limits{Container: uint64(container) << 20}.Caches()
	caches := record + blocks + memory.Memtables
	return (container<<20 - int64(caches)) * 9 / 10 >> 20
}

// another lets a second instance, alone, make more rows, and stops it.
func another(ctx context.Context, app *lab.App, o *options, rows int) error {
	if err := feedRows(ctx, app, o.rows, rows); err != nil {
		return err
	}
	if _, err := app.StartAs(bounded(app, 1, o), 1); err != nil {
		return err
	}
	if err := app.Rest(ctx); err != nil {
		return err
	}
	return app.Stop(ctx, 1)
}

// measure starts the instance, waits until the application is at rest, prints
// what that took, and kills it. What is measured is the restore, or else all of
// it.
func measure(ctx context.Context, app *lab.App, c instance.Config, o *options, what string, restore bool) (records int64, err error) {
	since := fileSize(c.LogFile())
	began := time.Now()
	i, err := app.StartAs(c, 0)
	if err != nil {
		return 0, err
	}
	defer i.Kill()
	if records, err = awaitTasks(ctx, i, c.LogFile(), since, o.partitions); err != nil {
		return records, err
	}
	took := time.Since(began)
	if err := app.Rest(ctx); err != nil {
		return records, err
	}
	if !restore {
		took, records = time.Since(began), int64(o.rows)
	}
	peak, err := peakMemory(i.Pid())
	if err != nil {
		return records, err
	}
	fmt.Printf("%s: %d records in %.1f s, %.0f records/s; peak of resident memory %d MiB of %d\n",
		what, records, took.Seconds(), float64(records)/took.Seconds(), peak>>20, o.memory)
	if peak>>20 > o.memory {
		return records, fmt.Errorf("an instance with %d rows took %d MiB, allowed are %d", o.rows, peak>>20, o.memory)
	}
	return records, nil
}

// feedRows puts in an observation for each row of a number, after those before.
func feedRows(ctx context.Context, app *lab.App, before, rows int) error {
	const each = 20 // primitives of an attacker
	registry := attribution.DefaultRegistry()
	var names []string
	for _, name := range registry.Names() {
		if k := registry.Kind([]byte(name)); k == attribution.Categorical || k == attribution.FreeString {
			names = append(names, name)
		}
	}
	if len(names) < each {
		return fmt.Errorf("the registry has %d primitives with texts, %d are needed", len(names), each)
	}
	var failure firstError
	for i := before; i < before+rows; i++ {
		attacker := fmt.Sprintf("%08x-0000-4000-8000-000000000001", uint32(i/each)*2654435761)
		app.Client.Produce(ctx, &kgo.Record{Topic: app.Names.Observations, Key: []byte(attacker), Value: fmt.Appendf(nil,
			`{"attacker_uuid":%q,"primitive":%q,"value":"v%d","confidence":0.9,"source":"s","evidence_ref":"session/%d","ts":%d}`,
			attacker, names[i%each], i%7, i/each, 1_700_000_000+i/each)}, failure.promise)
	}
	if err := app.Client.Flush(ctx); err != nil {
		return err
	}
	return failure.get()
}

func fileSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// awaitTasks waits until the log of an instance, from an offset on, says that
// all tasks run. It returns how many records they have restored.
func awaitTasks(ctx context.Context, i *instance.Instance, log string, since int64, tasks int) (restored int64, err error) {
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		text, err := os.ReadFile(log)
		if err != nil {
			return 0, err
		}
		running := make(map[int64]int64)
		for line := range strings.Lines(string(text[min(since, int64(len(text))):])) {
			var said struct {
				Msg      string
				Task     int64
				Restored int64 `json:"restored_records"`
			}
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "task runs" {
				running[said.Task] += said.Restored
			}
		}
		if len(running) == tasks {
			for _, n := range running {
				restored += n
			}
			return restored, nil
		}
		select {
		case <-poll.C:
		case <-i.Ended():
			return 0, fmt.Errorf("the instance ended; see %s", log)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// peakMemory is the most resident memory that a process has had, in bytes.
func peakMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the peak of memory, which needs Linux: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("process %d tells no peak of memory", pid)
}
