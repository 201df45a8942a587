package follow

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/processor/clocktest"
	"handprint/serve/catalog"
	"handprint/serve/history"
	"handprint/topology"
)

// All history begins anew only if every topic that was known has been made anew, and not
// before each of them is there.
func TestWhenAllHistoryBeginsAnew(t *testing.T) {
	t.Parallel()
	id := func(n byte) kadm.TopicID { return kadm.TopicID{15: n} }
	was := map[string]string{"a": id(1).String(), "b": id(2).String(), "c": "", "d": id(4).String()}
	type look struct {
		ids     map[string]kadm.TopicID
		waiting []string
		began   bool
	}
	for name, looks := range map[string][]look{
		"as they were":      {{map[string]kadm.TopicID{"a": id(1), "b": id(2), "d": id(4)}, nil, false}},
		"one is anew":       {{map[string]kadm.TopicID{"a": id(9), "b": id(2), "d": id(4)}, nil, false}},
		"all are anew":      {{map[string]kadm.TopicID{"a": id(9), "b": id(8), "d": id(7)}, nil, true}},
		"none is there":     {{map[string]kadm.TopicID{}, nil, false}, {map[string]kadm.TopicID{"c": id(3)}, nil, false}},
		"one is the same":   {{map[string]kadm.TopicID{"a": id(9), "d": id(4)}, nil, false}},
		"the last is anew":  {{map[string]kadm.TopicID{"a": id(9), "b": id(8)}, []string{"d"}, false}, {map[string]kadm.TopicID{"a": id(9), "b": id(8), "d": id(7)}, nil, true}},
		"the last is there": {{map[string]kadm.TopicID{"a": id(9), "b": id(8)}, []string{"d"}, false}, {map[string]kadm.TopicID{"a": id(9), "b": id(8), "d": id(4)}, nil, false}},
		"one after another": {
			{map[string]kadm.TopicID{"a": id(9)}, []string{"b", "d"}, false}, {map[string]kadm.TopicID{}, []string{"b", "d"}, false},
			{map[string]kadm.TopicID{"d": id(7)}, []string{"b"}, false}, {map[string]kadm.TopicID{"a": id(9), "b": id(8), "d": id(7)}, nil, true},
		},
	} {
		var doubt []string
		for n, l := range looks {
			waiting, began := judgeTopics(was, l.ids, doubt)
			if !slices.Equal(waiting, l.waiting) || began != l.began {
				t.Errorf("%s, look %d: %v is waited for, it began anew: %v; want %v, %v", name, n, waiting, began, l.waiting, l.began)
			}
			doubt = waiting
		}
	}
}

// staleCluster is a cluster with brokers that hide topics, or say another id of them.
type staleCluster struct {
	*kfake.Cluster
	mu    sync.Mutex
	hides map[int32]map[string]bool
	asked atomic.Int64 // questions for topics by their names
}

func newStaleCluster(t *testing.T, brokers int, topics ...string) *staleCluster {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(brokers), kfake.SeedTopics(1, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := &staleCluster{Cluster: fake, hides: make(map[int32]map[string]bool)}
	c.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		c.mu.Lock()
		defer c.mu.Unlock()
		req := r.(*kmsg.MetadataRequest)
		if len(req.Topics) > 0 {
			c.asked.Add(1)
		}
		hidden := c.hides[c.CurrentNode()]
		if !slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.Topic != nil && hidden[*t.Topic] }) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		for n, addr := range c.ListenAddrs() {
			host, port, _ := net.SplitHostPort(addr)
			p, _ := strconv.Atoi(port)
			b := kmsg.NewMetadataResponseBroker()
			b.NodeID, b.Host, b.Port = int32(n), host, int32(p)
			resp.Brokers = append(resp.Brokers, b)
		}
		for _, topic := range req.Topics {
			told := kmsg.NewMetadataResponseTopic()
			if told.Topic = topic.Topic; hidden[*topic.Topic] {
				told.ErrorCode = kerr.UnknownTopicOrPartition.Code
			} else {
				told.TopicID = c.TopicInfo(*topic.Topic).TopicID
			}
			resp.Topics = append(resp.Topics, told)
		}
		return resp, nil, true
	})
	return c
}

// hide makes a broker say that topics are not there; none: it says what is true.
func (c *staleCluster) hide(broker int32, topics ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hides[broker] = make(map[string]bool)
	for _, topic := range topics {
		c.hides[broker][topic] = true
	}
}

// follower is a follower of the cluster's topics that does not run.
func (c *staleCluster) follower(t *testing.T) *Follower {
	t.Helper()
	h, err := history.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	f, err := New(Config{
		Client: []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}, Names: topology.DefaultNames("", "app"), Partitions: 1, History: h,
		LookEvery: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	f.catalog.Store(catalog.New())
	return f
}

// eventTopics are the names of the event topics.
func eventTopics(f *Follower) []string { return append(f.historyTopics(), f.cfg.Names.Profiles) }

func ended(ctx context.Context) bool { return topicTrouble(context.Cause(ctx)) }

// One broker that has not heard of a topic ends nothing; that the topic is gone does.
func TestOneBrokerIsNotBelieved(t *testing.T) {
	t.Parallel()
	c := newStaleCluster(t, 2, "a")
	f := c.follower(t)
	ids, err := topicIDs(t.Context(), f.client, "a")
	if err != nil {
		t.Fatal(err)
	}
	c.hide(1, "a")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	look := &topicLook{f: f, all: []string{"a"}, ids: ids, cancel: cancel}
	doubted := false
	for range 30 {
		doubted = !look.same(ctx) || doubted
	}
	if !doubted {
		t.Fatal("the broker was never asked")
	}
	if ended(ctx) {
		t.Errorf("one broker is believed: %v", context.Cause(ctx))
	}
	c.hide(0, "a")
	for range 3 {
		look.same(ctx)
	}
	if !ended(ctx) {
		t.Error("both brokers are not believed")
	}
}

// The records of identities that were read stay while one broker says that their topic is
// not there.
func TestOneBrokerDoesNotHideIdentities(t *testing.T) {
	t.Parallel()
	c := newStaleCluster(t, 2, topology.DefaultNames("", "app").Identities)
	f := c.follower(t)
	c.hide(1, f.cfg.Names.Identities)
	for range 30 {
		if _, _, err := f.identitiesTopic(t.Context()); err != nil && !notReadable(err) {
			t.Fatal(err)
		}
	}
	c.hide(0, f.cfg.Names.Identities)
	if _, _, err := f.identitiesTopic(t.Context()); notReadable(err) {
		t.Errorf("both brokers are not believed: %v", err)
	}
}

// While ends stand still, brokers are asked for the topics every few seconds; when they
// move, at once.
func TestTopicsAreLookedAtWhenSomethingChanges(t *testing.T) {
	t.Parallel()
	c := newStaleCluster(t, 1, "a")
	f := c.follower(t)
	f.cfg.LookEvery = 0
	ids, err := topicIDs(t.Context(), f.client, "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	end := int64(7)
	listed := func(context.Context, ...string) (kadm.ListedOffsets, error) {
		return kadm.ListedOffsets{"a": {0: {Topic: "a", Offset: end}}}, nil
	}
	e := endsLook{look: &topicLook{f: f, all: []string{"a"}, ids: ids, cancel: cancel}, topics: []string{"a"}, ends: listed, starts: listed, every: measureEvery}
	looks := func(rounds int, want int64) {
		t.Helper()
		before := c.asked.Load()
		for range rounds {
			if _, _, ok := e.get(ctx); !ok {
				t.Fatal("nothing is told")
			}
		}
		if got := c.asked.Load() - before; got != want {
			t.Errorf("%d questions in %d rounds, want %d", got, rounds, want)
		}
	}
	looks(1, 1)
	looks(int(lookEvery/measureEvery)-1, 0)
	looks(1, 1)
	end++
	looks(2, 1)
	if err := c.DeleteTopic("a"); err != nil {
		t.Fatal(err)
	}
	f.cfg.LookEvery = time.Millisecond
	for !ended(ctx) {
		e.get(ctx)
	}
}

// A topic that was not there for a while says nothing of that while before it is read.
func TestATopicThatComesBackIsNotReadYet(t *testing.T) {
	t.Parallel()
	c := newStaleCluster(t, 1, eventTopics(&Follower{cfg: Config{Names: topology.DefaultNames("", "app")}})...)
	f := c.follower(t)
	all := eventTopics(f)
	check := func(missing ...string) {
		t.Helper()
		if _, err := f.checkTopics(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.MissingTopics(), missing) {
			t.Fatalf("missing: %v, want %v", f.MissingTopics(), missing)
		}
	}
	check()
	f.shown.reset(nil, 100)
	f.watermark.reset(nil, 90)
	c.hide(0, f.cfg.Names.StateChanged)
	check(f.cfg.Names.StateChanged)
	f.shown.reset(nil, 200) // of the others
	f.watermark.reset(nil, 190)
	check(f.cfg.Names.StateChanged) // as after a restart
	c.hide(0)
	check()
	kept, err := f.keptAsOf()
	if err != nil {
		t.Fatal(err)
	}
	if f.shown.now() != 100 || f.EventsAsOf() != 90 || kept != 90 {
		t.Errorf("shown until %v, in the history until %v, kept as %v; want what was known when it went away", f.shown.now(), f.EventsAsOf(), kept)
	}
}

// That no topic is there is told, and nothing is dropped for it.
func TestNoEventTopicIsThere(t *testing.T) {
	t.Parallel()
	c := newStaleCluster(t, 1, eventTopics(&Follower{cfg: Config{Names: topology.DefaultNames("", "app")}})...)
	f := c.follower(t)
	all := eventTopics(f)
	if _, err := f.checkTopics(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if err := f.cfg.History.Add([]history.Entry{{Identity: "a", Kind: history.State}}, nil); err != nil {
		t.Fatal(err)
	}
	c.hide(0, all...)
	if ids, err := f.checkTopics(t.Context(), all); err != nil || len(ids) != 0 {
		t.Fatalf("%v, %v", ids, err)
	}
	if !slices.Equal(f.MissingTopics(), all) {
		t.Errorf("missing: %v", f.MissingTopics())
	}
	if page, _, err := f.cfg.History.Timeline(history.Query{Identity: "a", To: 1, Limit: 1}); err != nil || len(page) != 1 {
		t.Errorf("the history has %v, %v", page, err)
	}
}

// What was made anew is believed of each topic by itself: that brokers agree about one says
// nothing of another, and all history begins anew if all topics were made anew.
func TestEachTopicThatIsAnewIsConfirmed(t *testing.T) {
	t.Parallel()
	c := newStaleCluster(t, 2, "a", "b")
	f := c.follower(t)
	topics := []string{"a", "b"}
	now, err := topicIDs(t.Context(), f.client, topics...)
	if err != nil {
		t.Fatal(err)
	}
	was := map[string]string{"a": kadm.TopicID{1}.String(), "b": now["b"].String()}
	if !f.isAgreed(t.Context(), topics, was, now) {
		t.Error("what all brokers say is not believed")
	}
	if f.isAgreed(t.Context(), topics, was, map[string]kadm.TopicID{"a": now["a"], "b": {2}}) {
		t.Error("what one broker has said of the other topic is believed")
	}
}

// All history begins anew when the last topic is there again, but for what comes from the
// topic of identities, and not if that takes longer than an hour: what the others have said
// since may be here alone.
func TestTopicsAreNotDoubtedForGood(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{maxDoubt / 2, 2 * maxDoubt} {
		c := newStaleCluster(t, 1, eventTopics(&Follower{cfg: Config{Names: topology.DefaultNames("", "app")}})...)
		f := c.follower(t)
		clock := clocktest.New(time.Unix(1_700_000_000, 0))
		f.cfg.Clock = clock
		all, h := eventTopics(f), f.cfg.History
		check := func() {
			t.Helper()
			if _, err := f.checkTopics(t.Context(), all); err != nil {
				t.Fatal(err)
			}
		}
		create := func(topics ...string) {
			t.Helper()
			made, err := kadm.NewClient(f.client).CreateTopics(t.Context(), 1, 1, nil, topics...)
			if err == nil {
				err = made.Error()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		check()
		for _, topic := range all {
			if err := c.DeleteTopic(topic); err != nil {
				t.Fatal(err)
			}
		}
		create(all[:3]...)
		check()
		if err := h.Add([]history.Entry{{Identity: "a", Kind: history.State}}, nil); err != nil {
			t.Fatal(err)
		}
		if err := h.Publish([]history.Published{{Identity: "a", Record: []byte("{}")}}, map[string][]byte{identitiesMark: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		f.cfg.Snapshot = filepath.Join(t.TempDir(), "catalog")
		if err := f.writeSnapshot(); err != nil {
			t.Fatal(err)
		}
		clock.Advance(after)
		create(all[3])
		check()
		page, _, err := h.Timeline(history.Query{Identity: "a", To: 1, Limit: 1})
		if err != nil || (len(page) == 1) != (after > maxDoubt) {
			t.Errorf("after %s the history has %v, %v", after, page, err)
		}
		if _, err := os.Stat(f.cfg.Snapshot); (err == nil) != (after > maxDoubt) {
			t.Errorf("after %s the snapshot: %v", after, err)
		}
		record, err := h.PublishedOf("a")
		mark, merr := h.Mark(identitiesMark)
		if err != nil || merr != nil || record == nil || mark == nil {
			t.Errorf("after %s the record of an identity is %q, the mark %q; %v, %v", after, record, mark, err, merr)
		}
	}
}
