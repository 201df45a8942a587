package clocktest

import (
	"testing"
	"time"
)

func TestAdvanceTicks(t *testing.T) {
	start := time.Unix(100, 0)
	c := New(start)
	ticks, stop := c.NewTicker(10 * time.Second)
	c.WaitTickers(1)
	for _, step := range []struct {
		by    time.Duration
		ticks bool
	}{{9 * time.Second, false}, {time.Second, true}, {9 * time.Second, false}, {25 * time.Second, true}, {6 * time.Second, true}} {
		c.Advance(step.by)
		select {
		case at := <-ticks:
			if !step.ticks || !at.Equal(c.Now()) {
				t.Errorf("a tick of %v at %v", at, c.Now())
			}
		default:
			if step.ticks {
				t.Errorf("no tick at %v", c.Now())
			}
		}
	}
	if got := c.Now().Sub(start); got != 50*time.Second {
		t.Errorf("the clock moved by %v", got)
	}
	stop()
	c.Advance(time.Hour)
	select {
	case <-ticks:
		t.Error("a tick after stop")
	default:
	}
}

func TestATimerFiresOnce(t *testing.T) {
	for name, move := range map[string]func(*Clock){
		"by the clock":    func(c *Clock) { c.Advance(time.Hour) },
		"by the real one": func(*Clock) {},
	} {
		t.Run(name, func(t *testing.T) {
			c := New(time.Unix(100, 0))
			wait := time.Millisecond
			if name == "by the clock" {
				wait = time.Hour
			}
			fired, stop := c.NewTimer(wait)
			defer stop()
			move(c)
			<-fired
			c.Advance(time.Hour)
			select {
			case <-fired:
				t.Error("it fired twice")
			default:
			}
		})
	}
}
