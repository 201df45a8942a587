//go:build integration

package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A cluster of each kind takes records while one of its brokers is killed,
// stands still or is stopped, and is whole again afterwards.
func TestHurtAndHeal(t *testing.T) {
	way, err := Choose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if way == Existing {
		t.Fatal("this needs brokers of its own, see docs/testing.md: " + ErrNotOurs.Error())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c, err := StartAs(ctx, way, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.DefaultProduceTopic("t"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 3, 3, nil, "t"); err != nil {
		t.Fatal(err)
	}
	for i, hurt := range []struct {
		what       string
		hurt, heal func(context.Context, int) error
	}{
		{"kill", c.Kill, c.Start},
		{"pause", c.Pause, c.Resume},
		{"stop", c.Stop, c.Start},
	} {
		began := time.Now()
		if err := hurt.hurt(ctx, i); err != nil {
			t.Fatal(err)
		}
		for n := range 9 {
			if err := cl.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(hurt.what, n))).FirstErr(); err != nil {
				t.Fatalf("broker %d, %s: %v", i+1, hurt.what, err)
			}
		}
		produced := time.Since(began)
		if err := hurt.heal(ctx, i); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitWhole(ctx); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: 9 records in %v, whole again after %v", hurt.what, produced, time.Since(began))
	}
}
