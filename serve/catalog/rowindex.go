package catalog

// manyRows is how many rows of an identity are walked through to find one. The rows of an
// identity with more are in an index: an attacker may make up tens of thousands, and each
// record would walk through all of them.
const manyRows = 64

// rowKey names a row.
type rowKey struct {
	identity uint32
	in       uint16 // its primitive, plus 1
}

// rowPlace is where a row is, and which one its identity's list has before it.
type rowPlace struct {
	at       uint32
	before   uint32
	beforeIn uint16 // primitive of the row before, plus 1; 0: it is the first
}

// rows returns how many rows an identity has.
func (i *identity) rows() (n int) {
	for _, rows := range i.states {
		n += int(rows)
	}
	return n
}

// find returns the row of a primitive, nil if the identity has none.
func (c *Catalog) find(n uint32, i *identity, in uint16) *row {
	if i.rows() > manyRows {
		if p, ok := c.rowIndex[rowKey{n, in}]; ok {
			return c.row(in, p.at)
		}
		return nil
	}
	for at, where := i.first, i.firstIn; where != 0; {
		r := c.row(where, at)
		if where == in {
			return r
		}
		at, where = r.next, r.nextIn
	}
	return nil
}

// indexFirst brings the first row of an identity, a new one that is counted, to the index.
func (c *Catalog) indexFirst(n uint32, i *identity) {
	switch rows := i.rows(); {
	case rows == manyRows+1:
		c.indexRows(n, i)
	case rows > manyRows:
		c.rowIndex[rowKey{n, i.firstIn}] = rowPlace{at: i.first}
		second := c.row(i.firstIn, i.first).nextIn
		c.setBefore(rowKey{n, second}, i.first, i.firstIn)
	}
}

// indexRows brings all rows of an identity to the index, if they are many.
func (c *Catalog) indexRows(n uint32, i *identity) {
	if i.rows() <= manyRows {
		return
	}
	var p rowPlace
	for at, in := i.first, i.firstIn; in != 0; {
		p.at = at
		c.rowIndex[rowKey{n, in}] = p
		r := c.row(in, at)
		p.before, p.beforeIn = at, in
		at, in = r.next, r.nextIn
	}
}

// setBefore says which row is before one that is in the index.
func (c *Catalog) setBefore(k rowKey, before uint32, beforeIn uint16) {
	p := c.rowIndex[k]
	p.before, p.beforeIn = before, beforeIn
	c.rowIndex[k] = p
}

// unlink takes a row out of the list of an identity's rows. It returns its place; ok is
// false if there is no such row.
func (c *Catalog) unlink(n uint32, i *identity, in uint16) (place uint32, ok bool) {
	at, where := &i.first, &i.firstIn
	many := i.rows() > manyRows
	if many {
		p, ok := c.rowIndex[rowKey{n, in}]
		if !ok {
			return 0, false
		}
		if p.beforeIn != 0 {
			r := c.row(p.beforeIn, p.before)
			at, where = &r.next, &r.nextIn
		}
		delete(c.rowIndex, rowKey{n, in})
		if next := c.row(in, p.at).nextIn; next != 0 {
			c.setBefore(rowKey{n, next}, p.before, p.beforeIn)
		}
	}
	for *where != 0 && *where != in {
		r := c.row(*where, *at)
		at, where = &r.next, &r.nextIn
	}
	if *where == 0 {
		return 0, false
	}
	place = *at
	r := c.row(in, place)
	*at, *where = r.next, r.nextIn
	if many && i.rows() == manyRows+1 { // with the one that goes
		for at, in := i.first, i.firstIn; in != 0; {
			delete(c.rowIndex, rowKey{n, in})
			r := c.row(in, at)
			at, in = r.next, r.nextIn
		}
	}
	return place, true
}
