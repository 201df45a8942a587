package catalog

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"unsafe"

	"handprint/attribution"
)

// A snapshot is the magic text, the header, the tables as they are in memory, the
// texts, profiles and suspicions as JSON, and a CRC-32C of all before it. Tables
// are raw memory: the header names the sizes of their entries and the order of the
// bytes, and a snapshot of another program is refused, not converted, as the
// catalogue can always be built from the copy. Sizes do not tell every change of an
// entry: the number is raised with each.
const snapshotMagic = "handprint catalogue 3\n"

// ErrSnapshot is what a snapshot that cannot be used is refused with: damaged, cut
// short, or written by another version.
var ErrSnapshot = errors.New("not a usable snapshot of the catalogue")

// ErrCrowded is what a catalogue refuses to be written with that lacks primitives: who reads
// it would take it for one that has all.
var ErrCrowded = errors.New("the catalogue lacks primitives: there are too many")

// header describes what follows.
type header struct {
	Layout  string // sizes of entries
	Mark    json.RawMessage
	Counts  map[string]int
	Names   []string // of the primitives; empty: a number that is free
	Rows    []int    // by primitive
	Values  []int
	Members int
}

func layout() string {
	one := uint16(1)
	return fmt.Sprintf("%d %d %d %d", unsafe.Sizeof(identity{}), unsafe.Sizeof(row{}), unsafe.Sizeof(membership{}), *(*byte)(unsafe.Pointer(&one)))
}

// rest is what is small or has texts.
type rest struct {
	Identities, Attackers map[uint32]string // ids that are no UUIDs
	Links                 []uint32          // of attackers: linked and stub
	Profiles              []Profile
	Suspicions            []*Suspicion
	Latest                map[uint32]string
}

// checked counts into a checksum what goes through it.
type checked struct {
	w   io.Writer
	sum hash.Hash32
}

func (c *checked) Write(p []byte) (int, error) {
	c.sum.Write(p)
	return c.w.Write(p)
}

// WriteSnapshot writes the whole catalogue, and a mark of the caller's, which
// says what it was made from. Writers wait meanwhile; queries do not.
func (c *Catalog) WriteSnapshot(to io.Writer, mark json.RawMessage) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.crowded {
		return ErrCrowded
	}
	buffered := bufio.NewWriterSize(to, 1<<20)
	out := &checked{buffered, crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	h := header{Layout: layout(), Mark: mark, Members: len(c.members), Counts: map[string]int{
		"identities": c.identities.n, "attackers": c.attackers.n, "listed": c.listed,
	}}
	for _, p := range c.primitives {
		if p == nil {
			p = new(primitive)
		}
		h.Names, h.Rows, h.Values = append(h.Names, p.name), append(h.Rows, p.rows.n), append(h.Values, p.dict.values.n)
	}
	if _, err := io.WriteString(out, snapshotMagic); err != nil {
		return err
	}
	if err := writeJSON(out, &h); err != nil {
		return err
	}
	r := rest{Identities: c.ids.texts, Attackers: c.attackerIDs.texts, Latest: make(map[uint32]string)}
	for n := range c.attackers.n {
		a := c.attackers.at(uint32(n))
		r.Links = append(r.Links, a.linked, a.stub)
	}
	for _, p := range c.profiles {
		r.Profiles = append(r.Profiles, *p)
	}
	for _, s := range c.suspicions {
		r.Suspicions = append(r.Suspicions, s)
	}
	for n, s := range c.latest {
		r.Latest[n] = s.ID
	}
	err := errors.Join(writeTable(out, &c.ids.uuids), writeTable(out, &c.identities), writeTable(out, &c.attackerIDs.uuids))
	for p := range c.tables() {
		err = errors.Join(err, writeTable(out, &p.rows), writeValues(out, &p.dict))
	}
	for m := range c.members {
		_, werr := out.Write(raw(&m))
		err = errors.Join(err, werr)
	}
	if err = errors.Join(err, writeJSON(out, &r)); err != nil {
		return err
	}
	if _, err := buffered.Write(binary.LittleEndian.AppendUint32(nil, out.sum.Sum32())); err != nil {
		return err
	}
	return buffered.Flush()
}

// raw is the memory of a value without pointers.
func raw[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

func writeTable[T any](out io.Writer, t *table[T]) error {
	for _, c := range t.chunks {
		if len(c) == 0 {
			continue
		}
		if _, err := out.Write(unsafe.Slice((*byte)(unsafe.Pointer(&c[0])), uintptr(len(c))*unsafe.Sizeof(c[0]))); err != nil {
			return err
		}
	}
	return nil
}

func writeValues(out io.Writer, d *dictionary) error {
	var b []byte
	for n := range d.values.n {
		text := d.values.at(uint32(n)).text
		b = append(binary.AppendUvarint(b[:0], uint64(len(text))), text...)
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(out io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b)))); err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}

// snapshotReader reads a snapshot of a known size, so that what a damaged one says
// of itself allocates no more than that.
type snapshotReader struct {
	in   *bufio.Reader
	sum  hash.Hash32
	left int64
	err  error
}

func (r *snapshotReader) full(b []byte) {
	if r.err != nil {
		return
	}
	if r.left -= int64(len(b)); r.left < 0 {
		r.err = io.ErrUnexpectedEOF
		return
	}
	if _, r.err = io.ReadFull(r.in, b); r.err == nil {
		r.sum.Write(b)
	}
}

// ReadByte implements io.ByteReader.
func (r *snapshotReader) ReadByte() (byte, error) {
	var b [1]byte
	r.full(b[:])
	return b[0], r.err
}

func (r *snapshotReader) bytes(n uint64) []byte {
	if r.err == nil && n > uint64(max(r.left, 0)) {
		r.err = io.ErrUnexpectedEOF
	}
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	r.full(b)
	return b
}

func (r *snapshotReader) json(v any) {
	var size [8]byte
	r.full(size[:])
	if b := r.bytes(binary.LittleEndian.Uint64(size[:])); r.err == nil {
		r.err = json.Unmarshal(b, v)
	}
}

func readTable[T any](r *snapshotReader, n int, each func(v T)) {
	for range n {
		var v T
		if r.full(raw(&v)); r.err != nil {
			return
		}
		each(v)
	}
}

// ReadSnapshot returns the catalogue that a snapshot of size bytes holds, and its
// mark; registered is what [New] is given. Its errors are [ErrSnapshot], or those of reading.
func ReadSnapshot(from io.Reader, size int64, registered ...string) (c *Catalog, mark json.RawMessage, err error) {
	r := &snapshotReader{in: bufio.NewReaderSize(from, 1<<20), sum: crc32.New(crc32.MakeTable(crc32.Castagnoli)), left: size}
	defer func() {
		if err != nil {
			c, mark, err = nil, nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
	}()
	if magic := r.bytes(uint64(len(snapshotMagic))); r.err == nil && string(magic) != snapshotMagic {
		return nil, nil, errors.New("it begins with something else")
	}
	var h header
	if r.json(&h); r.err == nil && h.Layout != layout() {
		return nil, nil, errors.New("it was written by another version")
	}
	if len(h.Rows) != len(h.Names) || len(h.Values) != len(h.Names) || len(h.Names) >= math.MaxUint16 {
		return nil, nil, errors.New("its header contradicts itself")
	}
	c = New(registered...)
	c.listed = h.Counts["listed"]
	readTable(r, h.Counts["identities"], func(u attribution.UUID) { c.ids.uuids.add(u) })
	readTable(r, h.Counts["identities"], func(i identity) { c.identities.add(i) })
	readTable(r, h.Counts["attackers"], func(u attribution.UUID) { c.attackerIDs.uuids.add(u) })
	for n, name := range h.Names {
		if r.err != nil {
			return nil, nil, r.err
		}
		c.readPrimitive(r, name, h.Rows[n], h.Values[n])
	}
	for n, p := range c.primitives {
		if p == nil {
			c.freeNumbers = append(c.freeNumbers, uint16(n+1))
		}
	}
	readTable(r, h.Members, func(m membership) { c.members[m] = struct{}{} })
	var rest rest
	r.json(&rest)
	sum := r.sum.Sum32()
	if end := r.bytes(4); r.err == nil && binary.LittleEndian.Uint32(end) != sum {
		return nil, nil, errors.New("its checksum is wrong")
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	return c, h.Mark, c.connect(&rest)
}

func (c *Catalog) readPrimitive(r *snapshotReader, name string, rows, values int) {
	if name == "" {
		c.primitives = append(c.primitives, nil)
		if rows != 0 || values != 0 {
			r.err = errors.New("a primitive with rows has no name")
		}
		return
	}
	p, _ := c.addPrimitive(name)
	readTable(r, rows, func(v row) {
		at := p.rows.add(v)
		if v.flags&rowUsed == 0 {
			p.free = append(p.free, at)
		}
	})
	p.dict.index = make(map[string]uint32, max(0, min(values, rows)))
	for n := range values {
		length, err := binary.ReadUvarint(r)
		text := string(r.bytes(length))
		if err != nil || r.err != nil {
			return
		}
		p.dict.values.add(value{text: text})
		if text == "" {
			p.dict.free = append(p.dict.free, uint32(n))
			continue
		}
		p.dict.index[text] = uint32(n)
		p.dict.bytes += len(text)
	}
	for at := range p.rows.n {
		v := p.rows.at(uint32(at))
		if v.flags&rowUsed == 0 {
			continue
		}
		if int(v.state) >= states || int(v.value) >= p.dict.values.n {
			r.err = errors.Join(r.err, errors.New("a row is out of range"))
			return
		}
		p.states[v.state]++
		p.dict.count(p.dict.values.at(v.value), v.state, 1)
	}
}

// connect builds what is not written because it follows from the rest.
func (c *Catalog) connect(r *rest) error {
	if len(r.Links) != 2*c.attackerIDs.uuids.n {
		return errors.New("its attackers contradict each other")
	}
	c.ids.index(r.Identities)
	c.attackerIDs.index(r.Attackers)
	for n := 0; n < len(r.Links); n += 2 {
		c.attackers.add(attacker{linked: r.Links[n], stub: r.Links[n+1]})
	}
	for n := range c.identities.n {
		c.indexRows(uint32(n), c.identities.at(uint32(n)))
	}
	w := &Writer{c: c}
	for i := range r.Profiles {
		w.PutProfile(&r.Profiles[i])
	}
	for _, s := range r.Suspicions {
		c.keep(s)
	}
	for n, id := range r.Latest {
		if s := c.suspicions[id]; s != nil {
			c.latest[n] = s
		}
	}
	return nil
}

func (t *ids) index(texts map[uint32]string) {
	for n := range t.uuids.n {
		if _, ok := texts[uint32(n)]; !ok {
			t.byUUID[*t.uuids.at(uint32(n))] = uint32(n)
		}
	}
	for n, text := range texts {
		t.texts[n], t.byText[text] = text, n
		t.bytes += len(text)
	}
}
