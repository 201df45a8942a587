package operations

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The brokers' settings that decide how long they remember what an idle application
// needs, and the topics' that decides whether they may lose what was committed.
const (
	offsetsRetention = "offsets.retention.minutes"
	idExpiration     = "transactional.id.expiration.ms"
	uncleanElection  = "unclean.leader.election.enable"
)

// Below these an application that is idle for a night or a moment is forgotten.
const (
	minOffsetsRetention = 24 * time.Hour
	minIDExpiration     = time.Hour
)

// denied reports whether err says that the principal lacks a right.
func denied(err error) bool {
	for _, e := range []error{
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// fixFor returns what to do about err: allow what is missing if a right is, and
// otherwise look at the brokers.
func fixFor(err error, allow string) string {
	if denied(err) {
		return allow + " (docs/operations.md, ACLs)"
	}
	return "look at the brokers and their logs: this is none of permissions"
}

// settings looks at settings of the brokers and the topics.
func (d *doctor) settings() {
	d.unclean()
	brokers, err := d.adm.ListBrokers(d.ctx)
	if err != nil {
		d.add("broker settings", Warning, fixFor(err, "allow Describe on the cluster"), "asking for the brokers: %v", err)
		return
	}
	configs, err := d.adm.DescribeBrokerConfigs(d.ctx, brokers.NodeIDs()...)
	for _, c := range configs {
		err = errors.Join(err, c.Err)
	}
	switch {
	case denied(err):
		d.add("broker settings", OK, "", "not looked at: that needs DescribeConfigs on the cluster")
		return
	case err != nil:
		d.add("broker settings", Warning, fixFor(err, ""), "%v", err)
		return
	}
	d.remembered(configs, offsetsRetention, time.Minute, minOffsetsRetention, 7*24*time.Hour,
		"the group is forgotten after that time without members; reading goes on where the state says, but lag and other tools show nothing")
	d.remembered(configs, idExpiration, time.Millisecond, minIDExpiration, 7*24*time.Hour,
		"a worker that writes nothing for that time is forgotten, and its next transaction is rolled back once")
}

// remembered warns of a broker that remembers something for less than least.
func (d *doctor) remembered(configs kadm.ResourceConfigs, name string, unit, least, usual time.Duration, what string) {
	shortest, broker := time.Duration(-1), ""
	for _, c := range configs {
		for _, set := range c.Configs {
			n, err := strconv.ParseInt(set.MaybeValue(), 10, 64)
			if set.Key != name || err != nil {
				continue
			}
			if is := time.Duration(n) * unit; shortest < 0 || is < shortest {
				shortest, broker = is, c.Name
			}
		}
	}
	switch {
	case shortest < 0: // the brokers do not have it
	case shortest < least:
		d.add(name, Warning, fmt.Sprintf("set %s to %d on the brokers, as is usual", name, usual/unit), "%d on broker %s, %s: %s", shortest/unit, broker, shortest, what)
	default:
		d.add(name, OK, "", "%d, %s", shortest/unit, shortest)
	}
}

// unclean looks for topics whose brokers may elect a leader that lacks what was
// committed.
func (d *doctor) unclean() {
	var names, unsafe []string
	for _, s := range d.app.specs() {
		names = append(names, s.Name)
	}
	topics, err := d.adm.DescribeTopicConfigs(d.ctx, names...)
	if err != nil {
		return // the topics' check says what is wrong
	}
	said := false
	for _, t := range topics {
		for _, c := range t.Configs {
			if t.Err == nil && c.Key == uncleanElection {
				said = true
				if c.MaybeValue() == "true" {
					unsafe = append(unsafe, t.Name)
				}
			}
		}
	}
	slices.Sort(unsafe)
	switch {
	case len(unsafe) > 0:
		d.add(uncleanElection, Warning, fmt.Sprintf("for each: kafka-configs --alter --entity-type topics --entity-name TOPIC --add-config %s=false", uncleanElection),
			"true for %s: an election may lose records that were committed", strings.Join(unsafe, ", "))
	case said:
		d.add(uncleanElection, OK, "", "false for all topics")
	}
}
