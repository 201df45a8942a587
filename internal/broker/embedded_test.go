package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func start(t *testing.T, o Options) *Embedded {
	t.Helper()
	e, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func client(t *testing.T, e *Embedded, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(e.ClientOpts(), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// transact sends values in one transaction and ends it as told.
func transact(ctx context.Context, t *testing.T, cl *kgo.Client, topic string, commit kgo.TransactionEndTry, values ...string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.EndTransaction(ctx, commit); err != nil {
		t.Fatal(err)
	}
}

// committed reads n records read-committed from the start of the topic.
func committed(ctx context.Context, t *testing.T, e *Embedded, topic string, n int) []string {
	t.Helper()
	cl := client(t, e, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var values []string
	for len(values) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("after %q: %v", values, err)
		}
		fs.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

func TestEmbeddedKeepsRecordsOffsetsAndTransactionsOnDisk(t *testing.T) {
	ctx, dir := deadline(t), filepath.Join(t.TempDir(), "kafka")
	spec := []TopicSpec{{Name: "in", Partitions: 1, ReplicationFactor: -1, Configs: map[string]string{cleanupPolicy: "delete"}}}

	first := start(t, Options{Dir: dir})
	cl := client(t, first, kgo.TransactionalID("tx"))
	if _, err := Ensure(ctx, cl, spec); err != nil {
		t.Fatal(err)
	}
	transact(ctx, t, cl, "in", kgo.TryCommit, "a", "b")
	transact(ctx, t, cl, "in", kgo.TryAbort, "never")
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "in", Partition: 0, At: 2, LeaderEpoch: -1, Metadata: "m"})
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, "group", offsets); err != nil {
		t.Fatal(err)
	}
	cl.Close()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := start(t, Options{Dir: dir})
	cl = client(t, second, kgo.TransactionalID("tx"))
	if problems, err := Check(ctx, cl, spec); err != nil || len(problems) > 0 {
		t.Fatalf("after reopening: %v, %v", problems, err)
	}
	got, err := kadm.NewClient(cl).FetchOffsets(ctx, "group")
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := got.Lookup("in", 0); !ok || o.At != 2 || o.Metadata != "m" {
		t.Errorf("committed offset after reopening: %+v, %v", o, ok)
	}
	transact(ctx, t, cl, "in", kgo.TryCommit, "c")
	if got, want := fmt.Sprint(committed(ctx, t, second, "in", 3)), "[a b c]"; got != want {
		t.Errorf("committed records after reopening: %s, want %s", got, want)
	}
}

func TestEmbeddedAbortsWhatACrashLeftOpen(t *testing.T) {
	ctx, dir := deadline(t), t.TempDir()
	spec := []TopicSpec{{Name: "in", Partitions: 1, ReplicationFactor: -1}}
	first := start(t, Options{Dir: dir})
	cl := client(t, first, kgo.TransactionalID("tx"))
	if _, err := Ensure(ctx, cl, spec); err != nil {
		t.Fatal(err)
	}
	transact(ctx, t, cl, "in", kgo.TryCommit, "a")
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "in", Value: []byte("orphan")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	// What a killed process leaves behind is what is in the files now.
	crashed := t.TempDir()
	if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(crashed, lockName))

	second := start(t, Options{Dir: crashed})
	transact(ctx, t, client(t, second, kgo.TransactionalID("tx")), "in", kgo.TryCommit, "b")
	if got, want := fmt.Sprint(committed(ctx, t, second, "in", 2)), "[a b]"; got != want {
		t.Errorf("committed records after the crash: %s, want %s", got, want)
	}
}

func TestStartRefusesInOneLine(t *testing.T) {
	inUse, newer, file := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "file")
	start(t, Options{Dir: inUse})
	if err := os.WriteFile(filepath.Join(newer, "meta.json"), []byte(`{"version":99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"directory in use":      {Options{Dir: inUse}, "is in use by another broker"},
		"not a directory":       {Options{Dir: file}, "cannot be created"},
		"newer format":          {Options{Dir: newer}, "newer than supported"},
		"port of another":       {Options{Port: l.Addr().(*net.TCPAddr).Port}, "address already in use"},
		"below what is no path": {Options{Dir: filepath.Join(file, "sub")}, "cannot be created: not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Start(c.o)
			if err == nil {
				e.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, c.want)
			}
		})
	}
	// A start that failed has given the directory up.
	os.Remove(filepath.Join(newer, "meta.json"))
	start(t, Options{Dir: newer})
}

func TestCloseTwiceGivesTheDirectoryUpOnce(t *testing.T) {
	dir := t.TempDir()
	e := start(t, Options{Dir: dir})
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	start(t, Options{Dir: dir})
}

func TestReachSaysWhichBrokersAndWhy(t *testing.T) {
	e := start(t, Options{})
	if err := Reach(deadline(t), client(t, e), 10*time.Second); err != nil {
		t.Fatal(err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts nothing: connections stay in the backlog, unanswered
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, c := range map[string]struct{ addr, want string }{
		"silent":  {l.Addr().String(), "no answer within 200ms"},
		"refused": {closed.Addr().String(), "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			cl, err := kgo.NewClient(kgo.SeedBrokers(c.addr, c.addr), kgo.RequestRetries(0))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			wait := 10 * time.Second
			if name == "silent" {
				wait = 200 * time.Millisecond
			}
			err = Reach(deadline(t), cl, wait)
			if ue := (*UnreachableError)(nil); !errors.As(err, &ue) {
				t.Fatalf("error %v (%T)", err, err)
			}
			if !Away(err) {
				t.Errorf("%v: it is not called away", err)
			}
			want := "cannot reach any broker of " + c.addr + "," + c.addr + ": "
			if !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q ... %q", err, want, c.want)
			}
		})
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Reach(ctx, client(t, e), time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}

// Await waits for brokers that are not there yet, and for no others.
func TestAwaitWaitsForBrokersThatRefuse(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	connect := func() *kgo.Client {
		cl, err := kgo.NewClient(kgo.SeedBrokers(closed.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	err = Await(deadline(t), connect(), 200*time.Millisecond, func(error) {})
	if ue := (*UnreachableError)(nil); !errors.As(err, &ue) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("of a broker that does not come: %v", err)
	}
	waited := 0
	err = Await(deadline(t), connect(), time.Minute, func(err error) {
		waited++
		start(t, Options{Port: closed.Addr().(*net.TCPAddr).Port})
	})
	if err != nil || waited != 1 {
		t.Errorf("of a broker that comes: %v, told %d times that it waits", err, waited)
	}
	if mayPass(kerr.SaslAuthenticationFailed) || Away(&UnreachableError{Cause: kerr.SaslAuthenticationFailed}) {
		t.Error("wrong credentials are tried again")
	}
}

func TestEmbeddedHasTransactionsThatCannotHitTheNext(t *testing.T) {
	all, err := kadm.NewClient(client(t, start(t, Options{}))).ApiVersions(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		var version int16
		for _, f := range b.Raw().FinalizedFeatures {
			if f.Name == "transaction.version" {
				version = f.MaxVersionLevel
			}
		}
		if b.Err != nil || version < 2 {
			t.Errorf("transaction version %d of broker %d, %v", version, b.NodeID, b.Err)
		}
	}
}

func TestPersist(t *testing.T) {
	for name, test := range map[string]struct {
		first error // of two calls; the second succeeds
		calls int
	}{
		"no error":               {nil, 1},
		"no leader for a moment": {fmt.Errorf("asking: %w", kerr.LeaderNotAvailable), 2},
		"a broker that went":     {&net.OpError{Op: "dial", Err: errors.New("refused")}, 2},
		"a right that lacks":     {kerr.TopicAuthorizationFailed, 1},
		"anything else":          {errors.New("a fault"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			err := Persist(deadline(t), time.Minute, func() error {
				if calls++; calls == 1 {
					return test.first
				}
				return nil
			})
			if calls != test.calls || test.calls == 1 && !errors.Is(err, test.first) || test.calls == 2 && err != nil {
				t.Errorf("%v after %d calls", err, calls)
			}
		})
	}
	if err := Persist(deadline(t), 0, func() error { return kerr.LeaderNotAvailable }); !errors.Is(err, kerr.LeaderNotAvailable) {
		t.Errorf("when the time is over: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := Persist(ended, time.Minute, func() error { return kerr.LeaderNotAvailable }); !errors.Is(err, context.Canceled) {
		t.Errorf("when the context has ended: %v", err)
	}
}
