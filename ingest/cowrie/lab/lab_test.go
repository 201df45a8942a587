package lab

import (
	"bytes"
	"io"
	"testing"
)

func TestTheEmbeddedFilesAreWhole(t *testing.T) {
	text, err := io.ReadAll(Log())
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Count(text, []byte("\n")); got != 1135 {
		t.Errorf("the log has %d lines, want 1135", got)
	}
	if got := bytes.Count(text, []byte(`"cowrie.session.connect"`)); got != len(Truth()) {
		t.Errorf("the log has %d sessions, the truth %d", got, len(Truth()))
	}
	hands := map[string]int{}
	for _, s := range Truth() {
		hands[s.Hand]++
	}
	if len(Truth()) != 81 || len(hands) != 5 {
		t.Errorf("the truth has %d sessions of %d hands, want 81 of 5", len(Truth()), len(hands))
	}
}
