package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/schemas"
)

// identityQuery is what the flags of the commands that send identity events ask
// for.
type identityQuery struct {
	event  attribution.IdentityEvent
	unseen bool // names that are not known are taken as they are
	yes    bool // nobody is asked
	wait   bool // until the event is over
}

// resolve replaces what the user typed by the ids that are meant. What is not
// known is refused: an event with it would be taken, kept, and do nothing. The
// identity of formed may be new.
func (a *app) resolve(ctx context.Context, cl *kgo.Client, q *identityQuery, names *directory) error {
	e := &q.event
	identity := func(text string) (string, error) {
		id, err := a.findIdentity(ctx, cl, names, text)
		if err != nil && (q.unseen || e.Type == attribution.Formed && len(text) >= 32 || e.Type == attribution.Formed && !names.begins(text)) {
			return text, nil
		}
		return id, unseenHint(err)
	}
	var err error
	if e.Identity, err = identity(e.Identity); err != nil {
		return err
	}
	if e.Type == attribution.Merged || e.Type == attribution.Unmerged {
		// Of these the loser's own id counts, and not that of whom it stands for. An
		// attacker that belongs to the winner now is to be itself again: its stub.
		named := e.Loser
		if e.Loser, err = identity(named); err != nil {
			return err
		}
		if e.Type == attribution.Unmerged && e.Loser == e.Identity {
			if m, err := names.find(named); err == nil && m.identity == "" {
				e.Loser = attribution.Stub([]byte(m.attacker)).String()
			}
		}
	}
	for i, text := range e.Attackers {
		id, err := names.findAttacker(text)
		switch {
		case err == nil:
			e.Attackers[i] = id
		case !q.unseen:
			return unseenHint(err)
		default:
			e.Attackers[i], _ = attackerOf(text)
		}
	}
	return nil
}

// unseenHint adds to an error how to name what has not been seen.
func unseenHint(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; --unseen takes names as they are", err)
}

// begins reports whether an id that is known begins with text.
func (n *directory) begins(text string) bool {
	for id := range n.identities {
		if strings.HasPrefix(id, text) {
			return true
		}
	}
	for id := range n.attackers {
		if strings.HasPrefix(id, text) {
			return true
		}
	}
	return false
}

// willMove says what an event will do, as far as the topics say who belongs
// where.
func (n *directory) willMove(e *attribution.IdentityEvent) []string {
	var lines []string
	to, verb := e.Identity, "move to"
	switch e.Type {
	case attribution.Merged:
		members := n.identities[e.Loser].Attackers
		if stub := n.stubs[e.Loser]; stub != "" && n.identities[e.Loser].Version == 0 {
			members = []string{stub}
		}
		total := max(int64(len(members)), n.identities[e.Loser].Total)
		lines = append(lines, fmt.Sprintf("%s becomes part of %s, with %s", n.shown(e.Loser), n.shown(e.Identity), plural(int(total), "attacker")))
	case attribution.Unmerged:
		to, verb = e.Loser, "return to"
		lines = append(lines, n.shown(e.Loser)+" is itself again")
		if len(e.Attackers) == 0 {
			lines = append(lines, "no attacker goes back to it: name the ones that shall")
		}
	}
	for i, attacker := range e.Attackers {
		if i == 20 {
			lines = append(lines, "and "+plural(len(e.Attackers)-i, "more attacker"))
			break
		}
		from := n.owner(attacker)
		name := attacker
		if list := n.addresses[attacker]; len(list) > 0 {
			name = list[0]
		}
		if from == to {
			lines = append(lines, fmt.Sprintf("%s is there already", printable(name)))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s: %s %s, from %s", printable(name), verb, n.shown(to), n.shown(from)))
	}
	return lines
}

// agreed asks on a terminal, and reports whether to go on.
func (a *app) agreed(q *identityQuery) bool {
	if q.yes || !isTerminal(a.out) || !isTerminal(a.in) {
		return true
	}
	fmt.Fprint(a.err, "Send it? [y/N] ")
	answer, _ := bufio.NewReader(a.in).ReadString('\n')
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer)))
}

// awaitChange waits until the event at an offset is over, and says what it has
// done.
func (a *app) awaitChange(ctx context.Context, offset int64, since time.Time, names *directory) error {
	reader, err := a.recordReader(ctx)
	if err != nil {
		return err
	}
	cl, err := a.connect(ctx, kgo.ConsumeTopics(a.cfg.Topics.IdentityChanged), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(since.UnixMilli())))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the end of the event: %w", context.Cause(ctx))
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			if failed == nil {
				failed = fmt.Errorf("the event was sent; waiting for its end: reading %s[%d]: %w", topic, partition, err)
			}
		})
		if failed != nil {
			return failed
		}
		var change *attribution.IdentityChange
		fetches.EachRecord(func(r *kgo.Record) {
			if reader.await(r.Value) != nil {
				return
			}
			if c, err := reader.IdentityChange(r.Value); err == nil && c.Offset == offset {
				change = &c
			}
		})
		if change != nil {
			_, err := fmt.Fprintf(a.out, "over: %s moved to %s, %s changed\n", plural(int(change.Moved), "attacker"), names.shown(change.Identity), plural(int(change.Rows), "row"))
			return err
		}
	}
}

// sendIdentityEvent writes an event, keyed as the clusterer's are, and says
// where it stands.
func (a *app) sendIdentityEvent(ctx context.Context, q *identityQuery) error {
	e := &q.event
	if _, err := schemas.DecodeIdentityEvent("", schemas.AppendIdentityEvent(nil, e)); err != nil {
		return usageErrorf("the event would be a bad record: %w", err)
	}
	cl, err := a.connect(ctx, kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := a.requireTopics(ctx, cl, true, a.cfg.Topics.IdentityEvents); err != nil {
		return err
	}
	names, err := a.readDirectory(ctx, cl)
	if err != nil {
		return err
	}
	if err := a.resolve(ctx, cl, q, names); err != nil {
		return err
	}
	if e.Identity == e.Loser && (e.Type == attribution.Merged || e.Type == attribution.Unmerged) {
		return usageErrorf("winner and loser are the same identity, %s", shortID(e.Identity))
	}
	for _, line := range names.willMove(e) {
		fmt.Fprintln(a.err, line)
	}
	if !a.agreed(q) {
		return usageErrorf("nothing was sent")
	}
	format, err := a.inputFormat(ctx, a.cfg.Schemas.OutputFormat, schemas.IdentityEventContract)
	if err != nil {
		return err
	}
	began := time.Now().Add(-time.Minute)
	sent, err := cl.ProduceSync(ctx, &kgo.Record{Topic: a.cfg.Topics.IdentityEvents, Key: []byte(e.Identity), Value: format.AppendIdentityEvent(nil, e)}).First()
	if err != nil {
		return fmt.Errorf("sending the event to %s: %w", a.cfg.Topics.IdentityEvents, err)
	}
	if _, err := fmt.Fprintf(a.out, "%s[%d] offset %d: %s\n", sent.Topic, sent.Partition, sent.Offset, a.safeJSON(schemas.AppendIdentityEvent(nil, e))); err != nil || !q.wait {
		return err
	}
	return a.awaitChange(ctx, sent.Offset, began, names)
}
