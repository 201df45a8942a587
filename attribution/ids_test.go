package attribution

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What Kafka's Java client computes for these.
var murmur2 = map[string]int32{
	"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829,
	"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
}

func TestMurmur2IsKafkas(t *testing.T) {
	for text, want := range murmur2 {
		if got := positiveMurmur2(text); got != uint32(want)&0x7fffffff {
			t.Errorf("%q: %d, want %d", text, got, uint32(want)&0x7fffffff)
		}
		if got, want := AttackerPartition(text, 7), int32(uint32(want)&0x7fffffff)%7; got != want {
			t.Errorf("%q goes to partition %d of 7, want %d", text, got, want)
		}
	}
}

// A stub's id as docs/attribution.md has it, put together in another way.
func TestStubIDs(t *testing.T) {
	for _, attacker := range []string{"", "a", "203.0.113.7", "é\x00\xff", strings.Repeat("x", 1000)} {
		sum := sha256.Sum256([]byte("handprint.stub.v1\x00" + attacker))
		text := fmt.Sprintf("%08x%x", positiveMurmur2(attacker), sum[:12])
		variant := "89ab"[strings.IndexByte("0123456789abcdef", text[16])&3]
		want := fmt.Sprintf("%s-%s-8%s-%c%s-%s", text[:8], text[8:12], text[13:16], variant, text[17:20], text[20:])
		got := Stub([]byte(attacker))
		if got.String() != want {
			t.Errorf("%q: %s, want %s", attacker, got, want)
		}
	}
}

func TestStubLivesWhereItsAttackerDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attacker := rapid.String().Draw(t, "attacker")
		n := rapid.Int32Range(1, 1000).Draw(t, "partitions")
		stub := Stub([]byte(attacker)).String()
		if got, want := IdentityPartition(stub, n), AttackerPartition(attacker, n); got != want || got < 0 || got >= n {
			t.Fatalf("stub %s of %q is in partition %d, its attacker in %d", stub, attacker, got, want)
		}
		parsed, ok := ParseUUID(stub)
		if !ok || parsed != Stub([]byte(attacker)) {
			t.Fatalf("%s is read as %s, %v", stub, parsed, ok)
		}
	})
}

// Only a UUIDv8 in lower case with hyphens names its partition.
func TestIdentityPartition(t *testing.T) {
	const stub = "00000005-0000-8000-8000-000000000000"
	tests := []struct {
		id    string
		named bool
	}{
		{stub, true},
		{"00000005-ffff-8fff-bfff-ffffffffffff", true},
		{"00000005-0000-7000-8000-000000000000", false}, // version 7
		{"00000005-0000-8000-c000-000000000000", false}, // another variant
		{"00000005-0000-8000-0000-000000000000", false},
		{"0000000A-0000-8000-8000-000000000000", false}, // upper case
		{"00000005000080008000000000000000", false},
		{stub + "0", false},
		{" " + stub[1:], false},
		{"", false},
		{"intrusion set", false},
	}
	for _, tt := range tests {
		want := int32(positiveMurmur2(tt.id) % 1000)
		if tt.named {
			want = 5
		}
		if got := IdentityPartition(tt.id, 1000); got != want {
			t.Errorf("%q: partition %d, want %d", tt.id, got, want)
		}
	}
	if got := IdentityPartition("fffffffe-0000-8000-8000-000000000000", 1000); got != 0xfffffffe%1000 {
		t.Errorf("the first 32 bits are unsigned: %d", got)
	}
}

func TestParseUUIDTakesOneSpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes")
		text := UUID(b).String()
		if got, ok := ParseUUID(text); !ok || got != UUID(b) {
			t.Fatalf("%s is read as %s, %v", text, got, ok)
		}
		if upper := strings.ToUpper(text); upper != text {
			if _, ok := ParseUUID(upper); ok {
				t.Fatalf("%s is read", upper)
			}
		}
	})
}

func FuzzParseUUID(f *testing.F) {
	f.Add("018f0000-0000-7000-8000-000000000001")
	f.Add("018f0000-0000-7000-8000-00000000000G")
	f.Fuzz(func(t *testing.T, text string) {
		if u, ok := ParseUUID(text); ok && u.String() != text {
			t.Fatalf("%q is read as %s", text, u)
		}
	})
}

func TestEventIDsAreMadeWithoutTheHeap(t *testing.T) {
	identity, primitive := []byte("an identity"), []byte("a.b")
	if n := testing.AllocsPerRun(1000, func() { EventID(Cause{Topic: 'o'}, identity, primitive) }); n >= 1 {
		t.Errorf("%.1f allocations an id", n)
	}
}

func TestEventIDs(t *testing.T) {
	base := Cause{Topic: 'o', Arrival: Arrival{Time: 1, Partition: 2, Offset: 3}}
	id := EventID(base, []byte("identity"), []byte("a.b"))
	if id != EventID(base, []byte("identity"), []byte("a.b")) {
		t.Error("the same cause gives two ids")
	}
	if id[6]>>4 != 8 || id[8]>>6 != 2 {
		t.Errorf("%s is no UUIDv8", id)
	}
	seen := map[UUID]string{id: "base"}
	for name, other := range map[string]UUID{
		"topic":     EventID(Cause{'t', base.Arrival}, []byte("identity"), []byte("a.b")),
		"time":      EventID(Cause{'o', Arrival{2, 2, 3}}, []byte("identity"), []byte("a.b")),
		"partition": EventID(Cause{'o', Arrival{1, 1, 3}}, []byte("identity"), []byte("a.b")),
		"offset":    EventID(Cause{'o', Arrival{1, 2, 4}}, []byte("identity"), []byte("a.b")),
		"identity":  EventID(base, []byte("identity2"), []byte("a.b")),
		"primitive": EventID(base, []byte("identity"), []byte("a.c")),
		"boundary":  EventID(base, []byte("identitya"), []byte(".b")),
		"none":      EventID(base, []byte("identity"), nil),
		"long":      EventID(base, []byte(strings.Repeat("i", 1000)), []byte("a.b")),
	} {
		if twin, there := seen[other]; there {
			t.Errorf("%s: the id is that of %s", name, twin)
		}
		seen[other] = name
	}
}
