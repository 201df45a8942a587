package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/engine"
	"handprint/state"
)

// SQLite is driven by a program of its own in bench/serve/sqlite, a module of its
// own, so that handprint does not depend on it. It takes rows and questions as lines.

func (p *plan) sqliteFile() string { return filepath.Join(p.dir, "rows.sqlite") }

func startSQLite(p *plan) (*process, error) {
	program := filepath.Join(p.dir, "sqlite-peer")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join("bench", "serve", "sqlite")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building the program around SQLite, from the repository's root: %w", err)
	}
	return startCommand(exec.Command(program, p.sqliteFile()))
}

// row is a line for SQLite: a row of an identity as it is now.
func rowLine(dst []byte, s *engine.Sketch) []byte {
	dst = append(dst, "put\t"...)
	dst = append(append(dst, s.Identity...), '\t')
	dst = append(append(dst, s.Primitive...), '\t')
	dst = append(strconv.AppendInt(dst, int64(s.Row.State), 10), '\t')
	dst = append(strconv.AppendQuote(dst, string(s.Row.Value)), '\t')
	dst = append(strconv.AppendFloat(dst, s.Row.Confidence, 'g', -1, 64), '\t')
	dst = append(strconv.AppendFloat(dst, s.Row.LastChangeTS, 'f', -1, 64), '\t')
	dst = append(strconv.AppendFloat(dst, s.Row.LastObservationTS, 'f', -1, 64), '\t')
	return append(strconv.AppendInt(dst, s.Row.Count, 10), '\n')
}

// buildSQLite fills the database with the rows of the copy.
func buildSQLite(ctx context.Context, p *plan) error {
	if err := os.RemoveAll(p.sqliteFile()); err != nil {
		return err
	}
	peer, err := startSQLite(p)
	if err != nil {
		return err
	}
	began := time.Now()
	store, err := state.Open(filepath.Join(p.serveDir(), "copy"), state.Options{ReadOnly: true, Logger: newLogger()})
	if err != nil {
		return err
	}
	defer store.Close()
	out := bufio.NewWriterSize(peer.in, 1<<20)
	if _, err := out.WriteString("begin\n"); err != nil {
		return err
	}
	var sketcher engine.Sketcher
	var line []byte
	for task := range int32(p.partitions) {
		s := store.Partition(task).Snapshot()
		err = errors.Join(err, s.Scan([]byte{'r'}, nil, func(key, value []byte) bool {
			sketch, rerr := sketcher.Read(key, value)
			if rerr == nil {
				line = rowLine(line[:0], sketch)
				_, rerr = out.Write(line)
			}
			err = rerr
			return rerr == nil && ctx.Err() == nil
		}))
		s.Close()
	}
	_, werr := out.WriteString("index\n")
	if err = errors.Join(err, werr, out.Flush()); err != nil {
		return err
	}
	if _, err := peer.out.ReadString('\n'); err != nil {
		return fmt.Errorf("filling the database: %w", err)
	}
	fmt.Printf("SQLite filled and indexed in %s\n", time.Since(began).Round(time.Second))
	return peer.stop()
}

// sqliteQuestions are the same questions as those to the read side, by the names of
// the program.
var sqliteQuestions = []struct{ name, ask string }{
	{"list, newest", "newest"},
	{"list, multi_actor, with counts", "state"},
	{"list, a value of a primitive", "value"},
	{"identity", "identity"},
	{"values of a primitive", "values"},
	{"counts (overview)", "counts"},
}

// measureSQLite has the engine work as while the read side was asked, gives the rows
// that it changes to SQLite, and asks it the same questions.
func (r *rig) measureSQLite(ctx context.Context) error {
	if _, err := os.Stat(r.sqliteFile()); errors.Is(err, os.ErrNotExist) {
		fmt.Println("no SQLite database: make it with -build -sqlite")
		return nil
	}
	if err := r.bestRate(ctx); err != nil {
		return err
	}
	peer, err := startSQLite(r.plan)
	if err != nil {
		return err
	}
	defer func() { _ = peer.stop() }()
	if err := errors.Join(r.stopSide(), r.startEngine()); err != nil {
		return err
	}
	tail, err := kgo.NewClient(append(r.broker.ClientOpts(), kgo.ConsumeTopics(r.names.Changelog), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return err
	}
	defer tail.Close()
	pacing, stop := context.WithTimeout(ctx, warm+r.hold)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { r.pace(pacing, r.best*r.share) })
	defer running.Wait()

	// The program reads a line when it is over with the one before: a full pipe means
	// that it is behind, and what waits here is counted.
	lines := make(chan []byte, 1<<22)
	var writing sync.Mutex // a question and its answer stand together
	running.Go(func() {
		var sketcher engine.Sketcher
		for {
			fetches := tail.PollFetches(pacing)
			if pacing.Err() != nil {
				close(lines)
				return
			}
			fetches.EachRecord(func(record *kgo.Record) {
				if s, err := sketcher.Read(record.Key, record.Value); err == nil && s.Kind == engine.RowRecord && !s.Gone && s.Published {
					select {
					case lines <- rowLine(nil, s):
					default:
					}
				}
			})
		}
	})
	var put int64
	running.Go(func() {
		for line := range lines {
			writing.Lock()
			_, err := peer.in.Write(line)
			writing.Unlock()
			if err != nil || pacing.Err() != nil {
				return
			}
			put++
		}
	})
	time.Sleep(warm)
	before, began, t := peer.used(), time.Now(), newTimings()
	var names []string
	for _, q := range sqliteQuestions {
		names = append(names, q.name)
	}
	worst := 0
	for n := 0; pacing.Err() == nil; n++ {
		q := sqliteQuestions[n%len(sqliteQuestions)]
		worst = max(worst, len(lines))
		writing.Lock()
		asked := time.Now()
		_, err := io.WriteString(peer.in, "ask\t"+q.ask+"\n")
		if err != nil {
			writing.Unlock()
			return err
		}
		line, err := peer.out.ReadBytes('\n')
		took := time.Since(asked)
		writing.Unlock()
		if err != nil {
			return fmt.Errorf("SQLite has ended: %w", err)
		}
		var answer struct {
			Error string
			Rows  int
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return err
		}
		t.add(q.name, took, answer.Error == "")
		time.Sleep(20 * time.Millisecond)
	}
	spent := time.Since(began)
	u := peer.used()
	fmt.Printf("SQLite while the engine works at %.0f observations/s: %.0f %% of a core, %.0f rows/s put, at most %d behind, %d MB\n",
		r.best*r.share, 100*(u.CPU-before.CPU).Seconds()/spent.Seconds(), float64(put)/(spent+warm).Seconds(), worst, u.Memory>>20)
	t.print(names)
	return nil
}
