package processor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sideTimeout bounds how long a tick or a heartbeat may be on its way: one that
// is late is worth nothing.
const sideTimeout = 10 * time.Second

// produceWithin is ProduceSync that ends with ctx. The client keeps a record that
// it has once tried to send for as long as no broker says what became of it, and
// ProduceSync waits for that: with all brokers away a stop would wait for them. A
// record that is not heard of has the error of ctx, and may arrive all the same.
func produceWithin(ctx context.Context, client *kgo.Client, records ...*kgo.Record) kgo.ProduceResults {
	heard := make(chan kgo.ProduceResult, len(records))
	for _, r := range records {
		client.Produce(ctx, r, func(r *kgo.Record, err error) { heard <- kgo.ProduceResult{Record: r, Err: err} })
	}
	results := make(kgo.ProduceResults, 0, len(records))
	for len(results) < len(records) {
		select {
		case r := <-heard:
			results = append(results, r)
		case <-ctx.Done():
			return append(results, kgo.ProduceResult{Record: records[len(results)], Err: ctx.Err()})
		}
	}
	return results
}

// tick writes a tick record into the commands partition of each task that runs
// here, at every interval, and where it is asked to. It acts on nothing by itself: whoever owns the
// partition when the record is read does, in a transaction that the record's
// offset fences. One tick too many does no harm.
func (p *Processor) tick(ctx context.Context, client *kgo.Client) {
	ticks, stop := p.cfg.Clock.NewTicker(p.cfg.TickInterval)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks:
			p.tickOnce(ctx, client, now)
		case task := <-p.early:
			p.tickTasks(ctx, client, p.cfg.Clock.Now(), task)
		}
	}
}

// tickEarly has a tick written for a task that has something to say in a
// transaction and may have no record to begin one with. If too many ask at once, the
// next tick has to do.
func (p *Processor) tickEarly(task int32) {
	select {
	case p.early <- task:
	default:
	}
}

func (p *Processor) tickOnce(ctx context.Context, client *kgo.Client, now time.Time) {
	var tasks []int32
	for _, t := range p.Status().Tasks {
		if t.State == TaskRunning {
			tasks = append(tasks, t.Partition)
		}
	}
	p.tickTasks(ctx, client, now, tasks...)
}

// tickTasks writes a tick record for each of these tasks.
func (p *Processor) tickTasks(ctx context.Context, client *kgo.Client, now time.Time, tasks ...int32) {
	var records []*kgo.Record
	for _, t := range tasks {
		key, value := p.cfg.Tick(now)
		records = append(records, &kgo.Record{Topic: p.cfg.Commands, Partition: t, Key: key, Value: value})
	}
	if len(records) == 0 {
		return
	}
	limit, cancel := context.WithTimeout(ctx, sideTimeout)
	defer cancel()
	for _, r := range produceWithin(limit, client, records...) {
		if r.Err == nil {
			p.counters.ticks.Add(1)
		} else if ctx.Err() == nil {
			p.counters.tickFailures.Add(1)
			p.log.Warn("writing a tick failed, the next one takes its place", "task", r.Record.Partition, "error", r.Err)
		}
	}
}

// heartbeat says at once and then at every interval that the process is alive.
func (p *Processor) heartbeat(ctx context.Context, client *kgo.Client) {
	ticks, stop := p.cfg.Clock.NewTicker(p.cfg.HeartbeatInterval)
	defer stop()
	now := p.cfg.Clock.Now()
	for {
		limit, cancel := context.WithTimeout(ctx, sideTimeout)
		err := produceWithin(limit, client, &kgo.Record{
			Topic: p.cfg.Health, Partition: 0, Value: p.cfg.HeartbeatValue(now, p.Status()),
		}).FirstErr()
		cancel()
		if err == nil {
			p.counters.heartbeats.Add(1)
		} else if ctx.Err() == nil {
			p.counters.heartbeatErrors.Add(1)
			p.log.Warn("sending a heartbeat failed", "topic", p.cfg.Health, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case now = <-ticks:
		}
	}
}

// control is a message on the control topic.
type control struct {
	Action      string          `json:"action"`
	RequestedBy json.RawMessage `json:"requested_by"` // whatever the sender puts there; only logged
}

// controlClient returns a client that reads the control topic from where it
// ends now: a stop is for those who run when it is sent.
func (p *Processor) controlClient(ctx context.Context, admin *kadm.Client) (*kgo.Client, error) {
	var ends kadm.ListedOffsets
	limit, cancel := context.WithTimeout(ctx, p.cfg.StartTimeout)
	defer cancel()
	err := whileStarting(limit, p.cfg.Clock, func() (err error) {
		if ends, err = admin.ListEndOffsets(limit, p.cfg.Control); err == nil {
			err = ends.Error()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading control topic %s: %w", p.cfg.Control, err)
	}
	from := make(map[int32]kgo.Offset)
	ends.Each(func(o kadm.ListedOffset) { from[o.Partition] = kgo.NewOffset().At(o.Offset) })
	return kgo.NewClient(append(p.cfg.clientOptions(""),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{p.cfg.Control: from}),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)...)
}

// controlMaxDelay is how long reading the control topic waits after errors, and
// so how often it says so.
const controlMaxDelay = 30 * time.Second

// listen reads control messages until ctx ends or one of them says stop, which
// it tells by calling stop.
func (p *Processor) listen(ctx context.Context, client *kgo.Client, stop func()) {
	retry := backoff{clock: p.cfg.Clock, max: controlMaxDelay}
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			p.counters.fetchErrors.Add(1)
			p.log.Warn("reading the control topic failed, the client tries again", "topic", topic, "partition", partition, "error", err)
		})
		fetches.EachRecord(func(r *kgo.Record) {
			var m control
			switch err := json.Unmarshal(r.Value, &m); {
			case err != nil:
				p.ignoreControl(r, "not a JSON object that can be read")
			case m.Action != "stop":
				p.ignoreControl(r, "unknown action")
			default:
				p.log.Info("stopping, as the control topic says", "requested_by", string(m.RequestedBy), "offset", r.Offset)
				stop()
			}
		})
		// The client asks again at once where waiting does not help, as after a
		// right that was taken away.
		if len(fetches.Errors()) == 0 {
			retry.reset()
		} else if retry.wait(ctx) != nil {
			return
		}
	}
}

func (p *Processor) ignoreControl(r *kgo.Record, why string) {
	p.counters.controlIgnored.Add(1)
	p.log.Warn("control message ignored", "reason", why, slog.Int64("offset", r.Offset), "value", shortKey(r.Value))
}
