package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// savedState is what a run of Follow leaves for the next: for each log where
// to go on, and by what its files are known. It holds nothing of their text.
type savedState struct {
	Version int        `json:"version"`
	Logs    []savedLog `json:"logs"`
}

const stateVersion = 1

type savedLog struct {
	Name     string         `json:"name"`
	From     int64          `json:"from"`
	Emit     int64          `json:"emit"`
	Next     int64          `json:"next"`
	Segments []savedSegment `json:"segments"`
	Known    []savedPrints  `json:"known"`
}

type savedSegment struct {
	Path   string      `json:"path"`
	Inode  uint64      `json:"inode"`
	Packed bool        `json:"packed,omitempty"`
	Prints savedPrints `json:"prints"`
	Order  int64       `json:"order"`
	Begun  bool        `json:"begun"`
	Base   int64       `json:"base"`
	Lines  int64       `json:"lines"`
	Done   bool        `json:"done"`
}

type savedPrints struct {
	Length int      `json:"length"`
	Sums   []string `json:"sums"`
}

func (p *prints) saved() savedPrints {
	s := savedPrints{Length: p.length}
	for _, sum := range p.sums {
		if sum != "" {
			s.Sums = append(s.Sums, sum)
		}
	}
	return s
}

func (s *savedPrints) prints() prints {
	p := prints{length: s.Length}
	copy(p.sums[:], s.Sums)
	return p
}

// load reads what an earlier run has left, and keeps others from following
// with the same file.
func (r *followRun) load() (unlock func(), err error) {
	if r.State == "" {
		return nil, errors.New("following: no file to keep the positions in")
	}
	if r.State, err = filepath.Abs(r.State); err != nil {
		return nil, fmt.Errorf("positions: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(r.State), 0o700); err != nil {
		return nil, fmt.Errorf("positions: %w", err)
	}
	for i, p := range r.Paths {
		if r.Paths[i], err = filepath.Abs(p); err != nil {
			return nil, fmt.Errorf("following %s: %w", p, err)
		}
	}
	lock, err := os.OpenFile(r.State+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("positions: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("positions: another process follows with %s: %w", r.State, err)
	}
	unlock = func() { lock.Close() }
	r.saved = map[string]savedLog{}
	text, err := os.ReadFile(r.State)
	if errors.Is(err, fs.ErrNotExist) {
		return unlock, nil
	}
	var state savedState
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err == nil && state.Version != stateVersion {
		err = fmt.Errorf("version %d is not known", state.Version)
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("positions: %s: %w; without it everything is read again, with the same ids", r.State, err)
	}
	for _, l := range state.Logs {
		r.saved[l.Name] = l
	}
	return unlock, nil
}

// log returns a log, with what an earlier run has left of it.
func (r *followRun) log(name string, explicit bool) (*followedLog, error) {
	if l := r.logs[name]; l != nil {
		return l, nil
	}
	l := &followedLog{run: r, name: name, explicit: explicit, unseen: true}
	l.intake = intake{Sink: r.sink, text: r.LetterText, now: time.Now, reasons: reasons{}}
	l.locate = func(d *DeadLetter) {
		d.File, d.Number = name, l.number-d.Back
		if s := l.segment(); s != nil {
			d.File = s.path
		}
	}
	adapter, err := r.adapt(l)
	if err != nil {
		return nil, err
	}
	l.adapter, l.intake.adapter = adapter, adapter
	if saved, ok := r.saved[name]; ok {
		l.restore(&saved)
	}
	r.logs[name] = l
	r.order = append(r.order, l)
	return l, nil
}

func (l *followedLog) restore(saved *savedLog) {
	l.unseen = false
	l.resume = Checkpoint{From: saved.From, Emit: saved.Emit, Next: saved.Next}
	l.probation.over = saved.Next > 0
	for _, p := range saved.Known {
		l.known = append(l.known, p.prints())
	}
	for _, s := range saved.Segments {
		g := &segment{path: s.Path, inode: s.Inode, packed: s.Packed, prints: s.Prints.prints(), order: s.Order, begun: s.Begun, base: s.Base, before: s.Lines}
		if s.Done {
			g.max = s.Lines
		}
		l.segments = append(l.segments, g)
	}
	l.next = saved.Next
	if len(l.segments) > 0 && l.segments[0].begun {
		l.next = l.segments[0].base
	}
}

// waiter is an adapter that may hold a part of an event.
type waiter interface{ Waiting() bool }

// keep writes down how far each log has been read, once everything that was
// sent is safe.
func (r *followRun) keep(ctx context.Context) error {
	for _, l := range r.order {
		w, ok := l.adapter.(waiter)
		if l.unseen || ok && w.Waiting() || l.carries {
			continue // as it was kept last
		}
		r.saved[l.name] = l.save()
	}
	if err := r.sink.Flush(ctx); err != nil {
		return err
	}
	state := savedState{Version: stateVersion}
	for _, l := range r.order {
		if s, ok := r.saved[l.name]; ok {
			state.Logs = append(state.Logs, s)
		}
	}
	for name, s := range r.saved {
		if r.logs[name] == nil {
			state.Logs = append(state.Logs, s)
		}
	}
	if err := writeState(r.State, &state); err != nil {
		return fmt.Errorf("keeping the positions: %w", err)
	}
	return nil
}

// save returns what the next run needs, and lets go of what nobody does.
func (l *followedLog) save() savedLog {
	c := l.resume
	if l.started && l.probation.over {
		c = l.adapter.Checkpoints()[0]
	}
	for l.current > 0 && l.segments[0].end() <= c.From {
		l.remember(l.segments[0].prints)
		l.segments = l.segments[1:]
		l.current--
	}
	out := savedLog{Name: l.name, From: c.From, Emit: c.Emit, Next: c.Next}
	for _, s := range l.segments {
		out.Segments = append(out.Segments, savedSegment{
			Path: s.path, Inode: s.inode, Packed: s.packed, Prints: s.prints.saved(), Order: s.order, Begun: s.begun, Base: s.base, Lines: s.end() - s.base, Done: s.done,
		})
	}
	for _, p := range l.known {
		out.Known = append(out.Known, p.saved())
	}
	return out
}

// writeState replaces the file, so that a crash leaves the old or the new one.
func writeState(path string, state *savedState) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	temp, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = temp.Write(append(text, '\n'))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
