package assignor

import (
	"maps"
	"strings"
	"testing"
)

// Members that do another job get nothing, whoever leads, and the others have all
// tasks among them.
func TestMembersWithAnotherJobGetNothing(t *testing.T) {
	right := Job{Must: map[string]string{"changelog": "a"}, Should: map[string]string{"window": "20"}}
	wrong := Job{Must: map[string]string{"changelog": "b"}}
	for _, odd := range []string{"a", "z"} { // the first member leads
		g := newGroup(6)
		for _, id := range []string{"k", "l"} {
			g.add(id, nil).job = right
		}
		g.settle(t.Fatalf, always)
		before := g.owners(t.Fatalf)
		m := g.add(odd, map[int32]int64{0: 1 << 40}) // its store has more, of another changelog
		m.job = wrong
		for range 3 {
			g.rebalance(t.Fatalf)
		}
		if after := g.owners(t.Fatalf); !maps.Equal(before, after) {
			t.Errorf("%s: tasks moved from %v to %v", odd, before, after)
		}
		if !strings.Contains(m.refused, `changelog is "a" there and "b" here`) {
			t.Errorf("%s: it was told %q", odd, m.refused)
		}
		if l := g.members["l"]; l.refused != "" {
			t.Errorf("%s: the right one was told %q", odd, l.refused)
		}
	}
}

// Of members that come together the ones with the state are right.
func TestTheJobIsThatOfTheState(t *testing.T) {
	job := func(changelog string) map[string]string { return map[string]string{"changelog": changelog} }
	for name, test := range map[string]struct {
		members []balanceMember
		want    int
	}{
		"tasks count more than copies": {[]balanceMember{
			{must: job("a"), copies: map[int32]CopyData{0: {}, 1: {}}}, {must: job("b"), owned: map[int32]int{0: 1}},
		}, 1},
		"copies count more than members": {[]balanceMember{
			{must: job("a")}, {must: job("a")}, {must: job("b"), copies: map[int32]CopyData{0: {}}},
		}, 2},
		"the more members":         {[]balanceMember{{must: job("a")}, {must: job("b")}, {must: job("b")}}, 1},
		"nobody says what he does": {[]balanceMember{{}, {}}, -1},
	} {
		if got := rightJob(test.members); got != test.want {
			t.Errorf("%s: member %d is right, want %d", name, got, test.want)
		}
	}
}

// Only what both know is compared of what should be alike.
func TestWhatShouldBeAlike(t *testing.T) {
	mine := Job{Should: map[string]string{"window": "20", "older": "1"}}
	newer := Job{Should: map[string]string{"window": "20", "newer": "1"}}
	other := Job{Should: map[string]string{"window": "30"}}
	if got := mine.ShouldDiffer(newer); len(got) != 0 {
		t.Errorf("a newer release differs in %q", got)
	}
	if got := mine.ShouldDiffer(other); len(got) != 1 || got[0] != `window is "30" there and "20" here` {
		t.Errorf("another window gives %q", got)
	}
}
