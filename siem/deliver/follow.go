package deliver

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/internal/broker"
	"handprint/schemas"
	"handprint/siem"
)

// AddressFeed keeps a table of addresses up to date from the topics attacker.profile
// and attribution.identity, which it reads from their beginning.
type AddressFeed struct {
	Profiles   string // topic
	Identities string // topic
	Table      *siem.Addresses
	Writers    *schemas.Writers
	Await      func(value []byte) error // nil: nothing has to be known first
	Options    []kgo.Opt
	Log        *slog.Logger

	from map[string]map[int32]kgo.Offset // where Run begins
}

// Load takes what the topics hold now.
func (f *AddressFeed) Load(ctx context.Context, client *kgo.Client) error {
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, f.Profiles, f.Identities)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the newest offsets: %w", err)
	}
	f.from = ends.KOffsets()
	if err := broker.Scan(ctx, client, f.take, f.Profiles, f.Identities); err != nil {
		return err
	}
	if n := f.Table.Left(); n > 0 {
		f.Log.Warn("there are more addresses than are kept; some events name none", "left", n)
	}
	return nil
}

// Run takes what is added after Load, until ctx ends, which is a good end.
func (f *AddressFeed) Run(ctx context.Context) error {
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, f.Options...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(f.from))...)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		err := fetchError(fetches)
		fetches.EachRecord(func(r *kgo.Record) {
			if err == nil {
				err = f.take(r)
			}
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// take takes one record. One that cannot be read is left out: without it an event
// names an address less.
func (f *AddressFeed) take(r *kgo.Record) error {
	if len(r.Value) == 0 {
		if attacker, sensor, ok := schemas.SplitProfileKey(r.Key); ok && r.Topic == f.Profiles {
			f.Table.DropProfile(attacker, sensor)
		}
		return nil
	}
	if f.Await != nil {
		if err := f.Await(r.Value); err != nil {
			return err
		}
	}
	if r.Topic == f.Profiles {
		if p, err := f.Writers.Profile(r.Value); err == nil {
			f.Table.PutProfile(&p)
		}
		return nil
	}
	if m, err := f.Writers.Membership(r.Value); err == nil {
		f.Table.PutMembers(m.Identity, m.Attackers)
	}
	return nil
}
