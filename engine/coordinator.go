package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"handprint/attribution"
	"handprint/schemas"
)

// CoordinatorTask is the number of the task that reads the identity events.
const CoordinatorTask = 0

// coordinator carries out the identity events, in task 0. Only events make
// pointers between identities, so it knows them all: it resolves the names of
// an event when it takes it, and answers a bad event with a dead letter at
// once. An event is over when every task has compared the rows that the event
// changed. Until then no other event begins that touches the same attackers or
// identities, so that one event is one step (schedule.go).
//
// What it has to remember is in the store of task 0, under keys that no other
// code uses. It shares nothing else with the task's [Engine].
type coordinator struct {
	store      Store
	schedule   schedule // mirrors the store
	taken      uint64   // version of the event that was taken last, as the store has it
	decoder    schemas.IdentityEventDecoder
	partitions int32
	counters   *Counters
	format     *schemas.Format // of what it sends

	// The record that is processed, and what takes the results.
	now *Record
	out Outbox

	starting bool // startReady is at work

	key, command []byte // buffers
}

func newCoordinator(cfg *Config) *coordinator {
	return &coordinator{
		decoder:    schemas.IdentityEventDecoder{MaxBytes: cfg.RecordLimit, Writers: cfg.Writers},
		partitions: cfg.Partitions,
		counters:   cfg.Counters,
		format:     cfg.Format,
	}
}

// begin makes r the record that is processed.
func (c *coordinator) begin(r *Record, store Store, out Outbox) {
	c.now, c.store, c.out = r, store, out
}

func (c *coordinator) send(task int32, key, command []byte) {
	c.command = command
	c.out.Send(task, key, command)
}

func (c *coordinator) deadLetter(reason string) {
	c.counters.DeadLetter(StageIdentityEvent)
	c.out.DeadLetter(StageIdentityEvent, reason)
}

func (c *coordinator) attackerHome(attacker []byte) int32 {
	return attribution.AttackerPartition(attacker, c.partitions)
}

func (c *coordinator) identityHome(identity []byte) int32 {
	return attribution.IdentityPartition(identity, c.partitions)
}

// identityChange is an event, or a claim, whose names are resolved.
type identityChange struct {
	By        origin
	Winner    []byte // the identity that the listed attackers go to
	Loser     []byte // of a merge or an unmerge; else empty
	Was       []byte // of an unmerge: whom Loser stood for until then; empty: itself
	Merge     bool   // Loser points to Winner from now on
	Unmerge   bool   // Loser is itself again
	Claim     bool   // a claim: an event that has named the attacker takes precedence
	Attackers [][]byte
	// Owners are the identities that the listed attackers may have to leave,
	// besides their stubs.
	Owners [][]byte
	// Alone says that not all owners are known: no other change may run beside.
	Alone bool
}

// inProgress is how far an identity change under way has come.
type inProgress struct {
	By            origin
	Winner, Loser []byte
	Left          int64   // dones of this wave still to come; below 0 if they overtake the number of members
	Telling       bool    // the loser's home is telling members, and will say how many
	From          []byte  // the member with which the next wave begins; empty: none is left
	Sent, Listed  uint64  // listed attackers told so far, and in all
	Touched       []int32 // tasks that have rows to compare, sorted
	Settling      bool    // Left then counts the tasks that still compare

	// What this wave began with, for another round of it: the listed attackers
	// told before it, whether the loser's home has a part in it, and the member
	// that a merge began with.
	WaveSent uint64
	WaveHome bool
	WaveFrom []byte
	Moved    moved // as far as the tasks have said
}

// waveOver reports whether everything that was told to move has arrived.
func (r *inProgress) waveOver() bool { return r.Left == 0 && !r.Telling }

// identityEvent takes a record of the identity events.
func (c *coordinator) identityEvent() error {
	event, err := c.decoder.Decode(c.now.Type, c.now.Value)
	if err != nil {
		c.deadLetter(err.Error())
		return nil
	}
	a := identityChange{By: origin{Type: event.Type, Offset: c.now.Offset, Time: c.now.Time}, Winner: []byte(event.Identity), Loser: []byte(event.Loser)}
	for _, id := range event.Attackers {
		a.Attackers = append(a.Attackers, []byte(id))
	}
	switch event.Type {
	case attribution.Formed, attribution.Linked:
		a.Winner, err = c.resolve(a.Winner)
	case attribution.Merged:
		var reason string
		if reason, err = c.resolveMerge(&a); reason != "" {
			c.deadLetter(reason)
			return nil
		}
	case attribution.Unmerged:
		// The loser means itself, whatever it points to, and whatever the
		// event takes for the winner.
		a.Winner, a.Unmerge = a.Loser, true
		if a.Was, err = c.resolve(a.Loser); bytes.Equal(a.Was, a.Loser) {
			a.Was = nil
		}
		c.key = idKey(c.key, kindPointer, a.Loser)
		c.store.Delete(c.key)
	default:
		err = fmt.Errorf("event type %d has no meaning", event.Type)
	}
	if err != nil {
		return err
	}
	c.counters.Events.Add(1)
	if err := c.findOwners(&a); err != nil {
		return err
	}
	return c.enqueue(&a)
}

// resolveMerge finds whom the names of a merge mean now, and sets the pointer.
// It returns why the event is bad, if it is.
func (c *coordinator) resolveMerge(a *identityChange) (reason string, err error) {
	named := a.Loser
	if bytes.Equal(a.Winner, named) {
		return "identity.merged: merges an identity with itself", nil
	}
	winner, err := c.resolve(a.Winner)
	if err != nil {
		return "", err
	}
	loser, err := c.resolve(named)
	if err != nil {
		return "", err
	}
	if bytes.Equal(winner, named) {
		return "identity.merged: a circle: the winner is merged into the loser", nil
	}
	a.Winner, a.Loser = winner, loser
	if a.Merge = !bytes.Equal(winner, loser); a.Merge {
		c.key = idKey(c.key, kindPointer, loser)
		c.store.Put(c.key, append([]byte{1}, winner...))
	}
	return "", nil
}

// resolve follows an identity's pointers to the end.
func (c *coordinator) resolve(id []byte) ([]byte, error) {
	for {
		c.key = idKey(c.key, kindPointer, id)
		b, err := c.store.Get(c.key)
		if err != nil {
			return nil, fmt.Errorf("reading what identity %s is merged into: %w", id, err)
		}
		if len(b) == 0 {
			return id, nil
		}
		id = bytes.Clone(b[1:])
	}
}

// claim decides whose a new attacker is, if its stub was merged before the
// attacker was ever seen: the identity that the stub stands for now. A claim is
// queued among the events, so that "now" is one moment between two events.
func (c *coordinator) claim(asked *claim) error {
	winner, err := c.resolve([]byte(attribution.Stub(asked.Attacker).String()))
	if err != nil {
		return err
	}
	// An event may have named the attacker since it was seen: then that holds,
	// and the claim comes to nothing where it is carried out.
	a := identityChange{By: origin{Offset: c.now.Offset, Time: c.now.Time}, Winner: winner, Claim: true, Attackers: [][]byte{asked.Attacker}}
	c.key = idKey(c.key, kindOwner, asked.Attacker)
	named, err := c.store.Get(c.key)
	if err != nil {
		return fmt.Errorf("reading whose attacker %s is: %w", asked.Attacker, err)
	}
	if named == nil {
		if err := c.findOwners(&a); err != nil {
			return err
		}
		a.Owners, a.Alone = nil, false
	}
	return c.enqueue(&a)
}

func (c *coordinator) enqueue(a *identityChange) error {
	taken, err := c.lastVersion()
	if err != nil {
		return err
	}
	a.By.Version = taken + 1
	c.taken = a.By.Version
	c.store.Put([]byte{kindCoordinator}, binary.AppendUvarint([]byte{1}, a.By.Version))
	c.key = numberKey(c.key, kindQueue, a.By.Version)
	c.store.Put(c.key, appendIdentityChange(nil, a))
	return c.startReady()
}

// lastVersion is the version of the event that was taken last.
func (c *coordinator) lastVersion() (uint64, error) {
	b, err := c.store.Get([]byte{kindCoordinator})
	if err != nil || b == nil {
		return 0, err
	}
	in := reader{b: b}
	in.version(1)
	v := in.uvarint()
	return v, in.end("version of the last identity event")
}

// wave is how many attackers move at a time. The next wave begins when all of
// one have arrived, so no transaction grows with the size of an event.
var wave uint64 = 64 // tests make it small

// start sends a change to the tasks that it concerns.
func (c *coordinator) start(a *identityChange) error {
	r := inProgress{By: a.By, Winner: a.Winner, Loser: a.Loser, Listed: uint64(len(a.Attackers)), WaveHome: a.Merge || a.Unmerge}
	c.startWave(&r, a)
	return c.advance(&r)
}

// startWave sends a wave of a change to the tasks that it concerns.
func (c *coordinator) startWave(r *inProgress, a *identityChange) {
	r.Left, r.Sent, r.Telling, r.From = 0, r.WaveSent, false, nil
	if r.WaveHome && a.Merge {
		r.Telling = true
		c.send(c.identityHome(r.Loser), r.Loser, appendMerge(c.command, &merge{By: r.By, Loser: r.Loser, Winner: r.Winner, From: r.WaveFrom}))
	}
	if r.WaveHome && a.Unmerge {
		r.Left++
		c.send(c.identityHome(r.Loser), r.Loser, appendUnmerge(c.command, &unmerge{By: r.By, Loser: r.Loser}))
	}
	c.tellListed(r, a)
}

// tellListed sends the next wave of the attackers that an event lists.
func (c *coordinator) tellListed(r *inProgress, a *identityChange) {
	next := a.Attackers[r.Sent:min(r.Sent+wave, r.Listed)]
	perHome := make([][][]byte, c.partitions)
	for _, attacker := range next {
		home := c.attackerHome(attacker)
		perHome[home] = append(perHome[home], attacker)
	}
	for home, list := range perHome {
		if len(list) > 0 {
			c.send(int32(home), a.Winner, appendLinkTo(c.command, &linkTo{By: r.By, Identity: a.Winner, Claim: a.Claim, Attackers: list}))
		}
	}
	r.Sent += uint64(len(next))
	r.Left += int64(len(next))
}

// done counts an attacker that has arrived, or another finished part of an
// event.
func (c *coordinator) done(d *done) error {
	r, waits, err := c.answered(d.Version, d.Round)
	if err != nil || !waits {
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
	return c.advance(&r)
}

// settled counts a task that has compared its rows.
func (c *coordinator) settled(s *settled) error {
	r, waits, err := c.answered(s.Version, s.Round)
	if err != nil || !waits {
		return err
	}
	if !r.Settling || r.Left == 0 {
		return fmt.Errorf("identity event %d is reported settled when it is not being settled", s.Version)
	}
	r.Left--
	r.Moved.add(s.Moved)
	return c.advance(&r)
}

// advance takes the next steps of a change, as far as they are due, and stores
// its progress.
func (c *coordinator) advance(r *inProgress) error {
	for r.waveOver() {
		switch {
		case r.Sent < r.Listed || len(r.From) > 0:
			a, err := c.changeOf(r.By.Version)
			if err != nil {
				return err
			}
			r.WaveSent, r.WaveHome, r.WaveFrom = r.Sent, len(r.From) > 0, r.From
			c.startWave(r, &a)
		case !r.Settling && len(r.Touched) > 0:
			r.Settling = true
			c.startSettling(r)
		default:
			return c.finish(r)
		}
	}
	c.key = numberKey(c.key, kindRunning, r.By.Version)
	c.store.Put(c.key, appendInProgress(nil, r))
	return nil
}

// startSettling tells the tasks that have rows to compare to compare them.
func (c *coordinator) startSettling(r *inProgress) {
	r.Left = int64(len(r.Touched))
	for _, task := range r.Touched {
		c.send(task, nil, appendSettle(c.command, &settle{By: r.By, Winner: r.Winner, Loser: r.Loser}))
	}
}

// answered returns the change that an answer is about, and reports whether it
// waits for answers of this round. Answers of rounds before, and to changes
// that are over, come after commands were lost; they are ignored.
func (c *coordinator) answered(version, round uint64) (r inProgress, waits bool, err error) {
	r, waits, err = get(c.store, numberKey(nil, kindRunning, version), decodeInProgress)
	if err != nil {
		return r, false, fmt.Errorf("reading the progress of identity event %d: %w", version, err)
	}
	if !waits {
		taken, err := c.lastVersion()
		if err == nil && version > taken {
			err = fmt.Errorf("identity event %d is answered, and the last one that was taken is %d: the state is older than the commands", version, taken)
		}
		return r, false, err
	}
	if round > r.By.Round {
		return r, false, fmt.Errorf("round %d of identity event %d is answered, which is in round %d: the state is older than the commands", round, version, r.By.Round)
	}
	return r, round == r.By.Round, nil
}

func appendIdentityChange(dst []byte, a *identityChange) []byte {
	dst = appendOrigin(append(dst, 1), a.By)
	dst = appendBytes(dst, a.Winner)
	dst = appendBytes(dst, a.Loser)
	dst = appendBool(dst, a.Merge)
	dst = appendBool(dst, a.Unmerge)
	dst = appendBool(dst, a.Claim)
	dst = appendList(dst, a.Attackers)
	dst = appendList(dst, a.Owners)
	dst = appendBool(dst, a.Alone)
	return appendBytes(dst, a.Was)
}

func decodeIdentityChange(b []byte) (a identityChange, err error) {
	in := reader{b: b}
	in.version(1)
	a = identityChange{By: in.origin(), Winner: in.bytes(), Loser: in.bytes(), Merge: in.byte() == 1, Unmerge: in.byte() == 1, Claim: in.byte() == 1}
	a.Attackers, a.Owners, a.Alone, a.Was = in.list(), in.list(), in.byte() == 1, in.bytes()
	return a, in.end("queued identity event")
}

func appendInProgress(dst []byte, r *inProgress) []byte {
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
	dst = appendBool(dst, r.Settling)
	dst = binary.AppendUvarint(dst, r.WaveSent)
	dst = appendBool(dst, r.WaveHome)
	dst = appendBytes(dst, r.WaveFrom)
	return appendMoved(dst, r.Moved)
}

func decodeInProgress(b []byte) (r inProgress, err error) {
	in := reader{b: b}
	in.version(1)
	r = inProgress{By: in.origin(), Winner: in.bytes(), Loser: in.bytes(), Left: in.varint(), Telling: in.byte() == 1, From: in.bytes(), Sent: in.uvarint(), Listed: in.uvarint()}
	for range in.count(1) {
		r.Touched = append(r.Touched, int32(in.uvarint()))
	}
	r.Settling = in.byte() == 1
	r.WaveSent, r.WaveHome, r.WaveFrom = in.uvarint(), in.byte() == 1, in.bytes()
	r.Moved = in.moved()
	return r, in.end("identity event under way")
}
