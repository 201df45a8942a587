package engine

import (
	"bytes"
	"fmt"

	"handprint/attribution"
)

// Life is what a record says of whether an attacker is known: that of its stub, or
// its link.
type Life struct {
	Identity string              // empty: it is a link
	Attacker string              // of a link
	There    bool                // there is such a record
	Own      bool                // of a stub: its own attacker belongs to it
	Dated    bool                // Since is known
	Since    attribution.Arrival // the stub's first observation since it was forgotten last
}

// InspectLife reads a record of the store, or of its changelog, that is an
// identity's or a link; is says whether it is one. Value is nil for one that was
// deleted. It is for those who check a store from outside.
func InspectLife(key, value []byte) (l Life, is bool, err error) {
	if len(key) == 0 || key[0] != kindIdentity && key[0] != kindLink {
		return l, false, nil
	}
	id, _, err := cutID(key[1:])
	if key[0] == kindLink {
		l.Attacker, l.There = string(id), value != nil
		return l, true, err
	}
	l.Identity = string(id)
	if err != nil || value == nil {
		return l, true, err
	}
	i, err := decodeIdentity(bytes.Clone(value))
	if err != nil {
		return l, true, fmt.Errorf("identity %s: %w", id, err)
	}
	l.There, l.Own, l.Since, l.Dated = true, len(i.Own) > 0, i.Since, i.Since != (attribution.Arrival{})
	return l, true, nil
}

// ForgetTime returns the time of the tick that a command forgets at, or goes on to
// forget at.
func ForgetTime(command []byte) (ts float64, is bool) {
	if ts, is := TickTime(command); is {
		return ts, true
	}
	in := reader{b: command}
	in.version(commandVersion)
	if in.err != nil || commandType(in.byte()) != cmdForgetOn {
		return 0, false
	}
	ts = in.forgetOn().Time
	return ts, in.whole()
}
