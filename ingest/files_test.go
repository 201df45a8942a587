package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"handprint/ingest"
	"handprint/ingest/behave"
	"handprint/ingest/cowrie"
	"handprint/ingest/cowrie/lab"
)

// kept is a sink that keeps what it is given.
type kept struct {
	observations []string
	records      []string
	dead         []string
}

func (k *kept) Observation(o ingest.Observation) error {
	k.observations = append(k.observations, string(o.AppendJSON(nil)))
	return nil
}

func (k *kept) Record(key, value []byte) error {
	k.records = append(k.records, fmt.Sprintf("%s %s", key, value))
	return nil
}

func (k *kept) Dead(d ingest.DeadLetter) error {
	where := fmt.Sprintf("%s:%d", filepath.Base(d.File), d.Number)
	if d.Record != nil {
		where = fmt.Sprintf("%s[%d]@%d", d.Record.Topic, d.Record.Partition, d.Record.Offset)
	}
	k.dead = append(k.dead, fmt.Sprintf("%s %s of %d: %s", where, d.Line[:min(len(d.Line), 20)], d.Length, d.Reason))
	return nil
}

func (k *kept) Flush(context.Context) error { return nil }

func cowrieAdapter(s ingest.Sink) (ingest.Adapter, error) {
	return cowrie.New(cowrie.DefaultSettings(), s.Observation, s.Dead)
}

func behaveAdapter(s ingest.Sink) (ingest.Adapter, error) { return behave.New(s.Record, s.Dead), nil }

// fatalf is a test or a property.
type fatalf interface {
	Helper()
	Fatalf(format string, args ...any)
	TempDir() string
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	return writeIn(t, t.TempDir(), name, data)
}

func writeIn(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

func zipped(t *testing.T, parts ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, part := range parts {
		w := gzip.NewWriter(&out)
		if _, err := w.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestPackedAndPlainFilesGiveTheSame(t *testing.T) {
	var text bytes.Buffer
	if _, err := text.ReadFrom(lab.Log()); err != nil {
		t.Fatal(err)
	}
	half := strings.Index(text.String()[text.Len()/2:], "\n") + text.Len()/2 + 1
	first, second := text.String()[:half], text.String()[half:]
	var want []string
	for i, names := range [][]string{
		{write(t, "plain", text.Bytes())},
		{write(t, "dos", bytes.ReplaceAll(text.Bytes(), []byte("\n"), []byte("\r\n")))},
		{write(t, "packed", lab.Packed())},
		{write(t, "members.gz", zipped(t, first[:100], first[100:], second))},
		{write(t, "rotated.1", zipped(t, first)), write(t, "rotated", []byte(second))},
	} {
		var sink kept
		files := ingest.Files{Names: names}
		amounts, err := files.Run(context.Background(), &sink, cowrieAdapter)
		if err != nil {
			t.Fatal(err)
		}
		if amounts.Tally.Lines != 1135 || amounts.Tally.Accounted() != 1135 || amounts.Lines != 1135 || amounts.Bytes != files.TotalSize() || amounts.Observations != int64(len(sink.observations)) {
			t.Errorf("%v: %+v, %d bytes in all", names, amounts, files.TotalSize())
		}
		if i == 0 {
			want = sink.observations
		}
		if strings.Join(sink.observations, "\n") != strings.Join(want, "\n") || len(want) < 81 {
			t.Errorf("%v: %d observations differ from %d", names, len(sink.observations), len(want))
		}
	}
}

func TestDeadLettersSayWhereTheyStood(t *testing.T) {
	long := `{"x":"` + strings.Repeat("y", 5000) + `"}`
	var sink kept
	files := ingest.Files{
		Names:   []string{write(t, "a", []byte("{\"primitive\":1}\n\nbad\n")), write(t, "b", []byte(long+"\n"+`{"attacker_uuid":"k"}`))},
		MaxLine: 4000,
	}
	amounts, err := files.Run(context.Background(), &sink, behaveAdapter)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(sink.records, "|"), ` {"primitive":1}|k {"attacker_uuid":"k"}`; got != want {
		t.Errorf("records %s, want %s", got, want)
	}
	want := `a:3 bad of 3: not a JSON object|b:1 {"x":"yyyyyyyyyyyyyy of 5008: the line is longer than 4000 bytes`
	if got := strings.Join(sink.dead, "|"); got != want {
		t.Errorf("dead letters %s\nwant %s", got, want)
	}
	if amounts.Lines != 5 || amounts.Observations != 2 || amounts.DeadLetters != 2 {
		t.Errorf("%+v", amounts)
	}
}

func TestInputsThatFail(t *testing.T) {
	cut := lab.Packed()[:len(lab.Packed())/2]
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		name string
		is   error
		says string
	}{
		{context.Background(), filepath.Join(t.TempDir(), "none"), fs.ErrNotExist, "none"},
		{context.Background(), write(t, "cut.gz", cut), nil, "reading "},
		{context.Background(), write(t, "short.gz", []byte{0x1f, 0x8b}), nil, "unpacking "},
		{context.Background(), t.TempDir(), nil, "reading "},
		{ended, write(t, "plain", []byte("{}\n")), context.Canceled, ""},
	} {
		var sink kept
		files := ingest.Files{Names: []string{c.name}}
		_, err := files.Run(c.ctx, &sink, cowrieAdapter)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, empty := range [][]byte{nil, []byte("\n \r\n")} {
		var sink kept
		files := ingest.Files{Names: []string{write(t, "empty", empty)}}
		if _, err := files.Run(context.Background(), &sink, cowrieAdapter); err != nil {
			t.Errorf("%v: %v", empty, err)
		}
	}
}
