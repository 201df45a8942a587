package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/integration/connect/upsert"
)

// copyCheck is a file that a connector wrote, and how to hold it against the
// topic.
type copyCheck struct {
	connector
	what    string
	live    bool // the connector leaves tombstones out
	more    int  // lines that the file has beyond the committed records
	compare func(ctx context.Context, records []*kgo.Record, lines []string) (string, error)
}

// of are the records, of those of the topic, that the file has to have.
func (c *copyCheck) of(records []*kgo.Record) []*kgo.Record {
	if !c.live {
		return records
	}
	return slices.DeleteFunc(slices.Clone(records), func(r *kgo.Record) bool { return r.Value == nil })
}

// lines reads a file's lines.
func (c *copyCheck) lines() ([]string, error) {
	text, err := os.ReadFile(c.file)
	if err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(text), "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	} else {
		return nil, fmt.Errorf("%s ends in the middle of a line", filepath.Base(c.file))
	}
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\n")
	}
	return lines, nil
}

// tombstone is what FileStreamSink writes of a record without a value.
const tombstone = "null"

// sameBytes holds lines against the bytes of the values. The sink mixes
// partitions, so it is the same lines, in any order.
func sameBytes(_ context.Context, records []*kgo.Record, lines []string) (string, error) {
	left := make(map[string]int)
	tombstones := 0
	for _, r := range records {
		if r.Value == nil {
			tombstones++
			left[tombstone]++
		} else {
			left[string(r.Value)]++
		}
	}
	for _, line := range lines {
		if left[line] == 0 {
			return "", fmt.Errorf("a line that is in no committed record: %.200s", line)
		}
		left[line]--
	}
	if len(lines) != len(records) {
		return "", fmt.Errorf("%d lines of %d records", len(lines), len(records))
	}
	return fmt.Sprintf("%d records, %d of them tombstones, byte for byte", len(records), tombstones), nil
}

var address = regexp.MustCompile(`\b(` + partitionField + `|` + offsetField + `)=(\d+)`)

// sameRecords holds lines that say where their record came from against that
// very record: each is there once, and those of a partition in their order.
func sameRecords(d *upsert.Decoder, printed func(map[string]any, string) bool) func(context.Context, []*kgo.Record, []string) (string, error) {
	return func(ctx context.Context, records []*kgo.Record, lines []string) (string, error) {
		type place struct {
			partition int32
			offset    int64
		}
		byPlace := make(map[place]*kgo.Record)
		tombstones := 0
		for _, r := range records {
			if r.Value == nil {
				tombstones++
			} else {
				byPlace[place{r.Partition, r.Offset}] = r
			}
		}
		reached := make(map[int32]int64)
		copied := 0
		for _, line := range lines {
			if line == tombstone {
				tombstones--
				continue
			}
			at := place{-1, -1}
			for _, m := range address.FindAllStringSubmatch(line, -1) {
				n, err := strconv.ParseInt(m[2], 10, 64)
				if err != nil {
					return "", err
				}
				if m[1] == partitionField {
					at.partition = int32(n)
				} else {
					at.offset = n
				}
			}
			r := byPlace[at]
			if r == nil {
				return "", fmt.Errorf("a line of no committed record, or the second of one: %.200s", line)
			}
			delete(byPlace, at)
			if at.offset < reached[at.partition] {
				return "", fmt.Errorf("offset %d of partition %d comes behind %d", at.offset, at.partition, reached[at.partition])
			}
			reached[at.partition] = at.offset
			want, err := d.Decode(ctx, r.Value)
			if err != nil {
				return "", err
			}
			want[partitionField], want[offsetField] = float64(at.partition), float64(at.offset)
			if !printed(want, line) {
				return "", fmt.Errorf("record %d of partition %d says %s, the line %s", at.offset, at.partition, r.Value, line)
			}
			copied++
		}
		if len(byPlace) > 0 || tombstones != 0 {
			return "", fmt.Errorf("%d records and %d tombstones are missing", len(byPlace), tombstones)
		}
		return fmt.Sprintf("%d records, field by field at their offsets, and %d tombstones", copied, len(lines)-copied), nil
	}
}

// withAborted expects a file of a sink that reads uncommitted records to have
// what was aborted, so many times: else the other files' lack of it would prove
// nothing.
func withAborted(aborted string, times int) func(context.Context, []*kgo.Record, []string) (string, error) {
	return func(_ context.Context, records []*kgo.Record, lines []string) (string, error) {
		n := 0
		for _, line := range lines {
			if line == aborted {
				n++
			}
		}
		if n != times || len(lines) != len(records)+n {
			return "", fmt.Errorf("%d of %d aborted records, and %d lines for %d committed ones", n, times, len(lines)-n, len(records))
		}
		return fmt.Sprintf("%d aborted records show here, and nowhere else", n), nil
	}
}
