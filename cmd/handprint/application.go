package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/internal/config"
	"handprint/internal/memory"
	"handprint/processor"
	"handprint/state"
	"handprint/topology"
)

// engineConfig returns what the tasks compute, as it is configured.
func (a *app) engineConfig() (engine.Config, error) {
	c := engine.Config{
		Thresholds:  a.cfg.Thresholds,
		Registry:    attribution.DefaultRegistry(),
		RecordLimit: a.cfg.Values.RecordSizeLimit,
		MaxAhead:    a.cfg.Values.MaxAhead,
		Retention:   a.cfg.Values.Retention,
		Strict:      a.cfg.Values.Strict,
		Counters:    new(engine.Counters),
		Unions:      engine.NewUnionMemory(memory.Read().Unions()),
	}
	if a.cfg.Application.UpgradeFrom != "" {
		c.RecordVersion = 1 // what 0.1 reads
	}
	if name := a.cfg.Values.RegistryFile; name != "" {
		file, err := os.Open(name)
		if err != nil {
			return c, usageErrorf("registry-file: %w", err)
		}
		defer file.Close()
		if c.Registry, err = attribution.ReadRegistry(file); err != nil {
			return c, usageErrorf("registry-file %s: %w", name, err)
		}
	}
	return c, nil
}

// rules returns the settings by which records are processed, and the registry as a
// digest, by name: processes of one application compare them.
func (a *app) rules(registry *attribution.Registry) map[string]string {
	rules := make(map[string]string)
	for _, s := range a.settings.Settings() {
		if (s.Group == config.GroupThresholds || s.Group == config.GroupValues) && s.Name != "registry-file" {
			rules[s.Name] = s.Value()
		}
	}
	rules["registry"] = registryDigest(registry)
	return rules
}

// registryDigest returns a digest of what the registry decides.
func registryDigest(r *attribution.Registry) string {
	h := sha256.New()
	for _, name := range r.Names() {
		p := r.Lookup([]byte(name))
		fmt.Fprintf(h, "%q %v %q %v %q", p.Name, p.Kind, p.Group, p.Returning, p.Values)
		if p.Min != nil {
			fmt.Fprintf(h, " %v", *p.Min)
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// application returns the application as it is configured, on the cluster that
// client options name. It has no store yet.
func (a *app) application(client []kgo.Opt) (topology.Config, error) {
	e, err := a.engineConfig()
	if err != nil {
		return topology.Config{}, err
	}
	r := &a.cfg.Runtime
	return topology.Config{
		Names:         a.cfg.Topics,
		Engine:        e,
		SweepInterval: r.SweepInterval,
		Runtime: processor.Config{
			ApplicationID:      a.cfg.Application.ID,
			InstanceID:         r.InstanceID,
			StaticMembership:   r.StaticMembership,
			Standbys:           r.Standbys,
			AcceptableLag:      int64(r.RecoveryLag),
			Rack:               r.Rack,
			StallTimeout:       r.StallTimeout,
			StopOnLostInput:    r.OnLostInput == "stop",
			CommandRetention:   a.cfg.Layout.CommandRetention,
			Client:             client,
			Rules:              a.rules(e.Registry),
			Partitions:         a.cfg.Layout.Partitions,
			Threads:            r.Threads,
			HeartbeatInterval:  r.HeartbeatInterval,
			MaxBatchRecords:    r.BatchRecords,
			MaxBatchBytes:      r.BatchBytes,
			MaxBatchUnpacked:   a.cfg.Connection.MaxBatchUnpacked,
			TransactionTimeout: r.TransactionTimeout,
			SessionTimeout:     r.SessionTimeout,
			RebalanceTimeout:   r.RebalanceTimeout,
			StartTimeout:       a.cfg.Connection.Timeout,
			ChangelogRetention: a.cfg.Layout.TombstoneLifetime,
			Logger:             a.log,
		},
	}, nil
}

// injectFaults is set in binaries built with the tag faults, which tests use to
// let a process die at a given step. No other binary has any.
var injectFaults func(*topology.Config, *state.Options)

// openStore opens the store in the state directory and gives the application
// its instance id, which is kept there.
func (a *app) openStore(c *topology.Config, dir string) error {
	record, blocks := a.cfg.Runtime.Caches()
	o := state.Options{Logger: a.log, HoldBytes: record, CacheBytes: int64(blocks)}
	if injectFaults != nil {
		injectFaults(c, &o)
	}
	store, err := state.Open(filepath.Join(dir, "store"), o)
	if err != nil {
		return err
	}
	if c.Runtime.InstanceID == "" {
		if c.Runtime.InstanceID, c.Runtime.ConfirmInstance, err = instanceID(dir); err != nil {
			return errors.Join(&codeError{exitState, err}, store.Close())
		}
	}
	c.Runtime.Store = store
	return nil
}
