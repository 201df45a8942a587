package wireproxy

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Action is what a rule does to a request or its answer.
type Action int

// The actions.
const (
	// Refuse answers with Rule.Error. A request that writes something
	// (Produce, TxnOffsetCommit, EndTxn, AddOffsetsToTxn, AddPartitionsToTxn,
	// InitProducerID, the group's) does not reach the broker; one that only
	// reads does, and its answer is changed.
	Refuse Action = iota
	// Deny passes the request on and puts Rule.Error into the answer: what was
	// asked for has happened.
	Deny
	// CutRequest cuts the connection in place of passing on the request.
	CutRequest
	// CutAnswer passes on the request and cuts the connection in place of
	// passing on the answer.
	CutAnswer
	// Swallow passes on the request and nothing that comes back, on a
	// connection that stays open: to the client the broker stands still.
	Swallow
	// Delay passes the request on after Rule.Wait, and those behind it after it.
	Delay
	// Duplicate passes the request on twice, and the first answer back.
	Duplicate
)

var actionNames = [...]string{"refuse", "deny", "cut-request", "cut-answer", "swallow", "delay", "duplicate"}

// Actions returns every action.
func Actions() []Action {
	return []Action{Refuse, Deny, CutRequest, CutAnswer, Swallow, Delay, Duplicate}
}

// String returns the name of the action.
func (a Action) String() string { return actionNames[a] }

// Rule breaks requests of one kind.
type Rule struct {
	Key    kmsg.Key
	Client string // beginning of the client id; empty for all
	Skip   int    // how many that fit are let through first
	Times  int    // how many are broken then; 0: all
	Action Action
	Error  *kerr.Error   // for Refuse and Deny
	Wait   time.Duration // for Delay
}

// active is a rule that is set, and how often it has fitted.
type active struct {
	Rule
	fitted, broken atomic.Int64
}

// breaks reports whether the rule is for this request, and counts.
func (a *active) breaks(h *header) bool {
	if a.Key != h.key || !strings.HasPrefix(h.client, a.Client) {
		return false
	}
	n := int(a.fitted.Add(1))
	if n <= a.Skip || a.Times > 0 && n > a.Skip+a.Times {
		return false
	}
	a.broken.Add(1)
	return true
}
