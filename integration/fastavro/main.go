package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"handprint/integration/pipeline"
	"handprint/integration/services"
)

// checker is what both halves of the check need.
type checker struct {
	python, script string
	services       *services.Services
	dir            string
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var c checker
	binary := flag.String("handprint", "bin/handprint", "The built handprint.")
	flag.StringVar(&c.python, "python", "python3", "A Python that has fastavro.")
	flag.StringVar(&c.script, "script", "integration/fastavro/check.py", "fastavro's side of the check.")
	count := flag.Int("n", 2000, "Random observations that fastavro writes.")
	seed := flag.Int64("seed", time.Now().Unix(), "Seed of what is random.")
	patience := flag.Duration("patience", 5*time.Minute, "How long it may take.")
	flag.Parse()
	ctx, end := context.WithTimeoutCause(ctx, *patience, fmt.Errorf("not done within %v", *patience))
	err := c.check(ctx, *binary, *count, *seed)
	end()
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fastavro:", err)
		os.Exit(1)
	}
}

func (c *checker) check(ctx context.Context, binary string, count int, seed int64) (err error) {
	if c.dir, err = os.MkdirTemp("", "handprint-fastavro-"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			fmt.Println("files are in", c.dir)
			return
		}
		err = os.RemoveAll(c.dir)
	}()
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	if c.services, err = services.Start(ctx, c.dir, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.services.Close()) }()
	var all []*pipeline.Pipeline
	for _, o := range []struct{ format, name string }{{"avro", "own"}, {"avro", "theirs"}, {"json", "same"}} {
		p, err := pipeline.New(ctx, pipeline.Options{Binary: binary, Brokers: c.services.Brokers, Replication: c.services.Replication,
			Format: o.format, Registry: c.services.Registry, Dir: filepath.Join(c.dir, o.name)})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Close(context.WithoutCancel(ctx))) }()
		all = append(all, p)
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return c.written(running, all[0]) })
	group.Go(func() error { return c.read(running, all[1], all[2], count, seed) })
	return group.Wait()
}

// run runs fastavro's side and returns what it prints.
func (c *checker) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.python, append([]string{c.script}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", c.script, args[0], err, bytes.TrimSpace(errs.Bytes()))
	}
	return out, nil
}

// record is a record as the two sides hand it to each other, a JSON line each.
type record struct {
	Topic string `json:"topic"`
	Key   string `json:"key"`
	Value []byte `json:"value"` // null: a tombstone
	// Mixed: others than handprint write to the topic as well, maybe JSON.
	Mixed bool   `json:"mixed,omitempty"`
	JSON  string `json:"json,omitempty"` // the same record in JSON
}

// written has fastavro read every record of every public topic that handprint
// wrote.
func (c *checker) written(ctx context.Context, p *pipeline.Pipeline) error {
	if err := p.Fill(ctx); err != nil {
		return err
	}
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, topic := range append(p.Outputs(), p.Names.DeadLetter, p.Names.Health, p.Names.Observations, p.Names.IdentityEvents) {
		records, err := p.Records(ctx, topic)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := encoder.Encode(record{Topic: topic, Key: string(r.Key), Value: r.Value, Mixed: topic == p.Names.Observations}); err != nil {
				return err
			}
		}
	}
	file := filepath.Join(c.dir, "written.ndjson")
	if err := os.WriteFile(file, lines.Bytes(), 0o644); err != nil {
		return err
	}
	report, err := c.run(ctx, nil, "read", c.services.Registry, file)
	if err != nil {
		return err
	}
	fmt.Printf("what handprint wrote, decoded and encoded again by fastavro:\n%s", bytes.ReplaceAll(report, []byte(p.Application+"."), nil))
	return nil
}
