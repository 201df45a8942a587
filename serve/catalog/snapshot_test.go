package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

// throughSnapshot returns what is read back of a catalogue.
func throughSnapshot(t interface {
	Fatal(...any)
}, c *Catalog,
) *Catalog {
	var b bytes.Buffer
	if err := c.WriteSnapshot(&b, json.RawMessage(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	read, mark, err := ReadSnapshot(&b, int64(b.Len()))
	if err != nil || string(mark) != `{"a":1}` {
		t.Fatal(err, string(mark))
	}
	return read
}

func TestADamagedSnapshotIsRefused(t *testing.T) {
	c, m := New(), newModel()
	rapid.Check(t, func(t *rapid.T) {
		c.Apply(func(w *Writer) {
			for range 30 {
				m.step(t, w)
			}
		})
		var b bytes.Buffer
		if err := c.WriteSnapshot(&b, json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		damaged := bytes.Clone(b.Bytes())
		at := rapid.IntRange(0, len(damaged)-1).Draw(t, "at")
		if rapid.Bool().Draw(t, "cut") {
			damaged = damaged[:at]
		} else {
			damaged[at] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		}
		if _, _, err := ReadSnapshot(bytes.NewReader(damaged), int64(len(damaged))); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("damage at %d of %d was taken: %v", at, b.Len(), err)
		}
	})
}

func FuzzReadSnapshot(f *testing.F) {
	var b bytes.Buffer
	c := New()
	c.Apply(func(w *Writer) {
		w.PutRow([]byte("i"), []byte("motor.x"), &Row{Value: []byte("1")})
		w.PutIdentity([]byte("i"), []byte("a"), []byte("w"))
	})
	if err := c.WriteSnapshot(&b, json.RawMessage(`{}`)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, err := ReadSnapshot(bytes.NewReader(data), int64(len(data))); err != nil && !errors.Is(err, ErrSnapshot) {
			t.Fatal(err)
		}
	})
}

// A primitive is known by the name that suspicions have cut it to, also from a snapshot.
func TestCutNamesOfPrimitives(t *testing.T) {
	c := New()
	long := "odd." + strings.Repeat("x", 200)
	c.Apply(func(w *Writer) {
		for n := range 50_000 { // begin alike
			w.PutRow([]byte("i"), fmt.Appendf(nil, "%s%d", long, n), &Row{Value: []byte("1")})
			w.DropRow([]byte("i"), fmt.Appendf(nil, "%s%d", long, n))
		}
		w.PutRow([]byte("i"), []byte(long), &Row{Value: []byte("1")})
		w.PutRow([]byte("i"), []byte("motor.x"), &Row{Value: []byte("1")})
	})
	var b bytes.Buffer
	if err := c.WriteSnapshot(&b, json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
	read, _, err := ReadSnapshot(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Catalog{c, read} {
		if name, ok := c.WholePrimitive(attribution.ShortPrimitive(long)); !ok || name != long {
			t.Errorf("the whole name is %q, %v", name, ok)
		}
		for _, none := range []string{"motor.x", long, attribution.ShortPrimitive(long + "y")} {
			if name, ok := c.WholePrimitive(none); ok {
				t.Errorf("%q has a whole name: %q", none, name)
			}
		}
	}
}
