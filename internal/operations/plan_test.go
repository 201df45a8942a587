package operations

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// table reads two columns of a table of docs/performance.md: the rows after the
// header that begins with head, each keyed by the number in its first column.
func table(t *testing.T, head string, column int) map[float64]float64 {
	t.Helper()
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n| "+head)
	if !found {
		t.Fatalf("docs/performance.md has no table that begins with %q", head)
	}
	number := regexp.MustCompile(`^([0-9.,]+)(?: (thousand|million))?`)
	read := func(cell string) float64 {
		m := number.FindStringSubmatch(strings.TrimSpace(cell))
		if m == nil {
			t.Fatalf("no number: %q", cell)
		}
		v, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v * map[string]float64{"": 1, "thousand": 1e3, "million": 1e6}[m[2]]
	}
	values := map[float64]float64{}
	lines := strings.Split(rest, "\n")[2:]
	for _, line := range lines {
		if !strings.HasPrefix(line, "| ") {
			break
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		values[read(cells[0])] = read(cells[column])
	}
	return values
}

// TestThePlanIsMadeOfMeasurements holds what is computed close to what the page
// says was measured. A page that is measured anew may differ by a quarter before
// the constants have to follow.
func TestThePlanIsMadeOfMeasurements(t *testing.T) {
	for name, c := range map[string]struct {
		points []measured
		head   string
		column int
	}{
		"CPU":     {cpuByIdentities, "identities | observations | observations a second", 3},
		"memory":  {memoryByIdentities, "identities | observations | observations a second", 4},
		"store":   {storeByObservations, "observations of an identity |", 2},
		"written": {writtenByObservations, "observations of an identity |", 3},
	} {
		page := table(t, c.head, c.column)
		if len(page) != len(c.points) {
			t.Errorf("%s: the page has %d rows, the plan %d", name, len(page), len(c.points))
		}
		for _, p := range c.points {
			if want := page[p.at]; want == 0 || p.value/want > 1.25 || want/p.value > 1.25 {
				t.Errorf("%s at %g: %g, and the page says %g", name, p.at, p.value, want)
			}
			if got := between(c.points, p.at); got != p.value {
				t.Errorf("%s at %g: %g, not %g", name, p.at, got, p.value)
			}
		}
	}
}

func TestPlanExamples(t *testing.T) {
	base := Load{Instances: 2, Standbys: 1, Caches: MeasuredCaches}
	for name, c := range map[string]struct {
		rate, identities, observations      float64
		cores, partitions, memoryMiB, diskG int
	}{
		// 2,000 a second of a hundred thousand: little; two processes for the case that one dies.
		"a few honeypots": {2000, 100e3, 10, 2, 4, 384, 0},
		"a large sensor":  {50e3, 1e6, 10, 2, 4, 384, 1},
		"a national feed": {200e3, 5e6, 150, 10, 20, 512, 45},
	} {
		l := base
		l.Rate, l.Identities, l.Observations = c.rate, c.identities, c.observations
		p := PlanFor(l)
		if p.Cores != c.cores || p.Partitions != c.partitions || int(p.Memory>>20) != c.memoryMiB || int(p.Disk/1e9) != c.diskG {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if text := func() string { l := base; l.Rate, l.Identities = 1000, 6e6; p := PlanFor(l); return p.Text(l) }(); !strings.Contains(text, "beware") {
		t.Errorf("more than was measured, and not said:\n%s", text)
	}
}

// TestPlanGrows: more of anything never needs less, and what is planned is never
// less than what was measured.
func TestPlanGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Load{
			Rate: rapid.Float64Range(1, 1e6).Draw(t, "rate"), Identities: rapid.Float64Range(1, 2e7).Draw(t, "identities"),
			Observations: rapid.Float64Range(0, 1000).Draw(t, "observations"), Instances: rapid.IntRange(1, 40).Draw(t, "instances"),
			Standbys: rapid.IntRange(0, 3).Draw(t, "standbys"), Caches: uint64(rapid.IntRange(32<<20, 4<<30).Draw(t, "caches")),
		}
		p := PlanFor(l)
		if busy := l.Rate * p.CPU / float64(p.Cores); busy > maxBusy+1e-9 {
			t.Fatalf("cores are %.2f busy: %+v", busy, p)
		}
		if p.Memory < l.Caches+leastHeap || p.GoLimit >= p.Memory || p.Partitions < p.Cores || p.Disk == 0 {
			t.Fatalf("too little: %+v", p)
		}
		more := l
		more.Rate *= 2
		more.Identities *= 2
		q := PlanFor(more)
		if q.Cores < p.Cores || q.Memory < p.Memory || q.Disk < p.Disk || q.Written < p.Written {
			t.Fatalf("twice the load needs less: %+v, %+v", p, q)
		}
	})
}
