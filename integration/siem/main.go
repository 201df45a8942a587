// Command siem has other people's validators judge what handprint formats: it
// makes a folder of hostile records, formats it, and runs check.py over the
// result. make validate prepares Python and calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"handprint/siem/siemtest"
)

func main() {
	n := flag.Int("n", 2500, "Records of each of the four kinds.")
	seed := flag.Uint64("seed", 1, "Seed of the records.")
	python := flag.String("python", "out/validate/bin/python", "Python with the validators.")
	binary := flag.String("handprint", "bin/handprint", "The binary to check.")
	dir := flag.String("dir", "out/siem", "Folder for records and formats.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *n, *seed, *python, *binary, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "validate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n int, seed uint64, python, binary, dir string) error {
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	records := siemtest.New(seed)
	records.More = true
	if err := records.Folder(in, n); err != nil {
		return err
	}
	for _, cmd := range [][]string{
		{binary, "format", "files", "--rows", "--out", out, in},
		{python, "integration/siem/check.py", out, "integration/siem/ecs_flat-9.4.0.yml.gz", fmt.Sprint(4 * n)},
	} {
		c := exec.CommandContext(ctx, cmd[0], cmd[1:]...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(cmd[0]), err)
		}
	}
	return nil
}
