package pipeline

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/topology"
)

// partitions of the topics: more than one, so that order between them is
// nobody's.
const partitions = 3

// Options says what to fill, and from where.
type Options struct {
	Binary      string   // the built handprint
	Brokers     []string // host:port each
	Replication int
	Format      string // of the records that handprint writes: json or avro
	Registry    string // address of a registry's Confluent API; for avro
	Dir         string // for the state, logs and files
}

// Pipeline is an application on a cluster, with topics of its own.
type Pipeline struct {
	Options
	// Names are the application's topics.
	Names topology.Names
	// Application is the application's id, which is unique.
	Application string

	client *kgo.Client
	admin  *kadm.Client
}

// New makes the topics of an application that nobody else has. Close deletes
// them.
func New(ctx context.Context, o Options) (_ *Pipeline, err error) {
	application := "check-" + o.Format + "-" + strings.ToLower(rand.Text()[:10])
	p := &Pipeline{Options: o, Application: application, Names: topology.DefaultNames(application+".", application)}
	if p.client, err = kgo.NewClient(kgo.SeedBrokers(o.Brokers...)); err != nil {
		return nil, err
	}
	p.admin = kadm.NewClient(p.client)
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	if _, err := p.Handprint(ctx, "topics", "create"); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	return p, nil
}

// Outputs are the topics that connectors copy.
func (p *Pipeline) Outputs() []string {
	n := &p.Names
	return []string{n.State, n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.Identities}
}

// Close deletes the topics and the consumer groups that begin with the
// application's id, or with "connect-" and that.
func (p *Pipeline) Close(ctx context.Context) error {
	defer p.client.Close()
	n := p.Names
	_, err := p.admin.DeleteTopics(ctx, n.Observations, n.IdentityEvents, n.StateChanged, n.MultiActorSuspects,
		n.IdentityChanged, n.Identities, n.Profiles, n.State, n.DeadLetter, n.Health, n.Control, n.Commands, n.Changelog)
	groups, listed := p.admin.ListGroups(ctx)
	var ours []string
	for _, g := range groups.Groups() {
		if strings.HasPrefix(strings.TrimPrefix(g, "connect-"), p.Application) {
			ours = append(ours, g)
		}
	}
	if len(ours) > 0 {
		_, deleted := p.admin.DeleteGroups(ctx, ours...)
		listed = errors.Join(listed, deleted)
	}
	return errors.Join(err, listed)
}

// environment is that of every handprint here.
func (p *Pipeline) environment() []string {
	env := append(os.Environ(),
		"HANDPRINT_BROKERS="+strings.Join(p.Brokers, ","),
		"HANDPRINT_APPLICATION_ID="+p.Application,
		"HANDPRINT_TOPIC_PREFIX="+p.Application+".",
		"HANDPRINT_PARTITIONS="+strconv.Itoa(partitions),
		"HANDPRINT_REPLICATION_FACTOR="+strconv.Itoa(p.Replication),
		"HANDPRINT_STATE_DIR="+filepath.Join(p.Dir, "state"),
		"HANDPRINT_SWEEP_INTERVAL=500ms",
		"HANDPRINT_HEALTH_INTERVAL=500ms",
	)
	if p.Format == "avro" {
		env = append(env, "HANDPRINT_OUTPUT_FORMAT=avro", "HANDPRINT_SCHEMA_REGISTRY_URL="+p.Registry)
	}
	return env
}

// Handprint runs a command of handprint's and returns what it prints.
func (p *Pipeline) Handprint(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.Binary, args...)
	cmd.Env = p.environment()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("handprint %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out, nil
}

// Start starts `handprint run`. The function that it returns stops it cleanly
// and waits for its end.
func (p *Pipeline) Start() (stop func() error, err error) {
	log, err := os.Create(filepath.Join(p.Dir, p.Application+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.Binary, "run")
	cmd.Env = p.environment()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended, which Wait says
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("handprint run: %w; see %s", err, log.Name())
		}
		return nil
	}, nil
}

// Records are the committed records that a topic holds now, tombstones
// included, partition by partition in order.
func (p *Pipeline) Records(ctx context.Context, topic string) ([]*kgo.Record, error) {
	return Read(ctx, p.admin, p.Brokers, topic)
}

// Read returns the committed records that a topic holds now, partition by
// partition in order. It is a plain consumer; that it keeps the markers of
// transactions is how it knows that it has come to the end.
func Read(ctx context.Context, admin *kadm.Client, brokers []string, topic string) ([]*kgo.Record, error) {
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the end of %s: %w", topic, err)
	}
	left := make(map[int32]int64)
	from := make(map[int32]kgo.Offset)
	for partition, end := range ends[topic] {
		if end.Offset > 0 {
			left[partition] = end.Offset
			from[partition] = kgo.NewOffset().AtStart()
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	parts := make(map[int32][]*kgo.Record)
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return nil, fmt.Errorf("reading %s: %w", topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end, reading := left[r.Partition]
			if !reading {
				return
			}
			if r.Offset < end && !r.Attrs.IsControl() {
				parts[r.Partition] = append(parts[r.Partition], r)
			}
			if r.Offset >= end-1 {
				delete(left, r.Partition)
			}
		})
	}
	var records []*kgo.Record
	for partition := range int32(len(ends[topic])) {
		records = append(records, parts[partition]...)
	}
	return records, nil
}
