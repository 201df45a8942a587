package main

import (
	"encoding/json"
	"strings"
	"testing"

	"handprint/internal/operations"
)

func TestPlanAsksNoBroker(t *testing.T) {
	t.Parallel()
	environ := []string{"HANDPRINT_BROKERS=127.0.0.1:1"}
	r := handprint(deadline(t), "", environ, "doctor", "--plan", "--rate", "20000", "--identities", "1000000", "--json")
	var plan operations.Plan
	if err := json.Unmarshal([]byte(r.out), &plan); err != nil || r.code != exitOK || plan.Cores != 2 || plan.Disk == 0 {
		t.Errorf("%+v: %+v, %v", r, plan, err)
	}
	// Caches of one's own are in the memory.
	larger := handprint(deadline(t), "", environ, "doctor", "--plan", "--rate", "20000", "--identities", "1000000", "--record-cache", "1GiB", "--json")
	var with operations.Plan
	if err := json.Unmarshal([]byte(larger.out), &with); err != nil || with.Memory < plan.Memory+1<<29 {
		t.Errorf("%+v: %+v, %v", larger, with, err)
	}
	// What is forgotten takes no disk.
	fresh := func(args ...string) (p operations.Plan) {
		args = append([]string{"doctor", "--plan", "--rate", "100", "--new-identities", "1000000", "--observations-each", "2", "--json"}, args...)
		if r := handprint(deadline(t), "", environ, args...); json.Unmarshal([]byte(r.out), &p) != nil || r.code != exitOK {
			t.Errorf("%v: %+v", args, r)
		}
		return p
	}
	if all, kept := fresh(), fresh("--identity-retention", "2160h"); kept.Disk == 0 || kept.Disk > all.Disk/3 {
		t.Errorf("%d bytes of disk with a retention of 90 days, %d without", kept.Disk, all.Disk)
	}
	for _, args := range [][]string{
		{"--plan", "--rate", "5", "--identities", "5", "--new-identities", "5"}, {"--plan", "--rate", "5", "--new-identities", "-1"},
		{"--plan"}, {"--plan", "--rate", "5"}, {"--plan", "--rate", "0", "--identities", "5"}, {"--plan", "--rate", "5", "--identities", "-1"},
		{"--plan", "--rate", "5", "--identities", "5", "--instances", "0"}, {"--plan", "--rate", "5", "--identities", "5", "--observations-each", "-1"},
		{"--rate", "5"}, {"--instances", "3"},
	} {
		if r := handprint(deadline(t), "", environ, append([]string{"doctor"}, args...)...); r.code != exitUsage || strings.Count(r.err, "\n") != 1 {
			t.Errorf("doctor %q: %+v", args, r)
		}
	}
}
