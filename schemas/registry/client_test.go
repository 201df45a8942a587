package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"handprint/attribution"
	"handprint/schemas"
)

// registryURL is the registry of the test: the one that HANDPRINT_REGISTRY names
// (make registry-check), or one inside the process.
func registryURL(t *testing.T) string {
	t.Helper()
	if u := os.Getenv("HANDPRINT_REGISTRY"); u != "" {
		return u
	}
	fake := srfake.New()
	t.Cleanup(fake.Close)
	return fake.URL()
}

// front stands before a registry and can be told to fail. Its client waits for
// nothing between two attempts but counts them.
type front struct {
	*Client
	mode    atomic.Int32 // 0: pass on; else the status to answer with; -1: cut; -2: never answer
	waits   atomic.Int64
	asked   atomic.Int64
	clock   atomic.Int64 // seconds
	release chan struct{}
	onWait  func(int64)
}

func newFront(t *testing.T, target string, more func(*Config)) *front {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{release: make(chan struct{})}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		switch mode := f.mode.Load(); mode {
		case 0:
			proxy.ServeHTTP(w, r)
		case -1:
			panic(http.ErrAbortHandler)
		case -2:
			<-f.release
		default:
			w.WriteHeader(int(mode))
			fmt.Fprintf(w, `{"error_code":%d,"message":"as it was told"}`, mode*100)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(f.release) })
	cfg := Config{URLs: []string{server.URL}, Now: func() time.Time { return time.Unix(f.clock.Load(), 0) }, Wait: func(ctx context.Context, _ time.Duration) error {
		n := f.waits.Add(1)
		if f.onWait != nil {
			f.onWait(n)
		}
		return ctx.Err()
	}}
	if more != nil {
		more(&cfg)
	}
	if f.Client, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

func row(identity string) schemas.StateRow {
	return schemas.StateRow{Identity: identity, Primitive: "a.b", Row: attribution.Row{State: attribution.Drifting, Value: attribution.Value(`{"a":[1,"é"]}`), Confidence: 0.5, Count: 3, UpdatedAt: 7.25}}
}

// subject returns a name that no other test run has used.
func subject(t *testing.T) string { return strings.ReplaceAll(t.Name(), "/", ".") + "." + rand() }

func rand() string { return fmt.Sprint(time.Now().UnixNano()) }

func TestRegistryGivesIDsAndSchemas(t *testing.T) {
	target, ctx := registryURL(t), t.Context()
	ours := newFront(t, target, nil)
	subjects := map[schemas.Contract]string{schemas.StateRowContract: subject(t), schemas.TransitionContract: subject(t)}
	format, err := ours.Format(ctx, subjects, true)
	if err != nil {
		t.Fatal(err)
	}
	asked := ours.asked.Load()
	again, err := ours.Format(ctx, subjects, false)
	if err != nil || !reflect.DeepEqual(again, format) {
		t.Fatalf("looking the same schemas up: %v, %v; want %v", again, err, format)
	}
	want := row("I")
	record := format.AppendStateRow(nil, &want)
	if err := ours.Await(ctx, record); err != nil || ours.asked.Load() != asked+4 { // each looked up, and what its id stands for
		t.Errorf("a schema of our own: %v, %d questions", err, ours.asked.Load()-asked-4)
	}
	theirs := newFront(t, target, nil)
	for range 3 {
		if err := theirs.Await(ctx, record); err != nil {
			t.Fatal(err)
		}
	}
	if theirs.asked.Load() != 1 {
		t.Errorf("%d questions for one schema", theirs.asked.Load())
	}
	if got, err := theirs.Writers().StateRow(record); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if err := theirs.Await(ctx, []byte(`{"a":1}`)); err != nil || theirs.asked.Load() != 1 {
		t.Errorf("JSON: %v, %d questions", err, theirs.asked.Load())
	}
}

func TestRegistryThatDoesNotAnswerIsWaitedFor(t *testing.T) {
	target, ctx := registryURL(t), t.Context()
	for _, mode := range []int32{-1, http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusNotFound, http.StatusTooManyRequests} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			f := newFront(t, target, nil)
			f.mode.Store(mode)
			var problem string
			f.onWait = func(n int64) {
				if problem = f.Problem(); n == 3 {
					f.mode.Store(0)
				}
			}
			format, err := f.Format(ctx, map[schemas.Contract]string{schemas.StateRowContract: subject(t)}, true)
			if err != nil || f.waits.Load() != 3 {
				t.Fatalf("%v after %d waits", err, f.waits.Load())
			}
			if !strings.Contains(problem, "the schema registry") || f.Problem() != "" {
				t.Errorf("meanwhile the problem was %q, afterwards %q", problem, f.Problem())
			}
			// What is known goes on while the registry is away.
			want := row("I")
			record := format.AppendStateRow(nil, &want)
			f.mode.Store(mode)
			if err := f.Await(ctx, record); err != nil {
				t.Errorf("a known schema: %v", err)
			}
			if _, err := f.Writers().StateRow(record); err != nil {
				t.Error(err)
			}
			// What is not known is waited for until ctx ends.
			limit, cancel := context.WithCancel(ctx)
			f.onWait = func(n int64) {
				if n >= 10 {
					cancel()
				}
			}
			other := schemas.AppendHeader(nil, 3_000_000_000)
			if err := f.Await(limit, other); err == nil {
				t.Error("an unknown schema was settled without an answer")
			}
			if _, known := f.Writers().Known(other); known {
				t.Error("an unknown schema is known")
			}
		})
	}
}

func TestRegistryThatIsSlowIsAskedAgain(t *testing.T) {
	f := newFront(t, registryURL(t), func(c *Config) { c.Timeout = 50 * time.Millisecond })
	f.mode.Store(-2)
	f.onWait = func(n int64) {
		if n == 2 {
			f.mode.Store(0)
			f.Client.sr = mustClient(t, f) // the answer may take its time again
		}
	}
	if _, err := f.Format(t.Context(), map[schemas.Contract]string{schemas.StateRowContract: subject(t)}, true); err != nil {
		t.Fatal(err)
	}
	if f.waits.Load() != 2 {
		t.Errorf("%d waits", f.waits.Load())
	}
}

// mustClient is a client of the same registry that waits as long as it takes.
func mustClient(t *testing.T, f *front) *sr.Client {
	t.Helper()
	c, err := sr.NewClient(sr.URLs(f.cfg.URLs...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRegistryThatDoesNotHaveASchema(t *testing.T) {
	f := newFront(t, registryURL(t), nil)
	record := schemas.AppendHeader(nil, 2_000_000_000)
	for i, want := range []int64{1, 1, 2} { // asked once, and again when it is long ago
		if i == 2 {
			f.clock.Add(int64(missingTime / time.Second))
		}
		if err := f.Await(t.Context(), record); err != nil || f.asked.Load() != want {
			t.Fatalf("%v after %d questions, want %d", err, f.asked.Load(), want)
		}
	}
	_, err := f.Writers().StateRow(record)
	if err == nil || err.Error() != "Avro: schema 2000000000: the registry does not have it" {
		t.Errorf("%v", err)
	}
	if _, err := f.Lookup(t.Context(), subject(t), schemas.StateRowContract); !isRefused(err) {
		t.Errorf("looking up what is not there: %v", err)
	}
}

func isRefused(err error) bool {
	var no *RefusedError
	return errors.As(err, &no)
}

func TestRegistryThatRefusesEndsTheStart(t *testing.T) {
	f := newFront(t, registryURL(t), nil)
	for _, status := range []int32{http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity} {
		f.mode.Store(status)
		_, err := f.Format(t.Context(), map[schemas.Contract]string{schemas.StateRowContract: "s"}, true)
		if !isRefused(err) || f.waits.Load() > 0 || err.Error() != "registering s: the schema registry refuses: as it was told" {
			t.Errorf("%d: %v after %d waits", status, err, f.waits.Load())
		}
	}
}

func TestRegistryOfOtherTypes(t *testing.T) {
	f := newFront(t, registryURL(t), nil)
	s, err := f.sr.CreateSchema(t.Context(), subject(t), sr.Schema{Schema: `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`, Type: sr.TypeJSON})
	if err != nil {
		t.Fatal(err)
	}
	record := schemas.AppendHeader(nil, uint32(s.ID))
	if err := f.Await(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Writers().StateRow(record); err == nil || !strings.Contains(err.Error(), "is of type JSON, not Avro") {
		t.Errorf("%v", err)
	}
}

func TestRegistryAnswersAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"schema":"%s`, strings.Repeat("x", maxResponse))
	}))
	defer server.Close()
	f := newFront(t, server.URL, nil)
	if err := f.find(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%.200v", err)
	}
}

func TestNewRefusesURLs(t *testing.T) {
	for _, u := range []string{"registry:8081", "ftp://registry", "http://", "%"} {
		if _, err := New(Config{URLs: []string{u}}); err == nil {
			t.Errorf("%s is taken", u)
		}
	}
}

func TestSubjects(t *testing.T) {
	if s := ByTopic.Subject(schemas.StateRowContract, "x.state"); s != "x.state-value" {
		t.Error(s)
	}
	if s := ByRecord.Subject(schemas.StateRowContract, "x.state"); s != "handprint.StateRow" {
		t.Error(s)
	}
}
