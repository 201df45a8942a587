package operations

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/internal/broker"
	"handprint/processor/assignor"
	"handprint/topology"
)

// Brokers that forget an idle application soon are warned of; the shortest counts.
func TestHowLongBrokersRemember(t *testing.T) {
	set := func(name, value string) kadm.ResourceConfig {
		return kadm.ResourceConfig{Name: "7", Configs: []kadm.Config{{Key: name, Value: &value}}}
	}
	for _, test := range []struct {
		configs kadm.ResourceConfigs
		want    Result
		says    string
	}{
		{kadm.ResourceConfigs{set(offsetsRetention, "10080")}, OK, "10080, 168h"},
		{kadm.ResourceConfigs{set(offsetsRetention, "10080"), set(offsetsRetention, "60")}, Warning, "60 on broker 7, 1h0m0s: the group is forgotten"},
	} {
		d := new(doctor)
		d.remembered(test.configs, offsetsRetention, time.Minute, minOffsetsRetention, 7*24*time.Hour, "the group is forgotten")
		if c := d.checks[0]; c.Result != test.want || !strings.Contains(c.Found, test.says) || (c.Result != OK) != strings.Contains(c.Fix, "to 10080 on the brokers") {
			t.Errorf("%+v, want %s that says %q", c, test.want, test.says)
		}
	}
	d := new(doctor)
	d.remembered(nil, idExpiration, time.Millisecond, minIDExpiration, time.Hour, "")
	if len(d.checks) != 0 {
		t.Errorf("of brokers that do not have it: %+v", d.checks)
	}
}

// open is a cluster without permissions, with the topics of an application.
func open(t *testing.T) (*kfake.Cluster, *Application, *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.MetadataMinAge(quickly))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	app := &Application{ID: "soc", Names: topology.DefaultNames("", "soc"), Layout: topology.Layout{Partitions: 2, Replication: 1}}
	if _, err := broker.Ensure(patience(t), cl, app.specs()); err != nil {
		t.Fatal(err)
	}
	return cluster, app, cl
}

// A topic whose brokers may lose what was committed is named.
func TestUncleanElectionsAreNamed(t *testing.T) {
	_, app, cl := open(t)
	yes := "true"
	_, err := kadm.NewClient(cl).AlterTopicConfigs(patience(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: uncleanElection, Value: &yes}}, app.Names.Changelog)
	if err != nil {
		t.Fatal(err)
	}
	c := diagnose(t, app, cl, 0)[uncleanElection]
	if c.Result != Warning || !strings.Contains(c.Found, "true for "+app.Names.Changelog) || !strings.Contains(c.Fix, uncleanElection+"=false") {
		t.Errorf("%+v", c)
	}
}

// Only what a right is missing for is blamed on access lists.
func TestOnlyMissingRightsAreBlamedOnAccessLists(t *testing.T) {
	for _, test := range []struct {
		key    kmsg.Key
		topic  string
		err    *kerr.Error
		check  string
		rights bool
	}{
		{kmsg.DescribeGroups, "", kerr.GroupAuthorizationFailed, "group", true},
		{kmsg.DescribeGroups, "", kerr.UnknownServerError, "group", false},
		{kmsg.Produce, "system.attribution.health", kerr.TopicAuthorizationFailed, "transactions", true},
		{kmsg.Produce, "system.attribution.health", kerr.InvalidRecord, "transactions", false},
		{kmsg.DescribeConfigs, "", kerr.TopicAuthorizationFailed, "topics", true},
		{kmsg.DescribeConfigs, "", kerr.UnknownServerError, "topics", false},
	} {
		t.Run(fmt.Sprint(test.check, " ", test.err.Message), func(t *testing.T) {
			cluster, app, cl := open(t)
			cluster.Fault(kfake.Fault{Keys: []kmsg.Key{test.key}, Topic: test.topic, Err: test.err, Count: -1})
			c := diagnose(t, app, cl, 0)[test.check]
			if c.Result != Failed || strings.Contains(c.Fix, "ACLs") != test.rights || !strings.Contains(c.Found, test.err.Message) {
				t.Errorf("%+v", c)
			}
		})
	}
}

// The record of a group is measured by what its members say and have.
func TestGroupThatIsTooLarge(t *testing.T) {
	_, app, cl := open(t)
	d := &doctor{ctx: patience(t), cl: cl, adm: kadm.NewClient(cl), app: app}
	join := func(copies int) kadm.DescribedGroup {
		data := assignor.MemberData{Process: "p", Copies: make(map[int32]assignor.CopyData)}
		for task := range copies {
			data.Copies[int32(task)] = assignor.CopyData{Position: 1 << 40}
		}
		meta := kmsg.NewConsumerMemberMetadata()
		meta.UserData = data.Append(nil)
		return describedGroup(t, meta.AppendTo(nil))
	}
	small, large := join(10), join(100_000)
	d.groupSize(&small)
	d.groupSize(&large)
	d.groupSize(&kadm.DescribedGroup{})
	if c := d.checks[0]; c.Result != OK || !strings.Contains(c.Found, "of 1 MiB, of 1 members") {
		t.Errorf("%+v", c)
	}
	if c := d.checks[1]; c.Result != Warning || !strings.Contains(c.Found, "UNKNOWN_SERVER_ERROR") || !strings.Contains(c.Fix, "__consumer_offsets") {
		t.Errorf("%+v", c)
	}
	if c := d.checks[2]; c.Result != OK || !strings.Contains(c.Found, "of one process") {
		t.Errorf("%+v", c)
	}
}

// describedGroup is a group of one member that has joined with this metadata, as a
// broker describes it.
func describedGroup(t *testing.T, metadata []byte) kadm.DescribedGroup {
	t.Helper()
	cluster, _, cl := open(t)
	cluster.ControlKey(int16(kmsg.DescribeGroups), func(r kmsg.Request) (kmsg.Response, error, bool) {
		resp := r.ResponseKind().(*kmsg.DescribeGroupsResponse)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State, g.ProtocolType = "soc", "Stable", "consumer"
		m := kmsg.NewDescribeGroupsResponseGroupMember()
		m.ProtocolMetadata = metadata
		g.Members = append(g.Members, m)
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
	g, err := describeGroup(patience(t), kadm.NewClient(cl), "soc")
	if err != nil {
		t.Fatal(err)
	}
	return g
}
