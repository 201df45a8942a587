package engine

import (
	"fmt"
	"math"

	"handprint/attribution"
)

// replayClock sweeps in the time of the observations (docs/attribution.md, "Time
// of the sweeps"). Ticks are at the multiples of an interval; the clock is the
// number of the last multiple that the task's observations have passed.
type replayClock struct {
	known  bool // there was an observation
	passed float64
}

func (c *replayClock) load(from Reader) error {
	*c = replayClock{}
	passed, known, err := get(from, []byte{kindTime}, decodeTime)
	if err != nil {
		return fmt.Errorf("reading the time of the replay: %w", err)
	}
	c.known, c.passed = known, passed
	return nil
}

// Time: version 1, and the number of a multiple as a double.
func appendTime(dst []byte, passed float64) []byte { return appendFloat(append(dst, 1), passed) }

func decodeTime(b []byte) (passed float64, err error) {
	in := reader{b: b}
	in.version(1)
	passed = in.float()
	return passed, in.end("time of a replay")
}

// multiple returns the number of the last multiple of interval that is not above
// ts.
func multiple(ts, interval float64) float64 {
	n := math.Floor(ts / interval)
	if n*interval > ts {
		n--
	} else if (n+1)*interval <= ts {
		n++
	}
	return n
}

// replayTo gives the task the ticks up to ts, before anything of that time is
// taken. Between two observations only the first and the last are given.
func (e *Engine) replayTo(ts float64) error {
	n := multiple(ts, e.cfg.ReplayInterval)
	if e.replay.known && n <= e.replay.passed {
		return nil
	}
	first, known := e.replay.passed+1, e.replay.known
	e.replay = replayClock{known: true, passed: n}
	e.store.Put([]byte{kindTime}, appendTime(nil, n))
	if !known {
		return nil
	}
	if err := e.replayTick(first); err != nil || n == first {
		return err
	}
	return e.replayTick(n)
}

// replayTick sweeps at a multiple. No tick record is there for the ids of the
// events, so its time stands for it: no other tick of the task has it.
func (e *Engine) replayTick(n float64) error {
	ts := n * e.cfg.ReplayInterval
	by := attribution.Arrival{Time: int64(min(ts*1000, math.MaxInt64/2)), Partition: e.task, Offset: e.now.Offset}
	if err := e.sweep(tick{Time: ts}, by); err != nil {
		return err
	}
	return e.forgetInReplay(tick{Time: ts}, by)
}

// ReplayEnd returns the time of the tick that ends a replay whose newest observation
// is of that ts.
func (c *Config) ReplayEnd(newest float64) float64 {
	return (multiple(newest, c.ReplayInterval) + 1) * c.ReplayInterval
}

// newest notes the ts of an observation. Values of ts that are not negative are
// in the order of their bits.
func (c *Counters) newest(ts float64) {
	for bits := math.Float64bits(ts); ; {
		was := c.Newest.Load()
		if was >= bits || c.Newest.CompareAndSwap(was, bits) {
			return
		}
	}
}
