package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"handprint/attribution"
	"handprint/internal/broker"
	"handprint/internal/load"
	"handprint/schemas"
	"handprint/topology"
)

// rig is the broker and the backlog that all contenders read.
type rig struct {
	plan
	prefix string
	client *kgo.Client
	input  topology.Names // its input topics are read by all contenders
	built  map[string]bool
	limit  *limit // nil: none

	// What reads and writes Avro; nil: nobody does.
	fake    *srfake.Registry // ours
	writers *schemas.Writers
	format  *schemas.Format

	// Identities whose outputs are the same in every run: stubs of attackers
	// that are neither linked nor misrouted, and linked identities none of
	// whose attackers is misrouted.
	plain, linked map[string]bool
	// first is what the outputs are compared with.
	first outcomes

	// shown has made a record of every attacker for each of its primitives; nil: not yet.
	shown *load.Generator

	embedded *exec.Cmd // nil: not ours
	ask      io.WriteCloser
	kafka    *exec.Cmd // nil: not ours
}

// open starts the broker, if none was named, and connects to it.
func (b *rig) open(ctx context.Context) (err error) {
	switch {
	case len(b.brokers) > 0:
	case b.real:
		if err := b.startKafka(ctx); err != nil {
			return fmt.Errorf("starting a broker: %w", err)
		}
	default:
		if err := b.startEmbedded(); err != nil {
			return fmt.Errorf("starting the embedded broker: %w", err)
		}
	}
	if err := b.openSchemas(ctx); err != nil {
		return err
	}
	b.input = topology.DefaultNames(b.prefix, "input")
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(1<<16), kgo.ProducerLinger(0), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		return err
	}
	return broker.Reach(ctx, b.client, 10*time.Second)
}

func (b *rig) startEmbedded() error {
	cmd, err := childCommand(job{Contender: contenderBroker})
	if err != nil {
		return err
	}
	// A limit that is set is the contenders'. The broker has all topics in memory.
	cmd.Env = append(cmd.Environ(), "GOMEMLIMIT=off")
	if b.ask, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.embedded = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return err
	}
	b.brokers = strings.Split(strings.TrimSpace(line), ",")
	return nil
}

// serve is the embedded broker's process: it says where it listens, and ends
// with its standard input.
func serve() error {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(b.Addrs(), ","))
	_, _ = io.Copy(io.Discard, os.Stdin)
	return b.Close()
}

// brokerPID is the broker's process; 0 if it is somebody else's.
func (b *rig) brokerPID() int {
	switch {
	case b.kafka != nil:
		return b.kafka.Process.Pid
	case b.embedded != nil:
		return b.embedded.Process.Pid
	}
	return 0
}

func (b *rig) close() error {
	if b.fake != nil {
		b.fake.Close()
	}
	if b.client != nil {
		b.client.Close()
	}
	if b.kafka != nil {
		_ = b.kafka.Process.Kill()
		_ = b.kafka.Wait()
	}
	if b.embedded == nil {
		return b.limit.close()
	}
	return errors.Join(b.ask.Close(), b.embedded.Wait(), b.limit.close())
}

// topics makes the topics of an application.
func (b *rig) topics(ctx context.Context, names topology.Names) error {
	_, err := broker.Ensure(ctx, b.client, names.Specs(topology.Layout{Partitions: b.load.Partitions, Replication: -1}))
	return err
}

// fill writes the backlog, once for each format that a contender reads.
func (b *rig) fill(ctx context.Context) error {
	if err := b.topics(ctx, b.input); err != nil { // health and control are everybody's
		return err
	}
	filled := map[string]bool{}
	for i := range b.contenders {
		input, format := b.inputOf(&b.contenders[i])
		if filled[input.Observations] {
			continue
		}
		filled[input.Observations] = true
		if err := b.fillInput(ctx, input, format); err != nil {
			return err
		}
	}
	return nil
}

// fillInput writes the backlog: identity events, then observations.
func (b *rig) fillInput(ctx context.Context, input topology.Names, format *schemas.Format) error {
	if err := b.topics(ctx, input); err != nil {
		return err
	}
	c := b.load
	c.Format = format
	g, err := load.New(c)
	if err != nil {
		return err
	}
	if b.shown != nil {
		g = b.shown // goes on where the first part ended
	}
	failed := make(chan error, 1)
	produce := func(topic string, partition int32, key, value []byte) {
		r := &kgo.Record{Topic: topic, Partition: partition, Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)}
		b.client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	b.plain, b.linked = map[string]bool{}, map[string]bool{}
	owner := map[string]string{}
	for key, value := range g.Events {
		if b.shown != nil {
			break // they are in the first part
		}
		produce(input.IdentityEvents, 0, key, value)
		e, err := schemas.IdentityEventDecoder{Writers: b.writers}.Decode("", value)
		if err != nil {
			return fmt.Errorf("the load's own event: %w", err)
		}
		b.linked[e.Identity] = true
		for _, a := range e.Attackers {
			owner[a] = e.Identity
		}
	}
	clean := map[string]bool{}
	if b.seen && b.shown == nil {
		for r := range g.Each {
			produce(input.Observations, r.Partition, r.Key, r.Value)
		}
		b.shown = g
		return b.written(ctx, failed)
	}
	for range b.observations {
		r := g.Next()
		produce(input.Observations, r.Partition, r.Key, r.Value)
		right := r.Partition == attribution.AttackerPartition(r.Key, b.load.Partitions)
		if was, known := clean[string(r.Key)]; !right || !known {
			clean[string(r.Key)] = right && (was || !known)
		}
	}
	for attacker, right := range clean {
		identity, linked := owner[attacker]
		switch {
		case linked && !right:
			delete(b.linked, identity)
		case !linked && right:
			b.plain[attribution.Stub([]byte(attacker)).String()] = true
		}
	}
	return b.written(ctx, failed)
}

// written waits until what was produced is acknowledged, all of it.
func (b *rig) written(ctx context.Context, failed <-chan error) error {
	err := b.client.Flush(ctx)
	select {
	case err = <-failed:
	default:
	}
	if err != nil {
		return fmt.Errorf("writing the backlog: %w", err)
	}
	return nil
}

// job makes the topics that a contender writes to, and says what it has to do.
func (b *rig) job(ctx context.Context, name string, c *contender, ownInput bool) (*job, error) {
	j := &job{Contender: c.name, Brokers: b.brokers, Partitions: b.load.Partitions, Threads: b.threads,
		Group: b.prefix + name, Dir: filepath.Join(b.dir, name), Static: b.static, Caches: b.caches, Retention: b.retention, Batch: b.transaction}
	for i, size := range b.limit.caches() {
		if j.Caches[i] == 0 {
			j.Caches[i] = size
		}
	}
	j.Names = topology.DefaultNames(b.prefix+name+"-", "app")
	j.Names.Health, j.Names.Control = b.input.Health, b.input.Control
	if !ownInput {
		input, _ := b.inputOf(c)
		j.Names.Observations, j.Names.IdentityEvents = input.Observations, input.IdentityEvents
	}
	if c.avro {
		j.Registry = b.registry
	}
	if err := b.topics(ctx, j.Names); err != nil {
		return nil, err
	}
	return j, os.MkdirAll(j.Dir, 0o755)
}
