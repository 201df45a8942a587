package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"handprint/schemas"
	"handprint/schemas/registry"
	"handprint/topology"
)

// contenderAvro is handprint with every topic in Avro, input and output. Its
// input is the same observations in the same order as everybody's, in topics of
// its own.
const contenderAvro = "handprint-avro"

// avroFormat asks a registry for the ids of all schemas. Processes that ask the
// same registry get the same ids.
func avroFormat(ctx context.Context, address string) (*registry.Client, *schemas.Format, error) {
	client, err := registry.New(registry.Config{URLs: []string{address}})
	if err != nil {
		return nil, nil, err
	}
	subjects := map[schemas.Contract]string{}
	for _, c := range schemas.Contracts() {
		subjects[c] = registry.ByRecord.Subject(c, "")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("no answer within 30 s"))
	defer cancel()
	format, err := client.Format(ctx, subjects, true)
	return client, format, err
}

// openSchemas finds the registry, or starts one inside this process, if
// somebody reads and writes Avro. It is asked only when a contender starts.
func (b *rig) openSchemas(ctx context.Context) error {
	wanted := false
	for i := range b.contenders {
		wanted = wanted || b.contenders[i].avro
	}
	if !wanted {
		return nil
	}
	if b.registry == "" {
		b.fake = srfake.New()
		b.registry = b.fake.URL()
	}
	client, format, err := avroFormat(ctx, b.registry)
	if err != nil {
		return fmt.Errorf("asking the schema registry: %w", err)
	}
	b.writers, b.format = client.Writers(), format
	return nil
}

// inputOf are the topics that a contender reads, and how records are written
// there.
func (b *rig) inputOf(c *contender) (topology.Names, *schemas.Format) {
	names := b.input
	if !c.avro {
		return names, nil
	}
	names.Observations += "-avro"
	names.IdentityEvents += "-avro"
	return names, b.format
}

// observationOf tells from a transition, JSON or Avro, which observation it is
// for.
func (b *rig) observationOf(transition []byte) (int, bool) {
	if !schemas.IsAvro(transition) {
		return observationOf(transition)
	}
	t, err := b.writers.Transition(transition)
	return observationAt(t.TS), err == nil
}
