package schemas

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestDeadLetterHeaders(t *testing.T) {
	original := &kgo.Record{
		Topic: "attacker.observation", Partition: 3, Offset: 1204, Timestamp: time.UnixMilli(1701015245825),
		Headers: []kgo.RecordHeader{{Key: "type", Value: []byte("x")}, {Key: HeaderReason, Value: []byte("an earlier one")}},
	}
	var got []string
	headers := DeadLetterHeaders(original, "decode", "ts: negative")
	for _, h := range headers {
		got = append(got, h.Key+"="+string(h.Value))
	}
	want := "type=x; handprint.reason=an earlier one; handprint.reason=ts: negative; handprint.stage=decode; handprint.source.topic=attacker.observation; " +
		"handprint.source.partition=3; handprint.source.offset=1204; handprint.source.timestamp=1701015245825"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
	if len(original.Headers) != 2 {
		t.Error("the original's headers have grown")
	}
	if reason, ok := Header(headers, HeaderReason); !ok || string(reason) != "ts: negative" {
		t.Errorf("the last reason is %q, %v", reason, ok)
	}
	if _, ok := Header(headers, "none"); ok {
		t.Error("a header that is not there was found")
	}
}

func TestDeadLetterReasonIsBounded(t *testing.T) {
	headers := DeadLetterHeaders(&kgo.Record{}, "apply", "x"+strings.Repeat("é", 4000))
	if reason, _ := Header(headers, HeaderReason); string(reason) != "x"+strings.Repeat("é", 511) {
		t.Errorf("a reason of %d bytes: ...%q", len(reason), reason[len(reason)-4:])
	}
}
