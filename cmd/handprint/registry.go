package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"handprint/schemas"
	"handprint/schemas/registry"
	"handprint/topology"
)

// registry returns a client of the schema registry, nil if none is configured.
func (a *app) registry() (*registry.Client, error) {
	c := &a.cfg.Schemas
	if len(c.RegistryURLs) == 0 {
		return nil, nil
	}
	tls, err := c.TLSConfig()
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	r, err := registry.New(registry.Config{
		URLs: c.RegistryURLs, User: c.User, Password: c.Password, Token: c.Token, TLS: tls, Timeout: c.Timeout, Log: a.log,
	})
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	return r, nil
}

// useSchemas gives an application the registry for its input and the format of
// its output. It waits for the ids of the schemas to write by: a process that
// does not know them must not process anything. Observers show what it waits for.
func (a *app) useSchemas(ctx context.Context, c *topology.Config, o *observers) error {
	r, err := a.registry()
	if err != nil || r == nil {
		return err
	}
	o.waiting = r.Problem
	if o.server != nil {
		o.server.AwaitStart(r.Problem)
	}
	c.Schemas, c.Engine.Writers = r, r.Writers()
	if a.cfg.Schemas.OutputFormat != "avro" {
		return nil
	}
	c.Engine.Format, err = a.avroFormat(ctx, r, schemas.TransitionContract, schemas.SuspicionContract, schemas.StateRowContract,
		schemas.IdentityContract, schemas.IdentityChangeContract, schemas.DeadLetterContract, schemas.HeartbeatContract)
	return err
}

// avroFormat returns the Avro format of some contracts, when the registry has
// told their ids.
func (a *app) avroFormat(ctx context.Context, r *registry.Client, contracts ...schemas.Contract) (*schemas.Format, error) {
	all, wanted := a.subjects(), make(map[schemas.Contract]string)
	for _, c := range contracts {
		wanted[c] = all[c]
	}
	format, err := r.Format(ctx, wanted, a.cfg.Schemas.AutoRegister)
	var no *registry.RefusedError
	switch {
	case errors.As(err, &no) && !a.cfg.Schemas.AutoRegister && no.Status == 404:
		return nil, usageErrorf("%w; register it with `handprint schemas register`", err)
	case errors.As(err, &no):
		return nil, &codeError{exitUsage, err}
	}
	return format, err
}

// inputFormat returns the format of what a command writes into input topics, by
// the word of --output-format; nil for JSON. It waits for the registry no longer
// than for brokers.
func (a *app) inputFormat(ctx context.Context, word string, contracts ...schemas.Contract) (*schemas.Format, error) {
	if word != "avro" {
		return nil, nil
	}
	r, err := a.needRegistry()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Connection.Timeout)
	defer cancel()
	return a.avroFormat(ctx, r, contracts...)
}

// subjects returns the subject of each contract.
func (a *app) subjects() map[schemas.Contract]string {
	t, naming := &a.cfg.Topics, registry.Naming(a.cfg.Schemas.Naming)
	all := make(map[schemas.Contract]string)
	for c, topic := range map[schemas.Contract]string{
		schemas.ObservationContract: t.Observations, schemas.IdentityEventContract: t.IdentityEvents, schemas.TransitionContract: t.StateChanged,
		schemas.SuspicionContract: t.MultiActorSuspects, schemas.StateRowContract: t.State, schemas.DeadLetterContract: t.DeadLetter,
		schemas.HeartbeatContract: t.Health, schemas.AttackerProfileContract: t.Profiles, schemas.IdentityContract: t.Identities,
		schemas.IdentityChangeContract: t.IdentityChanged,
	} {
		all[c] = naming.Subject(c, topic)
	}
	return all
}

// recordReader decodes records of the public topics, JSON or Avro. The zero
// recordReader decodes JSON alone.
type recordReader struct {
	*schemas.Writers
	find func(record []byte) error
}

// await makes sure that the schema of a record is known.
func (r *recordReader) await(record []byte) error {
	if r.find == nil {
		return nil
	}
	return r.find(record)
}

// recordReader returns a reader that asks the configured registry until ctx
// ends, but no longer than brokers are waited for.
func (a *app) recordReader(ctx context.Context) (recordReader, error) {
	r, err := a.registry()
	if err != nil {
		return recordReader{}, err
	}
	if r == nil {
		return recordReader{find: func(record []byte) error {
			if schemas.IsAvro(record) {
				return usageErrorf("the topic holds Avro records: set schema-registry-url, where their schemas are")
			}
			return nil
		}}, nil
	}
	return recordReader{Writers: r.Writers(), find: func(record []byte) error {
		limit, cancel := context.WithTimeout(ctx, a.cfg.Connection.Timeout)
		defer cancel()
		if err := r.Await(limit, record); err != nil {
			return fmt.Errorf("reading an Avro record: %w", err)
		}
		return nil
	}}, nil
}

// registryNames lists the registry's URLs for people.
func (a *app) registryNames() string { return strings.Join(a.cfg.Schemas.RegistryURLs, ", ") }
