package main

import (
	"os"
	"strings"
	"testing"
)

// A process that comes after one that ended has its name; two at a time have two.
func TestFormatInstance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	take := func(group string) (string, func()) {
		t.Helper()
		name, release, err := formatInstance(dir, group)
		if err != nil {
			t.Fatal(err)
		}
		return name, release
	}
	first, releaseFirst := take("soc-format-ecs")
	second, releaseSecond := take("soc-format-ecs")
	other, releaseOther := take("soc/../format-cef")
	defer releaseSecond()
	defer releaseOther()
	host, _ := os.Hostname()
	if first != host+"-0" || second != host+"-1" || other != host+"-0" {
		t.Errorf("%s, %s, %s", first, second, other)
	}
	releaseFirst()
	again, release := take("soc-format-ecs")
	defer release()
	if again != first {
		t.Errorf("%s after %s", again, first)
	}
	if _, _, err := formatInstance(dir+"/none", "g"); err == nil || !strings.Contains(err.Error(), "--instance") {
		t.Errorf("%v", err)
	}
}
