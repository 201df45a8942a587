package engine

import (
	"fmt"
)

// What tasks tell each other. A command is its version (1), its type (a byte)
// and its fields, in the order in which they stand below.
type commandType uint8

const (
	cmdTick commandType = iota + 1
	cmdObserve
	cmdLink
	cmdMerge
	cmdUnmerge
	cmdDetach
	cmdAttach
	cmdDone
	cmdSettle
	cmdSettled
	cmdClaim
	cmdRelease
	cmdLost
	cmdRepair
	cmdSweepOn
	cmdIndexOn
	cmdForgetOn
	cmdLastDaysOn
	cmdBegin // no field
)

const commandVersion = 1

// maxVersion is above every version. It tells a text that somebody wrote into
// the commands topic from a command of a later version.
const maxVersion = 32

func appendCommand(dst []byte, t commandType) []byte {
	return append(dst[:0], commandVersion, byte(t))
}

const (
	partContribution partType = iota + 1 // primitive, record
	partLarge                            // primitive, digest, value
	partGone                             // primitive, value as in its key, record
)

// command takes a record of the commands topic. A command of a newer version
// stops the task: skipping it would lose data. A record that is no command of
// any version becomes a dead letter.
func (e *Engine) command() error {
	in := reader{b: e.now.Value}
	switch v := in.byte(); {
	case v < commandVersion, v >= maxVersion:
		in.fail(fmt.Errorf("%d is no version of a command", v))
	case v > commandVersion:
		return fmt.Errorf("command at partition %d offset %d has version %d: an instance of a newer version is in the group, upgrade this one", e.now.Partition, e.now.Offset, v)
	}
	switch kind := commandType(in.byte()); kind {
	case cmdTick:
		if c := in.tick(); in.whole() {
			if e.cfg.ReplayInterval > 0 {
				return e.replayTo(c.Time)
			}
			return e.tick(c)
		}
	case cmdObserve:
		if c := in.observe(); in.whole() {
			return e.observed(&c)
		}
	case cmdLink:
		if c := in.linkTo(); in.whole() {
			return e.link(&c)
		}
	case cmdMerge:
		if c := in.merge(); in.whole() {
			return e.merge(&c)
		}
	case cmdUnmerge:
		if c := in.unmerge(); in.whole() {
			return e.unmerge(&c)
		}
	case cmdDetach:
		if c := in.detach(); in.whole() {
			return e.detach(&c)
		}
	case cmdAttach:
		if c := in.attach(); in.whole() {
			return e.attach(&c)
		}
	case cmdDone:
		if c := in.done(); in.whole() {
			return e.coordinate(func(to *coordinator) error { return to.done(&c) })
		}
	case cmdSettle:
		if c := in.settle(); in.whole() {
			return e.settle(&c)
		}
	case cmdSettled:
		if c := in.settled(); in.whole() {
			return e.coordinate(func(to *coordinator) error { return to.settled(&c) })
		}
	case cmdClaim:
		if c := in.claim(); in.whole() {
			return e.coordinate(func(to *coordinator) error { return to.claim(&c) })
		}
	case cmdRelease:
		if c := in.release(); in.whole() {
			return e.release(&c)
		}
	case cmdSweepOn:
		if c := in.sweepOn(); in.whole() {
			return e.sweepOn(&c)
		}
	case cmdIndexOn:
		if c := in.indexOn(); in.whole() {
			return e.indexOn(&c)
		}
	case cmdForgetOn:
		if c := in.forgetOn(); in.whole() {
			return e.forgetOn(&c)
		}
	case cmdLastDaysOn:
		if c := in.lastDaysOn(); in.whole() {
			return e.lastDaysOn(&c)
		}
	case cmdBegin:
		if in.whole() {
			return e.coordinate((*coordinator).startReady)
		}
	case cmdLost:
		if c := in.lost(); in.whole() {
			return e.coordinate(func(to *coordinator) error { return to.lost(&c) })
		}
	case cmdRepair:
		if c := in.repair(); in.whole() {
			return e.repair(&c)
		}
	default:
		in.fail(fmt.Errorf("no command of version %d has type %d", commandVersion, kind))
	}
	e.deadLetter(StageCommand, in.end("command").Error())
	return nil
}

// coordinate hands a command to the coordinator.
func (e *Engine) coordinate(take func(*coordinator) error) error {
	if e.coordinator == nil {
		return fmt.Errorf("command at partition %d offset %d is for the coordinator, which is task %d", e.now.Partition, e.now.Offset, CoordinatorTask)
	}
	defer e.coordinator.progressed()
	return take(e.coordinator)
}
