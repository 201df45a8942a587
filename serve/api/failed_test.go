package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"handprint/serve/problem"
	"handprint/serve/query"
)

// A client that has gone, and a search that takes too long, are no faults, and nothing is
// logged of them; a failing store is one.
func TestWhatIsNoFault(t *testing.T) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	for _, test := range []struct {
		ctx    context.Context
		cause  error
		status int
		logged bool
	}{
		{gone, fmt.Errorf("reading: %w", context.Canceled), 503, false},
		{late, fmt.Errorf("reading: %w", context.DeadlineExceeded), 503, false},
		{gone, errors.New("the disk is broken"), 500, true},
		{context.Background(), context.Canceled, 500, true},
	} {
		var log strings.Builder
		s := &server{Config: Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
		var p *problem.Problem
		if err := s.failed(test.ctx, &query.Problem{Kind: query.Fault, Cause: test.cause}); !errors.As(err, &p) || p.Status != test.status || (log.Len() > 0) != test.logged {
			t.Errorf("%v: %+v, logged %q", test.cause, p, log.String())
		}
	}
}
