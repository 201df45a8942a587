//go:build integration

package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/integration/cluster"
	"handprint/integration/instance"
	"handprint/integration/lab"
	"handprint/integration/traffic"
)

// guarded is an application on a cluster that asks for TLS, credentials and
// permissions.
type guarded struct {
	*trial
	admin *kadm.Client // a superuser's
	ca    string       // file
}

func newGuarded(t *testing.T, plain map[string]string) *guarded {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	way, err := cluster.Choose(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if way == cluster.Existing {
		t.Skip("needs a cluster of its own: make integration HANDPRINT_CLUSTER=docker (or process) runs it")
	}
	dir, security := t.TempDir(), &cluster.Security{Plain: plain}
	l := &lab.Lab{Dir: dir}
	if l.Binaries, err = instance.Build(ctx, dir); err != nil {
		t.Fatal(err)
	}
	starting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if l.Cluster, err = cluster.StartAs(starting, way, cluster.Options{Brokers: 1, Dir: filepath.Join(dir, "kafka"), Security: security}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	app, err := l.NewApp(ctx, lab.AppOptions{Name: "soc", Partitions: 2, Traffic: traffic.Config{Seed: 1, Attackers: 20},
		Flags: []string{"--sweep-interval", "1s", "--health-interval", "1s"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	g := &guarded{trial: &trial{app, t, ctx}, admin: kadm.NewClient(app.Client), ca: filepath.Join(dir, "ca.pem")}
	if err := os.WriteFile(g.ca, security.CA, 0o644); err != nil {
		t.Fatal(err)
	}
	return g
}

const password = "a password, with = and spaces"

// user makes a user of SCRAM with permissions, and returns the settings by which
// handprint comes as that user.
func (g *guarded) user(name string, acls ...acl) []string {
	g.t.Helper()
	up := kadm.UpsertSCRAM{User: name, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}
	resp, err := g.admin.AlterUserSCRAMs(g.ctx, nil, []kadm.UpsertSCRAM{up})
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		g.t.Fatal(err)
	}
	for _, a := range acls {
		g.allow(name, a)
	}
	return g.as("scram-sha-512", "SASL_USER="+name, "SASL_PASSWORD="+password)
}

// as returns the settings of a mechanism.
func (g *guarded) as(mechanism string, settings ...string) []string {
	env := []string{"HANDPRINT_BROKERS=" + strings.Join(g.Lab.Cluster.Secured(), ","), "HANDPRINT_TLS_CA_FILE=" + g.ca, "HANDPRINT_SASL_MECHANISM=" + mechanism}
	for _, s := range settings {
		env = append(env, "HANDPRINT_"+s)
	}
	return env
}

// handprint runs a command and returns what it has printed, errors included.
func (g *guarded) handprint(env []string, args ...string) (string, error) {
	g.t.Helper()
	out, err := g.command(env, args...).CombinedOutput()
	return string(out), err
}

// command makes a command that comes as a user.
func (g *guarded) command(env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(g.ctx, g.Lab.Binaries.Plain, args...)
	cmd.Env = append([]string{"HANDPRINT_APPLICATION_ID=" + g.Name, "HANDPRINT_TOPIC_PREFIX=" + g.Name + ".", "HANDPRINT_PARTITIONS=2",
		"HANDPRINT_REPLICATION_FACTOR=1", "HANDPRINT_CONNECT_TIMEOUT=10s", "HANDPRINT_STATE_DIR=" + g.t.TempDir()}, env...)
	return cmd
}

// serve starts the read side as a user, and waits until it knows the phase of each
// task, which heartbeats alone tell, and has rows.
func (g *guarded) serve(env []string) {
	g.t.Helper()
	file := filepath.Join(g.t.TempDir(), "serve.log")
	log, err := os.Create(file)
	if err != nil {
		g.t.Fatal(err)
	}
	defer log.Close()
	cmd := g.command(env, "serve", "--web-listen", "127.0.0.1:0", "--serve-dir", g.t.TempDir())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(g.ctx, patience)
	defer func() {
		cancel()
		_ = cmd.Process.Kill()
		<-ended
	}()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	var url, token string
	var last []byte
	for {
		select {
		case <-look.C:
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(file)
			g.t.Fatalf("serve has ended: %v: %s", err, text)
		case <-ctx.Done():
			text, _ := os.ReadFile(file)
			g.t.Fatalf("serve does not know what tasks do: %s\n%s", last, text)
		}
		if url == "" {
			text, err := os.ReadFile(file)
			if err != nil {
				g.t.Fatal(err)
			}
			_, rest, found := strings.Cut(string(text), "serving on ")
			if line, _, whole := strings.Cut(rest, "\n"); found && whole {
				url, token, _ = strings.Cut(line, "#t=")
			}
			continue
		}
		var tasks struct {
			Tasks []struct{ Phase string }
		}
		var identities struct{ Total int }
		if last = ask(ctx, url+"/api/v1/tasks", token); json.Unmarshal(last, &tasks) != nil || len(tasks.Tasks) != 2 || tasks.Tasks[0].Phase == "" || tasks.Tasks[1].Phase == "" {
			continue
		}
		if last = ask(ctx, url+"/api/v1/identities", token); json.Unmarshal(last, &identities) == nil && identities.Total > 0 {
			return
		}
	}
}

// ask returns the answer of the API, whatever it is; nothing if there is none.
func ask(ctx context.Context, url, token string) []byte {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return text
}

// start starts an instance as a user.
func (g *guarded) start(n int, env []string) *instance.Instance {
	g.t.Helper()
	c := g.Config(n)
	c.Binary, c.Brokers, c.Env = g.Lab.Binaries.Plain, g.Lab.Cluster.Secured(), env
	i, err := g.StartAs(c, n)
	if err != nil {
		g.t.Fatal(err)
	}
	return i
}

// handprint comes to real brokers by TLS and every mechanism, and says in one
// line what is wrong with certificate or credentials.
func TestSecuredConnections(t *testing.T) {
	g := newGuarded(t, map[string]string{"plain": password})
	check := documentedACLs(t, "topics check, list", g.App)
	for _, name := range []string{"plain", "token"} {
		for _, a := range check {
			g.allow(name, a)
		}
	}
	file := func(name, text string) string {
		path := filepath.Join(g.Lab.Dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	scram := g.user("scram", check...)
	secret := file("password", password+"\n")
	for _, c := range []struct {
		name string
		env  []string
		code int // of the exit
		says string
	}{
		{"plain", g.as("plain", "SASL_USER=plain", "SASL_PASSWORD_FILE="+secret), 0, "all topics fit"},
		{"scram", scram, 0, "all topics fit"},
		{"token", g.as("oauthbearer", "SASL_OAUTH_TOKEN_FILE="+file("token", token("token", time.Now()))), 0, "all topics fit"},
		{"wrong password", g.as("scram-sha-512", "SASL_USER=scram", "SASL_PASSWORD=another"), 3, "SASL_AUTHENTICATION_FAILED"},
		{"old token", g.as("oauthbearer", "SASL_OAUTH_TOKEN_FILE="+file("old", token("token", time.Now().Add(-48*time.Hour)))), 3, "invalid_token"},
		{"unknown authority", slices.Concat(scram, []string{"HANDPRINT_TLS_CA_FILE=", "HANDPRINT_TLS=true"}), 3, "unknown authority"},
		{"no TLS", slices.Concat(scram, []string{"HANDPRINT_TLS_CA_FILE="}), 3, "TLS"},
		{"nobody", g.as("none"), 3, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := g.handprint(slices.Concat(c.env, []string{"HANDPRINT_CONNECT_TIMEOUT=3s"}), "topics", "check")
			code := 0
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			t.Log(out)
			if code != c.code || !strings.Contains(out, c.says) || strings.Count(out, "\n") != 1 {
				t.Errorf("exit code %d and %q, want %d and one line with %q", code, out, c.code, c.says)
			}
		})
	}
}

// token is a token of OAUTHBEARER as brokers take it that believe everybody.
func token(subject string, issued time.Time) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, subject, issued.Unix(), issued.Add(24*time.Hour).Unix())) + "."
}

// What docs/operations.md lists under ACLs is enough for each command, and for
// a whole life of an application.
func TestDocumentedACLsAreEnough(t *testing.T) {
	g := newGuarded(t, nil)
	acls := func(principals ...string) (all []acl) {
		for _, p := range principals {
			all = append(all, documentedACLs(t, p, g.App)...)
		}
		return all
	}
	run := g.user("run", acls("run")...)
	g.start(0, run)
	g.feed(2000)
	g.rest()
	observations := filepath.Join(g.Lab.Dir, "observations.json")
	line := `{"attacker_uuid":"a","primitive":"toolchain.ssh.hassh_client","value":"x","confidence":0.9,"source":"s","evidence_ref":"e","ts":1700000000}` + "\n"
	if err := os.WriteFile(observations, []byte(line), 0o644); err != nil {
		t.Fatal(err)
	}
	const identity = "11111111-2222-4333-8444-555555555555"
	try := func(want string, principals []string, args ...string) {
		t.Helper()
		user := strings.Join(strings.Fields(strings.Join(args, "-")), "")
		if out, err := g.handprint(g.user(user, acls(principals...)...), args...); err != nil || !strings.Contains(out, want) {
			t.Errorf("handprint %s: %v, want %q in %s", strings.Join(args, " "), err, want, out)
		}
	}
	try("", []string{"ingest"}, "ingest", "behave", observations)
	try("", []string{"identity form, link, merge, unmerge", "identity form, link, merge, unmerge (besides)"}, "identity", "form", "--unseen", identity, "a")
	g.rest()
	try(identity, []string{"identity show, owner, explain"}, "identity", "show", identity)
	try(identity, []string{"identity show, owner, explain"}, "identity", "owner", "a")
	try("stable", []string{"events, rows, suggest"}, "events", "--from", "beginning", "--until-end")
	try("stable", []string{"events, rows, suggest"}, "rows")
	try("", []string{"events, rows, suggest"}, "suggest")
	try("", []string{"audit"}, "audit")
	try("0 behind", []string{"lag"}, "lag")
	try("fit", []string{"topics check, list"}, "topics", "check")
	try("attribution.state", []string{"topics check, list"}, "topics", "list")
	g.serve(g.user("serve", acls("serve, run --web")...))
	try("clock: agrees", []string{"run", "doctor (besides those of run), for the clock"}, "doctor")
	if err := g.Stop(g.ctx, 0); err != nil {
		t.Fatal(err)
	}
	if checked, err := g.AuditAll(g.ctx, g.StateDirs()...); err != nil || checked.Rows == 0 {
		t.Errorf("the audit: %v, %v", checked, err)
	}
	try("Nothing was changed", []string{"reset"}, "reset")
	try("done", []string{"reset", "reset --from (besides)"}, "reset", "--from", "2001-01-01T00:00:00Z", "--execute")
	try("done", []string{"reset", "reset --outputs (besides)"}, "reset", "--outputs", "--execute")
	if resp, err := g.admin.DeleteTopics(g.ctx, g.Topics()...); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	try("created", []string{"topics create"}, "topics", "create")
	if resp, err := g.admin.DeleteTopics(g.ctx, g.Topics()...); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	g.start(1, g.user("creator", acls("run", "run, to create topics (besides)")...))
	g.logged(1, "task runs")
}

// Without any one of the documented permissions run ends at once, or does not
// begin, with one line that names it.
func TestMissingACLIsNamed(t *testing.T) {
	g := newGuarded(t, nil)
	all := documentedACLs(t, "run", g.App)
	for i, missing := range all {
		if missing.implied(all) {
			continue
		}
		t.Run(missing.String(), func(t *testing.T) {
			user := fmt.Sprint("user-", i)
			g.start(i, g.user(user, slices.Delete(slices.Clone(all), i, i+1)...))
			g.awaitDeath(i)
			log, err := os.ReadFile(g.Config(i).LogFile())
			if err != nil {
				t.Fatal(err)
			}
			said := string(log)[strings.LastIndex(strings.TrimSpace(string(log)), "\n")+1:]
			t.Log(said)
			// What is allowed with transactional ids, and with a group that is not
			// there yet, brokers tell only when it is tried.
			want := fmt.Sprintf("%s on topic %s ", missing.op, missing.name)
			switch missing.resource {
			case kmsg.ACLResourceTypeGroup:
				want = "group " + missing.name
			case kmsg.ACLResourceTypeTransactionalId:
				want = "transactional id " + missing.name
			}
			if code := g.Instance(i).ExitCode(); code != 1 || !strings.Contains(said, want) {
				t.Errorf("exit code %d and %q, want 1 and %q", code, said, want)
			}
		})
	}
}
