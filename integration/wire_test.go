//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/integration/wireproxy"
)

// Requests of each kind that an instance makes are broken in every way, while
// instances join and leave so that all kinds are made.
func TestBrokenRequests(t *testing.T) {
	l := brokersOurs(t)
	a := newTrial(t, 3)
	a.run(0)
	a.run(1)
	a.feed(300)
	a.rest()
	for _, test := range []struct {
		key kmsg.Key
		err *kerr.Error
		// joins: the request is only made by who joins the group.
		joins bool
	}{
		{kmsg.Produce, kerr.NotLeaderForPartition, false},
		{kmsg.Fetch, kerr.NotLeaderForPartition, false},
		{kmsg.AddOffsetsToTxn, kerr.CoordinatorLoadInProgress, false},
		{kmsg.TxnOffsetCommit, kerr.NotCoordinator, false},
		{kmsg.EndTxn, kerr.NotCoordinator, false},
		{kmsg.InitProducerID, kerr.ConcurrentTransactions, true},
		{kmsg.JoinGroup, kerr.NotCoordinator, true},
		{kmsg.SyncGroup, kerr.RebalanceInProgress, true},
		{kmsg.Heartbeat, kerr.UnknownMemberID, false},
		{kmsg.OffsetFetch, kerr.NotCoordinator, true},
		{kmsg.Metadata, kerr.LeaderNotAvailable, true},
		{kmsg.FindCoordinator, kerr.CoordinatorNotAvailable, true},
	} {
		for _, action := range wireproxy.Actions() {
			if action == wireproxy.Swallow && (testing.Short() || test.key == kmsg.Fetch) {
				continue // the client waits for its longest timeouts
			}
			what := fmt.Sprintf("%s of %s", action, test.key.Name())
			l.Rules(wireproxy.Rule{Key: test.key, Action: action, Error: test.err, Times: 2, Wait: 300 * time.Millisecond})
			a.Feed(a.ctx, 100)
			if test.joins {
				a.Instance(0).Kill()
				a.run(0)
			}
			a.FeedFor(a.ctx, 100, time.Second)
			broken := l.ClearRules()
			for n := range 2 { // one that was killed by the fault is started again, as a supervisor would
				a.run(n)
			}
			a.rest()
			// Version 2 of transactions has no use for AddOffsetsToTxn.
			if broken == 0 && test.key != kmsg.AddOffsetsToTxn {
				t.Errorf("%s: nothing was broken", what)
			}
			t.Logf("%s: %d broken", what, broken)
		}
		a.audit()
	}
	a.finish()
}

// What an instance logs of a commit whose outcome it cannot know, by what
// its client has answered. An answer (false, error) has the error behind it.
const (
	answeredNothing = "the session ended it otherwise, outcome unknown" // (false, nil)
	answeredError   = "outcome unknown: "                               // (false, error)
)

// The broker commits and the instance does not hear of it, in both forms that
// the client has for that: it answers (false, timed out), and (false, nil).
func TestUnknownCommit(t *testing.T) {
	l := brokersOurs(t)
	for _, test := range []struct {
		name string
		rule wireproxy.Rule
		form string // of the unknown outcome; empty if the client asks again and is told
	}{
		{"a lost answer, in time", wireproxy.Rule{Action: wireproxy.CutAnswer, Times: 3}, ""},
		{"no answer at all", wireproxy.Rule{Action: wireproxy.Swallow, Times: 1}, answeredError + "context deadline exceeded"},
		{"timed out", wireproxy.Rule{Action: wireproxy.Deny, Error: kerr.RequestTimedOut, Times: 12}, answeredError + kerr.RequestTimedOut.Message},
		{"unknown error", wireproxy.Rule{Action: wireproxy.Deny, Error: kerr.UnknownServerError, Times: 3}, answeredNothing},
		{"invalid state", wireproxy.Rule{Action: wireproxy.Deny, Error: kerr.InvalidTxnState, Times: 3}, answeredError + kerr.InvalidTxnState.Message},
		{"sent twice", wireproxy.Rule{Action: wireproxy.Duplicate, Times: 20}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTrial(t, 2)
			a.run(0)
			a.feed(200)
			a.rest()
			before := len(a.log(0))
			unknown := func(form string) bool { return strings.Contains(a.log(0)[before:], form) }
			test.rule.Key = kmsg.EndTxn
			l.Rules(test.rule)
			a.FeedFor(a.ctx, 600, 3*time.Second)
			if test.form != "" {
				a.await(func() bool { return unknown(test.form) }, "no outcome is unknown with %q; see %s", test.form, a.Config(0).LogFile())
			} else {
				a.await(func() bool {
					return slices.ContainsFunc(l.Proxies, func(p *wireproxy.Proxy) bool { return p.Broken()[0] > 0 })
				}, "no answer to a commit is lost")
			}
			l.ClearRules()
			a.run(0)
			a.finish()
			if test.form == "" && unknown("outcome unknown") {
				t.Errorf("an outcome was unknown; see %s", a.Config(0).LogFile())
			}
		})
	}
}
