package main

import (
	"cmp"
	"slices"
	"strings"

	"handprint/attribution"
	"handprint/ingest/cowrie"
	"handprint/ingest/cowrie/lab"
)

// labHand is an address of the sample log and who was behind it.
type labHand struct{ address, names string }

// labHands returns, by identity, what is known of the sample log's addresses:
// its sessions were driven by scripts whose names it keeps.
func labHands() map[string]labHand {
	hands := map[string]labHand{}
	for _, s := range lab.Truth() {
		attacker, ok := cowrie.Attacker(s.SrcIP)
		if !ok {
			continue
		}
		id := attribution.Stub([]byte(attacker)).String()
		h := hands[id]
		h.address = s.SrcIP
		if !slices.Contains(strings.Split(h.names, " "), s.Hand) {
			h.names = strings.TrimSpace(h.names + " " + s.Hand)
		}
		hands[id] = h
	}
	return hands
}

// sortByAddress orders identities by the addresses behind them.
func sortByAddress(ids []string, hands map[string]labHand) {
	slices.SortFunc(ids, func(x, y string) int {
		return cmp.Or(cmp.Compare(hands[x].address, hands[y].address), cmp.Compare(x, y))
	})
}
