package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"handprint/integration/instance"
	"handprint/integration/lab"
	"handprint/internal/load"
	"handprint/processor"
)

// The longest that a task may pause: what is left when the group has noticed
// that its owner is gone.
const takeoverLimit = 10 * time.Second

// takeOver measures, under a steady load, for how long tasks pause when the
// instance that owns them is killed, stopped, or killed and started again.
func takeOver(ctx context.Context, l *lab.Lab, o *options) error {
	app, err := open(ctx, l, o, "takeover")
	if err != nil {
		return err
	}
	defer app.Close()
	g, err := load.New(load.Config{Seed: 2, Attackers: max(1, o.takeover/50), Partitions: int32(o.partitions), Change: 0.02})
	if err != nil {
		return err
	}
	if _, err := feedLoad(ctx, app, g, o.takeover); err != nil {
		return err
	}
	pair := make([]*member, 2)
	for n := range pair {
		if pair[n], err = newMember(app, n); err != nil {
			return err
		}
		if err := pair[n].start(app); err != nil {
			return err
		}
	}
	if err := app.Rest(ctx); err != nil {
		return err
	}
	flow, stop := context.WithCancel(ctx)
	defer stop()
	fed := make(chan error, 1)
	go func() { fed <- feedSteadily(flow, app, g, o.rate) }()
	for _, end := range []struct {
		what    string
		do      func(victim *member) error
		patient time.Duration // what the group waits before it acts
	}{
		{"killed, and its tasks taken over by warm standbys", func(m *member) error { m.Kill(); return nil }, instance.SessionTimeout},
		{"stopped, and its tasks taken over by warm standbys", func(m *member) error {
			if err := syscall.Kill(m.Pid(), syscall.SIGTERM); err != nil {
				return err
			}
			<-m.Ended()
			return nil
		}, 0},
		{"killed and started again at once", func(m *member) error { m.Kill(); return m.start(app) }, 0},
	} {
		if err := awaitWarm(ctx, pair, o.partitions); err != nil {
			return err
		}
		tasks, err := pair[0].tasks(ctx)
		if err != nil {
			return err
		}
		pauses, err := watchPauses(ctx, app, tasks, func() error { return end.do(pair[0]) })
		if err != nil {
			return err
		}
		slices.Sort(pauses)
		longest := pauses[len(pauses)-1]
		fmt.Printf("at %d observations/s an instance with %d of %d tasks was %s: they paused for %.2f s in the median, %.2f s at most",
			o.rate, len(tasks), o.partitions, end.what, pauses[len(pauses)/2].Seconds(), longest.Seconds())
		if end.patient > 0 {
			fmt.Printf(", %.0f s of it the session timeout", end.patient.Seconds())
		}
		fmt.Println()
		if longest > end.patient+takeoverLimit {
			return fmt.Errorf("a task paused for %s", longest)
		}
		if !pair[0].Running() {
			if err := pair[0].start(app); err != nil {
				return err
			}
		}
	}
	stop()
	if err := <-fed; err != nil {
		return err
	}
	if err := app.Sweep(ctx); err != nil {
		return err
	}
	checked, err := app.Audit(ctx)
	fmt.Printf("all of it audited: %s\n", checked)
	if err != nil {
		return err
	}
	return app.StopAll(ctx)
}

// feedSteadily puts in observations at a rate until ctx ends.
func feedSteadily(ctx context.Context, app *lab.App, g *load.Generator, rate int) error {
	const every = 10 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	began, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return app.Client.Flush(context.WithoutCancel(ctx))
		case now := <-tick.C:
			due := int(now.Sub(began).Seconds() * float64(rate))
			for ; sent < due; sent++ {
				app.Client.Produce(context.WithoutCancel(ctx), observation(app, g.Next()), nil)
			}
		}
	}
}

// member is an instance that can be asked how it is.
type member struct {
	*instance.Instance
	n     int
	admin string
}

func newMember(app *lab.App, n int) (*member, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &member{n: n, admin: l.Addr().String()}, l.Close()
}

func (m *member) start(app *lab.App) (err error) {
	c := released(app, m.n)
	c.Flags = append(slices.Clone(c.Flags), "--admin-listen", m.admin)
	m.Instance, err = app.StartAs(c, m.n)
	return err
}

func (m *member) status(ctx context.Context) (processor.Status, error) {
	var said struct{ Status processor.Status }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.admin+"/statusz", nil)
	if err != nil {
		return said.Status, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return said.Status, err
	}
	defer resp.Body.Close()
	return said.Status, json.NewDecoder(resp.Body).Decode(&said)
}

// tasks returns which tasks run there.
func (m *member) tasks(ctx context.Context) ([]int32, error) {
	s, err := m.status(ctx)
	var tasks []int32
	for _, t := range s.Tasks {
		tasks = append(tasks, t.Partition)
	}
	if err == nil && len(tasks) == 0 {
		err = fmt.Errorf("instance %d has no task", m.n)
	}
	return tasks, err
}

// warmLag is how many changelog offsets a copy may be behind under load and
// count as warm.
const warmLag = 1000

// awaitWarm waits until each has its share of the tasks, all of them run, and
// each has a warm copy of those of the other.
func awaitWarm(ctx context.Context, pair []*member, tasks int) error {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		warm := true
		for _, m := range pair {
			s, err := m.status(ctx)
			running, copies := 0, 0
			for _, t := range s.Tasks {
				if t.State == processor.TaskRunning {
					running++
				}
			}
			for _, c := range s.Standbys {
				if !c.WarmUp && c.Lag >= 0 && c.Lag <= warmLag {
					copies++
				}
			}
			warm = warm && err == nil && running == tasks/len(pair) && copies == tasks-running
		}
		if warm {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watchPauses does something to the owner of tasks and returns, for each of
// them, the longest time between two commits of observations from then until all
// have gone on.
func watchPauses(ctx context.Context, app *lab.App, tasks []int32, do func() error) ([]time.Duration, error) {
	adm := kadm.NewClient(app.Client)
	done := make(chan error, 1)
	last, at, longest := make(map[int32]time.Time), make(map[int32]int64), make(map[int32]time.Duration)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	var ended time.Time // when the owner was gone, or back
	for begun := false; ; {
		offsets, err := adm.FetchOffsets(ctx, app.Name)
		if err != nil {
			return nil, err
		}
		now, waiting := time.Now(), false
		for _, p := range tasks {
			o, _ := offsets.Lookup(app.Names.Observations, p)
			if o.At > at[p] || at[p] == 0 {
				if !last[p].IsZero() {
					longest[p] = max(longest[p], now.Sub(last[p]))
				}
				at[p], last[p] = o.At, now
			}
			waiting = waiting || ended.IsZero() || last[p].Sub(ended) < settleTime
		}
		if !begun {
			begun = true
			go func() { done <- do() }()
		}
		if !waiting {
			break
		}
		select {
		case err := <-done:
			if err != nil {
				return nil, err
			}
			ended = time.Now()
		case <-poll.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	var pauses []time.Duration
	for _, p := range tasks {
		pauses = append(pauses, longest[p])
	}
	return pauses, nil
}

// settleTime is how long tasks must have gone on: longer than a commit of the
// one who is gone takes to show, and than the second step of a move.
const settleTime = 3 * time.Second
