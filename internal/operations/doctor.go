package operations

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/internal/broker"
)

// Result is how a check went.
type Result string

// The results. A warning is something that works and may not go on working.
const (
	OK      Result = "ok"
	Warning Result = "warning"
	Failed  Result = "failed"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Found  string `json:"found"`         // in a few words
	Fix    string `json:"fix,omitempty"` // what to do; empty if all is well
}

// Host is where a process of the application runs, or is to run: this machine.
type Host struct {
	StateDir string
	Caches   uint64 // bytes of memory that are to be used outside of Go's heap
	Now      func() time.Time
}

// doctor collects checks.
type doctor struct {
	ctx    context.Context
	cl     *kgo.Client
	adm    *kadm.Client
	app    *Application
	blind  bool // the principal must not read the health topic
	checks []Check
}

func (d *doctor) add(name string, r Result, fix, found string, args ...any) {
	d.checks = append(d.checks, Check{Name: name, Result: r, Found: fmt.Sprintf(found, args...), Fix: fix})
}

// Diagnose looks at everything that the application needs: the cluster behind
// cl, which has answered, and this machine. It changes nothing but for one
// transaction on the health topic, which it aborts: that is how it learns
// whether transactions work and what the broker's clock says.
func Diagnose(ctx context.Context, cl *kgo.Client, a *Application, h Host) []Check {
	d := &doctor{ctx: ctx, cl: cl, adm: kadm.NewClient(cl), app: a}
	d.brokers()
	d.topics()
	d.topicPermissions()
	d.timestamps()
	d.settings()
	d.group()
	d.rules()
	d.lostInput()
	d.identityEvents(h.Now)
	d.transactions(h.Now)
	d.disk(h.StateDir)
	d.memory(h.Caches)
	return d.checks
}

// Worst returns the worst result of all.
func Worst(checks []Check) Result {
	worst := OK
	for _, c := range checks {
		if c.Result == Failed || c.Result == Warning && worst == OK {
			worst = c.Result
		}
	}
	return worst
}

// needed are the requests without which handprint cannot work, in the version
// from which on they do what it relies on.
var needed = []struct {
	key     kmsg.Key
	version int16
	why     string
}{
	{kmsg.Metadata, 10, "topic ids"},
	{kmsg.OffsetFetch, 7, "stable offsets"},
	{kmsg.TxnOffsetCommit, 3, "offsets fenced by the group"},
	{kmsg.InitProducerID, 3, "epochs that are raised"},
	{kmsg.JoinGroup, 5, "static members"},
}

func (d *doctor) brokers() {
	all, err := d.adm.ApiVersions(d.ctx)
	if err != nil {
		d.add("brokers", Failed, "look whether the brokers answer and the credentials are right", "asking for their versions: %v", err)
		return
	}
	var versions, silent, old []string
	v2, feature := true, int16(0)
	for _, b := range all.Sorted() {
		if b.Err != nil {
			silent = append(silent, fmt.Sprintf("broker %d (%v)", b.NodeID, b.Err))
			continue
		}
		if v := b.VersionGuess(); len(versions) == 0 || versions[len(versions)-1] != v {
			versions = append(versions, v)
		}
		for _, n := range needed {
			if have, ok := b.KeyMaxVersion(int16(n.key)); !ok || have < n.version {
				old = append(old, fmt.Sprintf("broker %d lacks %s (%s)", b.NodeID, n.why, n.key.Name()))
			}
		}
		if have, ok := b.KeyMaxVersion(int16(kmsg.EndTxn)); !ok || have < 5 {
			v2 = false
		}
		for _, f := range b.Raw().FinalizedFeatures {
			if f.Name == "transaction.version" {
				feature = max(feature, f.MaxVersionLevel)
			}
		}
	}
	found := fmt.Sprintf("%d, Kafka %s", len(all), strings.Join(versions, " and "))
	switch {
	case len(old) > 0:
		d.add("brokers", Failed, "upgrade the brokers, to Kafka 4.0 or later if you can", "%s: %s", found, strings.Join(old, ", "))
	case len(silent) > 0:
		d.add("brokers", Warning, "bring them back: each that is missing is one fewer that may fail", "%s; no answer from %s", found, strings.Join(silent, ", "))
	default:
		d.add("brokers", OK, "", "%s", found)
	}
	if v2 && feature >= 2 {
		d.add("transaction version", OK, "", "%d", feature)
	} else {
		d.add("transaction version", Warning, "upgrade to Kafka 4.0 or later, and: kafka-features upgrade --feature transaction.version=2",
			"%d: exactly-once is not safe, a late message can end the wrong transaction (KIP-890)", feature)
	}
}

func (d *doctor) topics() {
	specs := d.app.specs()
	problems, err := broker.Check(d.ctx, d.cl, specs)
	if err != nil {
		d.add("topics", Failed, fixFor(err, "let this principal describe the topics and their configurations"), "%v", err)
		return
	}
	for _, p := range problems {
		if p.What == "existence" {
			d.add("topic "+p.Topic, Warning, "handprint topics create, or let handprint run create it", "does not exist")
		} else if p.Advice {
			d.add("topic "+p.Topic, Warning, p.Fix, "%s is %s, should be %s", p.What, p.Have, p.Want)
		} else {
			d.add("topic "+p.Topic, Failed, p.Fix, "%s is %s, must be %s", p.What, p.Have, p.Want)
		}
	}
	if len(problems) == 0 {
		d.add("topics", OK, "", "all %d fit", len(specs))
	}
}

// maxCoordinatorWait is how long a group's coordinator may take to be there: on a
// fresh cluster its topic is made when it is first asked for.
const maxCoordinatorWait = 15 * time.Second

// awaitGroup describes a group, and asks again while nobody coordinates it yet.
func awaitGroup(ctx context.Context, adm *kadm.Client, name string) (kadm.DescribedGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, maxCoordinatorWait)
	defer cancel()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	for {
		g, err := describeGroup(ctx, adm, name)
		if !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.CoordinatorLoadInProgress) && !errors.Is(err, kerr.NotCoordinator) {
			return g, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return g, err
		}
	}
}

func (d *doctor) group() {
	g, err := awaitGroup(d.ctx, d.adm, d.app.ID)
	if err != nil {
		d.add("group", Failed, fixFor(err, "let this principal read and describe the group"), "%v", err)
		return
	}
	d.groupSize(&g)
	if !mayJoin(&g) {
		d.add("group permissions", Failed, "allow Read on group "+d.app.ID, "this principal must not join group %s", d.app.ID)
	}
	switch {
	case len(g.Members) == 0:
		d.add("group", OK, "", "%s has no members: the application does not run", d.app.ID)
	case g.State == "Stable":
		owned := len(ownersOf(&g, d.app.Names.Observations))
		if int32(owned) < d.app.Layout.Partitions {
			d.add("group", Warning, "look at the members' logs, and again in a minute", "%s has %d members, and %d of %d tasks have no owner", d.app.ID, len(g.Members), int(d.app.Layout.Partitions)-owned, d.app.Layout.Partitions)
			return
		}
		d.add("group", OK, "", "%s is stable: %d members, %d tasks", d.app.ID, len(g.Members), owned)
	default:
		d.add("group", Warning, "look again in a minute; a member that comes and goes keeps it so", "%s is %s, with %d members", d.app.ID, g.State, len(g.Members))
	}
}

// lostInput looks for input that was deleted before it was read, or that an open
// transaction holds up.
func (d *doctor) lostInput() {
	lag, err := MeasureLag(d.ctx, d.cl, d.app)
	if err != nil {
		return // the topics or the group are not as they should be, which was said
	}
	var lost, held []string
	for _, t := range lag.Tasks {
		for _, in := range t.Inputs {
			if in.HeldUp > 0 && in.Topic != d.app.Names.Commands {
				held = append(held, fmt.Sprintf("%s[%d] at offset %d, %d offsets", in.Topic, t.Task, in.End, in.HeldUp))
			}
			if in.Lost > 0 {
				lost = append(lost, fmt.Sprintf("%s[%d]: offsets %d to %d", in.Topic, t.Task, in.Committed, in.Committed+in.Lost))
			}
		}
	}
	if len(held) > 0 {
		d.add("open transactions", Warning, "look again in a minute; end one that stays with kafka-transactions.sh abort --topic T --partition P --start-offset O",
			"the input is held up: %s", strings.Join(held, ", "))
	}
	if len(lost) == 0 {
		d.add("unread input", OK, "", "nothing was deleted before it was read")
		return
	}
	d.add("unread input", Failed, "keep the input for longer than any outage; the application goes on behind what is lost, unless on-lost-input is stop",
		"deleted before it was read: %s", strings.Join(lost, ", "))
}

func allowed(have []kadm.ACLOperation, op kmsg.ACLOperation) bool {
	for _, o := range have {
		if o == op || o == kmsg.ACLOperationAll {
			return true
		}
	}
	return false
}
