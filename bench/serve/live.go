package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/schemas"
)

func newRandom() *rand.Rand { return rand.New(rand.NewPCG(3, 4)) }

// measureClients compares what the engine takes in beside a read side with what it
// takes in beside one that has live clients, in turns.
func (r *rig) measureClients(ctx context.Context) error {
	if err := errors.Join(r.startEngine(), r.startSide()); err != nil {
		return err
	}
	s, err := r.await(ctx, func(s status) bool { return s.Ready && s.Lag == 0 })
	if err != nil {
		return err
	}
	rates := [2][]float64{}
	cpus := [2]time.Duration{}
	for range r.rounds {
		for with := range 2 {
			streaming, stop := context.WithCancel(ctx)
			var clients sync.WaitGroup
			if with == 1 {
				for range r.clients {
					clients.Go(func() { _, _ = follow(streaming, s.URL, 20, 0, new(atomic.Bool)) })
				}
				if _, err := r.await(ctx, func(s status) bool { return s.Clients == r.clients }); err != nil {
					stop()
					return err
				}
			}
			before := r.side.used()
			err := r.backlogOf(ctx, r.backlog/2)
			rate := 0.0
			if err == nil {
				rate, err = r.drain(ctx)
			}
			if err == nil {
				_, err = r.await(ctx, func(s status) bool { return s.Lag == 0 })
			}
			rates[with] = append(rates[with], rate)
			cpus[with] += r.side.used().CPU - before.CPU
			stop()
			clients.Wait()
			if err != nil {
				return err
			}
		}
	}
	median := func(all []float64) float64 { all = slices.Sorted(slices.Values(all)); return all[len(all)/2] }
	without, with := median(rates[0]), median(rates[1])
	n := float64(r.rounds * (r.backlog / 2))
	fmt.Printf("engine beside a read side, %d rounds in turns: %.0f observations/s without live clients, %.0f with %d of them (%+.1f %%); read side %.2f and %.2f us of CPU an observation\n",
		r.rounds, without, with, r.clients, 100*(with/without-1), cpus[0].Seconds()*1e6/n, cpus[1].Seconds()*1e6/n)
	return nil
}

// told is what a client was told of.
type told struct {
	events, summed, missed int64
	cut                    bool // it did not read, and its connection was ended
}

func (t *told) total() int64 { return t.events + t.summed + t.missed }

// follow reads events until ctx ends, so many a second one by one, and waits so long
// for each 4 KB.
func follow(ctx context.Context, url string, rate int, wait time.Duration, hurry *atomic.Bool) (t told, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/api/v1/events?types=state_changed&rate=%d", url, rate), nil)
	if err != nil {
		return t, err
	}
	// A client's own buffers would hide how slow it is.
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if tcp, ok := c.(*net.TCPConn); ok && wait > 0 {
			err = tcp.SetReadBuffer(128 << 10)
		}
		return c, err
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return t, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return t, fmt.Errorf("events answer %d", response.StatusCode)
	}
	in := bufio.NewReaderSize(&slow{ctx, response.Body, wait, hurry}, 4<<10)
	event := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if ctx.Err() != nil {
				return t, nil
			}
			t.cut = true
			return t, nil
		}
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = strings.TrimSpace(name)
			continue
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		switch event {
		case "state_changed":
			t.events++
		case "summary":
			var d struct{ Skipped int64 }
			if err := json.Unmarshal([]byte(data), &d); err != nil {
				return t, err
			}
			t.summed += d.Skipped
		case "gap":
			var d struct{ Missed int64 }
			if err := json.Unmarshal([]byte(data), &d); err != nil {
				return t, err
			}
			t.missed += d.Missed
		}
	}
}

// slow waits before each read, until it is to hurry.
type slow struct {
	ctx   context.Context
	from  io.Reader
	wait  time.Duration
	hurry *atomic.Bool
}

func (s *slow) Read(b []byte) (int, error) {
	if s.wait > 0 && !s.hurry.Load() {
		select {
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		case <-time.After(s.wait):
		}
	}
	return s.from.Read(b)
}

// measureSlow has many transitions a second go to clients, half of them slow and one
// that does not read at all, and counts what each was told of.
func (r *rig) measureSlow(ctx context.Context) error {
	if err := errors.Join(r.stopEngine(), r.startSide()); err != nil {
		return err
	}
	s, err := r.await(ctx, func(s status) bool { return s.Ready && s.Lag == 0 })
	if err != nil {
		return err
	}
	streaming, stop := context.WithCancel(ctx)
	defer stop()
	all := make([]told, r.clients)
	failed := make([]error, r.clients)
	var clients sync.WaitGroup
	var hurry atomic.Bool
	for i := range all {
		wait := time.Duration(0)
		switch {
		case i == 0:
			wait = time.Hour // stuck
		case i%2 == 1:
			wait = 100 * time.Millisecond // 40 KB a second
		}
		clients.Go(func() { all[i], failed[i] = follow(streaming, s.URL, 200, wait, &hurry) })
	}
	if _, err := r.await(ctx, func(s status) bool { return s.Clients == r.clients }); err != nil {
		return err
	}
	before := s
	began, u := time.Now(), r.side.used()
	sent, largest := int64(0), int64(0)
	var heaps []uint64
	for time.Since(began) < r.live {
		due := int64(time.Since(began).Seconds() * float64(r.liveRate))
		for ; sent < due; sent++ {
			r.transition(ctx, sent)
		}
		time.Sleep(5 * time.Millisecond)
		if len(heaps) < int(time.Since(began)/time.Second) {
			if s, err = r.side.ask(); err != nil {
				return err
			}
			heaps = append(heaps, s.Heap)
			largest = max(largest, r.side.used().Memory)
		}
	}
	if err := r.client.Flush(ctx); err != nil {
		return err
	}
	spent := time.Since(began)
	cpu := (r.side.used().CPU - u.CPU).Seconds()
	if s, err = r.side.ask(); err != nil {
		return err
	}
	hurry.Store(true) // what they are told of is counted when they have read it
	time.Sleep(10 * time.Second)
	stop()
	clients.Wait()
	short := 0
	for i := range all {
		switch {
		case failed[i] != nil:
			return failed[i]
		case all[i].cut:
			// It knows that it was, and comes back.
		case all[i].total() != sent && i > 0:
			short++
			fmt.Printf("client %d was told of %d events of %d: %d one by one, %d in summaries, %d in gaps\n", i, all[i].total(), sent, all[i].events, all[i].summed, all[i].missed)
		}
	}
	var most, typical []uint64 // of each quarter, in MB
	for quarter := range slices.Chunk(heaps, max(1, (len(heaps)+3)/4)) {
		quarter = slices.Sorted(slices.Values(quarter))
		most, typical = append(most, quarter[len(quarter)-1]>>20), append(typical, quarter[len(quarter)/2]>>20)
	}
	fmt.Printf("%d clients, half of them slow, one stuck, %d transitions/s for %s: heap by quarters at most %v MB, median %v MB, resident %d MB; %.1f us of CPU a transition; %d clients not told of all; %d cut off, which know it; %d missed by slow ones and told\n",
		r.clients, r.liveRate, spent.Round(time.Second), most, typical, largest>>20, cpu*1e6/float64(sent), short, s.Cut-before.Cut, s.Missed-before.Missed)
	return nil
}

// transition writes one to its topic, as an engine does.
func (r *rig) transition(ctx context.Context, n int64) {
	attacker := attackerOf(int(n) % r.identities)
	stub := attribution.Stub([]byte(attacker)).String()
	p := r.primitives[int(n)%len(r.primitives)]
	t := attribution.Transition{
		EventID: attackerOf(int(n) + 1<<30), Identity: stub, Primitive: p.Name, Old: attribution.Stable, New: attribution.Drifting,
		Value: []byte(valueOf(p, int(n)%r.templates, 0)), Previous: []byte(valueOf(p, int(n)%r.templates, 1)), Confidence: 0.5, Count: n, TS: float64(time.Now().UnixMilli()) / 1000,
	}
	r.client.Produce(ctx, &kgo.Record{Topic: r.names.StateChanged, Partition: attribution.AttackerPartition(attacker, int32(r.partitions)), Key: []byte(stub), Value: schemas.AppendTransitionJSON(nil, &t)}, nil)
}
