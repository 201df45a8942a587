package schemas

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"handprint/attribution"
)

// The file was written by fastavro (make fastavro-fixtures): records by our
// schemas and by relatives of them, each with the same record as JSON says it.
const fastavroFile = "testdata/fastavro/records.ndjson"

type fastavroRecord struct {
	Contract string `json:"topic"`
	Schema   string // that the writer had
	Value    []byte // in base64, behind an id
	JSON     string
}

func readFastavro(t *testing.T) (list []fastavroRecord) {
	t.Helper()
	f, err := os.Open(fastavroFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := json.NewDecoder(bufio.NewReader(f)); d.More(); {
		var r fastavroRecord
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

func TestRecordsOfFastavroAreReadAsTheirJSON(t *testing.T) {
	read := make(map[string]int)
	for i, r := range readFastavro(t) {
		id, ok := SchemaID(r.Value)
		if !ok {
			t.Fatalf("line %d: no schema id", i+1)
		}
		writers := NewWriters()
		writers.Add(id, []byte(r.Schema))
		switch r.Contract {
		case "observation":
			avro, json := ObservationDecoder{Writers: writers}, ObservationDecoder{}
			var got, want attribution.Observation
			if err := avro.Decode(r.Value, &got); err != nil {
				t.Fatalf("line %d: %v: %s", i+1, err, r.JSON)
			}
			if err := json.Decode([]byte(r.JSON), &want); err != nil {
				t.Fatalf("line %d: as JSON: %v: %s", i+1, err, r.JSON)
			}
			if !reflect.DeepEqual(plainObservation(&got), plainObservation(&want)) {
				t.Errorf("line %d: %s is read as\n%q, as JSON as\n%q", i+1, r.JSON, plainObservation(&got), plainObservation(&want))
			}
		case "identity_event":
			got, err := IdentityEventDecoder{Writers: writers}.Decode("", r.Value)
			if err != nil {
				t.Fatalf("line %d: %v: %s", i+1, err, r.JSON)
			}
			want, err := DecodeIdentityEvent("", []byte(r.JSON))
			if err != nil {
				t.Fatalf("line %d: as JSON: %v: %s", i+1, err, r.JSON)
			}
			if len(got.Attackers) == 0 && len(want.Attackers) == 0 {
				got.Attackers, want.Attackers = nil, nil
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("line %d: %s is read as %+v", i+1, r.JSON, got)
			}
		default:
			t.Fatalf("line %d: contract %s", i+1, r.Contract)
		}
		read[r.Contract]++
	}
	if read["observation"] < 30 || read["identity_event"] < 20 {
		t.Errorf("only %v were read", read)
	}
}

// plainObservation is an observation with its slices as text, so that absent
// and empty are the same.
func plainObservation(o *attribution.Observation) map[string]any {
	return map[string]any{
		"id": string(o.ID), "attacker": string(o.Attacker), "primitive": string(o.Primitive), "value": string(o.Value),
		"evidence": string(o.Evidence), "source": string(o.Source), "ref": string(o.IdentityRef), "ts": o.TS,
		"start": o.WindowStart, "end": o.WindowEnd, "confidence": o.Confidence, "sure": o.HasConfidence,
	}
}
