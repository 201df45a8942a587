package wireproxy

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// refusal returns the answer that refuses a request which must not reach the
// broker; nil for a request that has to reach it, for only the broker knows what
// its answer lists.
func refusal(h *header, code int16) (kmsg.Response, error) {
	req, err := h.request()
	if req == nil || err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	switch req := req.(type) {
	case *kmsg.ProduceRequest:
		resp := resp.(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				partition := kmsg.NewProduceResponseTopicPartition()
				partition.Partition = p.Partition
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
	case *kmsg.TxnOffsetCommitRequest:
		resp := resp.(*kmsg.TxnOffsetCommitResponse)
		for _, t := range req.Topics {
			topic := kmsg.NewTxnOffsetCommitResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				partition := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				partition.Partition = p.Partition
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
	case *kmsg.AddOffsetsToTxnRequest, *kmsg.EndTxnRequest, *kmsg.InitProducerIDRequest, *kmsg.JoinGroupRequest,
		*kmsg.SyncGroupRequest, *kmsg.HeartbeatRequest, *kmsg.LeaveGroupRequest:
		// The error is all that there is to say.
	default:
		return nil, nil
	}
	setCode(resp, code)
	return resp, nil
}

// deny puts an error into an answer of the broker.
func deny(h *header, frame []byte, code int16) ([]byte, error) {
	req := kmsg.RequestForKey(h.key.Int16())
	if req == nil || h.version > req.MaxVersion() {
		return frame, nil
	}
	body, err := h.answerBody(frame)
	if err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	resp.SetVersion(h.version)
	if err := resp.ReadFrom(body); err != nil {
		return nil, err
	}
	setCode(resp, code)
	return h.frameAnswer(resp), nil
}

// setCode puts an error wherever brokers put one. Of a fetch that is with the
// partitions; above them they say only what is wrong with the fetch session, or
// leave out all partitions. (franz-go v1.22.2 never fetches a partition again
// that is fenced in an answer that has an error above it as well.)
func setCode(resp kmsg.Response, code int16) {
	setError(reflect.ValueOf(resp), code)
	if f, ok := resp.(*kmsg.FetchResponse); ok && len(f.Topics) > 0 {
		f.ErrorCode = 0
	}
}

// setError sets every field called ErrorCode, however deep.
func setError(v reflect.Value, code int16) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			setError(v.Elem(), code)
		}
	case reflect.Slice:
		for i := range v.Len() {
			setError(v.Index(i), code)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); v.Type().Field(i).Name == "ErrorCode" && f.Kind() == reflect.Int16 {
				f.SetInt(int64(code))
			} else if v.Type().Field(i).IsExported() {
				setError(f, code)
			}
		}
	}
}
