package ingest

import (
	"strings"
	"testing"
	"time"
)

func TestBrokersThatDoNotAnswerAreSaidOnce(t *testing.T) {
	start := time.Unix(1000, 0)
	s := stall{since: start}
	for i, c := range []struct {
		at          time.Duration
		sent, acked int64
		says        string
	}{
		{0, 0, 0, ""}, {time.Second, 10, 5, ""}, {4 * time.Second, 10, 5, ""}, {5 * time.Second, 12, 5, "5 of 12 records are safe"},
		{60 * time.Second, 12, 5, ""}, {61 * time.Second, 12, 8, "answer again: 8 of 12"}, {64 * time.Second, 12, 8, ""},
		{65 * time.Second, 12, 8, "does no harm"}, {66 * time.Second, 12, 12, "answer again"}, {600 * time.Second, 12, 12, ""},
		{601 * time.Second, 13, 12, ""},
	} {
		if got := s.look(start.Add(c.at), c.sent, c.acked); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%d: %q, want %q", i, got, c.says)
		}
	}
}
