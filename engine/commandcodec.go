package engine

import (
	"encoding/binary"

	"handprint/attribution"
)

// tick makes the task sweep.
type tick struct {
	Time float64 // wall clock of the timer, Unix seconds
}

// TickCommand is the record that a timer writes into a task's own partition of
// the commands: whoever owns the task when it is read sweeps, at time now
// (Unix seconds).
func TickCommand(now float64) []byte {
	return appendFloat(appendCommand(nil, cmdTick), now)
}

// TickTime returns the time of a command that is a tick.
func TickTime(command []byte) (ts float64, is bool) {
	in := reader{b: command}
	in.version(commandVersion)
	if in.err != nil || commandType(in.byte()) != cmdTick {
		return 0, false
	}
	ts = in.tick().Time
	return ts, in.whole()
}

func (r *reader) tick() tick { return tick{Time: r.float()} }

// sweepOn tells a task to go on with a sweep.
type sweepOn struct {
	Time float64             // of the tick, Unix seconds
	By   attribution.Arrival // of the tick
	From []byte              // where to go on: a key without its kind
}

func appendSweepOn(dst []byte, s *sweepOn) []byte {
	dst = appendFloat(appendCommand(dst, cmdSweepOn), s.Time)
	return appendBytes(appendArrival(dst, s.By, attribution.Arrival{}), s.From)
}

func (r *reader) sweepOn() sweepOn {
	return sweepOn{Time: r.float(), By: r.arrival(attribution.Arrival{}), From: r.bytes()}
}

// indexOn tells a task to go on with the index of suspects.
type indexOn struct {
	Primitives uint64 // the setting that it is made for
	From       []byte // where to go on: a key without its kind
}

func appendIndexOn(dst []byte, i *indexOn) []byte {
	return appendBytes(binary.AppendUvarint(appendCommand(dst, cmdIndexOn), i.Primitives), i.From)
}

func (r *reader) indexOn() indexOn { return indexOn{Primitives: r.uvarint(), From: r.bytes()} }

// observe carries an observation on: to the home of its attacker (no
// identity), or from there to the home of the identity that it is linked to.
type observe struct {
	Attacker  []byte
	Identity  []byte // empty: to the attacker's home
	Version   uint64 // of the link, if there is an identity
	Primitive []byte
	Entry     attribution.Entry
}

func appendObserve(dst []byte, o *observe) []byte {
	dst = appendCommand(dst, cmdObserve)
	dst = appendBytes(dst, o.Attacker)
	dst = appendBytes(dst, o.Identity)
	dst = binary.AppendUvarint(dst, o.Version)
	return appendObserved(dst, o.Primitive, &o.Entry)
}

func (r *reader) observe() (o observe) {
	o.Attacker, o.Identity, o.Version = r.bytes(), r.bytes(), r.uvarint()
	o.Primitive, o.Entry = r.observed()
	return o
}

// An observation that is carried or held back: primitive, value, evidence,
// ts, confidence (double, negative for none), arrival. It has one arrival: a
// series has not seen it yet.
func appendObserved(dst, primitive []byte, e *attribution.Entry) []byte {
	dst = appendBytes(dst, primitive)
	dst = appendBytes(dst, e.Value)
	dst = appendFixed64(dst, e.Evidence)
	dst = appendFloat(dst, e.TS)
	dst = appendFloat(dst, e.Confidence)
	return appendArrival(dst, e.Place, attribution.Arrival{})
}

func (r *reader) observed() (primitive []byte, e attribution.Entry) {
	primitive = r.bytes()
	e.Value, e.Evidence, e.TS, e.Confidence = r.bytes(), r.fixed64(), r.float(), r.float()
	e.Place = r.arrival(attribution.Arrival{})
	e.Latest = e.Place
	if len(e.Value) == 0 && r.err == nil {
		r.fail(errShort)
	}
	return primitive, e
}

// linkTo tells the home of attackers that they belong to an identity now. Each
// of them answers with a done, sooner or later.
type linkTo struct {
	By        origin
	Identity  []byte
	Claim     bool // only if nothing is known of the attacker yet
	Attackers [][]byte
}

func appendLinkTo(dst []byte, l *linkTo) []byte {
	dst = appendCommand(dst, cmdLink)
	dst = appendOrigin(dst, l.By)
	dst = appendBytes(dst, l.Identity)
	dst = appendBool(dst, l.Claim)
	return appendList(dst, l.Attackers)
}

func (r *reader) linkTo() (l linkTo) {
	l.By, l.Identity, l.Claim, l.Attackers = r.origin(), r.bytes(), r.byte() == 1, r.list()
	return l
}

// merge tells the home of a loser to send its attackers to the winner, the next
// of them at a time.
type merge struct {
	By            origin
	Loser, Winner []byte
	From          []byte // key of the member to go on with; empty: the beginning
}

func appendMerge(dst []byte, m *merge) []byte {
	dst = appendCommand(dst, cmdMerge)
	dst = appendOrigin(dst, m.By)
	dst = appendBytes(dst, m.Loser)
	dst = appendBytes(dst, m.Winner)
	return appendBytes(dst, m.From)
}

func (r *reader) merge() merge {
	return merge{By: r.origin(), Loser: r.bytes(), Winner: r.bytes(), From: r.bytes()}
}

// unmerge tells the home of a loser that it is itself again.
type unmerge struct {
	By    origin
	Loser []byte
}

func appendUnmerge(dst []byte, u *unmerge) []byte {
	return appendBytes(appendOrigin(appendCommand(dst, cmdUnmerge), u.By), u.Loser)
}

func (r *reader) unmerge() unmerge { return unmerge{By: r.origin(), Loser: r.bytes()} }

// detach tells the home of an identity that an attacker has left it, and where
// its contributions are to go. It continues like merge.
type detach struct {
	By       origin
	Attacker []byte
	Old, New []byte
	From     []byte // key of the row to go on with; empty: the beginning
}

func appendDetach(dst []byte, d *detach) []byte {
	dst = appendCommand(dst, cmdDetach)
	dst = appendOrigin(dst, d.By)
	dst = appendBytes(dst, d.Attacker)
	dst = appendBytes(dst, d.Old)
	dst = appendBytes(dst, d.New)
	return appendBytes(dst, d.From)
}

func (r *reader) detach() detach {
	return detach{By: r.origin(), Attacker: r.bytes(), Old: r.bytes(), New: r.bytes(), From: r.bytes()}
}

// attach brings contributions of an attacker, or the word that there are no
// more, to the identity it belongs to now.
type attach struct {
	By       origin
	Attacker []byte
	Old, New []byte // Old is empty if the attacker was nobody's
	Last     bool
	Parts    []byte // see appendPart; the rest of the command
}

func appendAttach(dst []byte, a *attach) []byte {
	dst = appendCommand(dst, cmdAttach)
	dst = appendOrigin(dst, a.By)
	dst = appendBytes(dst, a.Attacker)
	dst = appendBytes(dst, a.Old)
	dst = appendBytes(dst, a.New)
	dst = appendBool(dst, a.Last)
	return append(dst, a.Parts...)
}

func (r *reader) attach() attach {
	a := attach{By: r.origin(), Attacker: r.bytes(), Old: r.bytes(), New: r.bytes(), Last: r.byte() == 1}
	a.Parts, r.b = r.b, nil
	return a
}

// The parts of an attach: what one record of the store becomes under the new
// identity. A large value and a gone value come before the contribution that
// they belong to.
type partType uint8

func appendPart(dst []byte, t partType, primitive, name, record []byte) []byte {
	dst = append(dst, byte(t))
	dst = appendBytes(dst, primitive)
	dst = appendBytes(dst, name)
	return appendBytes(dst, record)
}

func (r *reader) part() (t partType, primitive, name, record []byte) {
	return partType(r.byte()), r.bytes(), r.bytes(), r.bytes()
}

// release tells a task to go on with the observations that waited for an
// attacker at an identity.
type release struct {
	By       origin
	Attacker []byte
	Identity []byte // where they wait; empty: at the attacker's home
	Old      []byte // as in attach
}

func appendRelease(dst []byte, l *release) []byte {
	dst = appendOrigin(appendCommand(dst, cmdRelease), l.By)
	dst = appendBytes(dst, l.Attacker)
	dst = appendBytes(dst, l.Identity)
	return appendBytes(dst, l.Old)
}

func (r *reader) release() release {
	return release{By: r.origin(), Attacker: r.bytes(), Identity: r.bytes(), Old: r.bytes()}
}

// lost tells the coordinator that commands were lost before their task had read
// them. It begins another round of every change under way, some of them at a
// time.
type lost struct {
	From uint64 // version of the change to go on with; 0: the beginning
}

func appendLost(dst []byte, l *lost) []byte {
	return binary.AppendUvarint(appendCommand(dst, cmdLost), l.From)
}

func (r *reader) lost() lost { return lost{From: r.uvarint()} }

// repair tells a task to send again what the coordinator does not know of:
// claims, and releases at the homes of attackers.
type repair struct {
	From []byte // where to go on; empty: the beginning
}

func appendRepair(dst []byte, p *repair) []byte {
	return appendBytes(appendCommand(dst, cmdRepair), p.From)
}

func (r *reader) repair() repair { return repair{From: r.bytes()} }

// done tells the coordinator that something it waits for is over: an attacker
// has arrived where it belongs, a loser is itself again, or (Told) some members
// of a loser have been told to move. The dones of these may come before that
// one.
type done struct {
	Version uint64
	Round   uint64
	Touched []int32 // tasks with rows that wait for the end of the event
	Told    bool
	Members uint64 // if Told: how many members were told
	From    []byte // if Told: key of the member to go on with; empty: these were all
}

func appendDone(dst []byte, d *done) []byte {
	dst = binary.AppendUvarint(appendCommand(dst, cmdDone), d.Version)
	dst = binary.AppendUvarint(dst, d.Round)
	dst = binary.AppendUvarint(dst, uint64(len(d.Touched)))
	for _, p := range d.Touched {
		dst = binary.AppendUvarint(dst, uint64(p))
	}
	dst = appendBool(dst, d.Told)
	dst = binary.AppendUvarint(dst, d.Members)
	return appendBytes(dst, d.From)
}

func (r *reader) done() (d done) {
	d.Version, d.Round = r.uvarint(), r.uvarint()
	for range r.count(1) {
		d.Touched = append(d.Touched, int32(r.uvarint()))
	}
	d.Told, d.Members, d.From = r.byte() == 1, r.uvarint(), r.bytes()
	return d
}

// settle tells a task that an identity event is over: its rows are compared
// with what was sent before. A task that cannot compare them all in one step
// sends itself the same command again: what is left to compare is in its store.
type settle struct {
	By            origin
	Winner, Loser []byte // of the event, for the history; Winner is the identity of a link
	Moved         moved  // by the steps before, in this task
}

func appendSettle(dst []byte, s *settle) []byte {
	dst = appendOrigin(appendCommand(dst, cmdSettle), s.By)
	dst = appendBytes(dst, s.Winner)
	dst = appendBytes(dst, s.Loser)
	return appendMoved(dst, s.Moved)
}

func (r *reader) settle() settle {
	return settle{By: r.origin(), Winner: r.bytes(), Loser: r.bytes(), Moved: r.moved()}
}

// settled answers settle when all rows of the task are compared.
type settled struct {
	Version, Round uint64
	Moved          moved // in this task
}

func appendSettled(dst []byte, s *settled) []byte {
	dst = binary.AppendUvarint(appendCommand(dst, cmdSettled), s.Version)
	dst = binary.AppendUvarint(dst, s.Round)
	return appendMoved(dst, s.Moved)
}

func (r *reader) settled() settled {
	return settled{Version: r.uvarint(), Round: r.uvarint(), Moved: r.moved()}
}

// claim asks the coordinator whose an attacker is that was never seen before
// and whose stub is merged into something.
type claim struct{ Attacker []byte }

func appendClaim(dst []byte, c *claim) []byte {
	return appendBytes(appendCommand(dst, cmdClaim), c.Attacker)
}

func (r *reader) claim() claim { return claim{Attacker: r.bytes()} }

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}
