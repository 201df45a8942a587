package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What a command lists is what somebody reads first: types are types, and a
// command that only reads does not ask how to write.
func TestHelpListsWhatCounts(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"audit", "dead-letters", "events", "explain", "export", "identity owner", "identity show", "lag", "rows", "suggest", "serve"} {
		r := handprint(deadline(t), "", nil, append(strings.Fields(command), "--help")...)
		if r.code != exitOK || !strings.Contains(r.out, "--brokers list ") || !strings.Contains(r.out, "--connect-timeout duration ") {
			t.Errorf("%s --help: %d\n%s", command, r.code, r.out)
		}
		for _, name := range writeSettings {
			if regexp.MustCompile(`(?m)^ +--` + name + `\b`).MatchString(r.out) {
				t.Errorf("%s reads and lists --%s", command, name)
			}
		}
	}
	// One file of settings serves all commands.
	r := handprint(deadline(t), "", []string{"HANDPRINT_BROKERS=127.0.0.1:1"}, "rows", "--replication-factor", "3", "--output-format", "avro")
	if r.code == exitUsage && strings.Contains(r.err, "unknown flag") {
		t.Errorf("settings of writing are refused: %+v", r)
	}
	// Those that write list them.
	for command, name := range map[string]string{"run": "replication-factor", "topics create": "replication-factor", "ingest cowrie": "output-format"} {
		if r := handprint(deadline(t), "", nil, append(strings.Fields(command), "--help")...); !strings.Contains(r.out, "--"+name) {
			t.Errorf("%s does not list --%s", command, name)
		}
	}
}

// An input topic that others have made need not be as handprint would have made
// it: what it needs is that records stay. The rest is advice.
func TestAnExistingInputTopicIsWelcome(t *testing.T) {
	t.Parallel()
	e := startBroker(t)
	cl, err := kgo.NewClient(e.ClientOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	adm, text := kadm.NewClient(cl), func(v string) *string { return &v }
	made, err := adm.CreateTopics(deadline(t), 2, 1, map[string]*string{"max.message.bytes": text("1048588"), "min.insync.replicas": text("1"), "cleanup.policy": text("delete")}, "attacker.observation")
	if err != nil || made.Error() != nil {
		t.Fatal(err, made.Error())
	}
	environ := []string{"HANDPRINT_BROKERS=" + e.Addrs()[0], "HANDPRINT_PARTITIONS=2"}
	if r := handprint(deadline(t), "", environ, "topics", "create"); r.code != exitOK {
		t.Errorf("create: %+v", r)
	}
	r := handprint(deadline(t), "", environ, "topics", "check")
	if r.code != exitOK || !strings.HasPrefix(r.out, "advice: topic attacker.observation: max.message.bytes is 1048588, should be at least 4194304: ") {
		t.Errorf("check: %+v", r)
	}
	// One that deletes records before they are read is none.
	if _, err := adm.AlterTopicConfigs(deadline(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: text("compact")}}, "attacker.observation"); err != nil {
		t.Fatal(err)
	}
	if r := handprint(deadline(t), "", environ, "topics", "check"); r.code != exitTopics || !strings.Contains(r.err, "1 problem(s)") || !strings.Contains(r.out, "\ntopic attacker.observation: cleanup.policy is compact, must be delete") && !strings.HasPrefix(r.out, "topic attacker.observation: cleanup.policy") {
		t.Errorf("check of a compacted input: %+v", r)
	}
}
