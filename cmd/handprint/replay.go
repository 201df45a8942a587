package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"handprint/ingest"
	"handprint/internal/broker"
	"handprint/internal/config"
	"handprint/schemas"
)

func (a *app) replayCommand() *cobra.Command {
	var from, out string
	asJSON := false
	var letters letterText
	var n networkQuery
	cmd := &cobra.Command{
		Use:   "replay --from cowrie|zeek|suricata|behave --out DIR FILE...",
		Short: "Run the whole pipeline over files, and end",
		Long: `Run the whole pipeline over files, with a broker inside this process, and end.
The files are read in the order of their first lines, unpacked and unwrapped as
handprint ingest does; "-" is standard input. Several actors are looked for as a live run would have done it,
every --sweep-interval of the time of the observations. Zeek's and Suricata's logs
need --local-net, as in handprint ingest.

DIR gets state_changed.ndjson, multi_actor_suspected.ndjson, rows.ndjson,
profiles.ndjson and dead_letters.ndjson, and a summary is printed: observations taken, dead letters,
transitions, suspicions, identities. Files of an earlier replay in DIR are
replaced.`,
		Example: `  handprint replay --from cowrie --out yesterday /var/log/cowrie/cowrie.json.2026-03-01.gz
  zcat *.gz | handprint replay --from behave --out out --json -
  handprint replay --from suricata --local-net 192.0.2.0/24 --out out eve.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return a.replay(cmd.Context(), from, out, files, asJSON, letters.LetterText, &n)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "What the files are: cowrie, a Cowrie JSON log; zeek or suricata, logs of theirs; or behave, observations as NDJSON.")
	complete(cmd, "from", replaySources[:]...)
	cmd.Flags().StringVar(&out, "out", "", "Folder for the results; made if it is not there.")
	cmd.Flags().Var(&letters, "dead-letter-text", "Keep of lines that cannot be used what may be told (masked), or all, passwords too.")
	cmd.Flags().Lookup("dead-letter-text").NoOptDefVal = "masked"
	cmd.Flags().BoolVar(&asJSON, "json", false, "Print the summary as JSON.")
	n.flags(cmd)
	n.pathFlag(cmd)
	for _, required := range []string{"from", "out"} {
		if err := cmd.MarkFlagRequired(required); err != nil {
			panic(err) // the flag is declared above
		}
	}
	return a.configure(cmd, config.GroupApplication, config.GroupRuntime, config.GroupThresholds, config.GroupValues, config.GroupCowrie, config.GroupNetwork)
}

// replaySources are what --from may be.
var replaySources = [...]string{"cowrie", "zeek", "suricata", "behave"}

// summary is what a replay says at its end.
type summary struct {
	Observations int `json:"observations"`
	DeadLetters  int `json:"dead_letters"`
	Transitions  int `json:"transitions"`
	Suspicions   int `json:"suspicions"`
	Identities   int `json:"identities"`
	// Reading says what has become of the lines of the files.
	Reading *ingest.Tally `json:"reading"`
}

func (a *app) replay(ctx context.Context, from, out string, names []string, asJSON bool, letters ingest.LetterText, n *networkQuery) (err error) {
	if !slices.Contains(replaySources[:], from) {
		return usageErrorf("--from must be cowrie, zeek, suricata or behave, is %q", from)
	}
	adapt := a.adapter(from)
	if from == "zeek" || from == "suricata" {
		settings, err := a.networkSettings(n)
		if err != nil {
			return err
		}
		adapt = func(s ingest.Sink) (ingest.Adapter, error) { return newNetworkAdapter(from, settings, s) }
	}
	for _, name := range names {
		if name == "-" {
			continue
		}
		if err := readable(name); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return usageErrorf("--out: %w", err)
	}
	// What an earlier replay left must not be taken for what this one found.
	for _, name := range resultFiles {
		if err := os.Remove(filepath.Join(out, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return usageErrorf("--out: %w", err)
		}
	}
	e, err := a.startEmbedded(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	files := &ingest.Files{Names: names}
	files.Progress = ingest.NewProgress(os.Stderr, files.TotalSize())
	files.Warn, files.Report, files.LetterText = a.warn, a.tell, letters
	read, err := e.ingest(ctx, adapt, files)
	a.conclude(read.Tally)
	// An input that cannot be read to its end does not keep the others' results
	// back, nor does an input without any usable line.
	failed := unusable(err)
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err := e.settle(ctx); err != nil {
		return err
	}
	if err := e.sweep(ctx); err != nil {
		return err
	}
	s, err := e.writeResults(ctx, out)
	if err != nil {
		return errors.Join(failed, err)
	}
	s.Reading = &read.Tally
	defer func() { err = errors.Join(failed, err) }()
	if asJSON {
		return a.writeJSON(s)
	}
	_, err = fmt.Fprintf(a.out, "%d observations, %d dead letters, %d transitions, %d suspicions, %d identities; see %s\n",
		s.Observations, s.DeadLetters, s.Transitions, s.Suspicions, s.Identities, out)
	return err
}

// The files of a replay's results.
const (
	fileStateChanged = "state_changed.ndjson"
	fileSuspected    = "multi_actor_suspected.ndjson"
	fileRows         = "rows.ndjson"
	fileDeadLetters  = "dead_letters.ndjson"
)

var resultFiles = []string{fileStateChanged, fileSuspected, fileRows, fileDeadLetters, fileProfiles}

// writeResults copies the output topics, as they are committed, into files.
func (e *embedded) writeResults(ctx context.Context, out string) (s summary, err error) {
	n := &e.app.cfg.Topics
	files := map[string]*os.File{}
	writers := map[string]*bufio.Writer{}
	for topic, name := range map[string]string{
		n.StateChanged: fileStateChanged, n.MultiActorSuspects: fileSuspected, n.State: fileRows, n.DeadLetter: fileDeadLetters,
		n.Profiles: fileProfiles,
	} {
		f, err := os.Create(filepath.Join(out, name))
		if err != nil {
			return s, fmt.Errorf("writing the results: %w", err)
		}
		defer f.Close()
		files[topic], writers[topic] = f, bufio.NewWriter(f)
	}
	if s.Observations, err = e.produced(ctx, n.Observations); err != nil {
		return s, err
	}
	rows, profiles := map[string][]byte{}, map[string][]byte{}
	err = broker.Scan(ctx, e.client, func(r *kgo.Record) error {
		line := r.Value
		switch r.Topic {
		case n.StateChanged:
			s.Transitions++
		case n.MultiActorSuspects:
			s.Suspicions++
		case n.DeadLetter:
			s.DeadLetters++
			if source, _ := schemas.Header(r.Headers, schemas.HeaderSourceTopic); string(source) == n.Observations {
				s.Observations--
			}
			line = deadLetterLine(r)
		case n.State:
			if r.Value == nil {
				delete(rows, string(r.Key))
			} else {
				rows[string(r.Key)] = r.Value
			}
			return nil
		case n.Profiles:
			profiles[string(r.Key)] = r.Value
			return nil
		}
		writeLine(writers[r.Topic], line)
		return nil
	}, n.StateChanged, n.MultiActorSuspects, n.State, n.DeadLetter, n.Profiles)
	if err != nil {
		return s, err
	}
	identities := map[string]bool{}
	for k := range rows {
		identity, _, _ := schemas.SplitStateRowKey([]byte(k))
		identities[identity] = true
	}
	s.Identities = len(identities)
	for topic, table := range map[string]map[string][]byte{n.State: rows, n.Profiles: profiles} {
		for _, k := range slices.Sorted(maps.Keys(table)) {
			writeLine(writers[topic], table[k])
		}
	}
	for topic, w := range writers {
		if err := errors.Join(w.Flush(), files[topic].Close()); err != nil {
			return s, fmt.Errorf("writing the results: %w", err)
		}
	}
	return s, nil
}

// produced returns how many records a topic has that no transaction wrote.
func (e *embedded) produced(ctx context.Context, topic string) (n int, err error) {
	ends, err := kadm.NewClient(e.client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("counting the records of %s: %w", topic, err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += int(o.Offset) })
	return n, nil
}

// writeLine writes to a buffer that remembers a fault until it is flushed.
func writeLine(w *bufio.Writer, line []byte) {
	_, _ = w.Write(line)
	_ = w.WriteByte('\n')
}

// deadLetterLine shows a dead letter as JSON: why and where, and the original,
// as text or, where that is not UTF-8, in base64.
func deadLetterLine(r *kgo.Record) []byte {
	letter := map[string]any{}
	for _, h := range r.Headers {
		if name, ok := strings.CutPrefix(h.Key, "handprint."); ok {
			letter[strings.ReplaceAll(name, ".", "_")] = string(h.Value)
		}
	}
	original := func(name string, b []byte) {
		switch {
		case b == nil:
		case utf8.Valid(b):
			letter[name] = string(b)
		default:
			letter[name+"_base64"] = b
		}
	}
	original("key", r.Key)
	original("value", r.Value)
	line, err := json.Marshal(letter)
	if err != nil {
		return []byte(`{}`) // strings and bytes always encode
	}
	return line
}
