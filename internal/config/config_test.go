package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"

	"handprint/attribution"
	"handprint/topology"
)

// load reads a configuration of a file's text, an environment and flags, as a
// command does.
func load(t *testing.T, yaml string, env []string, args ...string) (*Config, *Set, []string, error) {
	t.Helper()
	c := new(Config)
	s := Declare(c)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	file := ""
	if yaml != "" {
		file = write(t, "x.yaml", yaml)
	}
	warnings, err := s.Load(file, env)
	if err == nil {
		err = c.Finish(s)
	}
	return c, s, warnings, err
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreThoseOfTheDomain(t *testing.T) {
	c, _, warnings, err := load(t, "", nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if c.Thresholds != attribution.DefaultThresholds() {
		t.Errorf("thresholds %+v", c.Thresholds)
	}
	if c.Topics != topology.DefaultNames("", "handprint") {
		t.Errorf("topics %+v", c.Topics)
	}
	if c.Values.RecordSizeLimit != 262144 || c.Runtime.SweepInterval.Seconds() != 60 {
		t.Errorf("values %+v, runtime %+v", c.Values, c.Runtime)
	}
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	const file = "threads: 3\n"
	env := []string{"HANDPRINT_THREADS=4", "PATH=/bin"}
	for _, c := range []struct {
		name, file string
		env, args  []string
		want       int
		origin     string
	}{
		{"default", "", nil, nil, 2, "default"},
		{"file", file, nil, nil, 3, "line 1"},
		{"environment", file, env, nil, 4, "environment variable HANDPRINT_THREADS"},
		{"flag", file, env, []string{"--threads", "5"}, 5, "flag --threads"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, s, _, err := load(t, c.file, c.env, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if o := s.Lookup("threads").Origin().String(); got.Runtime.Threads != c.want || !strings.HasSuffix(o, c.origin) {
				t.Errorf("%d from %s", got.Runtime.Threads, o)
			}
		})
	}
}

func TestTheFileCanBeNamedByTheEnvironment(t *testing.T) {
	c := new(Config)
	s := Declare(c)
	warnings, err := s.Load("", []string{"HANDPRINT_CONFIG=" + write(t, "h.yaml", "threads: 7")})
	if err != nil || len(warnings) > 0 || c.Runtime.Threads != 7 {
		t.Errorf("%d threads, %v, %v", c.Runtime.Threads, warnings, err)
	}
}

func TestEveryKindIsReadFromAFile(t *testing.T) {
	c, _, _, err := load(t, `# a comment
brokers: [a:9092, "b:9093"]
tls: yes
hash-window: 36h
numeric-ewma-alpha: 0.5
batch-bytes: 1MiB
strict-values: true
application-id: 'soc'
record-size-limit: 65536
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Connection.Brokers, []string{"a:9092", "b:9093"}) || c.Thresholds.HashWindow != 36*3600 ||
		c.Thresholds.EWMAAlpha != 0.5 || c.Runtime.BatchBytes != 1<<20 || !c.Values.Strict || !c.Connection.TLS || c.Values.RecordSizeLimit != 65536 {
		t.Errorf("%+v", c)
	}
	if c.Topics.Changelog != "soc-state-changelog" {
		t.Errorf("changelog %s", c.Topics.Changelog)
	}
}

func TestWrongConfigurationIsOneLineThatSaysWhatAndWhere(t *testing.T) {
	empty := []string(nil)
	for _, c := range []struct {
		name, file string
		env, args  []string
		want       string // FILE stands for the file
	}{
		{"flag out of range", "", empty, []string{"--threads=0"}, "flag --threads: must be between 1 and 256, is 0"},
		{"environment is no number", "", []string{"HANDPRINT_THREADS=many"}, nil, "environment variable HANDPRINT_THREADS: must be a whole number, is many"},
		{"file out of range", "\nthreads: 0\n", empty, nil, "config file FILE line 2: threads: must be between 1 and 256, is 0"},
		{"unknown key", "treads: 1", empty, nil, "config file FILE line 1: unknown setting treads, did you mean threads?"},
		{"unknown key like none", "zzzzzzzz: 1", empty, nil, "config file FILE line 1: unknown setting zzzzzzzz"},
		{"key twice", "threads: 1\nlog-level: info\nthreads: 2\n", empty, nil, "threads"},
		{"nested", "threads: {a: 1}", empty, nil, "config file FILE line 1: threads: must be a single value"},
		{"no value", "threads:\n", empty, nil, "config file FILE line 1: threads: has no value; remove the line to get the default"},
		{"a list of lists", "brokers: [[a:1]]", empty, nil, "config file FILE line 1: brokers: must be a single value"},
		{"not a mapping", "- threads", empty, nil, "config file FILE: must be a list of `setting: value` lines"},
		{"not YAML", "threads: [", empty, nil, "config file FILE: not YAML: "},
		{"not finite", "", empty, []string{"--numeric-conflict-cv=NaN"}, "flag --numeric-conflict-cv: must be a finite number, is NaN"},
		{"not a duration", "", empty, []string{"--sweep-interval=60"}, "flag --sweep-interval: must be a duration such as 500ms, 60s or 24h, is 60"},
		{"not a size", "", empty, []string{"--batch-bytes=1kb"}, "flag --batch-bytes: must be a size in bytes such as 262144, 256KiB or 1MiB, is 1kb"},
		{"not a broker", "", empty, []string{"--brokers=a"}, "flag --brokers: must be a list of host:port, is a"},
		{"no brokers", "", []string{"HANDPRINT_BROKERS="}, nil, "environment variable HANDPRINT_BROKERS: must be a list of host:port, is empty"},
		{"not one of", "", empty, []string{"--log-level=loud"}, "flag --log-level: must be one of debug, info, warn, error, is loud"},
		{"line ends do not get out", "", empty, []string{"--log-level=a\nb"}, `flag --log-level: must be one of debug, info, warn, error, is "a\nb"`},
		{"series of the set window", "", empty, []string{"--window=20"}, "flag --window: series-entries: must be at least three windows (60), is 32"},
		{"series set too small", "", empty, []string{"--series-entries=9"}, "flag --series-entries: must be at least three windows (15), is 9"},
		{"minimum above the window", "min-observations: 6", empty, nil, "config file FILE line 1: min-observations: must be at most the window (5), is 6"},
		{"majority above the window", "", empty, []string{"--categorical-majority=6"}, "flag --categorical-majority: must be at most the window (5), is 6"},
		{"two topics of a name", "", empty, []string{"--topic-health=attribution.state"}, "flag --topic-health: must not be the topic of topic-state, is attribution.state"},
		{"release that nothing is known of", "", empty, []string{"--upgrade-from=0.9"}, "flag --upgrade-from: must be empty, or 0.1"},
		{"no topic name", "", empty, []string{"--topic-health=a b"}, "flag --topic-health: must be 1 to 249 of the letters"},
		{"mechanism without user", "", empty, []string{"--sasl-mechanism=plain"}, "flag --sasl-mechanism: needs sasl-user and sasl-password-file"},
		{"certificate without key", "", empty, []string{"--tls-cert-file=x"}, "flag --tls-cert-file: needs tls-key-file"},
		{"password file missing", "", empty, []string{"--sasl-password-file=/nowhere/at/all"}, "flag --sasl-password-file: /nowhere/at/all cannot be read: no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, _, err := load(t, c.file, c.env, c.args...)
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error()
			if i := strings.Index(got, "/"); strings.Contains(got, "x.yaml") && i >= 0 {
				got = got[:i] + "FILE" + got[strings.Index(got, "x.yaml")+len("x.yaml"):]
			}
			if strings.Contains(got, "\n") || !strings.Contains(got, c.want) {
				t.Errorf("error\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	if _, err := Declare(new(Config)).Load("/nowhere/x.yaml", nil); err == nil || err.Error() != "config file /nowhere/x.yaml: cannot be read: no such file or directory" {
		t.Errorf("missing file: %v", err)
	}
}

func TestUnknownVariablesAreWarnedAbout(t *testing.T) {
	_, _, warnings, err := load(t, "", []string{"HANDPRINT_TREADS=1", "HANDPRINT_VECTORS=x", "OTHER=1", "HANDPRINT_XYZZY_PLUGH=1"})
	want := []string{
		"environment variable HANDPRINT_TREADS is not known, did you mean HANDPRINT_THREADS?",
		"environment variable HANDPRINT_XYZZY_PLUGH is not known",
	}
	if err != nil || !slices.Equal(warnings, want) {
		t.Errorf("%q, %v", warnings, err)
	}
}

func TestPrefixAndNamesOfTopics(t *testing.T) {
	c, _, _, err := load(t, "", nil, "--topic-prefix=soc.", "--topic-state=rows", "--application-id=x")
	if err != nil {
		t.Fatal(err)
	}
	want := topology.DefaultNames("soc.", "x")
	want.State = "rows" // set by itself: as it stands
	if c.Topics != want {
		t.Errorf("%+v", c.Topics)
	}
}

func TestSecretsComeFromAFileAndAreNotPrinted(t *testing.T) {
	const secret = "hunter2"
	file := write(t, "password", secret+"\n")
	c, s, _, err := load(t, "", nil, "--sasl-mechanism=scram-sha-512", "--sasl-user=u", "--sasl-password-file="+file)
	if err != nil || c.Connection.SASLPassword != secret {
		t.Fatalf("password %q, %v", c.Connection.SASLPassword, err)
	}
	for _, st := range s.Settings() {
		if strings.Contains(st.Value(), secret) {
			t.Errorf("%s is shown as %s", st.Name, st.Value())
		}
	}
	if opts, err := c.Connection.ClientOpts(); err != nil || len(opts) == 0 {
		t.Errorf("options: %v", err)
	}
	_, _, _, err = load(t, "", []string{"HANDPRINT_SASL_PASSWORD=" + secret}, "--sasl-password-file="+file)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("both: %v", err)
	}
	st := &Setting{Secret: true}
	if is(st, secret) != "" {
		t.Error("a wrong secret is told")
	}
}

func TestCertificatesThatCannotBeReadAreNamed(t *testing.T) {
	for want, c := range map[string]Connection{
		"tls-ca-file: /nowhere cannot be read: no such file or directory": {TLSCAFile: "/nowhere"},
		"holds no PEM certificate":                                        {TLSCAFile: write(t, "ca.pem", "x")},
		"tls-cert-file: /no with tls-key-file /n":                         {TLSCertFile: "/no", TLSKeyFile: "/n"},
	} {
		if _, err := c.ClientOpts(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestEveryDeclarationIsComplete(t *testing.T) {
	s := Declare(new(Config))
	for _, st := range s.Settings() {
		if st.Group == "" || !strings.HasSuffix(st.Doc, ".") || st.Name != strings.ToLower(st.Name) || strings.ContainsAny(st.Name, "_ ") {
			t.Errorf("declaration of %s: %+v", st.Name, st)
		}
	}
	for _, name := range []string{"brokers", "state-dir", "threads", "application-id", "window", "min-observations", "categorical-majority",
		"numeric-ewma-alpha", "numeric-drift-mean-shift", "numeric-conflict-cv", "numeric-stable-cv", "hash-drift-max-rotations", "hash-window",
		"multi-actor-confidence-cap", "multi-actor-state-cap", "multi-actor-min-primitives", "suspicion-rule", "return-min-seen", "return-lag",
		"return-lag-changes", "return-lag-cv", "suspicion-groups", "suspicion-quiet", "sweep-interval", "series-entries", "hash-values-kept", "record-size-limit"} {
		if s.Lookup(name) == nil {
			t.Errorf("%s is not declared", name)
		}
	}
}

// A value as it is shown can be given back by any of the three ways.
func TestShownValuesReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := new(Config)
		s := Declare(want)
		args := []string{
			"--threads=" + intKind.format(rapid.IntRange(1, 256).Draw(rt, "threads")),
			"--numeric-ewma-alpha=" + formatFloat(rapid.Float64Range(1e-300, 1).Draw(rt, "alpha")),
			"--sweep-interval=" + rapid.SampledFrom([]string{"10ms", "90s", "1h30m", "1h0m1s", "24h"}).Draw(rt, "sweep"),
			"--record-size-limit=" + formatBytes(rapid.IntRange(1024, 1<<20).Draw(rt, "limit")),
			"--hash-window=" + rapid.SampledFrom([]string{"0s", "1500ms", "36h"}).Draw(rt, "window"),
		}
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		s.Flags(fs)
		if err := fs.Parse(args); err != nil {
			rt.Fatal(err)
		}
		if _, err := s.Load("", nil); err != nil {
			rt.Fatal(err)
		}
		var env []string
		for _, st := range s.Settings() {
			env = append(env, st.Env()+"="+st.Value())
		}
		got := new(Config)
		if _, err := Declare(got).Load("", env); err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("read back\n%+v\nof\n%+v", got, want)
		}
	})
}

func TestMarkdownHasEverySetting(t *testing.T) {
	s := Declare(new(Config))
	var b strings.Builder
	if err := s.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, st := range s.Settings() {
		if !strings.Contains(b.String(), "| `"+st.Name+"` | "+st.Type+" | ") {
			t.Errorf("%s is missing", st.Name)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{"threads: 1", "brokers: [a:1, b:2]", "a: {b: c}", "- x", "a: |\n  b\n", "a: *x", "&a b: c", "? a\n: b", "%YAML 1.2\n---\n", "a: !!int 3", "\"a\": 'b'"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parseFile(data)
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
		for _, e := range entries {
			if e.err == nil && e.line < 1 {
				t.Errorf("entry without a line: %+v", e)
			}
		}
	})
}
