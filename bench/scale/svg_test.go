package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestDrawIsAnImageOfAllPoints(t *testing.T) {
	sizes := []point{{Attackers: 10_000, PerSecond: 123_456, Memory: 150}, {Attackers: 5_000_000, PerSecond: 99_000, Memory: 900}}
	text := draw(sizes, []point{{Threads: 1, PerSecond: 50_000}, {Threads: 4, PerSecond: 70_000}})
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
	if circles != 6 {
		t.Errorf("%d points, want 6", circles)
	}
	for _, want := range []string{"10k", "5M", "123k", "900"} {
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
