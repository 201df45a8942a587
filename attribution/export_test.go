package attribution

import "fmt"

// LoseHeads leaves the union the newest head alone, as do observations that take the
// others away one by one.
func LoseHeads(u *Union) {
	if few := u.few; u.heads.list.count > 1 {
		u.few = 1
		u.trimHeads()
		u.few = few
	}
}

// RememberFew makes the union remember as few attackers as given, and no HASH values that
// do not count.
func RememberFew(u *Union, few int) {
	u.few = few
	u.forgetMore()
	u.few = max(few, 2*u.t.Window) // fewer do not do, however often they are read again
}

// FewAreEnough lets unions remember next to nothing, until it is called again.
func FewAreEnough() (again func()) {
	holders, sweep := minHolders, sweepFrom
	minHolders, sweepFrom = 1, 1
	return func() { minHolders, sweepFrom = holders, sweep }
}

// CheckUnion compares what a union counts with what it has.
func CheckUnion(u *Union) error {
	names, values := map[uint32]uint32{}, map[uint32]uint32{}
	for i := range u.tail {
		names[u.tail[i].attacker]++
		values[u.tail[i].value]++
	}
	for _, block := range u.heads.list.blocks {
		for _, h := range block {
			names[h.attacker]++
		}
	}
	pairs, mapped, shared := 0, 0, 0
	if v := u.values; v != nil {
		for _, block := range v.latest.blocks {
			for _, place := range block {
				s := v.list[place]
				if at, found := v.find(s.value); !found || at != place {
					return fmt.Errorf("value %d is found at %d, %v", place, at, found)
				}
				if s.shared == 0 {
					names[s.attacker]++
					continue
				}
				shared++
				o := v.shared[s.shared-1]
				pairs, mapped = pairs+o.ts.count, mapped+len(o.at)
				for _, block := range o.ts.blocks {
					for _, h := range block {
						names[h.attacker]++
						if ts, known := o.find(h.attacker); !known || ts != h.ts {
							return fmt.Errorf("attacker %d has a value at %v and at %v", h.attacker, ts, h.ts)
						}
					}
				}
				if s.ts != o.ts.max().ts {
					return fmt.Errorf("value %d was seen at %v and at %v", place, s.ts, o.ts.max().ts)
				}
			}
		}
		if v.latest.count != v.table.count || v.latest.count+len(v.free)+1 != len(v.list) || len(v.shared)-len(v.vacant) != shared || v.pairs != pairs || v.mapped != mapped {
			return fmt.Errorf("values: %d, %d found, %d places, %d free; %d of %d shared, want %d; %d pairs, %d in maps, want %d and %d",
				v.latest.count, v.table.count, len(v.list), len(v.free), len(v.shared)-len(v.vacant), len(v.shared), shared, v.pairs, v.mapped, pairs, mapped)
		}
	}
	if err := u.names.check(names); err != nil {
		return fmt.Errorf("names: %w", err)
	}
	if err := u.texts.check(values); err != nil {
		return fmt.Errorf("values of the tail: %w", err)
	}
	return nil
}

func (t *texts) check(uses map[uint32]uint32) error {
	length := 0
	for n := range t.list {
		c := &t.list[n]
		length += len(c.text)
		if c.uses != uses[uint32(n)] {
			return fmt.Errorf("%q has %d uses, want %d", c.text, c.uses, uses[uint32(n)])
		}
		if at, found := t.find(c.text); c.uses > 0 && (!found || at != uint32(n)) {
			return fmt.Errorf("%q is found at %d, %v, and is at %d", c.text, at, found, n)
		}
	}
	if t.length != length || t.table.count != len(uses) || len(t.free)+len(uses) != len(t.list) {
		return fmt.Errorf("%d bytes, %d texts, %d free of %d; want %d bytes, %d texts", t.length, t.table.count, len(t.free), len(t.list), length, len(uses))
	}
	return nil
}
