// Command pgo makes the profile that the compiler optimises handprint by
// (cmd/handprint/release.pgo) of CPU profiles of the benchmark. Taking them is
// the benchmark's work; `make pgo` does both.
//
//	go run ./bench/pgo -o cmd/handprint/release.pgo out/pgo/*/cpu.pprof
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/google/pprof/profile"
)

func main() {
	out := flag.String("o", "cmd/handprint/release.pgo", "`file` to write")
	flag.Parse()
	if err := merge(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "pgo:", err)
		os.Exit(1)
	}
}

// merge writes the sum of the profiles in files to out.
func merge(out string, files []string) error {
	if len(files) == 0 {
		return errors.New("name the CPU profiles to merge")
	}
	var all []*profile.Profile
	for _, name := range files {
		p, err := read(name)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	p, err := profile.Merge(all)
	if err != nil {
		return fmt.Errorf("merging %d profiles: %w", len(all), err)
	}
	bare(p)
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := p.Write(f); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", out, err), f.Close())
	}
	return f.Close()
}

func read(name string) (*profile.Profile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return p, nil
}

// bare takes out what says where and when the profile was taken. The compiler
// goes by the names of functions and the lines in them.
func bare(p *profile.Profile) {
	p.TimeNanos, p.DurationNanos, p.Comments = 0, 0, nil
	for _, m := range p.Mapping {
		m.File, m.BuildID = "", ""
	}
	for _, f := range p.Function {
		f.Filename = ""
	}
	for _, s := range p.Sample {
		s.Label, s.NumLabel, s.NumUnit = nil, nil, nil
	}
}
