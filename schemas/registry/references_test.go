package registry

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"handprint/schemas"
)

// A schema of three subjects: its own, a record it refers to, and an enum that
// both refer to.
func TestRegistryReferences(t *testing.T) {
	target, ctx := registryURL(t), t.Context()
	f := newFront(t, target, nil)
	register := func(schema string, references ...sr.SchemaReference) (string, int, int) {
		t.Helper()
		name := subject(t)
		made, err := f.sr.CreateSchema(ctx, name, sr.Schema{Schema: schema, References: references})
		if err != nil {
			t.Fatal(err)
		}
		return name, made.Version, made.ID
	}
	enum, enumVersion, _ := register(`{"type":"enum","name":"Side","namespace":"lab","symbols":["left","right"]}`)
	toEnum := sr.SchemaReference{Name: "lab.Side", Subject: enum, Version: enumVersion}
	place, placeVersion, _ := register(`{"type":"record","name":"Place","namespace":"lab","fields":[{"name":"side","type":"lab.Side"},{"name":"port","type":"int"}]}`, toEnum)
	row := strings.Replace(schemas.StateRowContract.Schema(), `{"name": "primitive"`, `{"name": "place", "type": "lab.Place"}, {"name": "side", "type": ["null", "lab.Side"]}, {"name": "primitive"`, 1)
	_, _, id := register(row, sr.SchemaReference{Name: "lab.Place", Subject: place, Version: placeVersion}, toEnum)

	record := schemas.AppendHeader(nil, uint32(id))
	record = append(record, "\x02I"...)       // identity
	record = append(record, 2, 0xac, 2, 2, 0) // place: right, 150; side: left
	record = append(record, "\x06a.b\x081.25\x02\x00\x00\x00\x00\x00\x00\xf4\x3f\x04"...)
	record = append(record, make([]byte, 8)...) // confidence
	record = append(record, 6)                  // count
	record = append(record, make([]byte, 16)...)
	record = append(append(record, 2), make([]byte, 8)...)
	record = append(record, 0) // returns

	reader := newFront(t, target, nil)
	reader.mode.Store(http.StatusServiceUnavailable) // references are waited for as schemas are
	reader.onWait = func(n int64) {
		if n == 2 {
			reader.mode.Store(0)
		}
	}
	if err := reader.Await(ctx, record); err != nil {
		t.Fatal(err)
	}
	got, err := reader.Writers().StateRow(record)
	if err != nil || got.Identity != "I" || got.Primitive != "a.b" || string(got.Row.Value) != "1.25" || got.Row.Count != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if asked := reader.asked.Load(); asked != 2+3 {
		t.Errorf("%d questions for three schemas", asked-2)
	}
}

// What a registry may say of references that leads nowhere ends, and says why.
func TestReferencesThatLeadNowhere(t *testing.T) {
	answers := map[string]string{
		"/schemas/ids/1":              `{"schema":"\"n.A\"","references":[{"name":"n.A","subject":"gone","version":1}]}`,
		"/schemas/ids/2":              `{"schema":"\"n.A\"","references":[{"name":"n.A","subject":"proto","version":1}]}`,
		"/subjects/proto/versions/1":  `{"schema":"message A {}","schemaType":"PROTOBUF"}`,
		"/schemas/ids/3":              `{"schema":"\"n.A\"","references":[{"name":"n.A","subject":"circle","version":1}]}`,
		"/subjects/circle/versions/1": `{"schema":"\"n.A\"","references":[{"name":"n.A","subject":"circle","version":1}]}`,
		"/schemas/ids/4":              `{"schema":"\"n.A\"","references":[{"name":"n.A","subject":"chain","version":1}]}`,
		"/schemas/ids/5":              `{"schema":"\"n.A\"","references":[{"name":"n.A","subject":"empty","version":1}]}`,
		"/subjects/empty/versions/1":  `{}`,
		"/schemas/ids/6":              `{"schema":"\"n.A\"","references":[{"name":"n.A","subject":"a/b ü","version":1}]}`,
		"/subjects/a/b ü/versions/1":  `{"schema":"{"}`,
		"/schemas/ids/7":              `{"schema":"\"n.A\"","references":[{"name":"n.A","subject":"forbidden","version":1}]}`,
	}
	for _, tt := range []struct {
		id             uint32
		reason, waited string
	}{
		{1, "Avro: schema 1: refers to version 1 of gone, which the registry does not have", ""},
		{2, "Avro: schema 2: refers to version 1 of proto, which is of type PROTOBUF, not Avro", ""},
		{3, `Avro: schema 3: avro: what it refers to: unknown type "n.A"`, ""},
		{4, "Avro: schema 4: refers to more than 100 schemas", ""},
		{5, "", "asking for version 1 of empty: the schema registry answers without a schema"},
		{6, "Avro: schema 6: avro: what it refers to: unexpected end of JSON input", ""},
		{7, "", "asking for version 1 of forbidden: the schema registry refuses: no"},
	} {
		f, ctx := odd(t, func(w http.ResponseWriter, r *http.Request) {
			var n int
			answer, ok := answers[r.URL.Path]
			switch _, err := fmt.Sscanf(r.URL.Path, "/subjects/chain/versions/%d", &n); {
			case strings.Contains(r.URL.Path, "forbidden"):
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"message":"no"}`)
			case err == nil:
				fmt.Fprintf(w, `{"schema":"\"int\"","references":[{"name":"x","subject":"chain","version":%d}]}`, n+1)
			case ok:
				fmt.Fprint(w, answer)
			default:
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, `{"error_code":40401,"message":"no such subject"}`)
			}
		})
		record := schemas.AppendHeader(nil, tt.id)
		err := f.Await(ctx, record)
		if tt.waited != "" {
			if err == nil || err.Error() != tt.waited {
				t.Errorf("%d: %v, want %s", tt.id, err, tt.waited)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d: %v", tt.id, err)
		}
		if _, err := f.Writers().StateRow(record); err == nil || err.Error() != tt.reason {
			t.Errorf("%d: %v, want %s", tt.id, err, tt.reason)
		}
	}
}
