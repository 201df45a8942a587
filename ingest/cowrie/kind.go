package cowrie

import "bytes"

// kind is what an event is about (docs/cowrie.md, "The log").
type kind uint8

const (
	foreign  kind = iota // none of Cowrie's
	unlisted             // one of Cowrie's that no rule uses
	connect
	closed
	version
	kex
	variable
	terminal
	input
	failed
	unknownCommand // a line and its failure in one, in old logs
	tunnel
	tunnelHello
)

var (
	eventPrefix  = []byte("cowrie.")
	tunnelPrefix = []byte("cowrie.direct-tcpip.")
	oldPrefixes  = [...][]byte{[]byte("KIPP"), []byte("COW")}
)

// kindOf returns the kind of an event id, and whether the id is of the form
// that Kippo and the first Cowries wrote: KIPP or COW and four digits.
func kindOf(id []byte) (k kind, old bool) {
	switch string(id) {
	case "cowrie.session.connect":
		return connect, false
	case "cowrie.session.closed":
		return closed, false
	case "cowrie.client.version":
		return version, false
	case "cowrie.client.kex":
		return kex, false
	case "cowrie.client.var":
		return variable, false
	case "cowrie.client.size":
		return terminal, false
	case "cowrie.command.input":
		return input, false
	case "cowrie.command.failed":
		return failed, false
	case "cowrie.direct-tcpip.ja4":
		return tunnelHello, false
	}
	if bytes.HasPrefix(id, eventPrefix) {
		if bytes.HasPrefix(id, tunnelPrefix) {
			return tunnel, false
		}
		return unlisted, false
	}
	for _, p := range oldPrefixes {
		if number, ok := bytes.CutPrefix(id, p); ok && len(number) == 4 {
			return oldKind(string(number)), true
		}
	}
	return foreign, false
}

func oldKind(number string) kind {
	switch number {
	case "0001":
		return connect
	case "0005", "0008": // a command that was found; input, with a realm where it fed a program
		return input
	case "0006":
		return unknownCommand
	case "0009":
		return version
	case "0010":
		return terminal
	case "0011":
		return closed
	case "0013":
		return variable
	case "0014", "0015":
		return tunnel
	}
	for i := range len(number) {
		if !isDigit(number[i]) {
			return foreign
		}
	}
	return unlisted
}
