package wireproxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// endTxn is a request to end a transaction as a client writes it.
func endTxn(version int16) []byte {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = "tx", 7, 3, true
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("client")).AppendRequest(nil, req, 42)
}

func TestParseHeader(t *testing.T) {
	for version := range int16(6) {
		frame, err := readFrame(bytes.NewReader(append(endTxn(version), "more"...)))
		if err != nil {
			t.Fatal(err)
		}
		h, err := parseHeader(frame)
		if err != nil {
			t.Fatal(err)
		}
		if h.key != kmsg.EndTxn || h.version != version || h.correlation != 42 || h.client != "client" {
			t.Errorf("version %d: header %+v", version, h)
		}
		req, err := h.request()
		if err != nil {
			t.Fatal(err)
		}
		if r := req.(*kmsg.EndTxnRequest); r.TransactionalID != "tx" || r.ProducerID != 7 || r.ProducerEpoch != 3 || !r.Commit {
			t.Errorf("version %d: request %+v", version, r)
		}
		answer, err := refusal(&h, kerr.RequestTimedOut.Code)
		if err != nil {
			t.Fatal(err)
		}
		again, err := deny(&h, h.frameAnswer(answer), kerr.InvalidTxnState.Code)
		if err != nil {
			t.Fatal(err)
		}
		body, err := h.answerBody(again)
		if err != nil {
			t.Fatal(err)
		}
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.SetVersion(version)
		if err := resp.ReadFrom(body); err != nil || resp.ErrorCode != kerr.InvalidTxnState.Code {
			t.Errorf("version %d: answer %+v, %v", version, resp, err)
		}
	}
}

func TestBadFrames(t *testing.T) {
	size := func(n int32, b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(n)), b...) }
	for name, test := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":     {nil, io.EOF},
		"cut size":    {[]byte{0, 0}, io.ErrUnexpectedEOF},
		"negative":    {size(-1), errFrame},
		"tiny":        {size(3, 1, 2, 3), errFrame},
		"huge":        {size(1 << 30), errFrame},
		"cut":         {size(100, 1, 2, 3, 4), io.ErrUnexpectedEOF},
		"largest cut": {size(maxFrame, 1, 2, 3, 4), io.ErrUnexpectedEOF},
	} {
		if _, err := readFrame(bytes.NewReader(test.in)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	for name, in := range map[string][]byte{
		"short":           size(8, 0, 26, 0, 3, 0, 0, 0, 1),
		"long client id":  size(11, 0, 26, 0, 3, 0, 0, 0, 1, 0, 9, 'x'),
		"client id of -2": size(10, 0, 26, 0, 3, 0, 0, 0, 1, 0xff, 0xfe),
	} {
		if _, err := parseHeader(in); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tags := range [][]byte{{}, {1}, {1, 1}, {1, 1, 5, 'x'}, {0xff}} {
		if _, err := skipTags(tags); !errors.Is(err, errFrame) {
			t.Errorf("tags %v: %v", tags, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for version := range int16(6) {
		f.Add(endTxn(version))
	}
	f.Add([]byte{0, 0, 0, 10, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := readFrame(bytes.NewReader(in))
		if err != nil {
			return
		}
		h, err := parseHeader(frame)
		if err != nil {
			return
		}
		if answer, err := refusal(&h, 1); err == nil && answer != nil {
			if _, err := deny(&h, h.frameAnswer(answer), 2); err != nil {
				t.Errorf("%s version %d: the forged answer cannot be read: %v", h.key.Name(), h.version, err)
			}
		}
		// What a client takes for a request may be an answer as well.
		_, _ = deny(&h, frame, 1)
	})
}
