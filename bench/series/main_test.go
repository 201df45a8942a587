package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fake makes a program that prints what bench would.
func fake(t *testing.T, json string) *series {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bench")
	if err := os.WriteFile(file, []byte("#!/bin/sh\ncat <<'END'\n"+json+"\nEND\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &series{program: file, rounds: "3,1", memory: 2048}
}

// Each load has its lines, the ratio of medians, and what the ratio should be.
func TestLoadsAreShownBesideTheirTargets(t *testing.T) {
	s := fake(t, `{"handprint":[{"Wall":4000000000,"CPU":1000000000,"Memory":100},{"Wall":5000000000,"CPU":2000000000,"Memory":200},{"Wall":9000000000,"CPU":9000000000,"Memory":900}],
		"streams":[{"Wall":20000000000,"CPU":10000000000,"Memory":2000}],"copy":[{"Wall":2000000000,"CPU":1000000000,"Memory":100}]}`)
	var out strings.Builder
	if err := s.loads(t.Context(), &out, []string{"1000000", "4000000"}, []string{"17", "50"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1000000 17 3 observations/s 200000 50000 4.00 >= 5 MISSED",
		"1000000 50 3 observations/s 200000 50000 4.00 >= 4 met",
		"4000000 17 1 observations/s 800000 200000 4.00 >= 4 met",
		"4000000 50 1 CPU/observation, us 0.50 2.50 0.20 <= 0.3 met",
		"4000000 17 1 peak memory, MB 0 0 0.10 <= 0.125 met",
		"4000000 17 1 observations/s, beside the copy 800000 2000000 0.40 >= 0.35 met",
		"1000000 17 3 observations/s, beside the copy 200000 500000 0.40 -",
	} {
		if !strings.Contains(squeezed(out.String()), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
}

// Outputs that differ are an error.
func TestDifferentOutputsAreSaid(t *testing.T) {
	s := fake(t, `{"handprint":[{"Wall":1,"CPU":1,"Memory":1,"Audit":{}}],"streams":[{"Wall":1,"CPU":1,"Memory":1,"Audit":{"DifferentRows":1,"Example":"row a b"}}]}`)
	s.rounds = "1"
	var out strings.Builder
	if err := s.loads(t.Context(), &out, []string{"1000"}, []string{"17"}); err == nil || !strings.Contains(squeezed(out.String()), "row a b DIFFERENT") {
		t.Errorf("error %v, table\n%s", err, out.String())
	}
}

// Latency is compared by quantile, and a run without any is an error.
func TestLatencyIsComparedByQuantile(t *testing.T) {
	s := fake(t, `{"handprint":[{"Latency":[10000000,10000000,30000000]}],"streams":[{"Latency":[100000000,100000000,120000000]}]}`)
	var out strings.Builder
	if err := s.latency(t.Context(), &out, "100000", []string{"200"}, time.Second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"200 p50 10.0 100.0 0.10 <= 0.2 met", "200 p99 30.0 120.0 0.25 <= 0.2 MISSED"} {
		if !strings.Contains(squeezed(out.String()), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	if err := fake(t, `{"handprint":[{}],"streams":[{}]}`).latency(t.Context(), &out, "100000", []string{"200"}, time.Second); err == nil {
		t.Error("no error though nothing was measured")
	}
}

// Shares of linked attackers are compared with the first.
func TestLinkedIsComparedWithTheFirst(t *testing.T) {
	s := fake(t, `{"handprint":[{"Wall":2000000000,"CPU":1000000000,"Memory":3000000}]}`)
	var out strings.Builder
	if err := s.linked(t.Context(), &out, "1000000", []string{"0", "0.1"}); err != nil {
		t.Fatal(err)
	}
	if want := "0.1 500000 1.00 1.00 1.00 3"; !strings.Contains(squeezed(out.String()), want) {
		t.Errorf("no line %q in\n%s", want, out.String())
	}
}

// What bounds and repeats a measurement goes to bench in every series.
func TestLimitsGoToBench(t *testing.T) {
	s := fake(t, `{"handprint":[{"Wall":2000000000,"CPU":1000000000,"Unbounded":true,"Latency":[1]}],"streams":[{"Wall":1,"CPU":1,"Latency":[1]}]}`)
	s.memory, s.rounds = 77, "3"
	args := filepath.Join(t.TempDir(), "args")
	text, err := os.ReadFile(s.program)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "\n", "\necho \"$@\" >'"+args+"'\n", 1))
	if err := os.WriteFile(s.program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, measure := range map[string]func(out *strings.Builder) error{
		"loads": func(out *strings.Builder) error { return s.loads(t.Context(), out, []string{"500"}, []string{"17"}) },
		"latency": func(out *strings.Builder) error {
			return s.latency(t.Context(), out, "500", []string{"200"}, time.Second)
		},
		"linked": func(out *strings.Builder) error { return s.linked(t.Context(), out, "500", []string{"0"}) },
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := measure(&out); err != nil {
				t.Fatal(err)
			}
			said, err := os.ReadFile(args)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"-n 500", "-rounds 3", "-memory 77"} {
				if !strings.Contains(string(said)+" ", want+" ") && !strings.HasSuffix(strings.TrimSpace(string(said)), want) {
					t.Errorf("bench %s: no %q", said, want)
				}
			}
			if !strings.Contains(out.String(), "not bounded") {
				t.Errorf("no word that memory was not bounded in\n%s", out.String())
			}
		})
	}
}

func squeezed(s string) string { return strings.Join(strings.Fields(s), " ") }
