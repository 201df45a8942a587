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
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/bench/load"
	"handprint/broker"
	"handprint/topology"
)

// rig is the broker and the backlog that all contenders read.
type rig struct {
	plan
	prefix string
	client *kgo.Client
	input  topology.Names // its input topics are read by all contenders

	embedded *exec.Cmd // nil: somebody else's brokers
	ask      io.WriteCloser
	answers  *bufio.Reader
}

// open starts the broker, if none was named, and connects to it.
func (b *rig) open(ctx context.Context) error {
	if len(b.brokers) == 0 {
		if err := b.startBroker(); err != nil {
			return fmt.Errorf("starting the embedded broker: %w", err)
		}
	}
	b.input = topology.DefaultNames(b.prefix, "input")
	var err error
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(1<<16), kgo.ProducerLinger(0), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		return err
	}
	return broker.Reach(ctx, b.client, 10*time.Second)
}

func (b *rig) startBroker() error {
	cmd, err := childCommand(job{Contender: contenderBroker})
	if err != nil {
		return err
	}
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
	b.embedded, b.answers = cmd, bufio.NewReader(out)
	line, err := b.answers.ReadString('\n')
	if err != nil {
		return err
	}
	b.brokers = strings.Split(strings.TrimSpace(line), ",")
	return nil
}

// serve is the embedded broker's process: it says where it listens, answers
// each line with what it has used, and ends with its standard input.
func serve() error {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(b.Addrs(), ","))
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := json.NewEncoder(os.Stdout).Encode(used()); err != nil {
			return err
		}
	}
	return b.Close()
}

// brokerCPU is the CPU time that the broker has used so far, 0 if that cannot
// be told.
func (b *rig) brokerCPU() (time.Duration, error) {
	if b.embedded == nil {
		return 0, nil
	}
	if _, err := fmt.Fprintln(b.ask); err != nil {
		return 0, fmt.Errorf("asking the broker's process: %w", err)
	}
	line, err := b.answers.ReadBytes('\n')
	if err != nil {
		return 0, fmt.Errorf("asking the broker's process: %w", err)
	}
	var u usage
	return u.CPU, json.Unmarshal(line, &u)
}

func (b *rig) close() error {
	if b.client != nil {
		b.client.Close()
	}
	if b.embedded == nil {
		return nil
	}
	return errors.Join(b.ask.Close(), b.embedded.Wait())
}

// topics makes the topics of an application.
func (b *rig) topics(ctx context.Context, names topology.Names) error {
	_, err := broker.Ensure(ctx, b.client, names.Specs(topology.Layout{Partitions: b.load.Partitions, Replication: -1}))
	return err
}

// fill writes the backlog: identity events, then observations.
func (b *rig) fill(ctx context.Context) error {
	if err := b.topics(ctx, b.input); err != nil {
		return err
	}
	g, err := load.New(b.load)
	if err != nil {
		return err
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
	for key, value := range g.Events {
		produce(b.input.IdentityEvents, 0, key, value)
	}
	for range b.observations {
		r := g.Next()
		produce(b.input.Observations, r.Partition, r.Key, r.Value)
	}
	err = b.client.Flush(ctx)
	select {
	case err = <-failed:
	default:
	}
	if err != nil {
		return fmt.Errorf("writing the backlog: %w", err)
	}
	return nil
}
