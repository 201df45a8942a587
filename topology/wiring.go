package topology

import (
	"fmt"
	"strings"
)

// Node is a thing of the topology.
type Node struct {
	Name   string
	Kind   string // topic, task, store, sensor
	Detail string // for topics: how they are cut and cleaned up
}

// Edge is who gives what to whom.
type Edge struct {
	From, To string
	What     string
}

// Graph is the topology as it is drawn. It is made from the same names that
// the tasks run on; a test compares its edges with what a run reads and writes.
type Graph struct {
	Nodes []Node
	Edges []Edge
}

const (
	taskNode   = "task p"
	storeNode  = "store p"
	sensorNode = "sensor adapter"
)

// Graph returns the topology of an application with these topics.
func (n Names) Graph() Graph {
	g := Graph{Nodes: []Node{
		{sensorNode, "sensor", "handprint ingest, or a sensor of other make"},
		{n.Observations, "topic", "N partitions by attacker_uuid, delete"},
		{n.Profiles, "topic", "by attacker_uuid/sensor, compact and delete"},
		{n.IdentityEvents, "topic", "1 partition, read by task 0, delete"},
		{n.Commands, "topic", "N partitions, written to the partition of the task meant, delete, internal"},
		{taskNode, "task", "one for each of N partitions, spread over all instances"},
		{storeNode, "store", "Pebble: rows, series, links, suspects of partition p"},
		{n.Changelog, "topic", "N partitions by store key, compact, internal"},
		{n.StateChanged, "topic", "by identity_uuid, delete"},
		{n.MultiActorSuspects, "topic", "by identity_uuid, delete"},
		{n.IdentityChanged, "topic", "by identity_uuid, delete"},
		{n.Identities, "topic", "by identity_uuid, compact"},
		{n.State, "topic", "by identity_uuid/primitive, compact"},
		{n.DeadLetter, "topic", "the original's key, delete"},
		{n.Health, "topic", "heartbeats, delete"},
		{n.Control, "topic", "stop, delete"},
	}}
	edge := func(from, to, what string) { g.Edges = append(g.Edges, Edge{from, to, what}) }
	edge(sensorNode, n.Observations, "what behaved how, and when")
	edge(sensorNode, n.Profiles, "under which address an attacker is known")
	edge(sensorNode, n.DeadLetter, "lines that cannot be used")
	edge(n.Observations, taskNode, "observations of the attackers that hash to p")
	edge(n.IdentityEvents, taskNode, "who is who (task 0)")
	edge(n.Commands, taskNode, "what other tasks say, and ticks")
	edge(n.Control, taskNode, "stop")
	edge(taskNode, storeNode, "reads and writes")
	edge(taskNode, n.Changelog, "every store write, in the same transaction")
	edge(n.Changelog, storeNode, "restore")
	edge(taskNode, n.StateChanged, "a row is new or changed its state")
	edge(taskNode, n.MultiActorSuspects, "the sweep")
	edge(taskNode, n.IdentityChanged, "an identity event is over (task 0)")
	edge(taskNode, n.Identities, "who belongs to an identity, and what it is merged into")
	edge(taskNode, n.State, "rows and tombstones")
	edge(taskNode, n.DeadLetter, "records that cannot be used")
	edge(taskNode, n.Commands, "misrouted and linked observations, moves between identities")
	edge(taskNode, n.Health, "a heartbeat, every health-interval")
	return g
}

// Text draws the graph for a terminal.
func (g Graph) Text() string {
	var b strings.Builder
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "%s %s (%s)\n", n.Kind, n.Name, n.Detail)
		for _, e := range g.Edges {
			if e.From == n.Name {
				fmt.Fprintf(&b, "    --> %s: %s\n", e.To, e.What)
			}
		}
	}
	return b.String()
}

// Mermaid draws the graph as a Mermaid flowchart.
func (g Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	ids := g.ids()
	for _, n := range g.Nodes {
		open, shut := "[/", "/]"
		switch n.Kind {
		case "task", "sensor":
			open, shut = "([", "])"
		case "store":
			open, shut = "[(", ")]"
		}
		fmt.Fprintf(&b, "    %s%s\"%s\"%s\n", ids[n.Name], open, n.Name, shut)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "    %s -->|%q| %s\n", ids[e.From], e.What, ids[e.To])
	}
	return b.String()
}

// DOT draws the graph for Graphviz.
func (g Graph) DOT() string {
	var b strings.Builder
	b.WriteString("digraph handprint {\n    rankdir=LR;\n")
	for _, n := range g.Nodes {
		shape := "parallelogram"
		switch n.Kind {
		case "task", "sensor":
			shape = "ellipse"
		case "store":
			shape = "cylinder"
		}
		fmt.Fprintf(&b, "    %q [shape=%s, tooltip=%q];\n", n.Name, shape, n.Detail)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "    %q -> %q [label=%q];\n", e.From, e.To, e.What)
	}
	b.WriteString("}\n")
	return b.String()
}

func (g Graph) ids() map[string]string {
	ids := make(map[string]string, len(g.Nodes))
	for i, n := range g.Nodes {
		ids[n.Name] = fmt.Sprintf("n%d", i)
	}
	return ids
}
