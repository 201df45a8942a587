package audit

import (
	"fmt"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/state"
)

// digest keeps what the last record of each key of the changelog says, if
// there are stores to compare with it.
func (a *Auditor) digest(r *kgo.Record) {
	a.lastOf[r.Partition] = r.Offset
	if a.stored == nil {
		return
	}
	if r.Value == nil {
		delete(a.stored[r.Partition], string(r.Key))
	} else {
		a.stored[r.Partition][string(r.Key)] = xxhash.Sum64(r.Value)
	}
}

// stores compares the stores with the changelog, which has been compared with
// the input: key by key, byte by byte.
func (a *Auditor) stores() error {
	for _, dir := range a.o.StateDirs {
		if err := a.compareStore(dir); err != nil {
			return err
		}
	}
	return nil
}

// CompareStores compares stores of stopped instances with the changelog as the last
// Advance has read it. Options.Stores must be set.
func (a *Auditor) CompareStores(dirs ...string) (Report, error) {
	a.report = Report{most: a.o.MaxDifferences}
	for _, dir := range dirs {
		if err := a.compareStore(dir); err != nil {
			return a.report, err
		}
	}
	return a.report, nil
}

func (a *Auditor) compareStore(dir string) (err error) {
	store, err := state.Open(filepath.Join(dir, "store"), state.Options{ReadOnly: true, CacheBytes: 1 << 20})
	if err != nil {
		return fmt.Errorf("the store of %s: %w", dir, err)
	}
	defer func() {
		if e := store.Close(); err == nil && e != nil {
			err = fmt.Errorf("the store of %s: %w", dir, e)
		}
	}()
	partitions, err := store.Partitions()
	if err != nil {
		return fmt.Errorf("the store of %s: %w", dir, err)
	}
	for _, p := range partitions {
		if int(p) >= len(a.stored) {
			a.differs(Unexpected, a.o.Topics.Changelog, place{p, -1}, dir, "a store of partition %d, which the changelog does not have", p)
			continue
		}
		if err := a.comparePartition(store.Partition(p).Snapshot(), p, dir); err != nil {
			return fmt.Errorf("the store of %s, partition %d: %w", dir, p, err)
		}
	}
	return nil
}

func (a *Auditor) comparePartition(snapshot *state.Snapshot, p int32, name string) error {
	defer snapshot.Close()
	checkpoint, ok, err := snapshot.Checkpoint()
	if err != nil {
		return err
	}
	topic := a.o.Topics.Changelog
	if last := a.lastOf[p]; !ok || checkpoint.Offset <= last {
		a.report.Notes = append(a.report.Notes, fmt.Sprintf("the store of %s is not up to date in partition %d (offset %d, the changelog has %d): not compared", name, p, checkpoint.Offset, last))
		return nil
	}
	want := a.stored[p]
	found := 0
	err = snapshot.Scan(nil, nil, func(key, value []byte) bool {
		a.report.StoreRecords++
		digest, there := want[string(key)]
		switch {
		case !there:
			a.differs(Unexpected, topic, place{p, -1}, fmt.Sprintf("%x", key), "the store of %s has a record that the changelog has not", name)
			return true
		case digest != xxhash.Sum64(value):
			a.differs(Different, topic, place{p, -1}, fmt.Sprintf("%x", key), "the store of %s has another value than the changelog", name)
		}
		found++
		return true
	})
	if missing := len(want) - found; err == nil && missing > 0 {
		a.differs(Lost, topic, place{p, -1}, "", "the store of %s lacks %d records of the changelog", name, missing)
	}
	return err
}
