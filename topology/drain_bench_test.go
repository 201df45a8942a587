//go:build unix

package topology_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/attribution"
	"handprint/internal/load"
	"handprint/processor"
)

// BenchmarkDrain is the whole topology on the embedded broker, from a backlog of
// observations to all that follows from it: with every topic in JSON, and with
// every topic in Avro. The processor time is that of the whole process, brokers
// included, and is what to compare where the machine has more to do:
//
//	go test ./topology -run '^$' -bench Drain -benchtime 200000x -count 3
func BenchmarkDrain(b *testing.B) {
	for _, format := range []string{"json", "avro"} {
		b.Run(format, func(b *testing.B) {
			a := newApp(b, startBroker(b), options{prefix: "drain-", partitions: 4, threads: 2, registry: attribution.DefaultRegistry()})
			a.config.Runtime.Clock = processor.SystemClock{}
			if format == "avro" {
				a.useAvro(startRegistry(b))
			}
			g, err := load.New(load.Config{Seed: 1, Attackers: max(1, b.N/50), Partitions: 4, Change: 0.1})
			if err != nil {
				b.Fatal(err)
			}
			var failed error
			for range b.N {
				r := g.Next()
				record := &kgo.Record{Topic: a.names.Observations, Key: append([]byte(nil), r.Key...), Value: append([]byte(nil), r.Value...), Partition: r.Partition}
				a.avro.rewrite(a, record)
				a.client.Produce(context.Background(), record, func(r *kgo.Record, err error) {
					if err != nil {
						failed = err
						return
					}
					a.rest.Expect(r.Topic, r.Partition, r.Offset)
				})
			}
			if err := a.client.Flush(context.Background()); err != nil || failed != nil {
				b.Fatal(err, failed)
			}
			b.ReportAllocs()
			b.ResetTimer()
			start, used := time.Now(), cpuTime(b)
			a.start()
			a.settle()
			b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "records/s")
			b.ReportMetric(float64((cpuTime(b)-used).Nanoseconds())/float64(b.N), "cpu-ns/op")
			b.StopTimer()
			if err := a.end(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// cpuTime is the processor time that the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
