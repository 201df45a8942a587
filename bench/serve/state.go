package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/broker"
	"handprint/processor"
	"handprint/schemas"
	"handprint/state"
	"handprint/topology"
)

// The primitives that each identity has a row of: of all kinds.
var primitiveNames = []string{
	"toolchain.ssh.hassh_client", "toolchain.ssh.client_version", "toolchain.tls.ja4", "environmental.locale", "environmental.keyboard_layout",
	"cognitive.planning_depth", "cognitive.inter_command_latency_class", "cognitive.tool_vocabulary", "temporal.session_duration", "motor.typing_speed",
	"operational.multi_tasking", "emotional.frustration", "resource.parallelism",
}

// primitives returns 13 of the registry: those above that it has, then others.
func primitives() []*attribution.Primitive {
	registry := attribution.DefaultRegistry()
	var list []*attribution.Primitive
	seen := map[string]bool{}
	for _, name := range append(primitiveNames[:len(primitiveNames):len(primitiveNames)], registry.Names()...) {
		if p := registry.Lookup([]byte(name)); p != nil && !seen[name] && len(list) < len(primitiveNames) {
			seen[name] = true
			list = append(list, p)
		}
	}
	return list
}

// mix is the finalizer of SplitMix64: a permutation without visible order.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// attackerOf returns the id of the nth attacker.
func attackerOf(n int) string {
	a, b := mix(uint64(n)), mix(uint64(n)+1<<40)
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&(1<<48-1))
}

// valueOf returns the value that an attacker made like a template shows.
func valueOf(p *attribution.Primitive, template, variant int) string {
	seed := mix(uint64(template)*1000+uint64(len(p.Name))) + uint64(variant)
	switch p.Kind {
	case attribution.Categorical:
		if len(p.Values) > 0 {
			return strconv.Quote(p.Values[seed%uint64(len(p.Values))])
		}
		return strconv.Quote("kind-" + strconv.FormatUint(seed%9, 10))
	case attribution.Numeric:
		return strconv.FormatFloat(100+float64(seed%9000)/10, 'f', -1, 64)
	case attribution.Bool:
		return strconv.FormatBool(seed%2 == 0)
	case attribution.Hash:
		var b [16]byte
		for i := range b {
			b[i] = byte(mix(seed+uint64(i)) >> 8)
		}
		return strconv.Quote(hex.EncodeToString(b[:]))
	case attribution.Array:
		return fmt.Sprintf(`["curve25519-sha256","method-%d"]`, seed%400)
	}
	return strconv.Quote(fmt.Sprintf("SSH-2.0-client_%d", seed%4000))
}

// observation is the nth observation of an attacker.
func observation(names *topology.Names, attacker string, p *attribution.Primitive, value string, ts float64, partitions int) *kgo.Record {
	o := &attribution.Observation{
		ID: []byte(attackerOf(int(mix(uint64(ts*1000)) >> 8))), Attacker: []byte(attacker), Primitive: []byte(p.Name), Value: []byte(value), Confidence: 0.9, HasConfidence: true,
		WindowStart: ts - 60, WindowEnd: ts, TS: ts, Source: []byte("bench"), Evidence: fmt.Appendf(nil, "bench/%v", ts),
	}
	var format *schemas.Format
	return &kgo.Record{
		Topic: names.Observations, Partition: attribution.AttackerPartition(attacker, int32(partitions)), Key: []byte(attacker), Value: format.AppendObservation(nil, o),
		Timestamp: time.UnixMilli(int64(ts * 1000)),
	}
}

// begins is the ts of the first observation.
const begins = 1_790_000_000.0

func newLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (p *plan) engineDir() string { return filepath.Join(p.dir, "engine") }
func (p *plan) serveDir() string  { return filepath.Join(p.dir, "serve") }

// template is what the engine has written about one identity.
type template struct {
	attacker string
	records  [][2][]byte
}

// templates has the engine work out some identities, and returns the records that it
// has written for each.
func templates(ctx context.Context, p *plan) ([]template, error) {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		return nil, err
	}
	defer b.Close()
	names := topology.DefaultNames("", application)
	client, err := kgo.NewClient(append(b.ClientOpts(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<17))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if _, err := broker.Ensure(ctx, client, names.Specs(topology.Layout{Partitions: int32(p.partitions), Replication: 1})); err != nil {
		return nil, err
	}
	store, err := state.Open(filepath.Join(p.dir, "templates"), state.Options{Logger: newLogger()})
	if err != nil {
		return nil, err
	}
	defer func() { _ = errors.Join(store.Close(), os.RemoveAll(filepath.Join(p.dir, "templates"))) }()
	rest := topology.NewRest(names)
	proc, err := topology.Config{
		Names:  names,
		Engine: engine.Config{Thresholds: attribution.DefaultThresholds(), Registry: attribution.DefaultRegistry(), Counters: new(engine.Counters)},
		Runtime: processor.Config{
			ApplicationID: application, InstanceID: "templates", Client: b.ClientOpts(), Partitions: int32(p.partitions), Threads: 1, Store: store,
			OnCommit: rest.OnCommit, Logger: newLogger(),
		},
	}.Processor()
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(running) }()
	list := primitives()
	for n := range p.templates {
		for i, pr := range list {
			for k := range 3 {
				// One in ten rows has more than one value, so that all states occur.
				variant := 0
				if mix(uint64(n*13+i))%10 == 0 {
					variant = k
				}
				r := observation(&names, attackerOf(n), pr, valueOf(pr, n, variant), begins+float64(n)+float64(i)/16+float64(k)*64, p.partitions)
				client.Produce(ctx, r, func(r *kgo.Record, err error) {
					if err == nil {
						rest.Expect(r.Topic, r.Partition, r.Offset)
					}
				})
			}
		}
	}
	err = client.Flush(ctx)
	if err == nil {
		err = rest.Wait(ctx)
	}
	stop()
	if err = errors.Join(err, <-ended); err != nil {
		return nil, err
	}
	made := make([]template, p.templates)
	at := map[attribution.UUID]int{}
	for n := range made {
		made[n].attacker = attackerOf(n)
		at[attribution.Stub([]byte(made[n].attacker))] = n
	}
	var fault error
	for task := range int32(p.partitions) {
		s := store.Partition(task).Snapshot()
		fault = errors.Join(fault, s.Scan(nil, nil, func(key, value []byte) bool {
			if len(key) >= idEnd && key[1] == 1 { // an id that is a UUID
				if n, ok := at[attribution.UUID(key[idAt:idEnd])]; ok {
					made[n].records = append(made[n].records, [2][]byte{bytes.Clone(key), bytes.Clone(value)})
				}
			}
			return true
		}))
		s.Close()
	}
	return made, fault
}

// Where the id stands in a key of the store: behind the kind and a byte that says
// that it is a UUID.
const idAt, idEnd = 2, 18

// like yields the records of the nth identity, which is like a template.
func (t *template) like(n int, key, value []byte, yield func(key, value []byte) bool) bool {
	attacker := attackerOf(n)
	stub := attribution.Stub([]byte(attacker))
	for _, r := range t.records {
		key = append(key[:0], r[0]...)
		copy(key[idAt:idEnd], stub[:])
		value = append(value[:0], r[1]...)
		if i := bytes.Index(value, []byte(t.attacker)); i >= 0 {
			copy(value[i:], attacker)
		}
		if !yield(key, value) {
			return false
		}
	}
	return true
}

// build makes the stores of an engine and of a read side.
func build(ctx context.Context, p *plan) error {
	if err := errors.Join(os.RemoveAll(p.engineDir()), os.RemoveAll(p.serveDir()), os.MkdirAll(p.dir, 0o755)); err != nil {
		return err
	}
	began := time.Now()
	made, err := templates(ctx, p)
	if err != nil {
		return fmt.Errorf("making the templates: %w", err)
	}
	fmt.Printf("%d templates of %d records each in %s\n", len(made), len(made[0].records), time.Since(began).Round(time.Second))
	for _, dir := range []string{p.engineDir(), filepath.Join(p.serveDir(), "copy")} {
		if err := fillStore(ctx, p, dir, made); err != nil {
			return fmt.Errorf("filling %s: %w", dir, err)
		}
		fmt.Printf("%s filled after %s\n", dir, time.Since(began).Round(time.Second))
	}
	note, err := json.Marshal(stateNote{p.identities, p.templates, p.partitions})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, "state.json"), note, 0o600)
}

// stateNote says what the state in a folder is.
type stateNote struct{ Identities, Templates, Partitions int }

func fillStore(ctx context.Context, p *plan, dir string, made []template) (err error) {
	store, err := state.Open(dir, state.Options{MemtableBytes: 64 << 20, Logger: newLogger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	byPartition := make([][]int, p.partitions)
	for n := range p.identities {
		at := attribution.AttackerPartition(attackerOf(n), int32(p.partitions))
		byPartition[at] = append(byPartition[at], n)
	}
	for task, all := range byPartition {
		for len(all) > 0 && ctx.Err() == nil {
			piece := all[:min(len(all), 2000)]
			all = all[len(piece):]
			var records iter.Seq2[[]byte, []byte] = func(yield func(key, value []byte) bool) {
				var key, value []byte
				for _, n := range piece {
					if !made[n%len(made)].like(n, key, value, yield) {
						return
					}
				}
			}
			if err := store.Partition(int32(task)).Restore(records, state.Checkpoint{Identity: "none yet", At: time.Now()}); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// adopt has a store belong to the changelog that there is now.
func adopt(dir string, partitions int, identity string) (err error) {
	store, err := state.Open(dir, state.Options{Logger: newLogger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for task := range int32(partitions) {
		err = errors.Join(err, store.Partition(task).Restore(func(func(k, v []byte) bool) {}, state.Checkpoint{Identity: identity, At: time.Now()}))
	}
	return err
}
