package engine

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"handprint/attribution"
)

var update = flag.Bool("update", false, "write the golden files anew")

// codec is one kind of record or command: how a value of it is written and
// read, one to be kept as a golden file, and any other.
type codec struct {
	name string
	// version is that of the records that it writes.
	version int
	encode  func(v any) []byte
	decode  func(b []byte) (any, error)
	sample  any
	draw    func(t *rapid.T) any
}

// of makes a codec of functions that know their type.
func of[T any](name string, encode func([]byte, *T) []byte, decode func([]byte) (T, error), sample T, draw func(t *rapid.T) T) codec {
	return codec{
		name: name, version: 1,
		encode: func(v any) []byte { x := v.(T); return encode(nil, &x) },
		decode: func(b []byte) (any, error) { return decode(b) },
		sample: sample,
		draw:   func(t *rapid.T) any { return draw(t) },
	}
}

// version1 is for records whose version is chosen: see Config.RecordVersion.
func version1[T any](encode func([]byte, *T, byte, *longWriter) []byte) func([]byte, *T) []byte {
	return func(dst []byte, v *T) []byte { return encode(dst, v, 1, nil) }
}

func (c *codec) golden() string {
	return filepath.Join("testdata", "golden", fmt.Sprint("v", c.version), c.name+".txt")
}

// plain is for encoders that take their value as it is.
func plain[T any](encode func([]byte, T) []byte) func([]byte, *T) []byte {
	return func(dst []byte, v *T) []byte { return encode(dst, *v) }
}

// command is for commands: behind version and type, what read reads.
func command[T any](kind commandType, read func(*reader) T) func([]byte) (T, error) {
	return func(b []byte) (T, error) {
		in := reader{b: b}
		in.version(commandVersion)
		if k := in.byte(); in.err == nil && commandType(k) != kind {
			in.fail(fmt.Errorf("type %d, want %d", k, kind))
		}
		v := read(&in)
		return v, in.end("command")
	}
}

var (
	sampleOrigin = origin{Version: 300, Type: attribution.Merged, Offset: 1 << 33, Time: 1_700_000_000_123, Round: 2}
	sampleID     = []byte("018f0000-0000-7000-8000-000000000001")
	sampleText   = []byte("identity \x00 é")
	sampleEntry  = attribution.Entry{
		TS: 1_700_000_000.5, Value: attribution.Value(`"vim"`), Evidence: 0xfeedfacecafebeef, Confidence: 0.875,
		Place:  attribution.Arrival{Time: 1_700_000_000_123, Partition: 7, Offset: 42},
		Latest: attribution.Arrival{Time: 1_700_000_000_123, Partition: 7, Offset: 42},
	}
	sampleSeries = attribution.Series{Count: 12, Entries: []attribution.Entry{
		{TS: 1, Value: attribution.Value(`"a"`), Evidence: 1, Confidence: -1, Place: attribution.Arrival{Time: 10, Partition: 1, Offset: 5}, Latest: attribution.Arrival{Time: 10, Partition: 1, Offset: 5}},
		{TS: 1.5, Value: attribution.Value(`"b"`), Evidence: 2, Confidence: 1, Place: attribution.Arrival{Time: 9, Partition: 3, Offset: 4}, Latest: attribution.Arrival{Time: 12, Partition: 0, Offset: 9}},
		{TS: 1e300, Value: attribution.Value(`"a"`), Evidence: math.MaxUint64, Confidence: 1.0 / 3, Place: attribution.Arrival{Time: 11}, Latest: attribution.Arrival{Time: 11}},
	}}
	sampleGone = []attribution.Gone{{Value: attribution.Value(`"x"`), TS: 0.25}, {Value: attribution.Value("\x01sixteen bytes ok"), TS: 5}}
	sampleRow  = attribution.Row{
		State: attribution.Drifting, Value: attribution.Value(`{"a":[1,null]}`), Confidence: 0.6, Count: 12,
		LastChangeTS: 1, LastObservationTS: 1e300, UpdatedAt: 1_700_000_000.25,
	}
	returnsRow      = attribution.Row{State: attribution.Drifting, Value: attribution.Value(`"b"`), Confidence: 0.5, Count: 12, LastObservationTS: 1e300, LastChangeTS: 1, Returns: true}
	sampleSuspicion = attribution.OpenSuspicion{
		ID: attribution.UUID{1, 2, 3, 15: 16}, Raised: 1_700_000_000.5, Quiet: true, QuietSince: 1_700_000_060,
		Named: []attribution.Reason{
			{Primitive: "environmental.locale", Kind: attribution.ReasonAlternates, Values: []attribution.Value{attribution.Value(`"de-DE"`), attribution.Null}},
			{Primitive: "toolchain.ssh.hassh_client", Kind: attribution.ReasonReturns, Times: 3},
		},
	}
	sampleInline       = row{published: true, was: sampleRow, inline: true, series: series{Series: sampleSeries}}
	sampleContribution = series{Series: attribution.Series{Count: 40, Entries: sampleSeries.Entries, Gone: sampleGone}}
)

var sampleMoved = moved{Attackers: [][]byte{sampleID, sampleText}, Total: 300, Rows: 1 << 33}

func drawMoved(t *rapid.T) moved {
	return moved{drawList(t), rapid.Uint64().Draw(t, "total"), rapid.Uint64().Draw(t, "rows")}
}

var codecs = []codec{
	of("link", plain(appendLink), decodeLink, link{Identity: sampleID, By: sampleOrigin, Old: sampleText, Release: 300}, func(t *rapid.T) link {
		return link{Identity: drawBytes(t), By: drawOrigin(t), Old: drawBytes(t), Release: rapid.Uint64().Draw(t, "release")}
	}),
	of("identity", plain(appendIdentity), decodeIdentity, identity{Own: []byte("10.0.0.1"), MergedInto: sampleText, By: sampleOrigin, Members: 300, Told: 299}, func(t *rapid.T) identity {
		return identity{Own: drawBytes(t), MergedInto: drawBytes(t), By: drawOrigin(t), Members: rapid.Uint64().Draw(t, "members"), Told: rapid.Uint64().Draw(t, "told")}
	}),
	of("identity-dated", plain(appendIdentity), decodeIdentity, identity{Own: []byte("10.0.0.1"), Due: 20_000, Since: sampleEntry.Place}, func(t *rapid.T) identity {
		return identity{Own: drawBytes(t), Due: 1 + rapid.Uint64Range(0, math.MaxUint32).Draw(t, "day"), Since: sampleEntry.Place}
	}),
	of("forgetting", func(dst []byte, f *forgetting) []byte { return appendForgetting(dst, f) }, decodeForgetting, forgetting{[]byte("10.0.0.1"), []byte("motor.input_modality\x00\x00"), true}, func(t *rapid.T) forgetting {
		return forgetting{drawBytes(t), drawBytes(t), rapid.Bool().Draw(t, "rows gone")}
	}),
	of("member", plain(appendMember), decodeMember, member{Version: 1 << 40, Release: 300}, func(t *rapid.T) member {
		return member{rapid.Uint64().Draw(t, "version"), rapid.Uint64().Draw(t, "release")}
	}),
	of("waiting-count", plain(appendCount), decodeCount, 1<<40, func(t *rapid.T) uint64 { return rapid.Uint64().Draw(t, "count") }),
	of("unsettled", plain(appendUnsettled), decodeUnsettled, unsettled{Version: 300, Round: 2, Settling: true, In: 1, Out: 2, RowsIn: 3, RowsOut: 400, Came: [][]byte{sampleID, sampleText}}, func(t *rapid.T) unsettled {
		n := rapid.Uint64()
		return unsettled{n.Draw(t, "version"), n.Draw(t, "round"), rapid.Bool().Draw(t, "settling"), n.Draw(t, "in"), n.Draw(t, "out"), n.Draw(t, "rows in"), n.Draw(t, "rows out"), drawList(t)}
	}),
	of("told", plain(appendTold), decodeTold, attribution.Told{Names: []string{"motor.input_modality", "toolchain.ssh.hassh_client"}, Total: 300}, func(t *rapid.T) attribution.Told {
		return attribution.Told{Names: rapid.SliceOfN(rapid.String(), 0, 5).Draw(t, "names"), Total: rapid.IntRange(0, 1<<40).Draw(t, "total")}
	}),
	of("suspicion", func(dst []byte, o **attribution.OpenSuspicion) []byte { return appendSuspicion(dst, *o) }, decodeSuspicion, &sampleSuspicion, func(t *rapid.T) *attribution.OpenSuspicion {
		o := &attribution.OpenSuspicion{Raised: rapid.Float64().Draw(t, "raised"), Quiet: rapid.Bool().Draw(t, "quiet"), QuietSince: rapid.Float64().Draw(t, "since")}
		copy(o.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		for range rapid.IntRange(0, 3).Draw(t, "named") {
			r := attribution.Reason{Primitive: string(drawBytes(t)), Kind: rapid.SampledFrom(reasonKinds[1:]).Draw(t, "kind"), Times: rapid.IntRange(0, 1<<30).Draw(t, "times")}
			for _, v := range drawList(t) {
				r.Values = append(r.Values, v)
			}
			o.Named = append(o.Named, r)
		}
		return o
	}),
	of("history", appendHistoryEntry, decodeHistory, HistoryEntry{300, attribution.Merged, 1 << 33, 1_700_000_000_123, "winner", "loser", 1, 2, 3, 400}, func(t *rapid.T) HistoryEntry {
		o, n := drawOrigin(t), rapid.Uint64()
		return HistoryEntry{o.Version, o.Type, o.Offset, o.Time, string(drawBytes(t)), string(drawBytes(t)), n.Draw(t, "in"), n.Draw(t, "out"), n.Draw(t, "rows in"), n.Draw(t, "rows out")}
	}),
	of("queued-event", appendIdentityChange, decodeIdentityChange, identityChange{By: sampleOrigin, Winner: sampleID, Loser: sampleText, Merge: true, Attackers: [][]byte{[]byte("a"), []byte("b")}, Owners: [][]byte{sampleID}, Alone: true, Was: sampleID}, func(t *rapid.T) identityChange {
		b := rapid.Bool()
		return identityChange{drawOrigin(t), drawBytes(t), drawBytes(t), drawBytes(t), b.Draw(t, "merge"), b.Draw(t, "unmerge"), b.Draw(t, "claim"), drawList(t), drawList(t), b.Draw(t, "alone")}
	}),
	of("running-event", appendInProgress, decodeInProgress, inProgress{
		By: sampleOrigin, Winner: sampleID, Loser: sampleText, Left: -3, Telling: true, From: []byte("from"), Sent: 128, Listed: 300,
		Touched: []int32{0, 5, 200}, Settling: true, WaveSent: 64, WaveHome: true, WaveFrom: []byte("wave"), Moved: sampleMoved,
	}, func(t *rapid.T) inProgress {
		b, n := rapid.Bool(), rapid.Uint64()
		return inProgress{
			By: drawOrigin(t), Winner: drawBytes(t), Loser: drawBytes(t), Left: rapid.Int64().Draw(t, "left"), Telling: b.Draw(t, "telling"),
			From: drawBytes(t), Sent: n.Draw(t, "sent"), Listed: n.Draw(t, "listed"), Touched: drawTasks(t), Settling: b.Draw(t, "settling"),
			WaveSent: n.Draw(t, "wave sent"), WaveHome: b.Draw(t, "wave home"), WaveFrom: drawBytes(t), Moved: drawMoved(t),
		}
	}),
	of("group", plain(appendGroup), decodeGroup, group{sampleID, 300}, func(t *rapid.T) group {
		return group{drawBytes(t), rapid.Uint64().Draw(t, "generation")}
	}),
	of("row", version1(appendRow), readRow, row{published: true, was: sampleRow}, drawRow),
	of("row-inline", version1(appendRow), readRow, sampleInline, drawnElsewhere[row]),
	of("row-returns", version1(appendRow), readRow, row{published: true, was: returnsRow, inline: true, series: series{Series: sampleSeries}}, drawnElsewhere[row]),
	of("row-usual", version1(appendRow), readRow, usualRow(3), drawnElsewhere[row]),
	of("contribution", version1(appendContribution), readContribution, sampleContribution, drawSeries),
	of("contribution-forms", version1(appendContribution), readContribution, everyForm(), drawnElsewhere[series]),
	of("contribution-spilled", version1(appendContribution), readContribution, sampleSpilled(), drawnElsewhere[series]),
	of("gone-value", appendGoneNode, readGoneNode, goneNode{Gone: attribution.Gone{TS: 1_700_000_000.5}, priority: 1 << 30, left: attribution.Value(`"0123abcd"`)}, func(t *rapid.T) goneNode {
		n := goneNode{Gone: attribution.Gone{TS: drawTS(t)}, priority: rapid.Uint32().Draw(t, "priority")}
		if rapid.Bool().Draw(t, "left") {
			n.left = drawValue(t)
		}
		if rapid.Bool().Draw(t, "right") {
			n.right = drawValue(t)
		}
		return n
	}),
	of("waiting", appendWaiting, readWaiting, waiting{[]byte("motor.input_modality"), sampleEntry}, func(t *rapid.T) waiting {
		return waiting{drawBytes(t), drawArriving(t)}
	}),

	of("command-tick", func(_ []byte, v *tick) []byte { return TickCommand(v.Time) }, command(cmdTick, (*reader).tick), tick{1_700_000_000.5}, func(t *rapid.T) tick {
		return tick{rapid.Float64().Draw(t, "time")}
	}),
	of("command-observe", appendObserve, command(cmdObserve, (*reader).observe), observe{[]byte("10.0.0.1"), sampleID, 300, []byte("motor.input_modality"), sampleEntry}, func(t *rapid.T) observe {
		return observe{drawBytes(t), drawBytes(t), rapid.Uint64().Draw(t, "version"), drawBytes(t), drawArriving(t)}
	}),
	of("command-link", appendLinkTo, command(cmdLink, (*reader).linkTo), linkTo{sampleOrigin, sampleID, true, [][]byte{[]byte("10.0.0.1"), sampleText}}, func(t *rapid.T) linkTo {
		return linkTo{drawOrigin(t), drawBytes(t), rapid.Bool().Draw(t, "claim"), drawList(t)}
	}),
	of("command-merge", appendMerge, command(cmdMerge, (*reader).merge), merge{sampleOrigin, sampleID, sampleText, []byte("from")}, func(t *rapid.T) merge {
		return merge{drawOrigin(t), drawBytes(t), drawBytes(t), drawBytes(t)}
	}),
	of("command-unmerge", appendUnmerge, command(cmdUnmerge, (*reader).unmerge), unmerge{sampleOrigin, sampleID}, func(t *rapid.T) unmerge {
		return unmerge{drawOrigin(t), drawBytes(t)}
	}),
	of("command-detach", appendDetach, command(cmdDetach, (*reader).detach), detach{sampleOrigin, []byte("10.0.0.1"), sampleID, sampleText, []byte("from")}, func(t *rapid.T) detach {
		return detach{drawOrigin(t), drawBytes(t), drawBytes(t), drawBytes(t), drawBytes(t)}
	}),
	of("command-attach", appendAttach, command(cmdAttach, (*reader).attach), attach{sampleOrigin, []byte("10.0.0.1"), sampleID, sampleText, true,
		appendPart(appendPart(nil, partLarge, []byte("a.b"), []byte("digest"), []byte(`"large"`)), partContribution, []byte("a.b"), nil, []byte("record"))}, func(t *rapid.T) attach {
		return attach{drawOrigin(t), drawBytes(t), drawBytes(t), drawBytes(t), rapid.Bool().Draw(t, "last"), drawBytes(t)}
	}),
	of("command-done", appendDone, command(cmdDone, (*reader).done), done{300, 2, []int32{0, 200}, true, 7, []byte("from")}, func(t *rapid.T) done {
		return done{rapid.Uint64().Draw(t, "version"), rapid.Uint64().Draw(t, "round"), drawTasks(t), rapid.Bool().Draw(t, "told"), rapid.Uint64().Draw(t, "members"), drawBytes(t)}
	}),
	of("command-settle", appendSettle, command(cmdSettle, (*reader).settle), settle{sampleOrigin, sampleID, sampleText, sampleMoved}, func(t *rapid.T) settle {
		return settle{drawOrigin(t), drawBytes(t), drawBytes(t), drawMoved(t)}
	}),
	of("command-settled", appendSettled, command(cmdSettled, (*reader).settled), settled{300, 2, sampleMoved}, func(t *rapid.T) settled {
		return settled{rapid.Uint64().Draw(t, "version"), rapid.Uint64().Draw(t, "round"), drawMoved(t)}
	}),
	of("command-claim", appendClaim, command(cmdClaim, (*reader).claim), claim{[]byte("10.0.0.1")}, func(t *rapid.T) claim { return claim{drawBytes(t)} }),
	of("command-release", appendRelease, command(cmdRelease, (*reader).release), release{sampleOrigin, []byte("10.0.0.1"), sampleID, sampleText}, func(t *rapid.T) release {
		return release{drawOrigin(t), drawBytes(t), drawBytes(t), drawBytes(t)}
	}),
	of("command-sweep-on", appendSweepOn, command(cmdSweepOn, (*reader).sweepOn), sweepOn{1_700_000_000.5, attribution.Arrival{Time: 1_700_000_000_123, Partition: 3, Offset: 1 << 33}, []byte("from")}, func(t *rapid.T) sweepOn {
		return sweepOn{rapid.Float64().Draw(t, "time"), drawArrival(t), drawBytes(t)}
	}),
	of("command-index-on", appendIndexOn, command(cmdIndexOn, (*reader).indexOn), indexOn{2, []byte("from")}, func(t *rapid.T) indexOn {
		return indexOn{rapid.Uint64().Draw(t, "primitives"), drawBytes(t)}
	}),
	of("index", plain(appendIndex), decodeIndex, index{300}, func(t *rapid.T) index { return index{rapid.Uint64().Draw(t, "primitives")} }),
	of("command-forget-on", appendForgetOn, command(cmdForgetOn, (*reader).forgetOn), forgetOn{1_700_000_000.5, sampleEntry.Place}, func(t *rapid.T) forgetOn {
		return forgetOn{rapid.Float64().Draw(t, "time"), sampleEntry.Place}
	}),
	of("command-last-days-on", appendLastDaysOn, command(cmdLastDaysOn, (*reader).lastDaysOn), lastDaysOn{1_700_000_000.5, []byte("from")}, func(t *rapid.T) lastDaysOn {
		return lastDaysOn{rapid.Float64().Draw(t, "time"), drawBytes(t)}
	}),
	of("command-lost", appendLost, command(cmdLost, (*reader).lost), lost{300}, func(t *rapid.T) lost { return lost{rapid.Uint64().Draw(t, "from")} }),
	of("command-repair", appendRepair, command(cmdRepair, (*reader).repair), repair{[]byte("from")}, func(t *rapid.T) repair { return repair{drawBytes(t)} }),
	of("parts", appendParts, readParts, []part{{partLarge, []byte("a.b"), []byte("digest"), []byte(`"large"`)}, {partGone, []byte("a.b"), []byte(`"x"`), make([]byte, 8)}, {partContribution, []byte("a.b"), nil, []byte("record")}}, func(t *rapid.T) []part {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) part {
			return part{partType(rapid.IntRange(1, 3).Draw(t, "type")), drawBytes(t), drawBytes(t), drawBytes(t)}
		}), 0, 4).Draw(t, "parts")
	}),
}

// usualRow is a row as sensors make them, of n observations of a hash.
func usualRow(n int) row {
	r := row{published: true, inline: true, series: series{Series: attribution.Series{Count: int64(n)}}}
	for i := range n {
		at := attribution.Arrival{Time: 1_700_000_000_000 + int64(i)*3_600_123, Partition: 3, Offset: 5_000_000 + int64(70_000*i)}
		r.series.Entries = append(r.series.Entries, attribution.Entry{
			TS: float64(at.Time/1000-2) + 0.123456, Value: attribution.Value(fmt.Sprintf(`"%032x"`, 1+i/16)), Evidence: uint64(i+1) * 0x9e3779b97f4a7c15, Confidence: 0.9, Place: at, Latest: at,
		})
	}
	last := &r.series.Entries[n-1]
	r.was = attribution.Row{
		State: attribution.Stable, Value: last.Value, Confidence: 1, Count: int64(n),
		LastChangeTS: r.series.Entries[0].TS, LastObservationTS: last.TS, UpdatedAt: float64(last.Place.Time)/1000 + 0.01,
	}
	return r
}

// everyForm is a series with every form of a value and of a confidence, and more
// values than an entry's first bytes can tell.
func everyForm() (s series) {
	confidences := append([]float64{-1, 0, 1, 0.01, 0.875, 0.1 + 0.2}, fractions[:]...)
	values := []string{`"ec7378c1a92f5a8d"`, `"vim"`, `null`, `-1`, `1e+300`, `123.45678901234567`, "\x01sixteen bytes ok", `["a"]`}
	for i, c := range confidences {
		at := attribution.Arrival{Time: 1_700_000_000_000 << (i % 20), Partition: int32(i / 3), Offset: 1 << (i * 2)}
		e := attribution.Entry{TS: float64(int64(1) << (i * 2)), Value: attribution.Value(fmt.Sprint(i)), Evidence: uint64(i), Confidence: c, Place: at, Latest: at}
		if i < len(values) {
			e.Value = attribution.Value(values[i])
		}
		s.Entries = append(s.Entries, e)
	}
	return s
}

// drawnElsewhere stands where another codec of the same type draws.
func drawnElsewhere[T any](*rapid.T) (v T) { return v }

func appendHistoryEntry(dst []byte, h *HistoryEntry) []byte {
	dst = appendOrigin(append(dst, 1), origin{h.Version, h.Type, h.Offset, h.Time, 0})
	dst = appendBytes(appendBytes(dst, h.Winner), h.Loser)
	for _, n := range [...]uint64{h.In, h.Out, h.RowsIn, h.RowsOut} {
		dst = appendUvarint(dst, n)
	}
	return dst
}

func appendUvarint(dst []byte, n uint64) []byte {
	for ; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

func readRow(b []byte) (r row, err error) {
	var values values
	err = decodeRow(b, &r, &values)
	return r, err
}

func readContribution(b []byte) (s series, err error) {
	var values values
	err = decodeContribution(b, &s, &values)
	return s, err
}

// sampleSpilled is a series most of whose values are records of their own.
func sampleSpilled() series {
	s := series{Series: sampleSeries, root: attribution.Value(`"0123abcd"`), oldest: 1_700_000_000}
	s.Gone, s.Elsewhere = sampleGone, 300
	return s
}

func readGoneNode(b []byte) (goneNode, error) { return decodeGoneNode(b, &values{}) }

type waiting struct {
	primitive []byte
	entry     attribution.Entry
}

func appendWaiting(dst []byte, w *waiting) []byte { return appendObserved(dst, w.primitive, &w.entry) }

func readWaiting(b []byte) (w waiting, err error) {
	in := reader{b: b}
	w.primitive, w.entry = in.observed()
	return w, in.end("waiting observation")
}

type part struct {
	kind                    partType
	primitive, name, record []byte
}

func appendParts(dst []byte, list *[]part) []byte {
	for _, p := range *list {
		dst = appendPart(dst, p.kind, p.primitive, p.name, p.record)
	}
	return dst
}

func readParts(b []byte) (list []part, err error) {
	in := reader{b: b}
	for len(in.b) > 0 {
		var p part
		p.kind, p.primitive, p.name, p.record = in.part()
		list = append(list, p)
	}
	return list, in.end("parts")
}

// text is a value as it compares: nil and empty are the same, and so is NaN.
func text(v any) string {
	if o, is := v.(*attribution.OpenSuspicion); is && o != nil {
		v = *o
	}
	return fmt.Sprintf("%+v", v)
}

func TestEveryRecordIsReadAsItWasWritten(t *testing.T) {
	for _, c := range codecs {
		t.Run(fmt.Sprint(c.name, " v", c.version), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want := c.draw(t)
				got, err := c.decode(c.encode(want))
				if err != nil {
					t.Fatalf("%+v: %v", want, err)
				}
				if text(got) != text(want) {
					t.Fatalf("%+v became %+v", want, got)
				}
			})
		})
	}
}

// Every record and command of every version is in testdata as this program
// wrote it when the version was fixed. It must always be read, and be
// written the same as long as the version is the same. With -update the files are written
// anew, which is right only for a version that nobody has used.
func TestGoldenRecordsAreRead(t *testing.T) {
	for _, c := range codecs {
		t.Run(fmt.Sprint(c.name, " v", c.version), func(t *testing.T) {
			file := c.golden()
			encoded := c.encode(c.sample)
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(hex.Dump(encoded)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden := readGolden(t, file)
			got, err := c.decode(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text(got) != text(c.sample) {
				t.Errorf("it says %+v, want %+v", got, c.sample)
			}
			if !bytes.Equal(encoded, golden) {
				t.Errorf("it is written as\n%swant\n%s", hex.Dump(encoded), hex.Dump(golden))
			}
		})
	}
}

// readGolden reads what hex.Dump wrote.
func readGolden(t testing.TB, file string) []byte {
	t.Helper()
	dump, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var record []byte
	for line := range strings.Lines(string(dump)) {
		_, line, _ = strings.Cut(line, "  ")
		digits, _, _ := strings.Cut(line, "|")
		b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		record = append(record, b...)
	}
	return record
}

// A record that is cut short, or says that more follows than does, is an error
// and costs no memory to find that out.
func TestDamagedRecordsAreRefused(t *testing.T) {
	huge := appendUvarint(nil, math.MaxUint64)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decoded := uint64(0)
	for _, c := range codecs {
		whole := c.encode(c.sample)
		for i := range whole {
			if _, err := c.decode(whole[:i]); err == nil && i > 0 && !cutsWell(c.name) {
				t.Errorf("%s: the first %d of %d bytes are read as a record", c.name, i, len(whole))
			}
			_, _ = c.decode(append(bytes.Clone(whole[:i]), huge...))
			_, _ = c.decode(append(append(bytes.Clone(whole[:i]), huge...), whole[i:]...))
			decoded += 3
		}
		if _, err := c.decode(append(bytes.Clone(whole), 0)); err == nil && !cutsWell(c.name) {
			t.Errorf("%s: a byte too many is not noticed", c.name)
		}
	}
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) / decoded; used > 16<<10 {
		t.Errorf("%d bytes are allocated for a damaged record, on average", used)
	}
}

// cutsWell tells of what is a sequence, whose beginning may be one too. The
// parts of an attach are looked at when they are taken.
func cutsWell(name string) bool { return name == "parts" || name == "command-attach" }
