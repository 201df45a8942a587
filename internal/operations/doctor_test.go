package operations

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"handprint/internal/broker"
	"handprint/topology"
)

// secured is a cluster with the topics of an application, and a user of it.
func secured(t *testing.T, user ...kfake.ACL) (*Application, *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "admin", "a"), kfake.User("PLAIN", "user", "u", user...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client := func(name, password string) *kgo.Client {
		cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.MetadataMinAge(quickly), kgo.SASL(plain.Auth{User: name, Pass: password}.AsMechanism()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	app := &Application{ID: "soc", Names: topology.DefaultNames("", "soc"), Layout: topology.Layout{Partitions: 2, Replication: 1}}
	if _, err := broker.Ensure(patience(t), client("admin", "a"), app.specs()); err != nil {
		t.Fatal(err)
	}
	return app, client("user", "u")
}

func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func allow(resource kmsg.ACLResourceType, name string, ops ...kmsg.ACLOperation) (acls []kfake.ACL) {
	pattern := kmsg.ACLResourcePatternTypeLiteral
	if strings.HasSuffix(name, "-") {
		pattern = kmsg.ACLResourcePatternTypePrefixed
	}
	for _, op := range append(ops, kmsg.ACLOperationDescribe) {
		acls = append(acls, kfake.ACL{Resource: resource, Name: name, Pattern: pattern, Operation: op, Allow: true})
	}
	return acls
}

// documented are the permissions that docs/operations.md has for run.
func documented() []kfake.ACL {
	const topic, group, txn = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId
	const read, write, configs = kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationDescribeConfigs
	n := topology.DefaultNames("", "soc")
	var acls []kfake.ACL
	for _, name := range []string{n.Observations, n.IdentityEvents, n.Control} {
		acls = append(acls, allow(topic, name, read, configs)...)
	}
	acls = append(acls, allow(topic, n.Profiles, configs)...)
	for _, name := range []string{n.Commands, n.Changelog} {
		acls = append(acls, allow(topic, name, read, write, configs)...)
	}
	for _, name := range []string{n.StateChanged, n.MultiActorSuspects, n.IdentityChanged, n.State, n.Identities, n.DeadLetter, n.Health} {
		acls = append(acls, allow(topic, name, write, configs)...)
	}
	acls = append(acls, allow(group, "soc", read)...)
	return append(acls, allow(txn, "soc-", write)...)
}

func diagnose(t *testing.T, app *Application, cl *kgo.Client, skew time.Duration) map[string]Check {
	t.Helper()
	by := map[string]Check{}
	for _, c := range Diagnose(patience(t), cl, app, Host{StateDir: t.TempDir(), Now: func() time.Time { return time.Now().Add(skew) }}) {
		by[c.Name] = c
	}
	return by
}

// Without any one of the documented permissions to write and to read, the
// doctor says so; with all of them it finds nothing.
func TestPermissionsThatAreMissingAreNamed(t *testing.T) {
	without := func(resource kmsg.ACLResourceType, name string, op kmsg.ACLOperation) (acls []kfake.ACL) {
		for _, a := range documented() {
			if a.Resource != resource || a.Name != name || a.Operation != op {
				acls = append(acls, a)
			}
		}
		return acls
	}
	for _, c := range []struct {
		name        string
		acls        []kfake.ACL
		check, says string
	}{
		{"all", documented(), "", ""},
		{"changelog", without(kmsg.ACLResourceTypeTopic, "soc-state-changelog", kmsg.ACLOperationWrite), "permissions", "WRITE on topic soc-state-changelog"},
		{"observations", without(kmsg.ACLResourceTypeTopic, "attacker.observation", kmsg.ACLOperationRead), "permissions", "READ on topic attacker.observation"},
		{"transactional id", without(kmsg.ACLResourceTypeTransactionalId, "soc-", kmsg.ACLOperationWrite), "transactions", "soc-"},
		{"group", without(kmsg.ACLResourceTypeGroup, "soc", kmsg.ACLOperationRead), "group permissions", "Read on group soc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			app, cl := secured(t, c.acls...)
			checks := diagnose(t, app, cl, 0)
			for name, found := range checks {
				switch {
				case name == c.check:
					if found.Result != Failed || !strings.Contains(found.Fix, c.says) {
						t.Errorf("%+v, want a fix that says %s", found, c.says)
					}
				case found.Result == Failed && c.check == "":
					t.Errorf("%+v", found)
				}
			}
			if c.check != "" && checks[c.check].Name == "" {
				t.Errorf("nothing about %s: %+v", c.check, checks)
			}
			missing, err := Missing(patience(t), cl, app)
			if err != nil || len(missing) > 1 {
				t.Errorf("missing are %v, %v", missing, err)
			}
			// Of transactional ids the brokers tell only when one is used.
			if c.check == "permissions" && (len(missing) != 1 || missing[0] != c.says) ||
				c.check == "group permissions" && (len(missing) != 1 || missing[0] != "READ on group soc") {
				t.Errorf("missing are %v, want %s", missing, c.says)
			}
		})
	}
}

func TestClocksThatDifferAreNoticed(t *testing.T) {
	health := topology.DefaultNames("", "soc").Health
	app, cl := secured(t, documented()...)
	if got := diagnose(t, app, cl, 0)["clock"]; got.Result != Warning || !strings.Contains(got.Fix, "Read on topic "+health) {
		t.Errorf("without Read on the health topic: %+v", got)
	}
	app, cl = secured(t, append(documented(), allow(kmsg.ACLResourceTypeTopic, health, kmsg.ACLOperationRead)...)...)
	for _, c := range []struct {
		skew time.Duration
		want Result
	}{{0, OK}, {30 * time.Second, Warning}, {-30 * time.Second, Warning}, {time.Hour, Failed}, {-time.Hour, Failed}} {
		got := diagnose(t, app, cl, c.skew)["clock"]
		if got.Result != c.want || !strings.Contains(got.Found, "the broker's ") || strings.Contains(got.Found, "cannot") {
			t.Errorf("%s: %+v", c.skew, got)
		}
	}
}

// The caches are not in what Go limits, so its limit has to leave room for them.
func TestMemoryLimits(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		caches, container uint64
		goLimit           int64
		want              Result
		says              string
	}{
		"no limits":                 {176 * mib, 0, math.MaxInt64, OK, "no limit"},
		"Go knows of none":          {176 * mib, 1024 * mib, math.MaxInt64, Warning, "GOMEMLIMIT=763MiB"},
		"room for the caches":       {176 * mib, 1024 * mib, 760 * mib, OK, ""},
		"no room for the caches":    {176 * mib, 1024 * mib, 900 * mib, Warning, "GOMEMLIMIT=763MiB"},
		"caches fill the container": {1100 * mib, 1024 * mib, 100 * mib, Warning, "record-cache"},
	} {
		d := new(doctor)
		d.limits(test.caches, test.goLimit, test.container, test.container > 0)
		if c := d.checks[0]; c.Result != test.want || !strings.Contains(c.Found+c.Fix, test.says) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// Brokers that lack what handprint needs are named, with what they lack; those
// on which exactly-once is not safe are warned of.
func TestOldBrokersAreNamed(t *testing.T) {
	// less is Kafka 4.0 without the last versions of a request; most is -1 for
	// a request that it does not have.
	less := func(key kmsg.Key, most int16) *kversion.Versions {
		v := kversion.V4_0_0()
		v.SetMaxKeyVersion(int16(key), most)
		return v
	}
	least := kversion.V2_8_0() // of all that is needed
	for key, version := range map[kmsg.Key]int16{kmsg.Metadata: 10, kmsg.OffsetFetch: 7, kmsg.TxnOffsetCommit: 3, kmsg.InitProducerID: 3, kmsg.JoinGroup: 5} {
		least.SetMaxKeyVersion(int16(key), version)
	}
	const unsafe = "exactly-once is not safe"
	for _, test := range []struct {
		name        string
		versions    []*kversion.Versions // one for each broker
		feature     int16                // transaction.version if the brokers have it
		brokers     Result
		lacks       []string // each of them and nothing else
		transaction Result
		says        string
	}{
		{"new enough", []*kversion.Versions{kversion.V4_0_0()}, 2, OK, nil, OK, "2"},
		{"the feature is one level too low", []*kversion.Versions{kversion.V4_0_0()}, 1, OK, nil, Warning, "1: " + unsafe},
		{"the feature is not set", []*kversion.Versions{kversion.V4_0_0()}, 0, OK, nil, Warning, "0: " + unsafe},
		{"a transaction ends in the old way", []*kversion.Versions{less(kmsg.EndTxn, 4)}, 2, OK, nil, Warning, "2: " + unsafe},
		{"before the feature", []*kversion.Versions{kversion.V3_7_0()}, 0, OK, nil, Warning, "0: " + unsafe},
		{"the oldest that will do", []*kversion.Versions{kversion.V2_8_0()}, 0, OK, nil, Warning, "0: " + unsafe},
		{"just what is needed", []*kversion.Versions{least}, 0, OK, nil, Warning, "0: " + unsafe},
		{"no topic ids", []*kversion.Versions{less(kmsg.Metadata, 9)}, 2, Failed, []string{"broker 0 lacks topic ids (Metadata)"}, OK, "2"},
		{"no stable offsets", []*kversion.Versions{less(kmsg.OffsetFetch, 6)}, 2, Failed, []string{"broker 0 lacks stable offsets (OffsetFetch)"}, OK, "2"},
		{"no fenced offsets", []*kversion.Versions{less(kmsg.TxnOffsetCommit, 2)}, 2, Failed, []string{"broker 0 lacks offsets fenced by the group (TxnOffsetCommit)"}, OK, "2"},
		{"no raised epochs", []*kversion.Versions{less(kmsg.InitProducerID, 2)}, 2, Failed, []string{"broker 0 lacks epochs that are raised (InitProducerID)"}, OK, "2"},
		{"no transactions", []*kversion.Versions{less(kmsg.InitProducerID, -1)}, 2, Failed, []string{"broker 0 lacks epochs that are raised (InitProducerID)"}, OK, "2"},
		{"no static members", []*kversion.Versions{less(kmsg.JoinGroup, 4)}, 2, Failed, []string{"broker 0 lacks static members (JoinGroup)"}, OK, "2"},
		{"one of two", []*kversion.Versions{kversion.V4_0_0(), kversion.V2_4_0()}, 2, Failed, []string{
			"2, Kafka v4.0 and v2.4: broker 1 lacks topic ids (Metadata)", "broker 1 lacks stable offsets (OffsetFetch)",
			"broker 1 lacks offsets fenced by the group (TxnOffsetCommit)", "broker 1 lacks epochs that are raised (InitProducerID)"}, Warning, "2: " + unsafe},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(len(test.versions)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			cluster.ControlKey(int16(kmsg.ApiVersions), func(r kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				return apiVersions(r, test.versions[cluster.CurrentNode()], test.feature), nil, true
			})
			cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cl.Close)
			d := &doctor{ctx: patience(t), cl: cl, adm: kadm.NewClient(cl)}
			d.brokers()
			if len(d.checks) != 2 {
				t.Fatalf("%+v", d.checks)
			}
			brokers, transaction := d.checks[0], d.checks[1]
			if brokers.Name != "brokers" || brokers.Result != test.brokers || (brokers.Fix != "") != (test.brokers != OK) {
				t.Errorf("%+v, want %s", brokers, test.brokers)
			}
			for _, lack := range test.lacks {
				if !strings.Contains(brokers.Found, lack) {
					t.Errorf("%+v, want one that says %q", brokers, lack)
				}
			}
			if n := strings.Count(brokers.Found, "lacks"); n != len(test.lacks) {
				t.Errorf("%d things are lacking, want %d: %s", n, len(test.lacks), brokers.Found)
			}
			if transaction.Name != "transaction version" || transaction.Result != test.transaction || !strings.HasPrefix(transaction.Found, test.says) ||
				strings.Contains(transaction.Fix, "transaction.version=2") != (test.transaction != OK) {
				t.Errorf("%+v, want %s that says %q", transaction, test.transaction, test.says)
			}
		})
	}
}

// apiVersions is what a broker answers that has these versions, and the feature
// transaction.version at a level.
func apiVersions(r kmsg.Request, have *kversion.Versions, feature int16) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.ApiVersionsResponse)
	have.EachMaxKeyVersion(func(key, most int16) {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MaxVersion = key, most
		resp.ApiKeys = append(resp.ApiKeys, k)
	})
	if feature > 0 && resp.Version >= 3 {
		f := kmsg.NewApiVersionsResponseFinalizedFeature()
		f.Name, f.MinVersionLevel, f.MaxVersionLevel = "transaction.version", feature, feature
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, f)
	}
	return resp
}

// A disk on which little is free is warned of, before its kind is; one on which
// nothing can be written any more does not do.
func TestRoomOnTheDisk(t *testing.T) {
	const tmpfs, disk = "tmpfs", "give it a disk"
	for _, test := range []struct {
		name      string
		free      uint64
		kind, fix string
		want      Result
		found     string
		says      string // of what to do
	}{
		{"plenty", 5 << 30, "ext", "", OK, "/state, 5.0 GiB free of 40.0 GiB, ext", ""},
		{"just enough", diskLow, "", "", OK, "/state, 2.0 GiB free of 40.0 GiB", ""},
		{"low", diskLow - 1, "", "", Warning, "/state, 2.0 GiB free of 40.0 GiB", "before it is full"},
		{"nearly empty", diskEmpty, "xfs", "", Warning, "/state, 128 MiB free of 40.0 GiB, xfs", "before it is full"},
		{"empty", diskEmpty - 1, "", "", Failed, "/state, 127 MiB free of 40.0 GiB", "a larger disk"},
		{"full", 0, "", "", Failed, "/state, 0 KiB free of 40.0 GiB", "a larger disk"},
		{"plenty of the wrong kind", 5 << 30, tmpfs, disk, Warning, "/state, 5.0 GiB free of 40.0 GiB, tmpfs", disk},
		{"little of the wrong kind", diskLow - 1, tmpfs, disk, Warning, "/state, 2.0 GiB free of 40.0 GiB, tmpfs", "before it is full"},
		{"none of the wrong kind", 1 << 20, tmpfs, disk, Failed, "/state, 1 MiB free of 40.0 GiB, tmpfs", "a larger disk"},
	} {
		d := new(doctor)
		d.room("state directory", "/state", vfs.DiskUsage{AvailBytes: test.free, TotalBytes: 40 << 30}, test.kind, test.fix)
		c := d.checks[0]
		if len(d.checks) != 1 || c.Result != test.want || c.Found != test.found || !strings.Contains(c.Fix, test.says) || (c.Fix != "") != (test.says != "") {
			t.Errorf("%s: %+v", test.name, d.checks)
		}
	}
}
