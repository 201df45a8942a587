package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"handprint/attribution"
	"handprint/schemas"
)

// coordinatorTask reads the identity events. It knows every pointer between
// identities, for only events make them, so what an event names is resolved
// when it is taken and bad ones are told at once. Then events are carried out.
// One is over when every task has compared the rows that it changed; until then
// none begins that touches the same attackers or identities, which is what
// makes one event one step (schedule.go).
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
	// Owners are the identities that the listed attackers may have to leave,
	// besides their stubs.
	Owners [][]byte
	// Alone says that they are not all known: nothing else may run meanwhile.
	Alone bool
}

// running is how far an action under way has come.
type running struct {
	By            origin
	Winner, Loser []byte
	Left          int64   // dones of this wave still to come; below 0 if members overtake the count of them
	Telling       bool    // the loser's home is telling members, and will say how many
	From          []byte  // the member that it goes on with in the next wave; empty: none
	Sent, Listed  uint64  // listed attackers told so far, and in all
	Touched       []int32 // tasks that have rows to compare, sorted
	Settling      bool    // Left then counts the tasks that still compare
}

// waveOver reports whether everything that was told to move has arrived.
func (r *running) waveOver() bool { return r.Left == 0 && !r.Telling }

// identityEvent takes a record of the identity events.
func (e *Engine) identityEvent() error {
	if e.task != coordinatorTask || e.now.Partition != 0 {
		return fmt.Errorf("identity event in partition %d read by task %d: identity events must have exactly one partition, or they have no order", e.now.Partition, e.task)
	}
	decoder := schemas.IdentityEventDecoder{MaxBytes: e.cfg.RecordLimit, Writers: e.cfg.Writers}
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
	if err := e.findOwners(&a); err != nil {
		return err
	}
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
	// An event may have named the attacker since it was seen: then that holds,
	// and the claim comes to nothing where it is carried out.
	a := action{By: origin{Offset: e.now.Offset, Time: e.now.Time}, Winner: winner, Claim: true, Attackers: [][]byte{c.Attacker}}
	e.keys.other = idKey(e.keys.other, kindOwner, c.Attacker)
	named, err := e.store.Get(e.keys.other)
	if err != nil {
		return fmt.Errorf("reading whose attacker %s is: %w", c.Attacker, err)
	}
	if named == nil {
		if err := e.findOwners(&a); err != nil {
			return err
		}
		a.Owners, a.Alone = nil, false
	}
	return e.enqueue(&a)
}

func (e *Engine) enqueue(a *action) error {
	taken, err := e.lastVersion()
	if err != nil {
		return err
	}
	a.By.Version = taken + 1
	e.store.Put([]byte{kindCoordinator}, binary.AppendUvarint([]byte{1}, a.By.Version))
	e.keys.other = numberKey(e.keys.other, kindQueue, a.By.Version)
	e.store.Put(e.keys.other, appendAction(nil, a))
	return e.startReady()
}

// lastVersion is the version of the event that was taken last.
func (e *Engine) lastVersion() (uint64, error) {
	b, err := e.store.Get([]byte{kindCoordinator})
	if err != nil || b == nil {
		return 0, err
	}
	in := reader{b: b}
	in.version(1)
	v := in.uvarint()
	return v, in.end("version of the last identity event")
}

// wave is how many attackers are told to move before those before them have
// arrived: however many an event concerns, no transaction moves more.
var wave uint64 = 64 // tests make it small

// start sends an action to the tasks that it concerns.
func (e *Engine) start(a *action) error {
	r := running{By: a.By, Winner: a.Winner, Loser: a.Loser, Listed: uint64(len(a.Attackers)), Telling: a.Merge}
	if a.Merge {
		e.send(e.identityHome(a.Loser), a.Loser, appendMerge(e.buf.cmd, &merge{By: a.By, Loser: a.Loser, Winner: a.Winner}))
	}
	if a.Unmerge {
		r.Left++
		e.send(e.identityHome(a.Loser), a.Loser, appendUnmerge(e.buf.cmd, &unmerge{By: a.By, Loser: a.Loser}))
	}
	e.tellListed(&r, a)
	return e.advance(&r)
}

// tellListed sends the next wave of the attackers that an event lists.
func (e *Engine) tellListed(r *running, a *action) {
	next := a.Attackers[r.Sent:min(r.Sent+wave, r.Listed)]
	perHome := make([][][]byte, e.cfg.Partitions)
	for _, attacker := range next {
		home := e.attackerHome(attacker)
		perHome[home] = append(perHome[home], attacker)
	}
	for home, list := range perHome {
		if len(list) > 0 {
			e.send(int32(home), a.Winner, appendLinkTo(e.buf.cmd, &linkTo{By: a.By, Identity: a.Winner, Claim: a.Claim, Attackers: list}))
		}
	}
	r.Sent += uint64(len(next))
	r.Left += int64(len(next))
}

// done is an attacker that has arrived, or another part of the event that is
// over.
func (e *Engine) done(d *done) error {
	r, err := e.running(d.Version)
	if err != nil {
		return err
	}
	if r.Settling || r.waveOver() || d.Told && !r.Telling {
		return fmt.Errorf("identity event %d is reported done when nothing of it is left to do", d.Version)
	}
	if d.Told {
		r.Telling, r.From = false, d.From
		r.Left += int64(d.Members)
	} else {
		r.Left--
	}
	for _, task := range d.Touched {
		if at, there := slices.BinarySearch(r.Touched, task); !there {
			r.Touched = slices.Insert(r.Touched, at, task)
		}
	}
	return e.advance(&r)
}

// settled is a task that has compared its rows.
func (e *Engine) settled(s *settled) error {
	r, err := e.running(s.Version)
	if err != nil {
		return err
	}
	if !r.Settling || r.Left == 0 {
		return fmt.Errorf("identity event %d is reported settled when it is not being settled", s.Version)
	}
	r.Left--
	return e.advance(&r)
}

// advance brings an action as far as it can go and writes how far that is.
func (e *Engine) advance(r *running) error {
	for r.waveOver() {
		switch {
		case r.Sent < r.Listed:
			a, err := e.footprint(r.By.Version)
			if err != nil {
				return err
			}
			e.tellListed(r, &a)
		case len(r.From) > 0:
			e.send(e.identityHome(r.Loser), r.Loser, appendMerge(e.buf.cmd, &merge{By: r.By, Loser: r.Loser, Winner: r.Winner, From: r.From}))
			r.Telling, r.From = true, nil
		case !r.Settling && len(r.Touched) > 0:
			r.Settling, r.Left = true, int64(len(r.Touched))
			for _, task := range r.Touched {
				e.send(task, nil, appendSettle(e.buf.cmd, &settle{By: r.By, Winner: r.Winner, Loser: r.Loser}))
			}
		default:
			return e.finish(r.By.Version)
		}
	}
	e.keys.other = numberKey(e.keys.other, kindRunning, r.By.Version)
	e.store.Put(e.keys.other, appendRunning(nil, r))
	return nil
}

func (e *Engine) running(version uint64) (r running, err error) {
	e.keys.other = numberKey(e.keys.other, kindRunning, version)
	b, err := e.store.Get(e.keys.other)
	if err == nil && b == nil {
		err = errors.New("it is not under way")
	}
	if err == nil {
		r, err = decodeRunning(bytes.Clone(b))
	}
	if err != nil {
		return r, fmt.Errorf("identity event %d: %w", version, err)
	}
	return r, nil
}

func appendAction(dst []byte, a *action) []byte {
	dst = appendOrigin(append(dst, 1), a.By)
	dst = appendBytes(dst, a.Winner)
	dst = appendBytes(dst, a.Loser)
	dst = appendBool(dst, a.Merge)
	dst = appendBool(dst, a.Unmerge)
	dst = appendBool(dst, a.Claim)
	dst = appendList(dst, a.Attackers)
	dst = appendList(dst, a.Owners)
	return appendBool(dst, a.Alone)
}

func decodeAction(b []byte) (a action, err error) {
	in := reader{b: b}
	in.version(1)
	a = action{By: in.origin(), Winner: in.bytes(), Loser: in.bytes(), Merge: in.byte() == 1, Unmerge: in.byte() == 1, Claim: in.byte() == 1}
	a.Attackers, a.Owners, a.Alone = in.list(), in.list(), in.byte() == 1
	return a, in.end("queued identity event")
}

func appendRunning(dst []byte, r *running) []byte {
	dst = appendOrigin(append(dst, 1), r.By)
	dst = appendBytes(dst, r.Winner)
	dst = appendBytes(dst, r.Loser)
	dst = binary.AppendVarint(dst, r.Left)
	dst = appendBool(dst, r.Telling)
	dst = appendBytes(dst, r.From)
	dst = binary.AppendUvarint(dst, r.Sent)
	dst = binary.AppendUvarint(dst, r.Listed)
	dst = binary.AppendUvarint(dst, uint64(len(r.Touched)))
	for _, task := range r.Touched {
		dst = binary.AppendUvarint(dst, uint64(task))
	}
	return appendBool(dst, r.Settling)
}

func decodeRunning(b []byte) (r running, err error) {
	in := reader{b: b}
	in.version(1)
	r = running{By: in.origin(), Winner: in.bytes(), Loser: in.bytes(), Left: in.varint(), Telling: in.byte() == 1, From: in.bytes(), Sent: in.uvarint(), Listed: in.uvarint()}
	for range in.count(1) {
		r.Touched = append(r.Touched, int32(in.uvarint()))
	}
	r.Settling = in.byte() == 1
	return r, in.end("identity event under way")
}
