package assignor

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawPairs(t *rapid.T, label string) map[string]string {
	pairs := rapid.MapOfN(rapid.StringN(0, -1, 20), rapid.StringN(0, -1, maxValue), 0, 5).Draw(t, label)
	if len(pairs) == 0 {
		return nil
	}
	return pairs
}

func TestMemberDataRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := MemberData{
			Process: rapid.StringN(0, -1, 100).Draw(t, "process"),
			Rack:    rapid.StringN(0, -1, 100).Draw(t, "rack"),
			Job:     Job{Must: drawPairs(t, "must"), Should: drawPairs(t, "should")},
			Copies: rapid.MapOf(rapid.Int32Min(0), rapid.Custom(func(t *rapid.T) CopyData {
				return CopyData{
					Position: rapid.Int64Min(0).Draw(t, "position"), Lag: rapid.Int64Range(-1, 1<<62).Draw(t, "lag"), Standby: rapid.Bool().Draw(t, "standby"),
					Topic: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "topic"),
					Age:   time.Duration(rapid.Int32Min(0).Draw(t, "age")) * time.Second,
				}
			})).Draw(t, "copies"),
		}
		got, err := DecodeMemberData(want.Append(nil))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
}

func TestDecisionRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.Int32Min(0), rapid.Bool()).Draw(t, "standbys")
		why := rapid.StringN(0, -1, 200).Draw(t, "refused")
		got, refused, err := decodeDecision(appendDecision(nil, want, why))
		if err != nil || !maps.Equal(got, want) || refused != why {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
	})
}

// Data of a newer release are an error, and so are data that end too soon.
func TestMemberDataOfNewerVersion(t *testing.T) {
	whole := MemberData{Process: "p", Copies: map[int32]CopyData{3: {Position: 7, Lag: -1}}}.Append(nil)
	newer := append([]byte{memberVersion + 1}, whole[1:]...)
	for name, b := range map[string][]byte{"newer": newer, "cut": whole[:len(whole)-1], "none": nil} {
		if got, err := DecodeMemberData(b); err == nil {
			t.Errorf("%s: got %v and no error", name, got)
		}
	}
}

func FuzzDecodeMemberData(f *testing.F) {
	f.Add(MemberData{}.Append(nil))
	f.Add(MemberData{"p", "r", Job{Must: map[string]string{"a": "b"}}, map[int32]CopyData{0: {Lag: -1}, 7: {Position: 1 << 40, Lag: 12, Standby: true, Topic: "t", Age: time.Hour}}}.Append(nil))
	f.Add([]byte{memberVersion, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{3})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeMemberData(b)
		if err != nil {
			if d.Copies != nil {
				t.Fatalf("%v with an error", d)
			}
			return
		}
		again, err := DecodeMemberData(d.Append(nil))
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Fatalf("%v became %v, %v", d, again, err)
		}
	})
}

func FuzzDecodeDecision(f *testing.F) {
	f.Add(appendDecision(nil, nil, ""))
	f.Add(appendDecision(nil, map[int32]bool{1: true, 1 << 30: false}, "why"))
	f.Add([]byte{decisionVersion, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, why, err := decodeDecision(b)
		if err != nil {
			return
		}
		again, whyAgain, err := decodeDecision(appendDecision(nil, d, why))
		if err != nil || !maps.Equal(again, d) || whyAgain != why {
			t.Fatalf("%v became %v, %v", d, again, err)
		}
	})
}
