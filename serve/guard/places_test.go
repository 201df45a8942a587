package guard

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Exports whose clients are slow, and others that wait for their places, leave lists and
// pages theirs.
func TestSlowExportsLeaveListsTheirPlaces(t *testing.T) {
	g, err := New(config(nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	begun, end := make(chan struct{}, 2*maxRunning), make(chan struct{})
	var all sync.WaitGroup
	defer all.Wait()
	defer close(end)
	ask := func(cost Cost, handler http.HandlerFunc) int {
		w := httptest.NewRecorder()
		g.bounded(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), new(request), "GET /", Access{Cost: cost}, handler)
		return w.Code
	}
	for range 2 * maxRunning {
		all.Go(func() {
			ask(Bulk, func(http.ResponseWriter, *http.Request) { begun <- struct{}{}; <-end })
		})
	}
	for range maxExports {
		<-begun
	}
	for _, cost := range []Cost{Scan, Cheap} {
		answered := false
		if code := ask(cost, func(http.ResponseWriter, *http.Request) { answered = true }); code != http.StatusOK || !answered {
			t.Errorf("cost %d beside exports: %d", cost, code)
		}
	}
	cancel() // ends the requests that wait
	if n := len(begun); n > 0 {
		t.Errorf("%d more exports ran at the same time", n)
	}
}
