package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"handprint/attribution"
	"handprint/schemas"
)

// coordinatorTask reads the identity events. It knows every pointer between
// identities, for only events make them, so what an event names is resolved
// when it is taken and bad ones are told at once. Then events are carried out
// one after the other: the next begins when every task has compared the rows
// that the one before had changed, which is what makes one event one step.
const coordinatorTask = 0

// action is an event whose names are resolved, waiting for its turn.
type action struct {
	By        origin
	Winner    []byte // the identity that the listed attackers go to
	Loser     []byte // of a merge or an unmerge; else empty
	Merge     bool   // Loser points to Winner from now on
	Unmerge   bool   // Loser is itself again
	Claim     bool
	Attackers [][]byte
}

// running is the action under way.
type running struct {
	By            origin
	Winner, Loser []byte
	Left          int64   // dones still to come; below 0 if members overtake the count of them
	Telling       bool    // the loser's home has not told all of its members yet
	Touched       []int32 // tasks that have rows to compare, sorted
	Settling      bool    // Left then counts the tasks that still compare
}

func (r *running) over() bool { return r.Left == 0 && !r.Telling }

// coordinator is what task 0 keeps besides pointers and queue.
type coordinator struct {
	Taken  uint64 // the version of the event taken last
	Active bool
	Now    running
}

// identityEvent takes a record of the identity events.
func (e *Engine) identityEvent() error {
	if e.task != coordinatorTask || e.now.Partition != 0 {
		return fmt.Errorf("identity event in partition %d read by task %d: identity events must have exactly one partition, or they have no order", e.now.Partition, e.task)
	}
	decoder := schemas.IdentityEventDecoder{MaxBytes: e.cfg.RecordLimit}
	event, err := decoder.Decode(e.now.Type, e.now.Value)
	if err != nil {
		e.deadLetter(StageIdentityEvent, err.Error())
		return nil
	}
	a := action{By: origin{Type: event.Type, Offset: e.now.Offset, Time: e.now.Time}, Winner: []byte(event.Identity), Loser: []byte(event.Loser)}
	for _, id := range event.Attackers {
		a.Attackers = append(a.Attackers, []byte(id))
	}
	switch event.Type {
	case attribution.Formed, attribution.Linked:
		a.Winner, err = e.resolve(a.Winner)
	case attribution.Merged:
		var reason string
		if reason, err = e.resolveMerge(&a); reason != "" {
			e.deadLetter(StageIdentityEvent, reason)
			return nil
		}
	case attribution.Unmerged:
		// The loser means itself, whatever it points to, and whatever the
		// event takes for the winner.
		a.Winner, a.Unmerge = a.Loser, true
		e.drop(kindPointer, a.Loser)
	default:
		err = fmt.Errorf("event type %d has no meaning", event.Type)
	}
	if err != nil {
		return err
	}
	e.cfg.Counters.Events.Add(1)
	return e.enqueue(&a)
}

// resolveMerge finds whom the names of a merge mean now, and sets the pointer.
// It returns why the event is bad, if it is.
func (e *Engine) resolveMerge(a *action) (reason string, err error) {
	named := a.Loser
	if bytes.Equal(a.Winner, named) {
		return "identity.merged: merges an identity with itself", nil
	}
	winner, err := e.resolve(a.Winner)
	if err != nil {
		return "", err
	}
	loser, err := e.resolve(named)
	if err != nil {
		return "", err
	}
	if bytes.Equal(winner, named) {
		return "identity.merged: a circle: the winner is merged into the loser", nil
	}
	a.Winner, a.Loser = winner, loser
	if a.Merge = !bytes.Equal(winner, loser); a.Merge {
		e.keys.other = idKey(e.keys.other, kindPointer, loser)
		e.store.Put(e.keys.other, append([]byte{1}, winner...))
	}
	return "", nil
}

// resolve follows an identity's pointers to the end.
func (e *Engine) resolve(id []byte) ([]byte, error) {
	for {
		e.keys.other = idKey(e.keys.other, kindPointer, id)
		b, err := e.store.Get(e.keys.other)
		if err != nil {
			return nil, fmt.Errorf("reading what identity %s is merged into: %w", id, err)
		}
		if len(b) == 0 {
			return id, nil
		}
		id = bytes.Clone(b[1:])
	}
}

// claim answers whose an attacker is whose stub was merged before it was ever
// seen: that of whoever the stub stands for now. It takes its turn among the
// events, so that it means one moment between them.
func (e *Engine) claim(c *claim) error {
	winner, err := e.resolve([]byte(attribution.Stub(c.Attacker).String()))
	if err != nil {
		return err
	}
	return e.enqueue(&action{
		By: origin{Offset: e.now.Offset, Time: e.now.Time}, Winner: winner, Claim: true, Attackers: [][]byte{c.Attacker},
	})
}

func (e *Engine) enqueue(a *action) error {
	c, err := e.coordinator()
	if err != nil {
		return err
	}
	c.Taken++
	a.By.Version = c.Taken
	if c.Active {
		e.keys.other = numberKey(e.keys.other, kindQueue, a.By.Version)
		e.store.Put(e.keys.other, appendAction(nil, a))
	} else {
		e.start(&c, a)
	}
	return e.finish(&c)
}

// start sends an action to the tasks that it concerns.
func (e *Engine) start(c *coordinator, a *action) {
	c.Active = true
	c.Now = running{By: a.By, Winner: a.Winner, Loser: a.Loser, Left: int64(len(a.Attackers)), Telling: a.Merge}
	if a.Merge {
		e.send(e.identityHome(a.Loser), a.Loser, appendMerge(e.buf.cmd, &merge{By: a.By, Loser: a.Loser, Winner: a.Winner}))
	}
	if a.Unmerge {
		c.Now.Left++
		e.send(e.identityHome(a.Loser), a.Loser, appendUnmerge(e.buf.cmd, &unmerge{By: a.By, Loser: a.Loser}))
	}
	perHome := make([][][]byte, e.cfg.Partitions)
	for _, attacker := range a.Attackers {
		home := e.attackerHome(attacker)
		perHome[home] = append(perHome[home], attacker)
	}
	for home, list := range perHome {
		if len(list) > 0 {
			e.send(int32(home), a.Winner, appendLinkTo(e.buf.cmd, &linkTo{By: a.By, Identity: a.Winner, Claim: a.Claim, Attackers: list}))
		}
	}
}

// done is an attacker that has arrived, or another part of the event that is
// over.
func (e *Engine) done(d *done) error {
	c, err := e.coordinator()
	if err != nil {
		return err
	}
	if !c.Active || c.Now.Settling || c.Now.By.Version != d.Version || c.Now.over() || d.Told && !c.Now.Telling {
		return fmt.Errorf("event %d is reported done, but what runs is %d", d.Version, c.Now.By.Version)
	}
	if d.Told {
		c.Now.Telling = false
		c.Now.Left += int64(d.Members)
	} else {
		c.Now.Left--
	}
	for _, task := range d.Touched {
		if at, there := slices.BinarySearch(c.Now.Touched, task); !there {
			c.Now.Touched = slices.Insert(c.Now.Touched, at, task)
		}
	}
	return e.finish(&c)
}

// settled is a task that has compared its rows.
func (e *Engine) settled(s *settled) error {
	c, err := e.coordinator()
	if err != nil {
		return err
	}
	if !c.Active || !c.Now.Settling || c.Now.By.Version != s.Version || c.Now.Left == 0 {
		return fmt.Errorf("event %d is reported settled, but what runs is %d", s.Version, c.Now.By.Version)
	}
	c.Now.Left--
	return e.finish(&c)
}

// finish brings the action under way as far as it can go, takes the next ones,
// and writes what is kept.
func (e *Engine) finish(c *coordinator) error {
	for c.Active && c.Now.over() {
		if !c.Now.Settling && len(c.Now.Touched) > 0 {
			c.Now.Settling, c.Now.Left = true, int64(len(c.Now.Touched))
			for _, task := range c.Now.Touched {
				e.send(task, nil, appendSettle(e.buf.cmd, &settle{By: c.Now.By, Winner: c.Now.Winner, Loser: c.Now.Loser}))
			}
			break
		}
		next, err := e.dequeue()
		if err != nil {
			return err
		}
		if next == nil {
			c.Active, c.Now = false, running{}
			break
		}
		e.start(c, next)
	}
	e.store.Put([]byte{kindCoordinator}, appendCoordinator(nil, c))
	return nil
}

func (e *Engine) dequeue() (*action, error) {
	var key, value []byte
	err := e.store.Scan([]byte{kindQueue}, nil, func(k, v []byte) bool {
		key, value = bytes.Clone(k), bytes.Clone(v)
		return false
	})
	if err != nil || key == nil {
		return nil, err
	}
	e.store.Delete(key)
	a, err := decodeAction(value)
	return &a, err
}

func (e *Engine) coordinator() (c coordinator, err error) {
	b, err := e.store.Get([]byte{kindCoordinator})
	if err == nil && b != nil {
		c, err = decodeCoordinator(bytes.Clone(b))
	}
	if err != nil {
		return c, fmt.Errorf("reading which identity event is under way: %w", err)
	}
	return c, nil
}

func appendAction(dst []byte, a *action) []byte {
	dst = appendOrigin(append(dst, 1), a.By)
	dst = appendBytes(dst, a.Winner)
	dst = appendBytes(dst, a.Loser)
	dst = appendBool(dst, a.Merge)
	dst = appendBool(dst, a.Unmerge)
	dst = appendBool(dst, a.Claim)
	dst = binary.AppendUvarint(dst, uint64(len(a.Attackers)))
	for _, id := range a.Attackers {
		dst = appendBytes(dst, id)
	}
	return dst
}

func decodeAction(b []byte) (a action, err error) {
	in := reader{b: b}
	in.version(1)
	a = action{By: in.origin(), Winner: in.bytes(), Loser: in.bytes(), Merge: in.byte() == 1, Unmerge: in.byte() == 1, Claim: in.byte() == 1}
	for range in.count(1) {
		a.Attackers = append(a.Attackers, in.bytes())
	}
	return a, in.end("queued identity event")
}

func appendCoordinator(dst []byte, c *coordinator) []byte {
	dst = binary.AppendUvarint(append(dst, 1), c.Taken)
	dst = appendBool(dst, c.Active)
	if !c.Active {
		return dst
	}
	dst = appendOrigin(dst, c.Now.By)
	dst = appendBytes(dst, c.Now.Winner)
	dst = appendBytes(dst, c.Now.Loser)
	dst = binary.AppendVarint(dst, c.Now.Left)
	dst = appendBool(dst, c.Now.Telling)
	dst = binary.AppendUvarint(dst, uint64(len(c.Now.Touched)))
	for _, task := range c.Now.Touched {
		dst = binary.AppendUvarint(dst, uint64(task))
	}
	return appendBool(dst, c.Now.Settling)
}

func decodeCoordinator(b []byte) (c coordinator, err error) {
	in := reader{b: b}
	in.version(1)
	c.Taken = in.uvarint()
	if c.Active = in.byte() == 1; c.Active {
		c.Now = running{By: in.origin(), Winner: in.bytes(), Loser: in.bytes(), Left: in.varint(), Telling: in.byte() == 1}
		for range in.count(1) {
			c.Now.Touched = append(c.Now.Touched, int32(in.uvarint()))
		}
		c.Now.Settling = in.byte() == 1
	}
	return c, in.end("coordinator")
}
