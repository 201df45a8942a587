package wireproxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A request on the wire, all numbers big-endian:
//
//	int32 size | int16 key | int16 version | int32 correlation | client id | [tags] | body
//
// The client id is an int16 length (-1 for none) and its bytes. Tags stand
// there for versions that are flexible (KIP-482). An answer:
//
//	int32 size | int32 correlation | [tags] | body
//
// ApiVersions is answered without tags in every version.

// maxFrame is the largest frame that is taken for one: a broker's
// socket.request.max.bytes and a little.
const maxFrame = 101 << 20

var errFrame = errors.New("not a frame of Kafka's protocol")

// readFrame reads a frame, size included. It allocates no more than what has
// arrived, and a step.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > maxFrame {
		return nil, fmt.Errorf("%w: its size is %d", errFrame, size)
	}
	const step = 1 << 16
	frame := append(make([]byte, 0, 4+min(size, step)), head[:]...)
	for len(frame) < 4+size {
		at := len(frame)
		frame = append(frame, make([]byte, min(step, 4+size-at))...)
		if _, err := io.ReadFull(r, frame[at:]); err != nil {
			return nil, fmt.Errorf("reading a frame of %d bytes: %w", size, err)
		}
	}
	return frame, nil
}

// header is what stands before the body of a request.
type header struct {
	key         kmsg.Key
	version     int16
	correlation int32
	client      string
	rest        []byte // tags, if the version has them, and body
}

// parseHeader reads the header of a request. The frame is kept by the result.
func parseHeader(frame []byte) (header, error) {
	var h header
	if len(frame) < 14 {
		return h, fmt.Errorf("%w: a request of %d bytes", errFrame, len(frame))
	}
	h.key = kmsg.Key(binary.BigEndian.Uint16(frame[4:]))
	h.version = int16(binary.BigEndian.Uint16(frame[6:]))
	h.correlation = int32(binary.BigEndian.Uint32(frame[8:]))
	length := int(int16(binary.BigEndian.Uint16(frame[12:])))
	h.rest = frame[14:]
	if length > len(h.rest) || length < -1 {
		return h, fmt.Errorf("%w: a client id of %d bytes", errFrame, length)
	}
	if length > 0 {
		h.client, h.rest = string(h.rest[:length]), h.rest[length:]
	}
	return h, nil
}

// request decodes the body; nil if it is of a kind or version that is not
// known.
func (h *header) request() (kmsg.Request, error) {
	r := kmsg.RequestForKey(h.key.Int16())
	if r == nil || h.version < 0 || h.version > r.MaxVersion() {
		return nil, nil
	}
	r.SetVersion(h.version)
	body := h.rest
	if r.IsFlexible() {
		var err error
		if body, err = skipTags(body); err != nil {
			return nil, err
		}
	}
	return r, r.ReadFrom(body)
}

// answerBody returns where the body of an answer to h begins.
func (h *header) answerBody(frame []byte) ([]byte, error) {
	if len(frame) < 8 {
		return nil, fmt.Errorf("%w: an answer of %d bytes", errFrame, len(frame))
	}
	if !h.taggedAnswer() {
		return frame[8:], nil
	}
	return skipTags(frame[8:])
}

func (h *header) taggedAnswer() bool {
	r := kmsg.RequestForKey(h.key.Int16())
	if r == nil || h.key == kmsg.ApiVersions {
		return false
	}
	r.SetVersion(h.version)
	return r.IsFlexible()
}

// frameAnswer writes an answer to h.
func (h *header) frameAnswer(answer kmsg.Response) []byte {
	answer.SetVersion(h.version)
	frame := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(h.correlation))
	if h.taggedAnswer() {
		frame = append(frame, 0)
	}
	frame = answer.AppendTo(frame)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

// skipTags returns what stands behind the tags at the beginning of b: a count,
// and for each a number, a length and that many bytes, all of them varints but
// the last.
func skipTags(b []byte) ([]byte, error) {
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, fmt.Errorf("%w: tags are cut off", errFrame)
	}
	b = b[n:]
	for range count {
		if _, n = binary.Uvarint(b); n <= 0 {
			return nil, fmt.Errorf("%w: tags are cut off", errFrame)
		}
		b = b[n:]
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return nil, fmt.Errorf("%w: a tag is cut off", errFrame)
		}
		b = b[n+int(length):]
	}
	return b, nil
}
