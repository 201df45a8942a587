//go:build integration

package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"handprint/integration/instance"
)

// upgrade returns the two programs of a rolling upgrade, and what the newer is
// told by upgrade-from.
//
// The older is the newest release, or the commit that HANDPRINT_OLD_VERSION
// names; the newer is this program, current. As long as there is no release, the
// older is this program, and the newer one whose formats have the next version
// numbers.
func upgrade(t *testing.T, current string) (older, newer, from string) {
	t.Helper()
	commit := os.Getenv("HANDPRINT_OLD_VERSION")
	if commit == "" {
		if tag, err := exec.CommandContext(t.Context(), "git", "describe", "--tags", "--abbrev=0", "--match", "v*").Output(); err == nil {
			commit = strings.TrimSpace(string(tag))
		}
	}
	var err error
	if commit == "" {
		older = current
		newer, err = instance.BuildNext(t.Context(), t.TempDir())
	} else {
		older, err = instance.BuildAt(t.Context(), commit, t.TempDir())
		newer = current
	}
	if err != nil {
		t.Fatal(err)
	}
	return older, newer, "0.1"
}
