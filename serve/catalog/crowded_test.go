package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// put gives an identity a row of a primitive, drop takes it away.
func put(c *Catalog, id, name string) {
	c.Apply(func(w *Writer) { w.PutRow([]byte(id), []byte(name), &Row{Value: []byte("1"), ChangeTS: 1, SeenTS: 1}) })
}

func drop(c *Catalog, id, name string) {
	c.Apply(func(w *Writer) { w.DropRow([]byte(id), []byte(name)) })
}

// listed returns how many identities have a row of a primitive.
func listed(c *Catalog, name string) int { return c.List(&Filter{Primitive: name}, ByID, nil, 1).Total }

// Primitives that come and go leave room for others, however many there are: a primitive
// without rows takes no memory.
func TestPrimitivesThatAreGoneTakeNothing(t *testing.T) {
	c := New("motor.x")
	put(c, "i", "motor.x")
	before := c.Bytes()
	for n := range 2 << 16 {
		name := fmt.Sprintf("odd.p%d", n)
		put(c, "i", name)
		drop(c, "i", name)
	}
	if crowded, _ := c.IsCrowded(); crowded || c.Bytes() != before || len(c.primitives) > 2 {
		t.Errorf("crowded %v, %d bytes, before %d; %d numbers", crowded, c.Bytes(), before, len(c.primitives))
	}
	put(c, "a", "odd.new"+strings.Repeat("x", 200))
	drop(c, "i", "motor.x")
	put(c, "a", "odd.other")
	for _, c := range []*Catalog{c, throughSnapshot(t, c)} { // one number may be free
		put(c, "b", "odd.other")
		put(c, "b", "motor.x")
		if n, m := listed(c, "odd.other"), listed(c, "motor.x"); n != 2 || m != 1 {
			t.Errorf("%d and %d identities, want 2 and 1", n, m)
		}
		if names := rowsOf(c, "b"); len(names) != 2 {
			t.Errorf("rows %v", names)
		}
		drop(c, "b", "odd.other")
		drop(c, "b", "motor.x")
	}
}

// While too many primitives are made up, new ones are left out wholly. Registered primitives
// and earlier ones have all their rows.
func TestTooManyMadeUpPrimitivesLeaveTheOthersAlone(t *testing.T) {
	c := New("motor.x", "motor.y")
	put(c, "i", "motor.x")
	c.Apply(func(w *Writer) {
		for n := range MaxMadeUp {
			w.PutRow(fmt.Append(nil, n%100), fmt.Appendf(nil, "odd.p%d", n), &Row{Value: []byte("1")})
		}
	})
	if crowded, _ := c.IsCrowded(); crowded {
		t.Fatal("there is no room for the first")
	}
	put(c, "j", "odd.late")
	put(c, "j", "motor.y")
	put(c, "j", "odd.p0")
	if crowded, ebbed := c.IsCrowded(); !crowded || ebbed {
		t.Errorf("crowded %v, ebbed %v", crowded, ebbed)
	}
	if x, y, p := listed(c, "motor.x"), listed(c, "motor.y"), listed(c, "odd.p0"); x != 1 || y != 1 || p != 2 {
		t.Errorf("%d, %d, %d identities", x, y, p)
	}
	if !c.LeavesOut("odd.late") || c.LeavesOut("odd.p0") || !c.LeavesOut("motor.z") || c.LeavesOut("motor.x") {
		t.Error("what is left out is not told from what is there")
	}
	drop(c, "0", "odd.p0")
	drop(c, "j", "odd.p0")
	put(c, "k", "odd.late") // others have rows of it that are not here
	if n := listed(c, "odd.late"); n != 0 || !c.LeavesOut("odd.late") {
		t.Errorf("a part of a primitive is listed: %d identities", n)
	}
	c.Apply(func(w *Writer) {
		for n := range MaxMadeUp {
			w.DropRow(fmt.Append(nil, n%100), fmt.Appendf(nil, "odd.p%d", n))
		}
	})
	if crowded, ebbed := c.IsCrowded(); !crowded || !ebbed {
		t.Errorf("they are gone: crowded %v, ebbed %v", crowded, ebbed)
	}
	c = c.WithoutRows() // as it is built anew
	put(c, "k", "odd.late")
	if crowded, _ := c.IsCrowded(); crowded || listed(c, "odd.late") != 1 {
		t.Error("there is no room after it was built anew")
	}
}

// A list by value that gives writers their turn does not take a value for another one that
// has got its number.
func TestAListByValueOutlivesItsNumber(t *testing.T) {
	c := New()
	row := func(id, value string) {
		c.Apply(func(w *Writer) { w.PutRow([]byte(id), []byte("motor.x"), &Row{Value: []byte(value)}) })
	}
	row("a", "1")
	c.mu.RLock()
	q := c.compile(&Filter{Primitive: "motor.x", Value: []byte("1")})
	before := q.value
	c.mu.RUnlock()
	row("a", "2")
	if n := q.primitive.dict.index["2"]; n != before {
		t.Fatalf("the number %d was not used again", before)
	}
	takes := func(id string) (taken bool) {
		c.mu.RLock()
		defer c.mu.RUnlock()
		q.breathe()
		n, _ := c.ids.find([]byte(id))
		return q.states(c.identities.at(n)) != 0
	}
	if takes("a") {
		t.Error("a value is taken for another")
	}
	row("b", "1")
	if !takes("b") || takes("a") {
		t.Error("a value that is there again is not found")
	}
}
