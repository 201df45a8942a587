package attribution

import (
	"testing"
	"time"
)

func TestAhead(t *testing.T) {
	const clock = 1_795_958_829.02
	for _, tt := range []struct {
		ts    float64
		limit time.Duration
		want  string
	}{
		{clock, 24 * time.Hour, ""},
		{0, 24 * time.Hour, ""},
		{clock + 86_399, 24 * time.Hour, ""},
		{clock + 86_401, 24 * time.Hour, "ts is 24 hours ahead"},
		{clock + 86*86_400 + 5000, 24 * time.Hour, "ts is 86 days ahead"},
		{clock + 86*86_400, 0, ""},
		{clock + 90, time.Minute, "ts is 90 seconds ahead"},
		{clock + 1.5, time.Second, "ts is 1 second ahead"},
		{2_093_553_829, 24 * time.Hour, "ts is 9 years ahead"},
		{clock * 1e3, 24 * time.Hour, "ts is 56853 years ahead: it looks like milliseconds, and has to be in seconds"},
		{clock * 1e6, 24 * time.Hour, "ts is more than a million years ahead: it looks like microseconds, and has to be in seconds"},
		{1e300, 24 * time.Hour, "ts is more than a million years ahead"},
	} {
		if got := Ahead(tt.ts, clock, tt.limit); got != tt.want {
			t.Errorf("%v, limit %v: %q, want %q", tt.ts, tt.limit, got, tt.want)
		}
	}
}
