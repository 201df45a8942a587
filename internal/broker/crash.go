package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// crashed reports whether dir holds the data of a broker that did not end by
// Close.
func crashed(dir string) (bool, error) {
	for _, f := range []struct {
		name string
		is   bool // what its being there means
	}{{cleanName, false}, {"meta.json", true}} {
		_, err := os.Stat(filepath.Join(dir, f.name))
		if err == nil {
			return f.is, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("data directory %s cannot be read: %w", dir, cause(err))
		}
	}
	return false, nil
}

// abortOrphans writes abort markers for the transactions that a crash left
// open.
//
// The broker counts those as aborted when it loads, but writes no marker. A
// reader that comes upon their records takes everything that the same producer
// wrote after them for aborted too, up to the next marker: the first
// transaction after the crash would be lost to it. A marker without a
// transaction does no harm, so every known producer gets one in every
// partition.
func (e *Embedded) abortOrphans() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	txs, err := adm.DescribeTransactions(ctx)
	if err != nil {
		return fmt.Errorf("listing producers: %w", err)
	}
	topics, err := adm.ListTopicsWithInternal(ctx)
	if err != nil {
		return fmt.Errorf("listing topics: %w", err)
	}
	if len(txs) == 0 || len(topics) == 0 {
		return nil
	}
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	for _, tx := range txs.Sorted() {
		marker := kmsg.NewWriteTxnMarkersRequestMarker()
		marker.ProducerID, marker.ProducerEpoch = tx.ProducerID, tx.ProducerEpoch
		for _, topic := range topics.Sorted() {
			t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
			t.Topic, t.Partitions = topic.Topic, topic.Partitions.Numbers()
			marker.Topics = append(marker.Topics, t)
		}
		req.Markers = append(req.Markers, marker)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("writing abort markers: %w", err)
	}
	for _, m := range resp.Markers {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("writing an abort marker to %s[%d]: %w", t.Topic, p.Partition, err)
				}
			}
		}
	}
	return nil
}
