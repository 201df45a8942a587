package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/engine"
	"handprint/ingest"
	"handprint/internal/broker"
	"handprint/schemas"
)

// directory is the identities, attackers and addresses that the topics know, for
// commands that are told an address, an id, or the beginning of one.
type directory struct {
	addresses  map[string][]string               // of an attacker, in the order in which they were read
	attackers  map[string]bool                   // that somebody has named or seen
	identities map[string]attribution.Membership // those without a record of their own are empty
	stubs      map[string]string                 // the attacker of a stub, if it is known
}

// readDirectory reads the profiles, the identities and the keys of the rows.
func (a *app) readDirectory(ctx context.Context, cl *kgo.Client) (*directory, error) {
	t := &a.cfg.Topics
	return a.readDirectoryFrom(ctx, cl, t.Profiles, t.Identities, t.State)
}

// readNames reads the profiles and the identities: what it takes to say the
// address of an identity.
func (a *app) readNames(ctx context.Context, cl *kgo.Client) (*directory, error) {
	return a.readDirectoryFrom(ctx, cl, a.cfg.Topics.Profiles, a.cfg.Topics.Identities)
}

func (a *app) readDirectoryFrom(ctx context.Context, cl *kgo.Client, names ...string) (*directory, error) {
	n := &directory{
		addresses: make(map[string][]string), attackers: make(map[string]bool),
		identities: make(map[string]attribution.Membership), stubs: make(map[string]string),
	}
	reader, err := a.recordReader(ctx)
	if err != nil {
		return nil, err
	}
	t := &a.cfg.Topics
	var specs []broker.TopicSpec
	for _, name := range names {
		specs = append(specs, broker.TopicSpec{Name: name, Partitions: 1, AnyPartitions: true})
	}
	infos, err := broker.List(ctx, cl, specs)
	if err != nil {
		return nil, err
	}
	var topics []string
	for _, i := range infos {
		if i.Exists {
			topics = append(topics, i.Name)
		}
	}
	if len(topics) == 0 {
		return n, nil
	}
	return n, broker.Scan(ctx, cl, func(r *kgo.Record) error {
		if r.Topic == t.State {
			if identity, _, ok := schemas.SplitStateRowKey(r.Key); ok {
				if _, known := n.identities[identity]; !known {
					n.identities[identity] = attribution.Membership{}
				}
			}
			return nil
		}
		if len(r.Value) == 0 {
			return nil
		}
		if err := reader.await(r.Value); err != nil {
			return err
		}
		if r.Topic == t.Identities {
			m, err := reader.Membership(r.Value)
			if err == nil {
				n.member(&m)
			}
			return nil // what cannot be read names nobody
		}
		if p, err := reader.Profile(r.Value); err == nil {
			n.profile(&p)
		}
		return nil
	}, topics...)
}

func (n *directory) member(m *attribution.Membership) {
	n.identities[m.Identity] = *m
	for _, attacker := range m.Attackers {
		n.attacker(attacker)
	}
}

func (n *directory) attacker(id string) {
	if !n.attackers[id] {
		n.attackers[id] = true
		n.stubs[attribution.Stub([]byte(id)).String()] = id
	}
}

func (n *directory) profile(p *schemas.Profile) {
	n.attacker(p.Attacker)
	if !slices.Contains(n.addresses[p.Attacker], p.Address) {
		n.addresses[p.Attacker] = append(n.addresses[p.Attacker], p.Address)
	}
}

// owner returns whose an attacker is, as far as the records of the identities
// say it.
func (n *directory) owner(attacker string) string {
	stub := attribution.Stub([]byte(attacker)).String()
	for id, m := range n.identities {
		if slices.Contains(m.Attackers, attacker) {
			return id
		}
	}
	return stub
}

// addressesOf returns the addresses of an identity's attackers, as far as they
// are known, at most limit of them.
func (n *directory) addressesOf(identity string, limit int) (list []string) {
	members := n.identities[identity].Attackers
	if stub, known := n.stubs[identity]; known && n.identities[identity].Version == 0 {
		members = []string{stub}
	}
	for _, attacker := range members {
		for _, address := range n.addresses[attacker] {
			if len(list) < limit && !slices.Contains(list, address) {
				list = append(list, address)
			}
		}
	}
	return list
}

// address returns the first address of an identity, empty if none is known.
func (n *directory) address(identity string) string {
	if list := n.addressesOf(identity, 1); len(list) > 0 {
		return list[0]
	}
	return ""
}

// shown returns an identity for people: its addresses, or as much of its id as
// tells it from others.
func (n *directory) shown(identity string) string {
	if list := n.addressesOf(identity, 1); len(list) > 0 {
		return printable(list[0]) + " (" + shortID(identity) + ")"
	}
	return shortID(identity)
}

// attackerOf returns the attacker that somebody means by an address or an id.
func attackerOf(text string) (attacker string, isAddress bool) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return ingest.AttackerID(addr.Unmap().WithZone("")), true
	}
	return text, false
}

// meant is who somebody means.
type meant struct {
	identity string // empty: an attacker is meant
	attacker string
}

// find returns who is meant by an address, an id, or the beginning of one. The
// error says what is known instead.
func (n *directory) find(text string) (meant, error) {
	if attacker, isAddress := attackerOf(text); isAddress {
		if n.attackers[attacker] {
			return meant{attacker: attacker}, nil
		}
		if _, known := n.identities[attribution.Stub([]byte(attacker)).String()]; known {
			return meant{attacker: attacker}, nil
		}
		return meant{}, fmt.Errorf("address %s has not been seen", printable(text))
	}
	if _, known := n.identities[text]; known {
		return meant{identity: text}, nil
	}
	if n.attackers[text] {
		return meant{attacker: text}, nil
	}
	if _, known := n.identities[attribution.Stub([]byte(text)).String()]; known {
		return meant{attacker: text}, nil // seen, though nothing says its name
	}
	if stub, known := n.stubs[text]; known {
		return meant{identity: text, attacker: stub}, nil
	}
	var found []meant
	for id := range n.identities {
		if strings.HasPrefix(id, text) {
			found = append(found, meant{identity: id})
		}
	}
	for id := range n.attackers {
		if strings.HasPrefix(id, text) || slices.Contains(n.addresses[id], text) {
			found = append(found, meant{attacker: id})
		}
	}
	switch {
	case len(found) == 1 && text != "":
		return found[0], nil
	case len(found) == 0 || text == "":
		return meant{}, fmt.Errorf("%q is no address, attacker or identity that is known, and no beginning of an id", printable(text))
	}
	slices.SortFunc(found, func(a, b meant) int { return strings.Compare(a.identity+a.attacker, b.identity+b.attacker) })
	var list []string
	for _, m := range found[:min(len(found), 5)] {
		list = append(list, printable(m.identity+m.attacker))
	}
	return meant{}, fmt.Errorf("%q may mean any of %d, among them %s", printable(text), len(found), strings.Join(list, ", "))
}

// ownerOf reads whose an attacker is from the changelog of its home.
func (a *app) ownerOf(ctx context.Context, cl *kgo.Client, attacker string) (identity string, known bool, err error) {
	records, err := a.readChangelog(ctx, cl, func(n int32) int32 { return attribution.AttackerPartition(attacker, n) },
		func(key []byte) bool { return engine.ConcernsAttacker(key, attacker) })
	if err != nil {
		return "", false, err
	}
	return engine.Owner(records, attacker)
}

// findIdentity returns the identity that is meant, that of an attacker or an
// address too.
func (a *app) findIdentity(ctx context.Context, cl *kgo.Client, n *directory, text string) (string, error) {
	m, err := n.find(text)
	if err != nil {
		return "", usageErrorf("%w", err)
	}
	if m.identity != "" {
		return m.identity, nil
	}
	identity, known, err := a.ownerOf(ctx, cl, m.attacker)
	if err == nil && !known {
		err = fmt.Errorf("attacker %s was neither seen nor linked", printable(m.attacker))
	}
	return identity, err
}

// findAttacker returns the attacker that is meant.
func (n *directory) findAttacker(text string) (string, error) {
	m, err := n.find(text)
	switch {
	case err != nil:
		return "", usageErrorf("%w", err)
	case m.attacker != "":
		return m.attacker, nil
	case n.stubs[m.identity] != "":
		return n.stubs[m.identity], nil
	}
	return "", usageErrorf("%s is an identity, not an attacker", printable(m.identity))
}
