package operations

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// measured is one line of the tables of docs/performance.md that a plan is made
// of: what an observation costs, and what a process takes, by what there is.
type measured struct{ at, value float64 }

// The measurements. A test compares them with the page.
var (
	// Microseconds of CPU of the application an observation, by identities.
	cpuByIdentities = []measured{{10e3, 5.10}, {100e3, 8.51}, {1e6, 14.33}, {5e6, 23.93}}
	// Peak memory of a process with one worker and caches of 176 MiB, in MB, by identities.
	memoryByIdentities = []measured{{10e3, 132}, {100e3, 225}, {1e6, 282}, {5e6, 339}}
	// Bytes of store an identity of 17 primitives takes, by its observations.
	storeByObservations = []measured{{1.5, 116}, {10, 715}, {150, 4580}, {500, 13000}}
	// Bytes written to Kafka an observation, compressed, changelog and outputs,
	// before replication, by observations of an identity.
	writtenByObservations = []measured{{1.5, 238}, {10, 195}, {150, 109}, {500, 63}}
)

const (
	memoryOfWorker = 18   // MB that each further worker takes
	cpuOfBroker    = 2.67 // microseconds of the brokers' CPU an observation, before replication

	// MeasuredCaches is what the caches and memtables took, in bytes, when that was measured.
	MeasuredCaches = 176 << 20

	// What is planned for besides what was measured.
	maxBusy         = 0.5  // of a core: the rest is for peaks, restores, a process that is away
	memoryReserve   = 1.25 // times the peak
	storeWhileMoved = 2    // times the store: compactions write before they delete
)

// Load is what a plan is made for.
type Load struct {
	Rate         float64 // observations a second, above 0
	Identities   float64 // that are remembered, at least 1
	Observations float64 // of an identity on average; 0 is all that are kept
	Instances    int     // processes, at least 1
	Standbys     int     // copies of each task in other processes
	Caches       uint64  // bytes of record cache, store cache and memtables of a process
}

// Remembered returns how many identities there are if so many are new each day:
// those of a retention and the day that it is late by; those of a year if it is 0.
func Remembered(newEachDay float64, retention time.Duration) float64 {
	if retention == 0 {
		return newEachDay * 365
	}
	return newEachDay * (retention.Hours()/24 + 1)
}

// Plan is what a load needs, all processes alike.
type Plan struct {
	Cores       int     `json:"cores"`             // of handprint, of all processes
	Instances   int     `json:"instances"`         // as asked for
	Threads     int     `json:"threads"`           // of each process
	Partitions  int     `json:"partitions"`        // at least
	Memory      uint64  `json:"memory_bytes"`      // limit of each process
	GoLimit     uint64  `json:"gomemlimit_bytes"`  // of each process
	Disk        uint64  `json:"disk_bytes"`        // of each process, local
	BrokerCores float64 `json:"broker_cores"`      // before replication
	Written     float64 `json:"written_bytes"`     // to Kafka a second, before replication
	Beyond      bool    `json:"beyond_measured"`   // more identities than were measured
	CPU         float64 `json:"cpu_seconds_each"`  // of an observation
	Full        float64 `json:"largest_rate_each"` // observations a second and core, at full load
}

// PlanFor computes from measurements what l needs.
func PlanFor(l Load) Plan {
	each := l.Observations
	if full := storeByObservations[len(storeByObservations)-1].at; each <= 0 || each > full {
		each = full // no more is kept
	}
	cpu := between(cpuByIdentities, l.Identities) / 1e6
	p := Plan{
		Instances: l.Instances, CPU: cpu, Full: math.Floor(1 / cpu), Beyond: l.Identities > cpuByIdentities[len(cpuByIdentities)-1].at,
		BrokerCores: l.Rate * cpuOfBroker / 1e6 / maxBusy, Written: l.Rate * between(writtenByObservations, each),
	}
	p.Threads = int(math.Ceil(l.Rate * cpu / maxBusy / float64(l.Instances)))
	p.Cores = p.Threads * l.Instances
	// Twice as many tasks as workers are there to be shared out when one process more comes.
	p.Partitions = 2 * p.Cores

	// The identities of a process, with the copies that it keeps for others.
	share := min(1, float64(1+l.Standbys)/float64(l.Instances))
	peak := (between(memoryByIdentities, l.Identities) + memoryOfWorker*float64(p.Threads-1)) * 1e6
	peak += float64(l.Caches) - MeasuredCaches
	p.Memory = roundUp(max(peak*memoryReserve, float64(l.Caches+leastHeap)), 64<<20)
	p.GoLimit = (p.Memory - l.Caches) / 10 * 9
	p.Disk = roundUp(l.Identities*share*between(storeByObservations, each)*storeWhileMoved, 256<<20)
	return p
}

// between returns the value at x of the line through the points, whose ordinates
// grow by multiples: linear in the logarithm of x. Below the first point it is
// that of the first, beyond the last the line goes on.
func between(points []measured, x float64) float64 {
	if x <= points[0].at {
		return points[0].value
	}
	i := 1
	for i < len(points)-1 && x > points[i].at {
		i++
	}
	a, b := points[i-1], points[i]
	return a.value + (b.value-a.value)*math.Log(x/a.at)/math.Log(b.at/a.at)
}

func roundUp(x, unit float64) uint64 { return uint64(math.Ceil(x/unit) * unit) }

// Text returns the plan as lines of a name and what is needed.
func (p *Plan) Text(l Load) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	line("cores", "%d: an observation takes %.1f us, a core is planned half busy (%.0f a second at full load)", p.Cores, p.CPU*1e6, p.Full)
	line("processes", "%d, each with --threads %d", p.Instances, p.Threads)
	line("partitions", "at least %d; they cannot be changed later", p.Partitions)
	line("memory", "%s for each process, with GOMEMLIMIT=%dMiB", size(p.Memory), p.GoLimit>>20)
	line("disk", "%s for each process, local; %d copies of each task, while compactions run", size(p.Disk), 1+min(l.Standbys, l.Instances-1))
	line("Kafka", "%.1f MB a second are written, and %.1f cores of brokers, before replication; the input comes on top", p.Written/1e6, p.BrokerCores)
	if p.Beyond {
		line("beware", "more identities than were measured (5 million): this goes on from there")
	}
	return b.String()
}
