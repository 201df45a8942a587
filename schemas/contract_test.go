package schemas

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"handprint/schemas/avro"
)

// TestSchemasAreCompatibleWithAllReleased: records by every schema that was ever
// released are read by this version's, and this version's records by those. A
// release adds a folder to testdata/released; nothing there changes.
func TestSchemasAreCompatibleWithAllReleased(t *testing.T) {
	files, err := filepath.Glob("testdata/released/*/*.avsc")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d released schemas, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseContract(strings.TrimSuffix(filepath.Base(file), ".avsc"))
		if err != nil {
			t.Errorf("%s: a contract is gone: %v", file, err)
			continue
		}
		if err := CheckReads(c.Schema(), string(text)); err != nil {
			t.Errorf("this version cannot read what was written by %s: %v", file, err)
		}
		if err := CheckReads(string(text), c.Schema()); err != nil {
			t.Errorf("readers by %s cannot read what this version writes: %v", file, err)
		}
	}
}

// TestCheckReadsFindsWhatBreaksReaders shows that the check above can fail.
func TestCheckReadsFindsWhatBreaksReaders(t *testing.T) {
	row := StateRowContract.Schema()
	change := func(from, to string) string {
		t.Helper()
		if !strings.Contains(row, from) {
			t.Fatalf("the schema has no %s", from)
		}
		return strings.Replace(row, from, to, 1)
	}
	const last = `{"name": "updated_at", "type": "double"`
	for _, tt := range []struct {
		name              string
		next              string
		backward, forward string // why this version's records cannot be read by the next, and the other way round; empty: they can
	}{
		{"a field with a default", change(last, `{"name": "new", "type": "long", "default": 0}, `+last), "", ""},
		{"a field without a default", change(last, `{"name": "new", "type": "long"}, `+last), "new: the schema does not have it", ""},
		{"a field taken away", change(`{"name": "confidence", "type": "double", "doc": "From 0 to 1."},`, ""), "", "confidence: the schema does not have it"},
		{"an optional field taken away", change(`{"name": "current_value_number", "type": ["null", "double"], "default": null,`, `{"name": "y", "type": "string", "default": "",`), "", ""},
		{"a wider type", change(`"observation_count", "type": "long"`, `"observation_count", "type": "double"`), "", "observation_count: double, which does not read as long"},
		{"another type", change(`"observation_count", "type": "long"`, `"observation_count", "type": "string"`), "observation_count: long, which does not read as string", "observation_count: string, which does not read as long"},
		{"a required field made optional", change(`"primitive", "type": "string"`, `"primitive", "type": ["null", "string"]`), "", "primitive: null, which does not read as string"},
		{"a new state", change(`"multi_actor"]`, `"multi_actor", "dormant"]`), "", ""},
		{"no default state", change(`"multi_actor"], "default": "unknown"`, `"multi_actor"]`), "", ""},
		{"a state taken away", change(`"conflicted", `, ""), "", ""},
		{"a state taken away, no default", change(`"conflicted", "multi_actor"], "default": "unknown"`, `"multi_actor"]`), "state: symbol conflicted, which the reader does not have", ""},
		{"a field renamed", change(`"name": "primitive"`, `"name": "trait"`), "trait: the schema does not have it", "primitive: the schema does not have it"},
		{"a field renamed with an alias", change(`"name": "primitive"`, `"name": "trait", "aliases": ["primitive"]`), "", "primitive: the schema does not have it"},
		{"no schema", "{", "the reader's schema", "the writer's schema"},
	} {
		for _, way := range []struct {
			name, reader, writer, want string
		}{{"backward", tt.next, row, tt.backward}, {"forward", row, tt.next, tt.forward}} {
			err := CheckReads(way.reader, way.writer)
			if way.want == "" && err != nil || way.want != "" && (err == nil || !strings.HasPrefix(err.Error(), way.want)) {
				t.Errorf("%s, %s: %v, want %q", tt.name, way.name, err, way.want)
			}
		}
	}
}

// TestSchemasAreDocumented: every field says what it is.
func TestSchemasAreDocumented(t *testing.T) {
	for _, c := range Contracts() {
		s := contracts()[c].read
		if s.Kind != avro.Record || s.Doc == "" || !strings.HasPrefix(s.Name, "handprint.") {
			t.Errorf("%s: a %v %s, %q", c, s.Kind, s.Name, s.Doc)
		}
		for _, f := range s.Fields {
			if len(f.Doc) < 5 || !strings.HasSuffix(f.Doc, ".") {
				t.Errorf("%s.%s: %q is no documentation", c, f.Name, f.Doc)
			}
		}
	}
}
