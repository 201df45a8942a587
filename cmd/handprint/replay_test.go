package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"handprint/ingest/cowrie"
	"handprint/ingest/cowrie/lab"
)

// labFile puts the sample log into a folder of the test.
func labFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "cowrie.json.gz")
	if err := os.WriteFile(name, lab.Packed(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

type labRow struct {
	Identity  string `json:"identity_uuid"`
	Primitive string
	State     string
}

// ndjson reads a file of JSON lines.
func ndjson[T any](t *testing.T, name string) (list []T) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %s: %v", name, line, err)
		}
		list = append(list, v)
	}
	return list
}

// TestReplayOfARealLogTellsTheHandsApart holds what is concluded against who
// was behind each address of the sample log.
func TestReplayOfARealLogTellsTheHandsApart(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	r := handprint(deadline(t), "", nil, "replay", "--from", "cowrie", "--out", out, "--json", labFile(t))
	if r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	var said struct {
		summary
		Reading map[string]any `json:"reading"`
	}
	if err := json.Unmarshal([]byte(r.out), &said); err != nil {
		t.Fatalf("summary %q: %v", r.out, err)
	}
	got := said.summary
	rows := ndjson[labRow](t, filepath.Join(out, "rows.ndjson"))
	changes := ndjson[labRow](t, filepath.Join(out, "state_changed.ndjson"))
	suspects := ndjson[labRow](t, filepath.Join(out, "multi_actor_suspected.ndjson"))
	dead := ndjson[labRow](t, filepath.Join(out, "dead_letters.ndjson"))
	identities, states := map[string]bool{}, map[string]bool{}
	hassh := map[string]string{}
	for _, row := range rows {
		identities[row.Identity], states[row.State] = true, true
		if row.Primitive == "toolchain.ssh.hassh_client" {
			hassh[row.Identity] = row.State
		}
	}
	want := summary{Observations: 1221, DeadLetters: len(dead), Transitions: len(changes), Suspicions: len(suspects), Identities: len(identities)}
	if read := said.Reading; read["lines"] != 1135.0 || read["sessions"] != 81.0 || read["dead"] != 0.0 {
		t.Errorf("what has become of the lines: %v", read)
	}
	if got != want || got.Identities != 15 || got.DeadLetters != 0 {
		t.Errorf("summary %+v, the files hold %+v", got, want)
	}
	if len(states) != 5 {
		t.Errorf("states %v, want all five", states)
	}
	for id, h := range labHands() {
		switch state := hassh[id]; {
		case h.names == "drifter" && state != "drifting":
			t.Errorf("%s changed its tool, but is %s", h.address, state)
		case strings.Contains(h.names, " ") && state == "stable":
			t.Errorf("%s has three hands, but is stable", h.address)
		case h.names != "drifter" && !strings.Contains(h.names, " ") && state != "stable":
			t.Errorf("%s is one hand, but is %s", h.address, state)
		}
	}
	if len(suspects) != 1 || !strings.Contains(labHands()[suspects[0].Identity].names, " ") {
		t.Errorf("suspected: %v, want the address with three hands alone", suspects)
	}
}

func TestReplayOfObservationsCountsWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	input := `{"attacker_uuid":"a","primitive":"x.y","value":1,"ts":1,"evidence_ref":"e"}
not JSON
{"attacker_uuid":"a","primitive":"x.y","value":1,"ts":-1,"evidence_ref":"e"}
`
	r := handprint(deadline(t), "", nil, "replay", "--from", "behave", "--out", out, "--json", file(t, input))
	if want := `{"observations":1,"dead_letters":2,"transitions":1,"suspicions":0,"identities":1,` +
		`"reading":{"lines":3,"taken":2,"blank":0,"part":0,"dead":1,"extra_events":0,"without_attacker":0,"reasons":{"not a JSON object":1}}}` + "\n"; r.code != exitOK || r.out != want {
		t.Fatalf("%+v, want %s", r, want)
	}
	for _, d := range ndjson[map[string]any](t, filepath.Join(out, "dead_letters.ndjson")) {
		if d["reason"] == "" || d["value"] == nil || d["stage"] == nil {
			t.Errorf("dead letter %v does not say why, where or what", d)
		}
	}
}

func TestReplayOfNetworkSensors(t *testing.T) {
	t.Parallel()
	zeek := "#separator \\x09\n#path\tssh\n#fields\tts\tuid\tid.orig_h\tid.resp_h\tclient\n1795396692.5\tC1\t198.51.100.7\t192.0.2.1\tSSH-2.0-x\n"
	eve := `{"timestamp":"2026-11-23T02:18:12Z","flow_id":1,"event_type":"tls","src_ip":"198.51.100.7","dest_ip":"192.0.2.1","tls":{"ja4":"t13d1516h2_8daaf6152771_e5627efa2ab1","sni":"CANARY"}}` + "\n{CANARY\n"
	for from, log := range map[string]string{"zeek": zeek, "suricata": eve} {
		out := t.TempDir()
		r := handprint(deadline(t), "", nil, "replay", "--from", from, "--out", out, "--json", "--local-net", "192.0.2.0/24", "--max-ahead", "0", file(t, log))
		if r.code != exitOK || !strings.Contains(r.out, `"observations":1,`) || !strings.Contains(r.out, `"taken":1,`) {
			t.Errorf("%s: %+v", from, r)
		}
		said := fmt.Sprint(r)
		for _, name := range resultFiles {
			text, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				t.Fatal(err)
			}
			said += string(text)
		}
		if strings.Contains(said, "CANARY") {
			t.Errorf("%s tells what it read: %s", from, said)
		}
	}
	if r := handprint(deadline(t), "", nil, "replay", "--from", "zeek", "--out", t.TempDir(), file(t, zeek)); r.code != exitUsage || !strings.Contains(r.err, "--local-net") {
		t.Errorf("without a network: %+v", r)
	}
}

func TestAnObservationOfTheFutureIsADeadLetter(t *testing.T) {
	t.Parallel()
	line := func(ts float64) string {
		return fmt.Sprintf(`{"attacker_uuid":"a","primitive":"x.y","value":1,"ts":%f,"evidence_ref":"e"}`+"\n", ts)
	}
	now := float64(time.Now().Unix())
	input := line(now) + line(now+86*86_400+3600) + line(now*1e3)
	for _, tt := range []struct {
		setting string
		dead    []string
	}{
		{"24h", []string{"ts is 86 days ahead", "it looks like milliseconds"}},
		{"0", nil},
	} {
		out := t.TempDir()
		r := handprint(deadline(t), "", nil, "replay", "--from", "behave", "--out", out, "--max-ahead", tt.setting, file(t, input))
		if r.code != exitOK {
			t.Fatalf("%+v", r)
		}
		letters := ndjson[map[string]any](t, filepath.Join(out, "dead_letters.ndjson"))
		if len(letters) != len(tt.dead) {
			t.Fatalf("max-ahead %s: %v", tt.setting, letters)
		}
		for _, want := range tt.dead {
			if !slices.ContainsFunc(letters, func(d map[string]any) bool { return strings.Contains(d["reason"].(string), want) }) {
				t.Errorf("no dead letter says %q: %v", want, letters)
			}
		}
	}
}

// Two hands that alternate for twenty hours, and then one that stays: a replay says
// what a live run would have said meanwhile, whatever the partitions.
func TestAReplaySweepsInTheTimeOfTheObservations(t *testing.T) {
	t.Parallel()
	var input strings.Builder
	start := 1_700_000_000
	for i := range 80 {
		hand := i % 2
		if i >= 20 {
			hand = 0
		}
		for p, v := range map[string]string{
			"toolchain.ssh.hassh_client": fmt.Sprintf("%032x", hand+1), "environmental.locale": []string{"de-DE", "en-GB"}[hand],
			"cognitive.tool_vocabulary": []string{"narrow", "broad"}[hand],
		} {
			fmt.Fprintf(&input, `{"attacker_uuid":"a","primitive":%q,"value":%q,"ts":%d,"evidence_ref":"s%d"}`+"\n", p, v, start+3600*i, i)
		}
	}
	log := file(t, input.String())
	for _, partitions := range []string{"1", "8"} {
		out := t.TempDir()
		r := handprint(deadline(t), "", nil, "replay", "--from", "behave", "--out", out, "--partitions", partitions, log)
		if r.code != exitOK {
			t.Fatalf("%+v", r)
		}
		var said []string
		for _, e := range ndjson[map[string]any](t, filepath.Join(out, "multi_actor_suspected.ndjson")) {
			said = append(said, fmt.Sprint(e["status"], " ", e["confidence"], " ", int(e["ts"].(float64))%60))
		}
		if want := []string{"raised 0.6 0", "cleared 0 0"}; !slices.Equal(said, want) {
			t.Errorf("%s partitions: %q, want %q", partitions, said, want)
		}
	}
}

// The lab's address with three hands is suspected, and nobody else.
func TestAReplayOfTheLabSuspectsTheSharedAddress(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	if r := handprint(deadline(t), "", nil, "replay", "--from", "cowrie", "--out", out, labFile(t)); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	suspicions := ndjson[map[string]any](t, filepath.Join(out, "multi_actor_suspected.ndjson"))
	if len(suspicions) == 0 {
		t.Fatal("nobody is suspected")
	}
	for _, s := range suspicions {
		if s["identity_uuid"] != "6af1e32f-384d-8f7e-8f1b-ba38aeb755a8" || s["confidence"] != 0.6 || !strings.Contains(s["evidence_summary"].(string), "SSH fingerprint returned") {
			t.Errorf("%v", s)
		}
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDemoShowsAllStatesAndEnds(t *testing.T) {
	t.Parallel()
	r := handprint(deadline(t), "", nil, "demo", "--once")
	if r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{"unknown", "stable", "drifting", "conflicted", "multi_actor", "several actors suspected", "15 identities"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the demo does not show %q", want)
		}
	}
	if n := strings.Count(r.out, "several actors suspected"); n != 1 {
		t.Errorf("%d suspicions, want 1", n)
	}
}

// TestIdentitiesOfARunningApplication merges and unmerges identities of the
// demo, as a user would in another terminal.
func TestIdentitiesOfARunningApplication(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, streams{in: strings.NewReader(""), out: w, err: w}, []string{"demo"})
		w.Close()
	}()
	var environ []string
	begun := context.AfterFunc(deadline(t), cancel)
	lines := bufio.NewScanner(in)
	for lines.Scan() && !strings.Contains(lines.Text(), "Interrupt to end") {
		if _, address, ok := strings.Cut(lines.Text(), "broker     a Kafka broker inside this process, at "); ok {
			environ = []string{"HANDPRINT_BROKERS=" + address}
		}
	}
	if !begun() {
		t.Fatal("the demo did not begin in time")
	}
	go func() { // ends with the demo
		for lines.Scan() {
		}
	}()
	var winner, loser string
	for id, h := range labHands() {
		switch h.address {
		case "127.0.4.1":
			winner = id
		case "127.0.4.2":
			loser = id
		}
	}
	command := func(args ...string) string {
		t.Helper()
		r := handprint(deadline(t), "", environ, args...)
		if r.code != exitOK {
			t.Fatalf("%v: %+v", args, r)
		}
		return r.out
	}
	suggested := command("suggest", "--most", "3", "-o", "json")
	if !strings.Contains(suggested, winner) || !strings.Contains(suggested, loser) {
		t.Errorf("two addresses of one hand are not suggested:\n%s", suggested)
	}
	if said := command("identity", "merge", "--winner", "127.0.4.1", "--loser", loser[:13], "--wait"); !strings.Contains(said, "over: 1 attacker moved to 127.0.4.1 (") {
		t.Errorf("the merge says %s", said)
	}
	until := func(id, want string) {
		t.Helper()
		for wait := deadline(t); wait.Err() == nil; pause(wait) {
			r := handprint(wait, "", environ, "identity", "show", id, "-o", "json")
			if strings.Contains(r.out, want) && !strings.Contains(r.out, `"unsettled":true`) {
				return
			}
		}
		t.Fatalf("identity %s never showed %s", id, want)
	}
	until(loser, `"merged_into":"`+winner)
	until(winner, `"attackers_in":1`)
	moved, _ := cowrie.Attacker("127.0.4.2")
	if owner := strings.TrimSpace(command("identity", "owner", moved)); owner != winner {
		t.Errorf("the attacker that moved is %s's, want %s's", owner, winner)
	}
	if owner := strings.TrimSpace(command("identity", "owner", "127.0.4.2")); owner != winner {
		t.Errorf("address 127.0.4.2 is %s's, want %s's", owner, winner)
	}
	if said := command("explain", "127.0.9.9"); !strings.Contains(said, "attacker 08b0658e-b75d-5e62-ad12-bb9e7d5c2927 127.0.9.9") ||
		!strings.Contains(said, "<- decides") || !strings.Contains(said, "cowrie:") || !strings.Contains(said, "if next comes:") {
		t.Errorf("127.0.9.9 is explained by\n%s", said)
	}
	for _, c := range [][]string{
		{"explain", "127.0.9.9"}, {"identity", "show", "127.0.9.9", "-o", "pretty"}, {"identity", "show", winner, "-o", "pretty"}, {"rows", "-o", "pretty"},
		{"events", "--since", "1h", "-o", "pretty"}, {"suggest", "-o", "pretty"}, {"lag"}, {"topics", "list"}, {"dead-letters"},
	} {
		for line := range strings.Lines(command(c...)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%v: a line of %d characters: %s", c, n, line)
			}
		}
	}
	if said := command("explain", "127.0.9.9"); !strings.Contains(said, "toolchain.ssh.hassh_client returns (client)") || !strings.Contains(said, "of 127.0.9.9: 8 runs; a value came back 5 times") ||
		!strings.Contains(said, "median lag") || !strings.Contains(said, "It is cleared when nothing returns") {
		t.Errorf("the suspicion of 127.0.9.9 is explained by\n%s", said)
	}
	var one map[string]any
	if err := json.Unmarshal([]byte(command("explain", "127.0.9.9", "toolchain.ssh.hassh_client", "--json")), &one); err != nil || one["agrees"] != true {
		t.Errorf("explained as %v, %v", one, err)
	}
	if said := command("events", "--since", "1h", "--identity", "127.0.9.9", "-o", "json"); !strings.Contains(said, "previous_value") || strings.Contains(said, winner) {
		t.Errorf("its events are\n%s", said)
	}
	if said := command("dead-letters"); !strings.Contains(said, "0 dead letters, 0 reasons") {
		t.Errorf("dead letters: %s", said)
	}
	for _, args := range [][]string{{"link", winner, "192.0.2.77"}, {"link", "0", "127.0.4.1"}, {"merge", "--winner", "nobody", "--loser", loser}} {
		if r := handprint(deadline(t), "", environ, append([]string{"identity"}, args...)...); r.code != exitUsage || !strings.Contains(r.err, "--unseen") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	// By addresses: the loser's is the winner's now, and still names the loser.
	if r := handprint(deadline(t), "", environ, "identity", "unmerge", "--winner", "127.0.4.1", "--loser", "127.0.4.1", "127.0.4.2"); r.code != exitUsage || !strings.Contains(r.err, "winner and loser are the same identity") {
		t.Errorf("an unmerge of the winner: %+v", r)
	}
	command("identity", "unmerge", "--winner", "127.0.4.1", "--loser", "127.0.4.2", "127.0.4.2")
	until(loser, `"type":"identity.unmerged"`)
	until(loser, `"attackers_in":1`)
	if owner := strings.TrimSpace(command("identity", "owner", "127.0.4.2")); owner != loser {
		t.Errorf("after the unmerge 127.0.4.2 is %s's, want %s's", owner, loser)
	}
	if r := handprint(deadline(t), "", environ, "identity", "show", "nobody"); r.code != exitUsage || !strings.Contains(r.err, "\"nobody\" is no address, attacker or identity that is known") {
		t.Errorf("an identity that is not known: %+v", r)
	}
	cancel()
	if code := receive(t, ended); code != exitOK {
		t.Errorf("the demo ended with %d", code)
	}
}
