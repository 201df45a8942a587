package query

import (
	"handprint/attribution"
	"handprint/engine"
)

// Members returns a page of the attackers of an identity: a stub's own, then the
// attackers that events brought, in the order of the store.
func (r *Reader) Members(id, after string, limit int) (*MemberList, error) {
	question := "members " + id
	at, err := decodeCursor(question, after)
	if err != nil {
		return nil, err
	}
	v, _, err := r.view(id)
	if err != nil {
		return nil, err
	}
	s, err := r.snapshot(r.home(id))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	// One more than the page has says whether there is another page.
	limit = limitOf(limit)
	var page []engine.Member
	from := ""
	if at == nil {
		for _, m := range v.Members[:min(len(v.Members), 1)] {
			if m.Version == 0 { // a stub's own has no record of a member
				page = append(page, m)
			}
		}
	} else {
		from = at.text
	}
	brought, err := engine.Members(s, id, from, limit+1-len(page))
	if err != nil {
		return nil, fault(err)
	}
	page = append(page, brought...)
	c, _ := r.Source.Catalog()
	list := &MemberList{Items: []Member{}, Total: v.Attackers, AsOf: s.asOf}
	for _, m := range page[:min(len(page), limit)] {
		list.Items = append(list.Items, r.member(c, m))
	}
	if len(page) > limit {
		last := page[limit-1]
		text := last.Attacker
		if last.Version == 0 {
			text = "" // nothing that events brought was shown
		}
		list.Next = encodeCursor(question, cursor{text: text})
	}
	return list, nil
}

// OwnerOf returns the identity of an attacker, by its id or by an address that one
// attacker alone has.
func (r *Reader) OwnerOf(name string) (string, error) {
	s, err := r.snapshot(attribution.AttackerPartition(name, r.Partitions))
	if err != nil {
		return "", err
	}
	id, known, err := engine.Owner(s, name)
	s.Close()
	if err != nil {
		return "", fault(err)
	}
	if known {
		return id, nil
	}
	c, _ := r.Source.Catalog()
	owners := map[string]bool{}
	for _, a := range c.AttackersAt(name, maxMembers) {
		if a.Identity != "" {
			owners[a.Identity] = true
			id = a.Identity
		}
	}
	switch len(owners) {
	case 1:
		return id, nil
	case 0:
		return "", problem(UnknownAttacker, "There is no attacker with this id or address.")
	}
	return "", problem(BadParameter, "This address belongs to attackers of %d identities: give an id.", len(owners))
}

// AttackerAttribution returns the rows of the identity that an attacker belongs to.
func (r *Reader) AttackerAttribution(name string) (*Attribution, error) {
	id, err := r.OwnerOf(name)
	if err != nil {
		return nil, err
	}
	a, err := r.Attribution(id)
	if err != nil {
		return nil, err
	}
	a.Attacker = name
	return a, nil
}

// Attacker returns an attacker by its id, or by an address that one attacker alone
// has.
func (r *Reader) Attacker(name string) (*Attacker, error) {
	c, _ := r.Source.Catalog()
	if a, ok := c.Attacker(name); ok {
		return &Attacker{a.ID, a.Identity, addressOf(a.Address)}, nil
	}
	if at := c.AttackersAt(name, 2); len(at) == 1 {
		return &Attacker{at[0].ID, at[0].Identity, addressOf(at[0].Address)}, nil
	}
	id, err := r.OwnerOf(name)
	if err != nil {
		return nil, err
	}
	return &Attacker{Attacker: name, Identity: id}, nil
}

// Attackers returns attackers whose id or address begins with q, or whose address
// lies in the network q; an empty q gives all.
func (r *Reader) Attackers(q, after string, limit int) (*AttackerList, error) {
	c, err := r.catalog()
	if err != nil {
		return nil, err
	}
	if err := checkNetwork(q); err != nil {
		return nil, err
	}
	question := "attackers " + q
	at, err := decodeCursor(question, after)
	if err != nil {
		return nil, err
	}
	from := ""
	if at != nil {
		from = at.text
	}
	list := &AttackerList{Items: []Attacker{}, AsOf: r.AsOf()}
	page, total := c.Attackers(q, from, limitOf(limit)+1)
	list.Total = total
	for i, a := range page {
		if i == limitOf(limit) {
			list.Next = encodeCursor(question, cursor{text: page[i-1].ID})
			break
		}
		list.Items = append(list.Items, Attacker{a.ID, a.Identity, addressOf(a.Address)})
	}
	return list, nil
}
