package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"handprint/siem/siemtest"
)

// readTree returns every file below a folder, by its path in it.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFormatFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := siemtest.New(5).Folder(in, 50); err != nil {
		t.Fatal(err)
	}
	var outs []map[string]string
	for _, name := range []string{"a", "b"} {
		out := filepath.Join(dir, name)
		if r := handprint(deadline(t), "", nil, "format", "files", "--out", out, in); r.code != exitOK || !strings.HasPrefix(r.out, "200 events") {
			t.Fatalf("%+v", r)
		}
		outs = append(outs, readTree(t, out))
	}
	for name, text := range outs[0] {
		if outs[1][name] != text {
			t.Errorf("%s: another time, other bytes", name)
		}
	}
	for name, want := range map[string]int{"ocsf.ndjson": 150, "ecs.ndjson": 150, "cef.log": 150, "leef.log": 150} {
		if n := strings.Count(outs[0][name], "\n"); n != want {
			t.Errorf("%s has %d lines, not %d", name, n, want)
		}
	}
	for _, name := range []string{"stix.json", "misp.json", "misp-feed/manifest.json", "misp-feed/hashes.csv"} {
		if outs[0][name] == "" {
			t.Errorf("%s is missing or empty", name)
		}
	}
	out := filepath.Join(dir, "rows")
	if r := handprint(deadline(t), "", nil, "format", "files", "--to=cef", "--rows", "--addresses=false", "--out", out, in); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	rows := readTree(t, out)
	if len(rows) != 1 || strings.Count(rows["cef.log"], "\n") != 200 || strings.Contains(rows["cef.log"], " src=") {
		t.Errorf("--to=cef --rows --addresses=false: %d files", len(rows))
	}
}

func TestFormatFilesRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct{ args, want string }{
		{"--to=xml", "flag --to: no such format: xml"},
		{"--severity=drifting=huge", "flag --severity"},
		{"--severity=nothing=low", "flag --severity"},
		{"--attack-catalogue=x.json", "64 hex digits"},
	} {
		r := handprint(deadline(t), "", nil, "format", "files", c.args, "--out", filepath.Join(dir, "out"), dir)
		if r.code != exitUsage || !strings.Contains(r.err, c.want) {
			t.Errorf("%s: %+v", c.args, r)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "state_changed.ndjson"), []byte("{}\nno json\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := handprint(deadline(t), "", nil, "format", "files", "--out", filepath.Join(dir, "out"), dir)
	if r.code != exitFailure || !strings.Contains(r.err, "2 of 2 records could not be used") {
		t.Errorf("bad records: %+v", r)
	}
}

// The catalogue is opened when an event needs it, and by nothing else.
func TestTheCatalogueIsOpenedOnFirstUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := os.MkdirAll(in, 0o755); err != nil {
		t.Fatal(err)
	}
	catalogue := []string{"--attack-catalogue", filepath.Join(dir, "not there.json"), "--attack-sha256", strings.Repeat("0", 64)}
	format := func(value string) result {
		record := `{"event_id":"x","identity_uuid":"i","primitive":"operational.cleanup_behavior","old_state":null,"new_state":"stable","current_value":"` + value + `","confidence":0.5,"observation_count":4,"ts":1}`
		if err := os.WriteFile(filepath.Join(in, "state_changed.ndjson"), []byte(record+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return handprint(deadline(t), "", nil, append([]string{"format", "files", "--out", filepath.Join(dir, "out"), in}, catalogue...)...)
	}
	if r := format("none"); r.code != exitOK {
		t.Errorf("no event needs the catalogue: %+v", r)
	}
	if r := format("thorough"); r.code != exitFailure || !strings.Contains(r.err, "reading the ATT&CK catalogue") {
		t.Errorf("an event needs the catalogue: %+v", r)
	}
}
