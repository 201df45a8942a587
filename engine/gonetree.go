package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"handprint/attribution"
)

// The HASH values that were pushed out of a series are in the series' record, up
// to goneInline of them. Where there are more, each value that no kept entry has is a
// record of its own, and the series' record has only their number and the oldest
// ts: an observation asks whether its value is there, adds one
// value, and takes the oldest ones away, and touches no more than that.
//
// The records of a series are the nodes of a treap: a search tree by the order
// in which values are forgotten (ts, then the string), and a heap by a random
// priority, which keeps it flat whatever values and times are sent. A node is
// found by its name: its value, or goneMark and a digest of one of more than
// maxGoneName bytes, so that nodes that are above long values stay small.
//
//	version   1
//	ts        8 bytes
//	priority  4 bytes, little endian
//	left      the name of a node, as appendValue has it; empty: none
//	right     likewise
//	value     if the name is a digest
//
// So adding and taking away read about as many nodes as the tree is deep, some
// twenty of 4,096, and write two or three.

// goneInline is how many gone values a series carries itself.
const goneInline = 8

// maxGoneName is how long the value of a node may be that is its own name.
const maxGoneName = 48

const goneMark = 0x03 // no canonical JSON begins with it, and nothing else that stands for a value

type goneNode struct {
	attribution.Gone
	name        attribution.Value
	priority    uint32
	left, right attribution.Value // names
}

func appendGoneNode(dst []byte, n *goneNode) []byte {
	dst = appendFloat(append(dst, 1), n.TS)
	dst = binary.LittleEndian.AppendUint32(dst, n.priority)
	dst = appendValue(appendValue(dst, n.left), n.right)
	if len(n.name) > 0 && n.name[0] == goneMark {
		dst = appendValue(dst, n.Value)
	}
	return dst
}

// decodeGoneNode reads a node, without the name that is in its key.
func decodeGoneNode(b []byte, values *values) (n goneNode, err error) {
	in := reader{b: b}
	in.version(1)
	n.TS = in.float()
	if len(in.b) < 4 {
		in.fail(errShort)
	} else {
		n.priority = binary.LittleEndian.Uint32(in.b)
		in.b = in.b[4:]
	}
	n.left, n.right = in.value(values), in.value(values)
	if len(in.b) > 0 {
		if n.Value = in.value(values); len(n.Value) <= maxGoneName {
			in.fail(errValue)
		}
	}
	return n, in.end("value that was pushed out")
}

// decodeGone reads a value and its ts, from what follows the prefix in the key
// of a node, which the value is part of, and from the node.
func decodeGone(name, record []byte, values *values) (g attribution.Gone, err error) {
	in := reader{b: name}
	n := goneNode{name: in.value(values)}
	if err := in.end("value that was pushed out"); err != nil {
		return g, err
	}
	err = n.read(n.name, record, values)
	return n.Gone, err
}

// read reads the node that has a name.
func (n *goneNode) read(name attribution.Value, record []byte, values *values) (err error) {
	*n, err = decodeGoneNode(record, values)
	n.name = name
	if len(name) > 0 && name[0] != goneMark {
		n.Value = name
	}
	return err
}

// goneTree is the tree of one series. The first fault sticks, in err, and makes
// all that follows void.
type goneTree struct {
	engine *Engine
	series *series
	prefix []byte // of the keys
	err    error
}

// tree returns the tree of a series. What it reads is valid until another tree
// is opened.
func (e *Engine) tree(s *series, identity, primitive, attacker []byte) *goneTree {
	e.gone.records, e.gone.values.texts = e.gone.records[:0], e.gone.values.texts[:0]
	e.gone.prefix = seriesKey(e.gone.prefix, kindGone, identity, primitive, attacker)
	e.gone.tree = goneTree{engine: e, series: s, prefix: e.gone.prefix}
	return &e.gone.tree
}

// goneBuffers are what the tree that is open reads into.
type goneBuffers struct {
	tree    goneTree
	prefix  []byte
	key     []byte
	out     []byte
	records []byte
	values  values
}

func (t *goneTree) key(name attribution.Value) []byte {
	b := &t.engine.gone
	b.key = appendValue(append(b.key[:0], t.prefix...), name)
	return b.key
}

// name returns the name of a value's node.
func (t *goneTree) name(v attribution.Value) attribution.Value {
	if len(v) <= maxGoneName {
		return v
	}
	sum := sha256.Sum256(v)
	b := &t.engine.gone
	from := len(b.records)
	b.records = append(append(b.records, goneMark), sum[:digestSize]...)
	return b.records[from:len(b.records):len(b.records)]
}

// find returns the node of a value, if it has one.
func (t *goneTree) find(v attribution.Value) (n goneNode, found bool) {
	return t.named(t.name(v))
}

// named returns the node of a name, if there is one.
func (t *goneTree) named(name attribution.Value) (n goneNode, found bool) {
	if t.err != nil {
		return goneNode{}, false
	}
	record, err := t.engine.store.Get(t.key(name))
	if err == nil && record != nil {
		b := &t.engine.gone
		from := len(b.records)
		b.records = append(b.records, record...)
		err = n.read(name, b.records[from:len(b.records):len(b.records)], &b.values)
	}
	if err != nil {
		t.err = fmt.Errorf("reading a value that was pushed out: %w", err)
		return goneNode{}, false
	}
	return n, record != nil
}

// get returns the node of a name that has one.
func (t *goneTree) get(name attribution.Value) goneNode {
	n, found := t.named(name)
	if !found && t.err == nil {
		t.err = fmt.Errorf("the tree of values that were pushed out has no node %x", t.key(name))
	}
	return n
}

func (t *goneTree) put(n *goneNode) {
	if t.err != nil {
		return
	}
	b := &t.engine.gone
	b.out = appendGoneNode(b.out[:0], n)
	t.engine.store.Put(t.key(n.name), b.out)
}

// insert adds a value that is not there.
func (t *goneTree) insert(g attribution.Gone) {
	n := goneNode{Gone: g, name: t.name(g.Value), priority: rand.Uint32()}
	s := t.series
	s.root = t.insertAt(s.root, &n)
	if s.Elsewhere == 0 || g.TS < s.oldest {
		s.oldest = g.TS
	}
	s.Elsewhere++
}

func (t *goneTree) insertAt(at attribution.Value, n *goneNode) attribution.Value {
	if len(at) == 0 {
		t.put(n)
		return n.name
	}
	here := t.get(at)
	switch {
	case t.err != nil:
	case n.priority > here.priority:
		n.left, n.right = t.split(&here, &n.Gone)
		t.put(n)
		return n.name
	case n.Less(&here.Gone):
		if child := t.insertAt(here.left, n); !bytes.Equal(child, here.left) {
			here.left = child
			t.put(&here)
		}
	default:
		if child := t.insertAt(here.right, n); !bytes.Equal(child, here.right) {
			here.right = child
			t.put(&here)
		}
	}
	return at
}

// split parts a tree into what is less than g and the rest.
func (t *goneTree) split(here *goneNode, g *attribution.Gone) (less, rest attribution.Value) {
	if here.Less(g) {
		inner, rest := t.splitAt(here.right, g)
		if !bytes.Equal(inner, here.right) {
			here.right = inner
			t.put(here)
		}
		return here.name, rest
	}
	less, inner := t.splitAt(here.left, g)
	if !bytes.Equal(inner, here.left) {
		here.left = inner
		t.put(here)
	}
	return less, here.name
}

func (t *goneTree) splitAt(at attribution.Value, g *attribution.Gone) (less, rest attribution.Value) {
	if len(at) == 0 || t.err != nil {
		return nil, nil
	}
	here := t.get(at)
	return t.split(&here, g)
}

// remove takes a node away.
func (t *goneTree) remove(n *goneNode) {
	s := t.series
	s.root = t.removeAt(s.root, n)
	t.engine.store.Delete(t.key(n.name))
	if s.Elsewhere--; s.Elsewhere == 0 {
		s.root = nil
	} else if n.TS == s.oldest {
		s.oldest = t.oldest().TS
	}
}

func (t *goneTree) removeAt(at attribution.Value, n *goneNode) attribution.Value {
	if bytes.Equal(at, n.name) {
		return t.merge(n.left, n.right)
	}
	here := t.get(at)
	switch {
	case t.err != nil:
	case n.Less(&here.Gone):
		if child := t.removeAt(here.left, n); !bytes.Equal(child, here.left) {
			here.left = child
			t.put(&here)
		}
	default:
		if child := t.removeAt(here.right, n); !bytes.Equal(child, here.right) {
			here.right = child
			t.put(&here)
		}
	}
	return at
}

// merge makes one tree of two, all of the first being less than the second.
func (t *goneTree) merge(less, rest attribution.Value) attribution.Value {
	if len(less) == 0 || t.err != nil {
		return rest
	}
	if len(rest) == 0 {
		return less
	}
	l, r := t.get(less), t.get(rest)
	if l.priority > r.priority {
		l.right = t.merge(l.right, rest)
		t.put(&l)
		return less
	}
	r.left = t.merge(less, r.left)
	t.put(&r)
	return rest
}

// oldest returns the value that is forgotten first.
func (t *goneTree) oldest() goneNode {
	n := t.get(t.series.root)
	for len(n.left) > 0 && t.err == nil {
		n = t.get(n.left)
	}
	return n
}

// newest returns the value that is forgotten last.
func (t *goneTree) newest() goneNode {
	n := t.get(t.series.root)
	for len(n.right) > 0 && t.err == nil {
		n = t.get(n.right)
	}
	return n
}

// since calls use for the values that were seen last at ts or after it, the newest
// first, until it returns false.
func (t *goneTree) since(at attribution.Value, ts float64, use func(attribution.Gone) bool) bool {
	if len(at) == 0 || t.err != nil {
		return true
	}
	n := t.get(at)
	if !t.since(n.right, ts, use) {
		return false
	}
	if t.err != nil || n.TS < ts {
		return true
	}
	return use(n.Gone) && t.since(n.left, ts, use)
}
