package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"handprint/processor"
	"handprint/state"
)

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func joined(tasks ...processor.TaskStatus) processor.Status {
	return processor.Status{Members: []processor.MemberStatus{{MemberID: "m"}}, Tasks: tasks}
}

// The answers tell restoring from stuck, and both from running.
func TestHealthTellsRestoringFromStuck(t *testing.T) {
	s, err := Listen("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()

	check := func(when string, live, ready int, texts ...string) {
		t.Helper()
		l, liveText := get(t, s, "/livez")
		r, readyText := get(t, s, "/readyz")
		if l != live || r != ready {
			t.Errorf("%s: livez %d %q, readyz %d %q", when, l, liveText, r, readyText)
		}
		for _, text := range texts {
			if !strings.Contains(liveText+readyText, text) {
				t.Errorf("%s: %q and %q lack %q", when, liveText, readyText, text)
			}
		}
	}
	check("before the start", 200, 503, "starting")

	var status atomic.Pointer[processor.Status]
	set := func(st processor.Status) { status.Store(&st) }
	set(processor.Status{Members: []processor.MemberStatus{{Worker: 0}}})
	s.Attach(Source{Version: "v1", Status: func() processor.Status { return *status.Load() }, Store: func() state.Metrics { return state.Metrics{DiskBytes: 99} }})
	check("joining", 200, 503, "worker 0 is joining the group")
	set(joined(processor.TaskStatus{Partition: 2, State: processor.TaskRestoring,
		Restore: &processor.Progress{Done: 250, Total: 1000, Rate: 50, Left: 15 * time.Second}}))
	check("restoring", 200, 503, "task 2 is restoring: 250 of 1000 offsets (25 %), 50 a second, 15s left")
	set(joined(processor.TaskStatus{Partition: 2, State: processor.TaskWaiting}))
	check("waiting", 200, 503, "task 2 is waiting")
	set(joined(processor.TaskStatus{Partition: 2, State: processor.TaskRestoring, Stuck: "no progress for 1m"}))
	check("stuck in its restore", 503, 503, "task 2 is stuck: no progress for 1m")
	set(joined(processor.TaskStatus{Partition: 2, State: processor.TaskRunning, Stuck: "no progress for 1m"}))
	check("stuck", 503, 200)
	set(joined(processor.TaskStatus{Partition: 2, State: processor.TaskRunning}))
	check("running", 200, 200, "live", "ready")
	set(joined())
	check("a member without tasks", 200, 200)
	unheard := joined(processor.TaskStatus{Partition: 2, State: processor.TaskRunning})
	unheard.Members[0].Unheard = "the group has answered no join or heartbeat for 11s"
	set(unheard)
	check("a member that the group does not answer", 200, 503, "worker 0: the group has answered no join or heartbeat for 11s")
	set(processor.Status{Members: []processor.MemberStatus{{Refused: "UNKNOWN_SERVER_ERROR"}}})
	check("a worker that the group refuses", 200, 503, "worker 0 is joining the group, which refuses it: UNKNOWN_SERVER_ERROR")
	set(joined())

	code, body := get(t, s, "/statusz")
	var z Statusz
	if err := json.Unmarshal([]byte(body), &z); err != nil || code != 200 || z.Version != "v1" || !z.Health.Ready || z.Store.DiskBytes != 99 {
		t.Errorf("statusz: %d %s %v", code, body, err)
	}
	code, body = get(t, s, "/metrics")
	for _, want := range []string{"handprint_ready 1", "handprint_store_disk_bytes 99", "go_goroutines "} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("metrics: %d, lacks %s", code, want)
		}
	}
	if code, _ := get(t, s, "/"); code != http.StatusNotFound {
		t.Errorf("/ is %d", code)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s, err := Listen("127.0.0.1:0", log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.listener.Close()
	if _, err := Listen(s.Addr(), log); err == nil || !strings.Contains(err.Error(), s.Addr()) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}
