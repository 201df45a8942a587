package instance

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binaries are the two builds of the program.
type Binaries struct {
	Plain  string // as it is released
	Faulty string // with the tag faults
}

// Build builds both into dir. The working directory must be inside the module.
func Build(ctx context.Context, dir string) (Binaries, error) {
	b := Binaries{filepath.Join(dir, "handprint"), filepath.Join(dir, "handprint-faults")}
	root, err := moduleRoot(ctx)
	if err != nil {
		return b, err
	}
	if err := goBuild(ctx, root, b.Plain); err != nil {
		return b, err
	}
	return b, goBuild(ctx, root, b.Faulty, "-tags", "faults")
}

// BuildNext builds the program as a release to come may be: its rows and
// contributions have the next version number.
func BuildNext(ctx context.Context, dir string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "handprint-next")
	return binary, goBuild(ctx, root, binary, "-tags", "nextformat")
}

// BuildAt builds the program as it was at a commit, from the repository that
// the working directory is in.
func BuildAt(ctx context.Context, commit, dir string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	source := filepath.Join(dir, "source")
	script := `mkdir -p "$1" && git archive "$2" | tar -x -C "$1"`
	export := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script, "-", source, commit)
	export.Dir = root
	if out, err := export.CombinedOutput(); err != nil {
		return "", fmt.Errorf("getting the source of %s: %w: %s", commit, err, out)
	}
	binary := filepath.Join(dir, "handprint-old")
	return binary, goBuild(ctx, source, binary)
}

func goBuild(ctx context.Context, root, to string, args ...string) error {
	build := exec.CommandContext(ctx, "go", append(append([]string{"build"}, args...), "-o", to, "./cmd/handprint")...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building handprint in %s: %w: %s", root, err, out)
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
