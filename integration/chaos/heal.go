package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// heal makes everything run again. It returns which instances have ended by
// themselves.
func (e *epoch) heal(ctx context.Context) (ended []string, err error) {
	limit, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := e.app.Lab.Heal(limit); err != nil {
		return nil, err
	}
	return e.revive()
}

// revive starts the instances that have ended.
func (e *epoch) revive() (ended []string, err error) {
	for _, n := range e.members {
		i := e.app.Instance(n)
		if i.Running() {
			continue
		}
		e.mu.Lock()
		excused := e.excused[n]
		e.mu.Unlock()
		if !excused {
			ended = append(ended, fmt.Sprintf("instance %d, exit code %d: %s", n+1, i.ExitCode(), lastLine(i.Config.LogFile())))
		}
		if err := e.startAgain(n); err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// restart starts instances that end while the application comes to rest, as the
// supervisor of an operator would. The function that it returns ends that, and
// tells which.
func (e *epoch) restart(ctx context.Context) func() []string {
	ctx, cancel := context.WithCancel(ctx)
	var ended []string
	var done sync.WaitGroup
	done.Go(func() {
		look := time.NewTicker(500 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				again, err := e.revive()
				ended = append(ended, again...)
				if err != nil {
					ended = append(ended, err.Error())
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return func() []string {
		cancel()
		done.Wait()
		return ended
	}
}

func lastLine(name string) string {
	text, _ := os.ReadFile(name)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// stopAtRest stops the application with nothing left to read. A tick may have
// been written at the last moment: then it is started once more.
func (e *epoch) stopAtRest(ctx context.Context, o *options) error {
	for {
		if err := e.stopAll(ctx); err != nil {
			return err
		}
		limit, cancel := context.WithTimeout(ctx, leftOver)
		err := e.app.Rest(limit)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := e.startAgain(e.members[0]); err != nil {
			return err
		}
		limit, cancel = context.WithTimeout(ctx, o.patience)
		err = e.app.Rest(limit)
		cancel()
		if err != nil {
			return err
		}
	}
}

// leftOver is how long a stopped application may have something left to read
// before that is taken to stay so.
const leftOver = 3 * time.Second
