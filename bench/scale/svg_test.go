package main

import (
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
)

func TestDrawIsAnImageOfAllPoints(t *testing.T) {
	sizes := []point{{Attackers: 10_000, PerSecond: 123_456, Memory: 150}, {Attackers: 5_000_000, PerSecond: 99_000, Memory: 900}}
	text := draw(sizes, []point{{Threads: 1, PerSecond: 50_000}, {Threads: 4, PerSecond: 70_000}}, []point{{Attackers: 10_000, Sweep: 0.06}})
	circles := 0
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 7 {
		t.Errorf("%d points, want 7", circles)
	}
	for _, want := range []string{"10k", "5M", "123k", "900", "0.06"} {
		if !strings.Contains(text, ">"+want+"<") {
			t.Errorf("no label %s", want)
		}
	}
}

func TestRoundGoesUp(t *testing.T) {
	for n, want := range map[float64]float64{0: 1, 1: 1, 1.1: 2, 30: 50, 51: 100, 99_000: 100_000} {
		if got := round(n); got != want {
			t.Errorf("round(%v) = %v, want %v", n, got, want)
		}
	}
}

func TestReadSweeps(t *testing.T) {
	got, err := readSweeps("goos: linux\n" +
		"BenchmarkSweep/identities=10000/suspects=1%-2 \t 20\t 110000 ns/op\t 1100 ns/suspect\n" +
		"BenchmarkSweep/identities=10000/suspects=100-2 \t 20\t 60500.5 ns/op\n" +
		"BenchmarkSweep/identities=5000000/suspects=100-16 \t 20\t 1500000 ns/op\nPASS\n")
	if want := map[int]float64{10_000: 0.0605005, 5_000_000: 1.5}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := readSweeps("PASS\n"); err == nil {
		t.Error("a benchmark that says nothing of sweeps is no error")
	}
}
