package siem

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"handprint/schemas"
)

// maxProfiles is how many profiles are kept: more would take a gigabyte.
const maxProfiles = 4_000_000

// Addresses tells under which addresses an identity's attackers are known: the
// join of attacker.profile and attribution.identity, in memory. Any number of
// goroutines may use it.
type Addresses struct {
	mu       sync.RWMutex
	profiles map[string][]profile // by attacker
	kept     int
	left     int               // profiles that were not taken, for want of room
	owners   map[string]string // attacker, by its stub
	members  map[string][]string
}

type profile struct {
	sensor string
	Address
}

// NewAddresses returns an empty table.
func NewAddresses() *Addresses {
	return &Addresses{profiles: map[string][]profile{}, owners: map[string]string{}, members: map[string][]string{}}
}

// PutProfile takes a record of attacker.profile. Opaque addresses are none.
func (t *Addresses) PutProfile(p *schemas.Profile) {
	address, err := netip.ParseAddr(p.Address)
	if p.Kind != schemas.AddressIP || err != nil || address.Zone() != "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := profile{p.Sensor, Address{IP: address.Unmap().String(), First: Millis(p.FirstSeen), Last: Millis(p.LastSeen)}}
	list := t.profiles[p.Attacker]
	if i := slices.IndexFunc(list, func(have profile) bool { return have.sensor == p.Sensor }); i >= 0 {
		next.First = min(next.First, list[i].First)
		list[i] = next
		return
	}
	if t.kept >= maxProfiles {
		t.left++
		return
	}
	t.kept++
	t.profiles[p.Attacker] = append(list, next)
	t.owners[p.Stub] = p.Attacker
}

// DropProfile takes a tombstone of attacker.profile.
func (t *Addresses) DropProfile(attacker, sensor string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.profiles[attacker]
	i := slices.IndexFunc(list, func(have profile) bool { return have.sensor == sensor })
	if i < 0 {
		return
	}
	t.kept--
	if list = slices.Delete(list, i, i+1); len(list) > 0 {
		t.profiles[attacker] = list
	} else {
		delete(t.profiles, attacker)
	}
}

// PutMembers takes a record of attribution.identity: the attackers of an
// identity.
func (t *Addresses) PutMembers(identity string, attackers []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.members[identity] = attackers
}

// Left returns how many profiles were not taken for want of room.
func (t *Addresses) Left() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.left
}

// Of returns the addresses of an identity, sorted, at most MaxAddresses.
func (t *Addresses) Of(identity string) []Address {
	t.mu.RLock()
	defer t.mu.RUnlock()
	attackers, known := t.members[identity]
	if !known {
		if owner, ok := t.owners[identity]; ok {
			attackers = []string{owner}
		}
	}
	var list []Address
	for _, attacker := range attackers {
		for _, p := range t.profiles[attacker] {
			i := slices.IndexFunc(list, func(have Address) bool { return have.IP == p.IP })
			if i < 0 {
				list = append(list, p.Address)
				continue
			}
			list[i].First, list[i].Last = min(list[i].First, p.First), max(list[i].Last, p.Last)
		}
	}
	slices.SortFunc(list, func(a, b Address) int { return cmp.Compare(a.IP, b.IP) })
	return list[:min(len(list), MaxAddresses)]
}
