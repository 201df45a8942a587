package ingest_test

import (
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"handprint/ingest"
	"handprint/ingest/cowrie"
)

// site is a sensor's folder, written and rotated by a test.
type site struct {
	t    *testing.T
	dir  string
	n    int // sessions written
	all  []string
	file *os.File
	rot  int
}

func newSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir()}
	s.open()
	return s
}

func (s *site) path() string { return filepath.Join(s.dir, "cowrie.json") }

func (s *site) open() {
	file, err := os.OpenFile(s.path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.file = file
}

// lines returns the lines of some sessions; the last one stays open until
// those of the next call.
func (s *site) lines(sessions int) []string {
	var out []string
	line := func(n, second int, rest string) string {
		at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n*20+second) * time.Second)
		return fmt.Sprintf(`{"timestamp":%q,"session":"%012x","src_ip":"198.51.%d.%d","sensor":"hp1",%s,"message":"padding so that a line is about as long as one of Cowrie's"}`,
			at.Format("2006-01-02T15:04:05.000000Z"), n, n/250%250, n%250, rest)
	}
	for range sessions {
		if s.n > 0 {
			out = append(out, line(s.n-1, 21, `"eventid":"cowrie.session.closed","duration":"21.0"`))
		}
		out = append(out, line(s.n, 2, `"eventid":"cowrie.session.connect"`),
			line(s.n, 3, fmt.Sprintf(`"eventid":"cowrie.client.version","version":"SSH-2.0-%d"`, s.n)),
			line(s.n, 4, `"eventid":"cowrie.command.input","input":"uname -a"`))
		s.n++
	}
	s.all = append(s.all, out...)
	return out
}

func (s *site) write(text string) {
	if _, err := s.file.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// rotate renames the file, and packs it if packed.
func (s *site) rotate(packed bool) {
	s.rot++
	to := fmt.Sprintf("%s.%06d", s.path(), s.rot)
	if err := os.Rename(s.path(), to); err != nil {
		s.t.Fatal(err)
	}
	s.file.Close()
	s.open()
	if packed {
		s.pack(to)
	}
}

func (s *site) pack(name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	file, err := os.Create(name + ".gz")
	if err != nil {
		s.t.Fatal(err)
	}
	w := gzip.NewWriter(file)
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close(), file.Close(), os.Remove(name)); err != nil {
		s.t.Fatal(err)
	}
}

// truncate copies the file and empties it, as copytruncate of logrotate does.
func (s *site) truncate() {
	s.rot++
	text, err := os.ReadFile(s.path())
	if err == nil {
		err = os.WriteFile(fmt.Sprintf("%s.%06d", s.path(), s.rot), text, 0o600)
	}
	if err == nil {
		err = s.file.Truncate(0)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// want is what reading all lines at once gives.
func (s *site) want() map[string]string {
	out := map[string]string{}
	a, err := cowrie.New(cowrie.DefaultSettings(), func(o ingest.Observation) error {
		out[o.ID] = string(o.AppendJSON(nil))
		return nil
	}, func(ingest.DeadLetter) error { return errors.New("a dead letter") })
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range s.all {
		if err := a.Line([]byte(l)); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

// followed is what runs of Follow have sent.
type followed struct {
	mu     sync.Mutex
	heard  *sync.Cond // something was sent, or kept
	got    map[string]string
	kept   int // how often the positions were kept
	dead   []string
	killed bool
}

func newFollowed() *followed {
	f := &followed{got: map[string]string{}}
	f.heard = sync.NewCond(&f.mu)
	return f
}

// await waits until a condition of what was sent holds.
func (f *followed) await(holds func() bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !holds() {
		f.heard.Wait()
	}
}

var errKilled = errors.New("killed")

func (f *followed) Observation(o ingest.Observation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.killed {
		return errKilled
	}
	f.got[o.ID] = string(o.AppendJSON(nil))
	f.heard.Broadcast()
	return nil
}

func (f *followed) Record(_, _ []byte) error { return nil }

func (f *followed) Dead(d ingest.DeadLetter) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = append(f.dead, fmt.Sprintf("%s:%d %s", filepath.Base(d.File), d.Number, d.Reason))
	return nil
}

func (f *followed) Flush(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.killed {
		return errKilled
	}
	f.kept++
	f.heard.Broadcast()
	return nil
}

// kill makes all that the run does from now on fail, so that it ends without
// keeping anything; revive lets the next run be.
func (f *followed) kill(dead bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killed = dead
}

// begin waits until something was read: what was rotated before the first look
// at a log is not asked for.
func (f *followed) begin(s *site) {
	s.write(strings.Join(s.lines(2), "\n") + "\n")
	f.some()
}

// some waits until something was sent.
func (f *followed) some() { f.await(func() bool { return len(f.got) > 0 }) }

// start follows until stop is called, which waits for the end.
func (f *followed) start(t *testing.T, paths []string, state string) (stop func(kill bool)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	run := ingest.Follow{Paths: paths, State: state, Every: time.Millisecond, CommitEvery: 2 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
	go func() {
		_, err := run.Run(ctx, f, func(s ingest.Sink) (ingest.Positioned, error) {
			return cowrie.New(cowrie.DefaultSettings(), s.Observation, s.Dead)
		})
		ended <- err
	}()
	return func(kill bool) {
		if kill {
			f.kill(true)
		}
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, errKilled) {
			t.Error(err)
		}
		f.kill(false)
	}
}

// settle reads what is there to its end.
func (f *followed) settle(t *testing.T, paths []string, state string) {
	run := ingest.Follow{Paths: paths, State: state, Every: time.Millisecond, UntilEnd: true, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	_, err := run.Run(ctx, f, func(s ingest.Sink) (ingest.Positioned, error) {
		return cowrie.New(cowrie.DefaultSettings(), s.Observation, s.Dead)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (f *followed) check(t *testing.T, want map[string]string) {
	t.Helper()
	if len(f.dead) > 0 {
		t.Errorf("dead letters %v", f.dead[:min(len(f.dead), 5)])
	}
	if maps.Equal(f.got, want) {
		return
	}
	missing, other := 0, 0
	for id, text := range want {
		if f.got[id] != text {
			if missing++; missing <= 12 {
				i := strings.Index(text, `"evidence_ref"`)
				t.Errorf("%s got %d", text[i:i+45], len(f.got[id]))
			}
		}
	}
	for id := range f.got {
		if want[id] == "" {
			other++
		}
	}
	t.Errorf("%d of %d observations missing or other, %d that are none", missing, len(want), other)
}

func TestFollowingThroughRotations(t *testing.T) {
	for name, act := range map[string]func(s *site, i int){
		"renamed": func(s *site, _ int) { s.rotate(false) },
		"packed":  func(s *site, _ int) { s.rotate(true) },
		"packed later": func(s *site, i int) {
			s.rotate(false)
			if i > 0 {
				s.pack(fmt.Sprintf("%s.%06d", s.path(), s.rot-1))
			}
		},
		"a line cut in two": func(s *site, _ int) {
			line := s.lines(1)
			text := strings.Join(line, "\n") + "\n"
			s.write(text[:len(text)/2])
			s.rotate(false)
			s.write(text[len(text)/2:])
		},
	} {
		for _, folder := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", folder), func(t *testing.T) {
				s := newSite(t)
				f := newFollowed()
				state := filepath.Join(t.TempDir(), "positions.json")
				paths := []string{s.path()}
				if folder {
					paths = []string{s.dir}
				}
				stop := f.start(t, paths, state)
				f.begin(s)
				for i := range 12 {
					s.write(strings.Join(s.lines(3), "\n") + "\n")
					if i%4 == 3 {
						// A stop, and what happens meanwhile.
						stop(i%8 == 3)
						s.write(strings.Join(s.lines(2), "\n") + "\n")
						act(s, i)
						stop = f.start(t, paths, state)
					} else {
						act(s, i)
					}
				}
				s.write(strings.Join(s.lines(3), "\n") + "\n")
				stop(false)
				f.settle(t, paths, state)
				f.check(t, s.want())
			})
		}
	}
}

func TestFollowingAFileThatIsTruncated(t *testing.T) {
	s := newSite(t)
	f := newFollowed()
	state := filepath.Join(t.TempDir(), "positions.json")
	paths := []string{s.path()}
	for range 5 {
		stop := f.start(t, paths, state)
		s.write(strings.Join(s.lines(3), "\n") + "\n")
		want := len(s.want())
		f.await(func() bool { return len(f.got) >= want })
		s.truncate()
		s.write(strings.Join(s.lines(3), "\n") + "\n")
		want = len(s.want())
		f.await(func() bool { return len(f.got) >= want })
		stop(true)
	}
	f.settle(t, paths, state)
	f.check(t, s.want())
}

var manyRotations = flag.Int("rotations", 0, "how many rotations TestFollowingThroughManyRotationsAndKills makes; 0: 300, or 40 with -short")

// Many rotations under load, with kills at random.
func TestFollowingThroughManyRotationsAndKills(t *testing.T) {
	rotations := *manyRotations
	switch {
	case rotations > 0:
	case testing.Short():
		rotations = 40
	default:
		rotations = 300
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d rotations, seed %d", rotations, seed)
	random := rand.New(rand.NewPCG(1, seed))
	s := newSite(t)
	f := newFollowed()
	state := filepath.Join(t.TempDir(), "positions.json")
	paths := []string{s.path()}
	stop := f.start(t, paths, state)
	f.begin(s)
	ends := 0
	for range rotations {
		for range random.IntN(4) {
			text := strings.Join(s.lines(1+random.IntN(3)), "\n") + "\n"
			cut := random.IntN(len(text))
			s.write(text[:cut])
			if random.IntN(5) == 0 {
				// What there is of the line is read, and the positions are kept.
				kept := 0
				f.await(func() bool { kept = f.kept; return true })
				f.await(func() bool { return f.kept > kept })
			}
			s.write(text[cut:])
		}
		s.rotate(random.IntN(2) == 0)
		if random.IntN(10) == 0 {
			ends++
			stop(random.IntN(3) > 0)
			if random.IntN(2) == 0 {
				s.write(strings.Join(s.lines(2), "\n") + "\n")
				s.rotate(random.IntN(2) == 0)
			}
			stop = f.start(t, paths, state)
		}
	}
	s.write(strings.Join(s.lines(2), "\n") + "\n")
	stop(false)
	f.settle(t, paths, state)
	want := s.want()
	f.check(t, want)
	t.Logf("%d lines, %d kills and stops, %d observations", len(s.all), ends, len(want))
	text, err := os.ReadFile(state)
	if err != nil || strings.Contains(string(text), "uname") || strings.Contains(string(text), "SSH-2.0") {
		t.Errorf("the positions tell what was read, or %v", err)
	}
}

func TestOneProcessFollows(t *testing.T) {
	s := newSite(t)
	f := newFollowed()
	state := filepath.Join(t.TempDir(), "positions.json")
	s.write(strings.Join(s.lines(3), "\n") + "\n")
	stop := f.start(t, []string{s.path()}, state)
	f.some()
	second := ingest.Follow{Paths: []string{s.path()}, State: state}
	if _, err := second.Run(context.Background(), f, nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
	stop(false)
	if got := slices.Sorted(maps.Keys(f.got)); len(got) == 0 {
		t.Error("nothing was sent")
	}
}
