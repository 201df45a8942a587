//go:build integration

package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// firstCommit is what upgrades are tested from as long as there is no release:
// the last one before instances learned of standbys.
const firstCommit = "3369f7e"

// oldVersion returns the commit of the newest release, or else firstCommit.
// HANDPRINT_OLD_VERSION names another.
func oldVersion(t *testing.T) string {
	t.Helper()
	if from := os.Getenv("HANDPRINT_OLD_VERSION"); from != "" {
		return from
	}
	if tag, err := exec.CommandContext(t.Context(), "git", "describe", "--tags", "--abbrev=0", "--match", "v*").Output(); err == nil {
		return strings.TrimSpace(string(tag))
	}
	if err := exec.CommandContext(t.Context(), "git", "cat-file", "-e", firstCommit+"^{commit}").Run(); err != nil {
		t.Skip("NO UPGRADE IS TESTED: this clone has no history (git fetch --unshallow); make integration in a whole clone runs it")
	}
	return firstCommit
}
