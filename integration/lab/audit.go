package lab

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"handprint/attribution"
	"handprint/internal/audit"
)

// Checked is what audits have looked at and found.
type Checked struct {
	Observations, Rows, Exact, Chained, Loose int64
	Suspicions, DeadLetters, Stored           int64
	Lost, Doubled, Different                  int64
	InputLost, CommandsLost                   int64 // deleted before the application read it

	// Offsets of input that the test has deleted before they were read, at least and at
	// most, and the offsets that the application says it has stepped over.
	UnreadLeast, UnreadMost, SteppedOver int64
}

func checked(r audit.Report) Checked {
	return Checked{
		Observations: r.Observations, Rows: r.Compared, Exact: r.Exact, Chained: r.Chained, Loose: r.Loose,
		Suspicions: r.Suspicions, DeadLetters: r.DeadLetters, Stored: r.StoreRecords,
		Lost: r.Lost, Doubled: r.Doubled, Different: r.Different + r.Unexpected,
		InputLost: r.InputLost, CommandsLost: r.CommandsLost,
	}
}

// Add adds what another audit has looked at.
func (c *Checked) Add(other Checked) {
	c.Observations += other.Observations
	c.Rows += other.Rows
	c.Exact += other.Exact
	c.Chained += other.Chained
	c.Loose += other.Loose
	c.Suspicions += other.Suspicions
	c.DeadLetters += other.DeadLetters
	c.Stored += other.Stored
	c.Lost += other.Lost
	c.Doubled += other.Doubled
	c.Different += other.Different
	c.InputLost += other.InputLost
	c.CommandsLost += other.CommandsLost
	c.UnreadLeast += other.UnreadLeast
	c.UnreadMost += other.UnreadMost
	c.SteppedOver += other.SteppedOver
}

// String says it in one line. A row that is loose is among the rows; its value
// is not determined by the input.
func (c Checked) String() string {
	text := fmt.Sprintf("%d observations, %d rows (%d loose), %d transitions (%d exactly), %d suspicions, %d dead letters",
		c.Observations, c.Rows, c.Loose, c.Exact+c.Chained, c.Exact, c.Suspicions, c.DeadLetters)
	if c.Stored > 0 {
		text += fmt.Sprintf(", %d records of stores", c.Stored)
	}
	if taken := c.InputLost + c.CommandsLost; taken > 0 {
		text += fmt.Sprintf(", %d offsets deleted before they were read", taken)
	}
	switch {
	case c.UnreadMost == 0 && c.SteppedOver == 0:
	case c.UnreadLeast == c.UnreadMost:
		text += fmt.Sprintf(", %d offsets of input deleted unread and %d stepped over", c.UnreadMost, c.SteppedOver)
	default:
		text += fmt.Sprintf(", %d to %d offsets of input deleted unread and %d stepped over", c.UnreadLeast, c.UnreadMost, c.SteppedOver)
	}
	return text + fmt.Sprintf(": %d lost, %d doubled, %d different", c.Lost, c.Doubled, c.Different)
}

// DifferenceError is an audit that found something.
type DifferenceError struct{ Differences []audit.Difference }

// Error returns the differences, a line each.
func (e *DifferenceError) Error() string {
	lines := []string{"the audit found differences"}
	for _, d := range e.Differences {
		lines = append(lines, d.String())
	}
	return strings.Join(lines, "\n    ")
}

// auditing is the audit that follows an application.
type auditing struct {
	mu        sync.Mutex
	auditor   *audit.Auditor
	truncated bool // input that was read is gone: only the auditor has it

	unread, before unread // all in all, and up to the last audit
	saidBefore     int64
}

func (a *auditing) close() {
	if a.auditor != nil {
		a.auditor.Close()
	}
}

func (a *App) auditOptions() audit.Options {
	return audit.Options{
		Client: append(a.Lab.Direct(), a.unpack...), Topics: a.Names, Group: a.Name, Timeout: 2 * time.Minute, MaxDifferences: 20,
		Rules: audit.Rules{Thresholds: attribution.DefaultThresholds()},
		Swept: true,
	}
}

// follow returns the auditor that follows the application. The caller holds a.mu of
// auditing.
func (a *App) follow() (*audit.Auditor, error) {
	if a.auditor == nil {
		o := a.auditOptions()
		o.Stores = true
		var err error
		if a.auditor, err = audit.New(o); err != nil {
			return nil, err
		}
	}
	return a.auditor, nil
}

// Audit audits what is new since the last Audit. Everything must be at rest
// after a Sweep: a suspicion that is due and was not sent is lost, and what the
// application has stepped over must be what was deleted before it read it. The error
// is a *DifferenceError if rows or records differ, and another if the application has
// stepped over more or less than was deleted.
func (a *App) Audit(ctx context.Context) (Checked, error) {
	a.auditing.mu.Lock()
	defer a.auditing.mu.Unlock()
	auditor, err := a.follow()
	if err != nil {
		return Checked{}, err
	}
	c, err := result(auditor.Advance(ctx))
	if err == nil {
		err = a.tellsLosses(ctx, &c)
	}
	return c, err
}

// Truncated reports whether input is gone that was read.
func (a *App) Truncated() bool {
	a.auditing.mu.Lock()
	defer a.auditing.mu.Unlock()
	return a.truncated
}

// AuditAll audits everything from the beginning, as Audit does, and the stores
// of instances that have been stopped. If input is gone that was read it goes on
// from the last Audit instead.
func (a *App) AuditAll(ctx context.Context, stateDirs ...string) (Checked, error) {
	a.auditing.mu.Lock()
	defer a.auditing.mu.Unlock()
	if a.truncated {
		auditor, err := a.follow()
		if err != nil {
			return Checked{}, err
		}
		r, err := auditor.Advance(ctx)
		if err != nil || !r.OK() {
			return result(r, err)
		}
		stores, err := auditor.CompareStores(stateDirs...)
		r.StoreRecords += stores.StoreRecords
		if err == nil && !stores.OK() {
			r = stores
		}
		return result(r, err)
	}
	o := a.auditOptions()
	o.StateDirs = stateDirs
	return result(audit.Run(ctx, o))
}

func result(r audit.Report, err error) (Checked, error) {
	if err == nil && !r.OK() {
		err = &DifferenceError{r.Differences}
	}
	return checked(r), err
}
