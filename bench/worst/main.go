// Command worst measures what an observation costs that somebody made to be
// expensive: one task's engine on the production store, in the folder for temporary
// files, without Kafka. It prints CPU time and bytes of the changelog for each kind of input,
// and ends with 1 if one is above the bounds.
//
//	go run ./bench/worst
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"text/tabwriter"
	"time"

	"handprint/internal/operations"
)

// The bounds of an observation whose record has at most 1 KiB; for each KiB more
// of the record there is a little more.
const (
	maxMicros   = 100.0
	maxBytes    = 4096.0
	microsByKiB = 5.0
	bytesByKiB  = 1.1 * 1024
	maxTimes    = 20 // of the usual observation's CPU
)

var errAbove = errors.New("above the bounds")

func main() {
	n := flag.Int("n", 2000, "observations that are measured for each kind of input")
	only := flag.String("only", "", "measure the kinds whose name has this in it")
	long := flag.Duration("search", 0, "draw kinds of input at random for so long, and print the most expensive, instead of the table")
	seed := flag.Uint64("seed", 1, "of the first kind that is drawn")
	profile := flag.String("profile", "", "file for a CPU profile; default: none is taken")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends it at once
	if kind, _ := operations.Filesystem(os.TempDir()); kind == "tmpfs" {
		fmt.Fprintf(os.Stderr, "worst: %s is in memory, so what is written costs other CPU than on a disk; set TMPDIR to a folder on a disk\n", os.TempDir())
	}
	err := profiled(*profile, func() error {
		if *long > 0 {
			return search(ctx, *long, *seed, min(*n, 500))
		}
		return run(*n, *only)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "worst:", err)
		stop()
		os.Exit(1)
	}
}

// profiled calls do, and takes a CPU profile of it unless file is empty.
func profiled(file string, do func() error) error {
	if file == "" {
		return do()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

func run(n int, only string) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "record\tCPU\tchangelog\tinput\t")
	above, usual := 0, 0.0
	list := kinds(only)
	for i := 0; i < len(list); {
		c, name, isUsual := cost{}, list[i].name, list[i].usual
		for ; i < len(list) && list[i].name == name; i++ {
			of, err := measure(&list[i], n)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			c = cost{max(c.record, of.record), max(c.micros, of.micros), max(c.bytes, of.bytes)}
		}
		if isUsual {
			usual = c.micros
		}
		micros, bytes := bounds(c.record)
		mark := ""
		if c.micros > micros || c.bytes > bytes || c.record <= 1024 && usual > 0 && c.micros > maxTimes*usual {
			mark = "ABOVE: "
			above++
		}
		fmt.Fprintf(out, "%d B\t%.1f us\t%.0f B\t%s%s\t\n", c.record, c.micros, c.bytes, mark, name)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := runEvents(only); err != nil {
		return err
	}
	if above > 0 {
		return fmt.Errorf("%d kinds of input are %w of %.0f us, %.0f B and %d times the usual one", above, errAbove, maxMicros, maxBytes, maxTimes)
	}
	return nil
}

// runEvents prints what identity events cost. There is no bound of them but that of a step.
func runEvents(only string) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "\nsteps\tCPU\tlongest step\tidentity events\t")
	for _, k := range eventKinds() {
		if !strings.Contains(k.name, only) {
			continue
		}
		steps, all, longest, err := k.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		millis := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Fprintf(out, "%d\t%.0f ms\t%.1f ms\t%s\t\n", steps, millis(all), millis(longest), k.name)
	}
	return out.Flush()
}

// bounds returns what an observation may cost whose record has so many bytes.
func bounds(record int) (micros, bytes float64) {
	more := max(float64(record)/1024-1, 0)
	return maxMicros + more*microsByKiB, maxBytes + more*bytesByKiB
}
