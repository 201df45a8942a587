package memory

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

func TestGarbageFollowsTheLimits(t *testing.T) {
	for limits, want := range map[Limits]int{
		{}:                                  100,
		{Container: 2 << 30}:                GCPercent,
		{Heap: 1 << 30}:                     GCPercent,
		{Container: 2 << 30, Heap: 1 << 30}: GCPercent,
	} {
		if got := limits.RunGCPercent(); got != want {
			t.Errorf("%+v: garbage is collected at %d percent, want %d", limits, got, want)
		}
	}
}

func TestCachesFollowTheLimits(t *testing.T) {
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		limits Limits
		total  int // with memtables
	}{
		"no limit":                     {Limits{}, 512 * mib},
		"a container":                  {Limits{Container: 768 * mib}, 256 * mib},
		"a container of 2 GiB":         {Limits{Container: 2048 * mib}, 512 * mib},
		"a container of 8 GiB":         {Limits{Container: 8192 * mib}, 1024 * mib},
		"a container and a heap":       {Limits{Container: 1000 * mib, Heap: 700 * mib}, 270 * mib},
		"a small heap in a container":  {Limits{Container: 1000 * mib, Heap: 100 * mib}, 500 * mib},
		"a heap as large as the whole": {Limits{Container: 1000 * mib, Heap: 1000 * mib}, 64 * mib},
		"a heap":                       {Limits{Heap: 600 * mib}, 300 * mib},
		"a tiny container":             {Limits{Container: 32 * mib}, 64 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			record, store := tt.limits.Caches()
			if got := record + store + Memtables; got != tt.total {
				t.Errorf("record cache %d MiB, store cache %d MiB: %d MiB, want %d", record/mib, store/mib, got/mib, tt.total/mib)
			}
			if store < mib || record < mib {
				t.Errorf("record cache %d, store cache %d: a cache is below its least size", record, store)
			}
		})
	}
	if record, _ := (Limits{Container: 1 << 40}).Caches(); record > most {
		t.Errorf("the record cache is %d, more than its setting may be", record)
	}
}

func TestUnionsFollowTheLimits(t *testing.T) {
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		limits Limits
		want   int
	}{
		"no limit":                    {Limits{}, 256 * mib},
		"a container":                 {Limits{Container: 768 * mib}, 96 * mib},
		"a large container":           {Limits{Container: 64 << 30}, 1024 * mib},
		"a container and a heap":      {Limits{Container: 1024 * mib, Heap: 700 * mib}, 128 * mib},
		"a small heap in a container": {Limits{Container: 1024 * mib, Heap: 100 * mib}, 25 * mib},
		"a heap":                      {Limits{Heap: 600 * mib}, 150 * mib},
		"a tiny container":            {Limits{Container: 32 * mib}, 16 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.limits.Unions(); got != tt.want {
				t.Errorf("%d MiB, want %d", got/mib, tt.want/mib)
			}
		})
	}
}

func TestContainerLimits(t *testing.T) {
	for text, want := range map[string]uint64{"max\n": 0, "536870912\n": 512 << 20, "9223372036854771712\n": 0, "": 0} {
		if got, limited := parse(text); got != want || limited != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", text, got, limited, want)
		}
	}
}

// The least limit counts: a slice or a container may have less than the unit in it.
func TestTheLeastLimitCounts(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i, text := range []string{"8589934592", "max", "2147483648", "4294967296"} {
		files = append(files, filepath.Join(dir, strconv.Itoa(i)))
		if err := os.WriteFile(files[i], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files = append(files, filepath.Join(dir, "none"))
	if got, limited := leastLimit(files); got != 2<<30 || !limited {
		t.Errorf("%d, %v, want 2 GiB", got, limited)
	}
	if got, limited := leastLimit(files[4:]); got != 0 || limited {
		t.Errorf("%d, %v, want no limit", got, limited)
	}
}

// The limit of the process's own group comes before that of the root, in both
// versions, and nothing outside the mount is read.
func TestLimitFiles(t *testing.T) {
	v2, v1 := "/cg/memory.max", "/cg/memory/memory.limit_in_bytes"
	for groups, want := range map[string][]string{
		"":                                    {v2, v1},
		"0::/\n":                              {v2, v1},
		"0::/system.slice/handprint.service":  {"/cg/system.slice/handprint.service/memory.max", "/cg/system.slice/memory.max", v2, v1},
		"9:name=systemd:/\n4:memory:/bench\n": {"/cg/memory/bench/memory.limit_in_bytes", v2, v1},
		"4:cpu,memory:/a:b\n0::/":             {"/cg/memory/a:b/memory.limit_in_bytes", v2, v1},
		"0::/../outside\nnonsense\n":          {v2, v1},
	} {
		if got := limitFiles("/cg", groups); !slices.Equal(got, want) {
			t.Errorf("limitFiles(%q) = %q, want %q", groups, got, want)
		}
	}
}
