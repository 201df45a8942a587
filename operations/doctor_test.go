package operations

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"handprint/broker"
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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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
	for _, name := range []string{n.Commands, n.Changelog} {
		acls = append(acls, allow(topic, name, read, write, configs)...)
	}
	for _, name := range []string{n.StateChanged, n.MultiActorSuspects, n.State, n.DeadLetter, n.Health} {
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
