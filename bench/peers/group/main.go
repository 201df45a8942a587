// Command group is the simplest thing in Go that does handprint's job for
// observations: a consumer group, and a map for each partition. It is what a
// team writes first, and what handprint has to be worth over.
//
// It is at least once: it writes its outputs, waits for them, and commits the
// offsets. Its state lives in memory and is gone when it ends or a partition
// moves; nothing restores it. It knows the identity events "formed" and
// "linked", which it reads before it begins, and no merges.
//
// The mergers are handprint's (package attribution), so that both conclude the
// same; JSON is encoding/json's.
//
//	go run ./bench/peers/group -brokers 127.0.0.1:9092
//	go run ./bench/peers/group -vectors testdata/vectors/merge.jsonl
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// settings are what the flags say.
type settings struct {
	brokers, application                      string
	observations, identityEvents              string
	stateChanged, state, deadLetter, dir, vec string
	threads                                   int
}

func main() {
	var s settings
	flag.StringVar(&s.brokers, "brokers", "127.0.0.1:9092", "brokers, separated by commas")
	flag.StringVar(&s.application, "application", "handprint-peer", "name of the consumer group")
	flag.StringVar(&s.observations, "observations", "attacker.observation", "topic")
	flag.StringVar(&s.identityEvents, "identity-events", "identity.events", "topic")
	flag.StringVar(&s.stateChanged, "state-changed", "attribution.profile.state_changed", "topic")
	flag.StringVar(&s.state, "state", "attribution.state", "topic")
	flag.StringVar(&s.deadLetter, "dead-letter", "attribution.dead-letter", "topic")
	flag.StringVar(&s.dir, "dir", "", "not used: the state is in memory")
	flag.IntVar(&s.threads, "threads", 1, "not used: one loop does it all")
	flag.StringVar(&s.vec, "vectors", "", "run these merge vectors instead")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "group:", err)
		os.Exit(1)
	}
}

// run works until the standard input ends.
func run(s settings) error {
	if s.vec != "" {
		passed, failed, err := vectors(s.vec)
		fmt.Printf("%d passed, %d failed\n", passed, failed)
		if err == nil && failed > 0 {
			err = errors.New("vectors failed")
		}
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return consume(ctx, s, strings.Split(s.brokers, ","))
}
