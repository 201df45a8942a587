package topology

import (
	"fmt"
	"strconv"
	"time"

	"handprint/internal/broker"
)

// Names are the topics of an application.
type Names struct {
	Observations       string
	IdentityEvents     string
	StateChanged       string
	MultiActorSuspects string
	Identities         string // what each identity is now
	IdentityChanged    string
	Profiles           string // under which address an attacker is known; adapters write it
	State              string
	DeadLetter         string
	SIEM               string // beginning of the names of formatted topics, before .ocsf and the like
	Health             string
	Control            string

	Commands  string // internal
	Changelog string // internal
}

// DefaultNames returns the names of docs/attribution.md, "Topics", behind
// prefix (which may be empty). Internal topics bear the application id.
func DefaultNames(prefix, applicationID string) Names {
	return Names{
		Observations:       prefix + "attacker.observation",
		IdentityEvents:     prefix + "identity.events",
		StateChanged:       prefix + "attribution.profile.state_changed",
		MultiActorSuspects: prefix + "attribution.profile.multi_actor_suspected",
		Identities:         prefix + "attribution.identity",
		IdentityChanged:    prefix + "attribution.profile.identity_changed",
		Profiles:           prefix + "attacker.profile",
		State:              prefix + "attribution.state",
		DeadLetter:         prefix + "attribution.dead-letter",
		SIEM:               prefix + "attribution.siem",
		Health:             prefix + "system.attribution.health",
		Control:            prefix + "system.attribution.control",
		Commands:           prefix + applicationID + "-commands",
		Changelog:          prefix + applicationID + "-state-changelog",
	}
}

// Layout is how the topics are created, and checked when they exist.
type Layout struct {
	Partitions        int32         // of every topic except the ones with one partition
	Replication       int16         // -1: the cluster's default
	Retention         time.Duration // of the input and output topics; 0: the cluster's default
	CommandRetention  time.Duration // of commands that were read; the topic itself keeps everything
	ProfileRetention  time.Duration // of the profiles; 0: 90 days
	TombstoneLifetime time.Duration // delete.retention.ms of the compacted topics; 0: 24 h
}

// The largest record that handprint writes: a dead letter or an event whose
// value grew a little when it was written anew.
const maxRecord = 4 << 20

// DefaultTombstoneLifetime is how long a store may lag behind its changelog
// and still be brought up to date from it.
const DefaultTombstoneLifetime = 24 * time.Hour

// DefaultProfileRetention is how long an address is known after the last that
// is heard of it.
const DefaultProfileRetention = 90 * 24 * time.Hour

// Specs returns the topics as they have to be.
func (n Names) Specs(l Layout) []broker.TopicSpec {
	if l.ProfileRetention == 0 {
		l.ProfileRetention = DefaultProfileRetention
	}
	if l.TombstoneLifetime == 0 {
		l.TombstoneLifetime = DefaultTombstoneLifetime
	}
	log := func(name string, partitions int32, retention time.Duration) broker.TopicSpec {
		s := broker.TopicSpec{Name: name, Partitions: partitions, ReplicationFactor: l.Replication, Configs: map[string]string{
			"cleanup.policy":      "delete",
			"min.insync.replicas": "2",
			"max.message.bytes":   strconv.Itoa(maxRecord),
		}}
		if retention > 0 {
			s.Configs["retention.ms"] = millis(retention)
		}
		return s
	}
	table := func(name string) broker.TopicSpec {
		return broker.TopicSpec{Name: name, Partitions: l.Partitions, ReplicationFactor: l.Replication, Configs: map[string]string{
			"cleanup.policy":      "compact",
			"min.insync.replicas": "2",
			"max.message.bytes":   strconv.Itoa(maxRecord),
			"delete.retention.ms": millis(l.TombstoneLifetime),
		}}
	}
	profiles := table(n.Profiles)
	profiles.Configs["cleanup.policy"] = "compact,delete"
	profiles.Configs["retention.ms"] = millis(l.ProfileRetention)
	identities, identityChanged := table(n.Identities), log(n.IdentityChanged, l.Partitions, l.Retention)
	state, stateChanged := table(n.State), log(n.StateChanged, l.Partitions, l.Retention)
	suspects, dead := log(n.MultiActorSuspects, l.Partitions, l.Retention), log(n.DeadLetter, l.Partitions, l.Retention)
	for _, written := range []*broker.TopicSpec{&state, &stateChanged, &suspects, &identities, &identityChanged, &profiles, &dead} {
		written.AnyPartitions = true
	}
	// A command that is lost may be half of an identity event. The tasks delete
	// commands that they have read.
	commands := log(n.Commands, l.Partitions, 0)
	commands.Configs["retention.ms"], commands.Configs["retention.bytes"] = "-1", "-1"
	observations, events := log(n.Observations, l.Partitions, l.Retention), log(n.IdentityEvents, 1, l.Retention)
	health, control := log(n.Health, 1, l.Retention), log(n.Control, 1, l.Retention)
	for _, read := range []*broker.TopicSpec{&observations, &events, &control} {
		read.ReadOnly = true
	}
	health.SmallRecords, profiles.SmallRecords = true, true
	return []broker.TopicSpec{
		observations, events,
		stateChanged, suspects, identityChanged, state, identities, profiles, dead,
		health, control,
		commands,
		table(n.Changelog),
	}
}

// Formatted returns the topic of events in a format, as it has to be.
func (n Names) Formatted(format string, l Layout) broker.TopicSpec {
	s := broker.TopicSpec{Name: n.SIEM + "." + format, Partitions: l.Partitions, AnyPartitions: true, ReplicationFactor: l.Replication, Configs: map[string]string{
		"cleanup.policy":      "delete",
		"min.insync.replicas": "2",
		"max.message.bytes":   strconv.Itoa(maxRecord),
	}}
	if l.Retention > 0 {
		s.Configs["retention.ms"] = millis(l.Retention)
	}
	return s
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
